"""What becomes of disks and tree when Nova deletes, rebuilds or shelves a server: heard of by notification, and found by the sweep."""
import pytest

import orphans
from cloud import wait
from conftest import SOAK, sample
from guarded import SNAPSHOTS, captured, kept, listening, node_named, purged, was_taken_in_time
from proof import boot, guest_agrees, size_of, trails
from service import Process


@pytest.fixture(scope='module', params=['heard', 'swept'])
def guard(request, directory):
    """A Ratoon that only listens, and one that only sweeps."""
    listens = request.param == 'heard'
    process = Process(directory / f'guard-{request.param}', listens='true' if listens else 'false', sweep=3600 if listens else 3).start()
    process.listens = listens
    if listens:
        listening(process)
    yield process
    process.stop()


def only_in_the_soak(guard, so=True):
    """By the sweep, the rows of the guard's table are tested whole in the soak, and one of them always."""
    if so and not guard.listens and not SOAK:
        pytest.skip('runs in the soak')


@pytest.mark.parametrize('stopped', [False, True], ids=['running', 'stopped'])
def test_a_deleted_server_leaves_its_tree_with_its_last_state_and_nothing_else(guard, cloud, stopped):
    only_in_the_soak(guard, stopped)
    project = cloud.project()
    server, client = captured(guard, project, volumes=2, doomed=1)
    doomed, own = server.attachments()
    if stopped:
        server.stop()
    last = trails(server)[0]
    server.delete()
    node, found = kept(guard, client, server, 'before deleting')
    assert found.counter >= last.counter and found.label == last.label, (last, found)
    if guard.listens:
        was_taken_in_time(guard, server)
    record = client.server(server)
    assert record['kept_until'] > record['deleted_at'] and record['current_snapshot_id'] is None, record
    assert project.volumes()[doomed]['name'].endswith('(parked by ratoon)')
    assert not project.volumes()[own]['name'].endswith('(parked by ratoon)')
    orphans.none_are_left(guard, project, [server], [doomed, own])

    assert client.delete_tree(server)['warnings'] == []
    assert set(project.volumes()) == {own}, 'as at the start: what Nova was to delete is gone, what it was not is there'
    assert project.snapshots() == {}
    orphans.none_are_left(guard, project, [server], [own])


def test_a_rebuilt_server_has_a_new_disk_and_its_old_one_can_be_restored(guard, cloud):
    only_in_the_soak(guard)
    project = cloud.project()
    server, client = captured(guard, project, volumes=1)
    volumes = server.attachments()
    last = trails(server)[0]
    server.rebuild()
    if guard.listens:
        was_taken_in_time(guard, server)
    elif wait('the sweep to have seen the rebuild', lambda: client.server(server)['warnings'] or node_named(client, server, 'before rebuilding')
              ) is not None and client.server(server)['warnings']:
        # Nova had looked for the disk before the sweep came: it runs on the old one, and its owner is told.
        assert 'runs on it' in client.server(server)['warnings'][0]['text']
        return
    node, found = kept(guard, client, server, 'before rebuilding')
    server.came_up()
    assert found.counter >= last.counter and found.label == last.label, (last, found)
    assert boot(server)[0].trail.counter is None, 'the disk is really new'
    assert client.server(server)['current_snapshot_id'] is None
    orphans.none_are_left(guard, project, [server], volumes)

    client.capture(server, 'after')
    assert node_named(client, server, 'after')['parent_id'] is None, 'another tree begins'
    client.restore(node)
    server.came_up()
    assert boot(server)[0].trail == found
    server.stop()
    orphans.none_are_left(guard, project, [server], volumes)


def test_a_server_that_is_deleted_before_its_resize_is_confirmed_leaves_its_tree_and_nothing_else(guard, cloud):
    only_in_the_soak(guard)
    project = cloud.project()
    server, client = captured(guard, project, volumes=1, doomed=1)
    server.act('resize', {'flavorRef': cloud.id_of('flavor', 'small')})
    server.is_('VERIFY_RESIZE')
    last = trails(server.came_up())[0]
    server.delete()
    _, found = kept(guard, client, server, 'before deleting')
    assert found.counter >= last.counter and found.label == last.label, (last, found)
    if guard.listens:
        was_taken_in_time(guard, server)
    assert client.delete_tree(server)['warnings'] == []
    # By the sweep the deletion may not have been seen before it had ended: then the volume stays its owner's.
    assert not (guard.listens and project.volumes()) and not project.snapshots()
    orphans.none_are_left(guard, project, [server], list(project.volumes()))


def test_a_shelved_server_comes_back_with_its_bytes_and_its_tree(guard, cloud):
    only_in_the_soak(guard)
    project = cloud.project()
    server, client = captured(guard, project)
    server.act('shelve')
    server.is_('SHELVED_OFFLOADED')
    server.act('unshelve')
    server.is_('ACTIVE')
    server.came_up()
    node, found = kept(guard, client, server, 'before shelving')
    assert found.phase == 'shutdown', 'its guest was shut down, and the last words are kept'
    guest_agrees(server, [found])
    client.restore(node_named(client, server, 's0'))
    server.came_up()
    orphans.none_are_left(guard, project, [server], [])
    server.stop()


def test_a_shelved_server_that_is_deleted_leaves_its_tree(guard, cloud):
    """Nova deletes it without any host, and lists no such action."""
    only_in_the_soak(guard)
    project = cloud.project()
    server, client = captured(guard, project)
    server.act('shelve')
    server.is_('SHELVED_OFFLOADED')
    kept(guard, client, server, 'before shelving')
    server.delete()
    wait('Ratoon to know', lambda: client.server(server)['deleted_at'])
    assert {node['name'] for node in client.tree(server)['nodes']} == {'s0', 's1', 's2', 'before shelving'}
    client.delete_tree(server)
    orphans.none_are_left(guard, project, [server], [])


def test_the_tree_of_a_deleted_server_goes_when_its_time_is_over(guard, cloud):
    only_in_the_soak(guard)
    project = cloud.project()
    server, client = captured(guard, project, volumes=1, doomed=1)
    server.delete()
    kept(guard, client, server, 'before deleting')
    guard.stop()
    guard.configure(keep_deleted=0, sweep=2)
    guard.start()
    purged(guard, project, server)


@pytest.mark.parametrize('end', sample(['confirmResize', 'revertResize'], 1))
def test_a_resized_server_keeps_its_tree_and_its_bytes(guard, cloud, end):
    only_in_the_soak(guard)
    project = cloud.project()
    server, client = captured(guard, project, volumes=1)
    node, before, volumes = node_named(client, server, 's2'), trails(server), server.attachments()
    server.act('resize', {'flavorRef': cloud.id_of('flavor', 'small')})
    server.is_('VERIFY_RESIZE')
    server.act(end)
    server.is_('ACTIVE')
    server.came_up()
    now = trails(server)
    assert [one.label for one in now] == [one.label for one in before]
    assert all(new.counter > old.counter for new, old in zip(now, before))
    record = client.server(server)
    assert record['current_snapshot_id'] == node['id'] and record['warnings'] == [], record
    assert len(client.tree(server)['nodes']) == SNAPSHOTS
    orphans.none_are_left(guard, project, [server], volumes)

    client.restore(node)
    server.came_up()
    size = {'confirmResize': 2, 'revertResize': 1}[end]
    assert size_of(f'vms/{server.id}_disk') == size << 30, 'the old snapshot is grown to the new flavor'
    server.stop()
    orphans.none_are_left(guard, project, [server], server.attachments() + volumes)
