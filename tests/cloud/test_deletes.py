"""Deletion on real Ceph and Cinder: what stays keeps its bytes, what goes is gone, and storage is what the tree says."""
import pytest

import orphans
from cloud import Refused
from proof import boot, captured, guest_agrees, trails

pytestmark = pytest.mark.sampled(2)


@pytest.fixture
def owner(service, cloud):
    """A running server with one volume, in a project of its own."""
    project = cloud.project()
    server = project.server(volumes=1)
    return project, service.client(project.owner), server, server.attachments()


def capture(client, server, name):
    """A node, with what the disks held."""
    server.ticking()
    node = client.capture(server, name, consistency='crash', pause_limit_ms=60_000)
    return node, captured(server)


def names(client, server):
    return [('~' if node['hidden'] else '') + node['name'] for node in client.tree(server)['nodes']]


def test_a_leaf_beside_deleted_ones_can_still_be_restored(service, owner):
    # The history of apache/cloudstack#10632, where the last restore failed for want of a file.
    project, client, server, volumes = owner
    s1, _ = capture(client, server, 's1')
    s2, _ = capture(client, server, 's2')
    s3, held = capture(client, server, 's3')
    client.restore(s2, safety_snapshot=False)
    server.came_up()
    capture(client, server, 's4')
    assert client.delete(s2)['warnings'] == []
    assert client.delete(s1)['warnings'] == []
    orphans.none_are_left(service, project, [server], volumes)
    server.ticking()
    client.restore(s3)
    server.came_up()
    guest_agrees(server, held)
    orphans.none_are_left(service, project, [server], volumes)
    server.stop()


def test_a_branch_goes_with_its_parked_disks_and_the_guest_goes_on(service, owner):
    project, client, server, volumes = owner
    fresh, _ = capture(client, server, 'fresh')
    capture(client, server, 'upgraded')
    client.restore(fresh)
    server.came_up()
    capture(client, server, 'reworked')
    with pytest.raises(Refused) as refused:
        client.ask('DELETE', f'/v1/branches/{next(one["id"] for one in client.tree(server)["branches"] if one["current"])}')
    assert refused.value.status == 409
    before = trails(server)
    client.delete_branch(server, 'main')
    assert [name.removeprefix('~') for name in names(client, server)] in (['fresh', 'reworked'], ['reworked'])
    orphans.none_are_left(service, project, [server], volumes)
    server.ticking()
    assert all(new.counter > old.counter for new, old in zip(trails(server), before))
    server.act('reboot', {'type': 'HARD'})
    server.is_('ACTIVE')
    server.came_up()
    assert all(seen.trail.counter >= old.counter for seen, old in zip(boot(server), before)), 'the disks are whole without main'
    server.stop()


def test_with_the_whole_tree_goes_all_that_the_live_disks_do_not_need(service, owner):
    project, client, server, volumes = owner
    capture(client, server, 'a')
    capture(client, server, 'b')
    operation = client.delete_tree(server)
    assert operation['warnings'] == []
    assert names(client, server) == []
    assert project.snapshots() == {}
    orphans.none_are_left(service, project, [server], volumes)
    server.ticking()
    node, held = capture(client, server, 'again')
    server.ticking()
    client.restore(node, safety_snapshot=False)
    server.came_up()
    guest_agrees(server, held)
    server.stop()


def test_a_parked_volume_that_its_owner_has_used_is_left_to_him(service, owner):
    project, client, server, volumes = owner
    fresh, _ = capture(client, server, 'fresh')
    client.restore(fresh)
    server.came_up()
    server.stop()
    server.attach(volumes[0])  # the one that was parked
    server.detach(volumes[0])
    client.delete_branch(server, 'main')
    assert volumes[0] in project.volumes(), 'it may hold what nobody else has'
    orphans.none_are_left(service, project, [server], volumes)
