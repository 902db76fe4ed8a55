"""After a restore the cloud's other functions work on the server as before, with the caps of the Ceph manual."""
import pytest

import orphans
from cloud import Refused, wait
from proof import boot, captured, disks, guest_agrees, trail, trails


@pytest.fixture(scope='module')
def restored(cloud, service):
    """A server that has been restored, so that its system disk is a clone of ours."""
    project = cloud.project()
    server = project.server(volumes=1)
    client = service.client(project.owner)
    node = client.capture(server, 'node')
    server.node_held = captured(server)
    server.ticking()
    client.restore(node)
    server.came_up()
    return server, client, node


def image_is_active(project, id):
    def look():
        status = project.owner.glance('GET', f'/images/{id}')['status']
        assert status in ('queued', 'saving', 'active'), f'the image is {status}'
        return status == 'active'
    wait(f'image {id} to become active', look)


def deleted(server):
    server.project.owner.nova('DELETE', f'/servers/{server.id}')

    def gone():
        try:
            return not server.look()
        except Refused as refusal:
            return refusal.status == 404
    wait('it to be deleted', gone)


def test_image_create_makes_an_image_that_a_server_boots_from_and_counts_on(restored):
    server, _, _ = restored
    project = server.project
    image = server.act('createImage', {'name': 'ratoon-test-image'})['image_id']
    image_is_active(project, image)
    boots_and_counts_on(server, image)
    project.owner.glance('DELETE', f'/images/{image}')


def boots_and_counts_on(server, image):
    """Another server boots what this one's guest had written."""
    counted = trail(f'images/{image}')
    assert counted.label == trails(server)[0].label
    child = server.project.server(image=image)
    assert boot(child)[0].trail == counted
    assert trails(child)[0].counter > counted.counter
    deleted(child)


def test_backup_create_makes_an_image(restored):
    server, _, _ = restored
    image = server.act('createBackup', {'name': 'ratoon-test-backup', 'backup_type': 'daily', 'rotation': 1})['image_id']
    image_is_active(server.project, image)
    server.is_('ACTIVE')
    boots_and_counts_on(server, image)
    server.project.owner.glance('DELETE', f'/images/{image}')


def test_resize_and_revert_bring_the_same_disks_back(restored, cloud):
    server, _, _ = restored
    before = trails(server)
    server.act('resize', {'flavorRef': cloud.id_of('flavor', 'small')})
    server.is_('VERIFY_RESIZE')
    server.act('revertResize')
    server.is_('ACTIVE')
    server.came_up()
    now = trails(server)
    assert [one.label for one in now] == [one.label for one in before]
    assert all(new.counter > old.counter for new, old in zip(now, before))


def test_a_restore_works_after_a_resize_was_reverted(restored, service):
    server, client, node = restored
    client.restore(node)
    server.came_up()
    guest_agrees(server, server.node_held)


def test_shelve_and_unshelve_keep_what_the_guest_wrote(restored):
    server, _, _ = restored
    labels = [one.label for one in trails(server)]
    server.act('shelve')
    server.is_('SHELVED_OFFLOADED')
    server.act('unshelve')
    server.is_('ACTIVE')
    server.came_up()
    met = boot(server)
    assert [seen.trail.label for seen in met] == labels
    assert {seen.trail.phase for seen in met} == {'shutdown'}, met
    assert len({seen.trail.counter for seen in met}) == 1


def test_an_ephemeral_disk_is_captured_and_restored_and_swap_is_named(cloud, service):
    project = cloud.project()
    server = project.server(flavor='tiny-eph')
    client = service.client(project.owner)
    assert [spec.rpartition('_')[2] for spec in disks(server)] == ['disk', 'disk.eph0']
    node = client.capture(server, 'with its ephemeral disk')
    assert [(disk['kind'], disk['key']) for disk in node['disks']] == [('system', 'disk'), ('ephemeral', 'disk.eph0')]
    assert [one['key'] for one in node['left_out']] == ['disk.swap']
    moment = captured(server)
    server.ticking()
    client.restore(node)
    server.came_up()
    met = {seen.trail.label: seen.trail for seen in boot(server)}
    assert [met.get(one.label) for one in moment] == moment
    server.stop()
    orphans.none_are_left(service, project, [server], [], own_images=['disk', 'disk.eph0', 'disk.swap'])
