"""`openstack server image create` and `server backup create` on a server of Ratoon's: a node with all disks beside Nova's image."""
import pytest

import orphans
from cloud import PREFIX, Refused, wait
from guarded import listening
from proof import captured
from service import Process

pytestmark = pytest.mark.alone  # this Ratoon captures each server of which somebody makes an image


@pytest.fixture(scope='module')
def listener(directory):
    process = listening(Process(directory / 'images', capture='during').start())
    yield process
    process.stop()


def image(server, name, **backup):
    """Asks Nova for an image, or for a backup with rotation; returns its id when it is there."""
    if backup:
        server.act('createBackup', {'name': name, 'backup_type': 'daily', **backup})
    else:
        server.act('createImage', {'name': name, 'metadata': {}})
    glance = server.project.owner.glance
    found = wait(f'image {name}', lambda: [one for one in glance('GET', f'/images?name={name}')['images'] if one['status'] == 'active'])
    wait('Nova to have finished', lambda: server.look()['OS-EXT-STS:task_state'] is None)
    return found[0]['id']


def nodes(client, server):
    return [client.ask('GET', f'/v1/snapshots/{node["id"]}')['snapshot'] for node in client.tree(server)['nodes']]


def is_gone(project, id):
    try:
        return project.owner.glance('GET', f'/images/{id}')['status'] == 'deleted'
    except Refused as refused:
        return refused.status == 404


def test_an_image_of_a_server_has_a_node_with_all_disks_beside_it(listener, cloud):
    project = cloud.project()
    server = project.server(volumes=2)
    client, volumes = listener.client(project.owner), server.attachments()
    id = image(server, PREFIX + 'image')
    found = wait('the node', lambda: [node for node in nodes(client, server) if node['image_id'] == id and node['status'] == 'available'])
    assert len(found) == 1 and len(found[0]['disks']) == 3, found
    assert all(trail.counter for trail in captured(server))
    assert 'ms' in found[0]['consistency']['reason'], found[0]['consistency']
    server.ticking()
    assert len(nodes(client, server)) == 1, 'Nova has told of it four times'
    project.owner.glance('DELETE', f'/images/{id}')
    orphans.none_are_left(listener, project, [server], volumes)
    client.restore(found[0])
    server.came_up()
    server.stop()


def test_nodes_of_backups_follow_their_rotation(listener, cloud):
    project = cloud.project()
    server = project.server()
    client = listener.client(project.owner)
    first = image(server, PREFIX + 'b1', rotation=1)
    wait('its node', lambda: [node['image_id'] for node in nodes(client, server)] == [first])
    second = image(server, PREFIX + 'b2', rotation=1)
    wait('Nova to rotate', lambda: is_gone(project, first))
    wait('the nodes to follow', lambda: [node['image_id'] for node in nodes(client, server)] == [second])
    orphans.none_are_left(listener, project, [server], [])
    server.stop()
