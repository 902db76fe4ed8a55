"""kill -9 of the engine at each event that the guard's operations and a purge log: what Nova takes away is kept all the same."""
import signal

import pytest

import orphans
from conftest import sample
from guarded import captured, kept, listening, purged
from proof import trails
from service import Process

TAKEOVER, RETIRE, PURGE = ['take', 'record'], ['take', 'quiet', 'keep', 'volumes', 'record', 'label'], ['hide', 'remove', 'settle', 'measure']
GUARD_EVENTS, PURGE_EVENTS = (
    [f'{kind}/{step}:{event}' for kind, steps in kinds for step in steps for event in ('started', 'done')]
    for kinds in ([('head_takeover', TAKEOVER), ('head_retire', RETIRE)], [('snapshot_delete', PURGE)]))


@pytest.fixture(scope='module')
def process(directory):
    process = Process(directory / 'guard-killed')
    yield process
    process.stop()


@pytest.fixture
def alive(process):
    """Ratoon, with its usual settings."""
    process.stop()
    process.configure()
    return listening(process.start())


def dies_at(process, event):
    assert process.died() and process.process.returncode == -signal.SIGABRT, f'{event} was not reached\n{process.tail()}'
    process.start()


@pytest.mark.parametrize('event', sample(GUARD_EVENTS, 1))
def test_a_deleted_server_leaves_its_last_state_though_the_engine_was_killed_at(alive, cloud, event):
    project = cloud.project()
    server, client = captured(alive, project, volumes=2, doomed=1)
    doomed, own = server.attachments()
    last = trails(server)[0]
    alive.stop()
    listening(alive.start(failpoint=event))
    server.delete()
    dies_at(alive, event)
    node, found = kept(alive, client, server, 'before deleting')
    assert found.counter >= last.counter and found.label == last.label, (last, found)
    assert client.server(server)['deleted_at'] and client.server(server)['warnings'] == []
    orphans.none_are_left(alive, project, [server], [doomed, own])


@pytest.mark.parametrize('event', sample(PURGE_EVENTS, 1))
def test_a_tree_whose_time_is_over_goes_though_the_engine_was_killed_at(alive, cloud, event):
    project = cloud.project()
    server, client = captured(alive, project, volumes=1, doomed=1)
    server.delete()
    kept(alive, client, server, 'before deleting')
    alive.stop()
    alive.configure(keep_deleted=0, sweep=2)
    alive.start(failpoint=event, wait_for_answer=False)
    dies_at(alive, event)
    purged(alive, project, server)
