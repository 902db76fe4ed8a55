"""Restore elsewhere and back: nothing that the guest ever wrote is lost, its last words at power-off included."""
import orphans
from proof import boot, guest_agrees, shutdown_moment, trail, trails


def newest_safety(client, server):
    return [node for node in client.tree(server)['nodes'] if node['safety']][-1]


def parked_system_disk(service, server):
    rows = service.rows("SELECT id FROM layers WHERE server_id = ? AND backend = 'rbd' AND role = 'parked'", server.id)
    return f'vms/ratoon.{rows[-1]["id"]}'


def test_what_the_guest_wrote_at_power_off_is_there_again_after_restoring_elsewhere_and_back(service, cloud):
    project = cloud.project()
    client = service.client(project.owner)
    server = project.server(volumes=2)
    originals = server.attachments()
    a = client.capture(server, 'a')
    server.ticking()
    client.capture(server, 'b')
    server.ticking()

    operation = client.restore(a)
    replaced = dict(zip(originals, server.attachments()))
    assert {one['old']: one['new'] for one in operation['replaced']} == replaced
    marks = {id: one['metadata'].get('ratoon.replaced_by') for id, one in project.volumes().items()}
    assert marks == {**replaced, **dict.fromkeys(server.attachments())}, 'each old volume says which one took its place'
    last_words = trail(parked_system_disk(service, server))
    assert last_words.phase == 'shutdown'
    branched = client.tree(server)
    assert [branch['name'] for branch in branched['branches'] if branch['current']] == ['branch-2']
    assert not set(server.attachments()) & set(originals), 'the restored volumes are new ones'
    server.came_up()
    assert all(seen.trail.counter < last_words.counter for seen in boot(server)), 'it went back in time'
    client.capture(server, 'c')

    client.restore_branch(server, 'main')
    server.came_up()
    met = boot(server)
    assert [seen.name for seen in met] == ['vda', 'vdb', 'vdc']
    assert {(seen.trail.counter, seen.trail.epoch, seen.trail.phase) for seen in met} == {
        (last_words.counter, last_words.epoch, 'shutdown')}, met
    guest_agrees(server, [seen.trail for seen in met])
    assert server.attachments() == originals, 'the parked volumes are used again, in their order'
    orphans.none_are_left(service, project, [server], originals)


def test_bytes_in_ceph_are_those_of_the_power_off_when_a_stopped_server_goes_there_and_back(service, cloud):
    project = cloud.project()
    client = service.client(project.owner)
    server = project.server(volumes=2)
    originals = server.attachments()
    a = client.capture(server, 'a')
    server.ticking()
    server.stop()
    before = shutdown_moment(server)
    client.restore(a)
    assert [one.phase for one in trails(server)] == ['run'] * 3
    client.restore_branch(server, 'main')
    assert trails(server) == before
    assert server.status() == 'SHUTOFF'
    assert server.attachments() == originals
    orphans.none_are_left(service, project, [server], [*originals])
