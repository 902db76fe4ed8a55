"""kill -9 of the engine at every event that operations log, and at random moments: each operation ends finished or undone,
the server has its disks and its power, nobody's lock is left, and storage is what the tree says."""
import signal
import time

import pytest
import requests

import orphans
from conftest import SOAK, sample
from proof import boot, guest_agrees, trails
from service import Process
from victims import Victims

CAPTURE = ['inspect', 'capture', 'check', 'record']
RESTORE = ['lock', 'prepare', 'stop', 'quiet', 'safety', 'arrange', 'swap', 'verify', 'record', 'label', 'start', 'unlock', 'prune']
DELETE = ['hide', 'remove', 'settle', 'measure']
CAPTURE_UNDOES = ['capture']
RESTORE_UNDOES = ['swap', 'arrange', 'safety', 'stop', 'prepare', 'lock']
UNLOGGED = ['snapshot_create/pause:done']  # nothing is written while the server stands still
FORWARD = [f'{kind}/{step}:{event}' for kind, steps in
           (('snapshot_create', CAPTURE), ('snapshot_restore', RESTORE), ('snapshot_delete', DELETE)) for step in steps for event in ('started', 'done')]
BACKWARD = [event for kind, steps in (('snapshot_create', CAPTURE_UNDOES), ('snapshot_restore', RESTORE_UNDOES))
            for event in (f'{kind}/record:failed', *(f'{kind}/{step}:{event}' for step in steps for event in ('undo_started', 'undo_done')))]
LAST_BEFORE_RECORD = {'snapshot_create': 'snapshot_create/check:done', 'snapshot_restore': 'snapshot_restore/verify:done'}
RANDOM_MOMENTS, RANDOM_MOMENTS_SAMPLE, EVENTS_SAMPLE, UNDO_SAMPLE = 30, 2, 4, 1
LONGEST_S = {'snapshot_create': 4.0, 'snapshot_restore': 18.0, 'snapshot_delete': 3.0}  # about as long as they take: moments are spread over it


@pytest.fixture(scope='module')
def process(directory):
    process = Process(directory / 'killed')
    yield process
    process.stop()


@pytest.fixture(scope='module')
def victims(cloud, process):
    victims = Victims(cloud, process.client)
    yield victims
    if process.alive():
        victims.retire()


@pytest.fixture
def victim(process, victims):
    if not process.alive():
        process.start()
    return victims.next()


def begin(process, kind, victim):
    """Asks for the operation and returns its id, also when the process was faster dead than its answer here."""
    base = victim.deletable() if kind == 'snapshot_delete' else victim.base
    try:
        if kind == 'snapshot_create':
            return victim.client.begin_capture(victim.server, 'killed')['operation_id']
        return (victim.client.begin_delete if kind == 'snapshot_delete' else victim.client.begin_restore)(base)
    except requests.ConnectionError:
        [newest] = process.rows('SELECT id, kind FROM operations WHERE server_id = ? ORDER BY id DESC LIMIT 1', victim.server.id)
        assert newest['kind'] == kind, 'it died before it had written down what it was asked for'
        return newest['id']


def all_is_well(process, victim, kind, operation, before):
    """Finished or undone: never half."""
    assert operation['status'] in ('succeeded', 'failed', 'cancelled'), operation
    server = victim.server
    server.is_('ACTIVE')
    if kind == 'snapshot_restore' and operation['status'] == 'succeeded':
        server.came_up()
        guest_agrees(server, victim.base_trails)
    else:
        server.ticking()
        now = trails(server)
        assert [trail.label for trail in now] == [trail.label for trail in before]
        assert all(new.counter >= old.counter for new, old in zip(now, before)), 'it lost what the guest had written'
    assert boot(server) is not None
    orphans.none_are_left(process, victim.project, [server], victim.own_volumes)
    status = {'succeeded': 'available'}.get(operation['status'], 'error') if kind == 'snapshot_create' else 'available'
    if kind == 'snapshot_delete':
        status = 'deleted'
        assert operation['warnings'] == []
    found = process.rows('SELECT status FROM snapshots WHERE id = ?', operation['snapshot_id'])
    assert found == [{'status': status}]


def test_the_events_at_which_the_engine_is_killed_are_all_that_operations_log(process, victim):
    process.stop()
    process.start()
    logged = []
    for kind in LONGEST_S:
        operation = victim.client.succeeded(begin(process, kind, victim))
        logged += [f'{kind}/{event["step"]}:{event["event"]}' for event in operation['events'] if event['step'] != 'end']
    print('\n'.join(FORWARD + BACKWARD))
    assert logged == FORWARD


@pytest.mark.parametrize('event', sample(FORWARD + UNLOGGED, EVENTS_SAMPLE))
def test_killed_at(process, victim, event):
    kind = event.partition('/')[0]
    victim.server.ticking()
    before = trails(victim.server)
    process.stop()
    process.start(failpoint=event)
    id = begin(process, kind, victim)
    assert process.died() and process.process.returncode == -signal.SIGABRT, f'the failpoint was not reached\n{process.tail()}'
    process.start()
    all_is_well(process, victim, kind, victim.client.finished(id), before)


@pytest.mark.parametrize('event', sample(BACKWARD, UNDO_SAMPLE))
def test_killed_while_it_undoes_at(process, victim, event):
    kind = event.partition('/')[0]
    before = trails(victim.server)
    process.stop()
    process.start(failpoint=LAST_BEFORE_RECORD[kind])
    id = begin(process, kind, victim)
    assert process.died(), f'the failpoint was not reached\n{process.tail()}'
    process.start(failpoint=event, role='api')
    victim.client.ask('POST', f'/v1/operations/{id}/cancel')
    process.stop()
    process.start(failpoint=event, wait_for_answer=False)
    assert process.died() and process.process.returncode == -signal.SIGABRT, f'the failpoint was not reached\n{process.tail()}'
    process.start()
    operation = victim.client.finished(id)
    assert operation['status'] == 'cancelled'
    logged = [f'{kind}/{line["step"]}:{line["event"]}' for line in operation['events']
              if line['event'] not in ('started', 'done') and line['step'] != 'end']
    assert sorted(set(logged)) == sorted(one for one in BACKWARD if one.startswith(kind)), 'all that it logs on its way back'
    all_is_well(process, victim, kind, operation, before)


@pytest.mark.parametrize('number', range(RANDOM_MOMENTS if SOAK else RANDOM_MOMENTS_SAMPLE))
def test_killed_at_a_random_moment(process, victim, chance, number):
    kind = chance.choice(['snapshot_create', 'snapshot_restore', 'snapshot_restore', 'snapshot_delete'])
    before = trails(victim.server)
    id = begin(process, kind, victim)
    moment = chance.uniform(0, LONGEST_S[kind])
    time.sleep(moment)  # the moment itself is what is tested
    process.kill()
    where = process.rows('SELECT step, kind FROM operation_events WHERE operation_id = ? ORDER BY id DESC LIMIT 1', id)
    print(f'killed {moment:.2f} s after the start of {kind}, last event {where}')
    process.start()
    all_is_well(process, victim, kind, victim.client.finished(id), before)
