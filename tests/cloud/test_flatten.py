"""Flattening on real Ceph: a parked disk without snapshots goes, once what was made of it hangs on nothing."""
import pytest
import rbd

import orphans
from cloud import wait
from proof import captured, guest_agrees, pool
from service import Process

MIB = 1 << 20


@pytest.fixture
def service(directory):
    """A Ratoon whose sweep does nothing yet."""
    process = Process(directory / 'flattening', sweep=3600, listens='false').start()
    yield process
    process.stop()


def capture(client, server, name):
    server.ticking()
    node = client.capture(server, name, consistency='none')
    held = captured(server)
    server.ticking()
    return node, held


def parent(image):
    with rbd.Image(pool('vms'), image, read_only=True) as opened:
        try:
            return opened.parent_info()
        except rbd.ImageNotFound:
            return None


def test_a_parked_disk_goes_once_what_was_made_of_it_hangs_on_nothing(service, cloud):
    project = cloud.project()
    server, client = project.server(), service.client(project.owner)
    fresh, _ = capture(client, server, 'fresh')
    client.restore(fresh)
    main = next(node['id'] for node in client.tree(server)['nodes'] if node['safety'])
    server.came_up()
    upgraded, _ = capture(client, server, 'upgraded')
    client.restore(upgraded)
    server.came_up()
    reworked, held = capture(client, server, 'reworked')
    client.restore({'id': main})  # the first of the three disks is the head again
    server.came_up()
    layers = {row['id']: row['parent_layer_id'] for row in service.rows("SELECT id, parent_layer_id FROM layers WHERE role = 'parked'")}
    last = next(id for id, made_of in layers.items() if made_of in layers)
    waits = f'ratoon.{layers[last]}'
    with rbd.Image(pool('vms'), waits) as image:  # as if the guest had written much after the snapshot
        for at in range(512 * MIB, 768 * MIB, 4 * MIB):
            image.write(b'x' * 4 * MIB, at)
    client.delete_branch(server, 'branch-2')
    assert parent(f'ratoon.{last}') and waits in rbd.RBD().list(pool('vms'))
    assert client.server(server)['reclaim_pending_bytes'] > 256 * MIB

    service.stop()
    service.configure(sweep=2, listens='false')
    service.start()
    wait('the disk that waited to go', lambda: waits not in rbd.RBD().list(pool('vms')))
    assert parent(f'ratoon.{last}') is None
    wait('the tree to be at rest', lambda: client.server(server)['operation_id'] is None)
    assert client.server(server)['reclaim_pending_bytes'] == 0
    orphans.none_are_left(service, project, [server], [])
    server.ticking()
    client.restore(reworked)
    server.came_up()
    guest_agrees(server, held)
    orphans.none_are_left(service, project, [server], [])
    server.stop()
