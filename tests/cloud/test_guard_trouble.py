"""The guard when Nova does not get through with what it began, or does it elsewhere, or later. Stops parts of the cloud."""
import contextlib
import os
import signal
import subprocess
import time

import pytest

import orphans
from cloud import MINICLOUD, STATE, Refused, wait
from guarded import captured, kept, listening, node_named
from proof import boot, trails
from service import Process

pytestmark = [pytest.mark.alone, pytest.mark.sampled(2)]
RECLAIM_S = 60


def minicloud(*arguments):
    subprocess.run([MINICLOUD / 'minicloud', *arguments], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope='module')
def guard(directory):
    process = listening(Process(directory / 'guard-trouble', sweep=3).start())
    yield process
    process.stop()


def at_rest(guard, client, server):
    """Waits until neither Nova nor Ratoon is at work, and all disks bear their names."""
    wait('Nova to be at rest', lambda: server.look()['OS-EXT-STS:task_state'] is None)
    def is_so():
        taken = guard.rows("SELECT role FROM layers WHERE server_id = ? AND role = 'taken'", server.id)
        return taken == [] and client.server(server)['operation_id'] is None

    def stays_so():
        for _ in range(3):  # a look that began before Nova had ended may still lead to something
            if not is_so():
                return False
            time.sleep(2)
        return is_so()
    wait('the head to have its name again', stays_so)


def runs_on_its_own_disk(server, before):
    """Started again, it finds what it had written."""
    if server.status() == 'ERROR':
        server.act('os-resetState', {'state': 'active'}, server.admin)
    server.act('reboot', {'type': 'HARD'})
    server.is_('ACTIVE')
    server.came_up()
    now = trails(server)
    assert [one.label for one in now] == [one.label for one in before]
    assert all(new.counter >= old.counter for new, old in zip(now, before)), (before, now)


def tree_is_as_before(client, server, node):
    tree = client.tree(server)
    assert not [one['name'] for one in tree['nodes'] if one['name'].startswith('before')], tree
    record = client.server(server)
    assert record['current_snapshot_id'] == node['id'] and record['warnings'] == [] and record['deleted_at'] is None, record


def test_a_rebuild_that_no_host_takes_leaves_the_server_its_own_disk(guard, cloud):
    project = cloud.project()
    server, client = captured(guard, project, volumes=1)
    volumes, node, before = server.attachments(), node_named(client, server, 's2'), trails(server)
    image = project.image(hypervisor_type='xen')
    server.act('rebuild', {'imageRef': image})
    at_rest(guard, client, server)
    runs_on_its_own_disk(server, before)
    tree_is_as_before(client, server, node)
    orphans.none_are_left(guard, project, [server], volumes)
    client.restore(node)
    server.came_up()
    server.stop()


def test_a_deletion_while_cinder_is_away_leaves_the_server_its_disk_or_the_tree_its_last_state(guard, cloud):
    project = cloud.project()
    server, client = captured(guard, project, volumes=2, doomed=1)
    volumes, node, before = server.attachments(), node_named(client, server, 's2'), trails(server)
    minicloud('stop', 'cinder-api')
    try:
        with contextlib.suppress(Refused):
            project.owner.nova('DELETE', f'/servers/{server.id}')
        deleted = wait('Nova to have ended it', lambda: (server.is_gone() and 'gone') or (
            server.look()['OS-EXT-STS:task_state'] is None and server.status()))
    finally:
        minicloud('start', 'cinder-api')
    print(f'the server is {deleted}')
    if deleted == 'gone':
        _, found = kept(guard, client, server, 'before deleting')
        assert found.counter >= before[0].counter and found.label == before[0].label
        return
    at_rest(guard, client, server)
    runs_on_its_own_disk(server, before)
    tree_is_as_before(client, server, node)
    orphans.none_are_left(guard, project, [server], volumes)
    server.stop()


@pytest.fixture
def reclaim():
    """Nova deletes servers softly, and for good a minute later."""
    setting = STATE / 'conf' / 'nova.d' / 'reclaim.conf'
    setting.write_text(f'[DEFAULT]\nreclaim_instance_interval = {RECLAIM_S}\n')
    minicloud('restart', 'nova-api', 'nova-compute')
    yield
    setting.unlink()
    minicloud('restart', 'nova-api', 'nova-compute')


def test_a_softly_deleted_server_is_as_before_when_it_is_taken_back_and_leaves_its_tree_when_it_is_reclaimed(guard, cloud, reclaim):
    project = cloud.project()
    server, client = captured(guard, project, volumes=1, doomed=1)
    node, before = node_named(client, server, 's2'), trails(server)
    project.owner.nova('DELETE', f'/servers/{server.id}')
    server.is_('SOFT_DELETED')
    server.act('restore', None, server.admin)
    server.is_('ACTIVE')
    runs_on_its_own_disk(server, before)
    tree_is_as_before(client, server, node)

    last = trails(server)[0]
    project.owner.nova('DELETE', f'/servers/{server.id}')
    server.is_('SOFT_DELETED')
    wait('Nova to reclaim it', server.is_gone, patience=5 * RECLAIM_S)
    _, found = kept(guard, client, server, 'before deleting')
    assert found.counter >= last.counter and found.label == last.label, (last, found)
    assert client.delete_tree(server)['warnings'] == []
    wait('Ceph and Cinder to be as at the start', lambda: not project.volumes() and not project.snapshots())
    orphans.none_are_left(guard, project, [server], [])


def forced_down(cloud, host, yes):
    for service in cloud.admin.nova('GET', '/os-services?binary=nova-compute')['services']:
        if service['host'] == host:
            cloud.admin.nova('PUT', f'/os-services/{service["id"]}', {'forced_down': yes})


def guest_of(server):
    """The pid of its QEMU, on whichever host."""
    for folder in os.listdir('/proc'):
        with contextlib.suppress(OSError, ValueError):
            with open(f'/proc/{int(folder)}/cmdline', 'rb') as file:
                words = file.read().split(b'\0')
            if b'qemu-system' in words[0] and server.id.encode() in words:
                return int(folder)
    return None


@pytest.fixture
def second_host(cloud):
    def up():
        minicloud('second-host', 'up')
        forced_down(cloud, 'second', False)
        all_hosts_are_up(cloud)
    yield up
    minicloud('second-host', 'down')
    forced_down(cloud, 'second', True)  # or Nova would give it the next server: it takes a silent host for up for a minute


def all_hosts_are_up(cloud):
    """Nova's scheduler takes no other."""
    wait('Nova to have heard from all hosts', lambda: all(
        one['state'] == 'up' for one in cloud.admin.nova('GET', '/os-services?binary=nova-compute')['services']))


@contextlib.contextmanager
def dead_host(cloud, server):
    """The server's host dies, with its guest."""
    minicloud('stop', 'nova-compute')
    os.kill(guest_of(server), signal.SIGKILL)
    forced_down(cloud, 'minicloud', True)
    try:
        yield
    finally:
        minicloud('start', 'nova-compute')  # Nova wants it to have tidied up before it counts as up
        forced_down(cloud, 'minicloud', False)


def captured_on_the_first_host(guard, cloud):
    project = cloud.project()
    server = project.server(volumes=1)
    client = guard.client(project.owner)
    return project, server, client, client.capture(server, 'on the first host')


def is_restored_and_deleted_as_any_other(guard, client, server, node):
    client.restore(node)
    server.came_up()
    server.delete()
    kept(guard, client, server, 'before deleting')


def test_an_evacuated_server_goes_on_with_its_own_disk(guard, cloud, second_host):
    project, server, client, node = captured_on_the_first_host(guard, cloud)
    volumes, before = server.attachments(), trails(server.ticking())
    second_host()
    with dead_host(cloud, server):
        server.act('evacuate', {}, server.admin)
        wait('it to run on the second host', lambda: server.look()['OS-EXT-SRV-ATTR:host'] == 'second' and server.status() == 'ACTIVE')
        server.came_up()
        met = boot(server)
        assert [seen.trail.label for seen in met] == [trail.label for trail in before]
        assert all(seen.trail.counter >= old.counter for seen, old in zip(met, before)), 'the counter goes on'
        at_rest(guard, client, server)
        tree_is_as_before(client, server, node)
        orphans.none_are_left(guard, project, [server], volumes)

    # The first host is back, and tidies up after the guests that were taken from it.
    all_hosts_are_up(cloud)
    now = trails(server)
    server.ticking()
    assert all(new.counter > old.counter for new, old in zip(trails(server), now))
    is_restored_and_deleted_as_any_other(guard, client, server, node)


@pytest.mark.parametrize('end, host', [('confirmResize', 'second'), ('revertResize', 'minicloud')])
def test_a_migrated_server_keeps_its_tree_and_its_bytes(guard, cloud, second_host, end, host):
    project, server, client, node = captured_on_the_first_host(guard, cloud)
    volumes, before = server.attachments(), trails(server.ticking())
    second_host()
    server.act('migrate', who=server.admin)
    server.is_('VERIFY_RESIZE')
    server.act(end, who=server.admin)
    server.is_('ACTIVE')
    assert server.look()['OS-EXT-SRV-ATTR:host'] == host
    server.came_up()
    now = trails(server)
    assert [one.label for one in now] == [one.label for one in before]
    assert all(new.counter > old.counter for new, old in zip(now, before))
    at_rest(guard, client, server)
    tree_is_as_before(client, server, node)
    orphans.none_are_left(guard, project, [server], volumes)
    is_restored_and_deleted_as_any_other(guard, client, server, node)
