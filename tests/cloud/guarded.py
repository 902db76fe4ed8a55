"""Servers with snapshots, of which Nova takes the disk away, and what must be left of them."""
import json

import orphans
from cloud import wait
from proof import trail

SNAPSHOTS = 3


def captured(guard, project, volumes=0, doomed=0):
    """A server with some snapshots on its disk, whose guest has written on."""
    server = project.server(volumes=volumes, doomed=doomed)
    client = guard.client(project.owner)
    for number in range(SNAPSHOTS):
        client.capture(server, f's{number}', consistency='none')
    return server.ticking(), client


def node_named(client, server, name):
    return next((node for node in client.tree(server)['nodes'] if node['name'] == name), None)


def kept(guard, client, server, name):
    """Waits for the node, and returns the guest's trail in its system disk."""
    node = wait(f'the node "{name}"', lambda: (found := node_named(client, server, name)) and found['status'] == 'available' and found)
    wait('the guard to have ended', lambda: client.server(server)['operation_id'] is None)
    disk = client.ask('GET', f'/v1/snapshots/{node["id"]}')['snapshot']['disks'][0]
    rows = guard.rows('SELECT layers.id AS layer, origin_id FROM disk_snapshots JOIN layers ON layers.id = layer_id WHERE disk_snapshots.id = ?',
                      disk['id'])
    return node, trail(f'vms/ratoon.{rows[0]["layer"]}@ratoon-{rows[0]["origin_id"]}')


def was_taken_in_time(guard, server):
    """That its disk was taken while Nova was still at work: it looks every 5 s, and gives up after twelve looks in vain."""
    done = guard.rows("SELECT kind, status, params, state FROM operations WHERE server_id = ? AND kind LIKE 'head_%' ORDER BY id", server.id)
    taken = [row for row in done if row['kind'] == 'head_takeover' and row['status'] == 'succeeded' and json.loads(row['state'])['taken']]
    assert taken, f'Nova has tried to remove the disk until it gave up: {done}'
    assert not [row for row in done if row['kind'] == 'head_giveback'], f'it was given back while Nova was at work: {done}'


def purged(guard, project, server):
    """Waits until nothing is left of a deleted server whose time is over."""
    wait('Ceph and Cinder to be as at the start', lambda: not project.volumes() and not project.snapshots())
    wait('the record to go', lambda: not guard.rows('SELECT id FROM servers WHERE id = ?', server.id))
    orphans.none_are_left(guard, project, [server], [])


def listening(process):
    """Waits until it hears what Nova tells."""
    wait('Ratoon to listen', lambda: 'listening to notifications' in process.tail(1000), 60)
    return process
