"""Parts of the cloud that do not answer: a clear message with the remedy, and nothing has changed."""
import contextlib
import os
import signal
import subprocess

import pytest
import requests

import orphans
from cloud import MINICLOUD, STATE, wait
from service import Process
from test_refusals import Untouched, capture_body, refused, restore_path

pytestmark = pytest.mark.alone


def minicloud(*arguments):
    subprocess.run([MINICLOUD / 'minicloud', *arguments], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def stopped(name):
    minicloud('stop', name)
    try:
        yield
    finally:
        minicloud('start', name)


@contextlib.contextmanager
def frozen(name):
    """It accepts connections and answers nothing: worse than being away."""
    pid = int((STATE / 'run' / f'{name}.pid').read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope='module')
def hasty(directory):
    """A Ratoon that waits only seconds for the others."""
    process = Process(directory / 'hasty', http_timeout=5, rbd_timeout=5).start()
    yield process
    process.stop()


@pytest.fixture(scope='module')
def lot(cloud, hasty):
    project = cloud.project()
    server = project.server(volumes=1)
    client = hasty.client(project.owner)
    return server, client, client.capture(server, 'node')


@pytest.fixture
def unchanged(hasty, lot):
    """All is as before when the part of the cloud is back; and a capture works again."""
    server, client, node = lot
    watcher = Untouched(hasty, server, [])
    before = watcher.picture()
    yield
    wait('the cloud to be as before', lambda: picture(watcher) == before)
    assert requests.get(hasty.url + '/healthcheck', timeout=10).ok
    client.ask('POST', restore_path(node), {'restore': {}, 'dry_run': True})


def picture(watcher):
    with contextlib.suppress(Exception):  # it is not back yet
        return watcher.picture()


@pytest.mark.parametrize('name, word', [('nova-api', 'Nova'), ('cinder-api', 'Cinder')])
def test_a_service_that_is_away_is_named(lot, unchanged, name, word):
    server, client, node = lot
    with stopped(name):
        refused(client, 503, word, body=capture_body(server))
        refused(client, 503, word, path=restore_path(node), body={'restore': {}})
        assert client.ask('GET', f'/v1/snapshots/{node["id"]}'), 'what the database knows is told all the same'


def test_keystone_away_is_503_for_a_token_that_is_not_known_yet(lot, unchanged, cloud):
    server, client, _ = lot
    fresh = cloud.person(server.project.name, server.project.id, ('member',)).token
    with stopped('keystone'):
        refused(client, 503, 'Keystone', method='GET', path='/v1/snapshots', token=fresh)


def test_ceph_that_does_not_answer_is_named_within_the_timeout(lot, unchanged):
    server, client, node = lot
    token = client.person.token
    with frozen('ceph-mon'), frozen('ceph-osd'):
        refused(client, 503, 'Ceph', body=capture_body(server), token=token)
        refused(client, 503, 'Ceph', path=restore_path(node), body={'restore': {}}, token=token)


def test_a_restore_whose_cinder_dies_on_the_way_ends_finished_or_undone(lot, hasty):
    server, client, node = lot
    own = server.attachments()
    id = client.begin_restore(node)
    wait('the restore to be under way', lambda: hasty.rows(
        "SELECT 1 FROM operation_events WHERE operation_id = ? AND step = 'prepare'", id))
    with stopped('cinder-api'):
        wait('it to notice', lambda: 'Cinder' in hasty.tail(20) or client.operation(id)['status'] not in ('queued', 'running'))
    operation = client.finished(id)
    assert operation['status'] in ('succeeded', 'failed'), operation
    server.is_('ACTIVE')
    orphans.none_are_left(hasty, server.project, [server], own)
