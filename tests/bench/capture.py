#!/usr/bin/python3
"""What does a capture of three disks cost over the slowest snapshot of one of them alone? capture.py OUT.json [ROUNDS]

A running server with a system disk in Ceph and two volumes in Cinder. In turn: a capture by Ratoon (the server stands still meanwhile), and
of each disk alone the one snapshot that its backend would make for an owner: `rbd snap create`, and Cinder's, from the request until it
is available. Counted is Ratoon's step `capture`, the whole operation beside it. Goal: median of the step over the median of the slowest
disk <= 1.5. The pauses are those that the snapshots' records tell.
"""
import json
import pathlib
import statistics
import sys
import tempfile
import time

import rbd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'cloud'))
import cleanup  # noqa: E402
from cloud import Cloud, wait  # noqa: E402
from proof import pool  # noqa: E402
from service import Process, seconds_between  # noqa: E402

VOLUMES, GOAL = 2, 1.5
STEPS = 'inspect', 'record'  # the first and the last


def of_the_system_disk(server):
    with rbd.Image(pool('vms'), f'{server.id}_disk') as image:
        begun = time.monotonic()
        image.create_snap('alone')
        took = time.monotonic() - begun
        image.remove_snap('alone')
    return took


def of_a_volume(project, volume):
    ask, body = project.owner.cinder, {'snapshot': {'volume_id': volume, 'force': True}}
    begun = time.monotonic()
    id = ask('POST', '/snapshots', body)['snapshot']['id']
    wait('the snapshot', lambda: ask('GET', f'/snapshots/{id}')['snapshot']['status'] == 'available', every=0.02)
    took = time.monotonic() - begun
    ask('DELETE', f'/snapshots/{id}')
    wait('the snapshot to go', lambda: id not in project.snapshots())
    return took


def of_all(client, server):
    server.ticking()
    snapshot = client.begin_capture(server, 'all', consistency='crash', pause_limit_ms=20_000)
    events = client.succeeded(snapshot['operation_id'])['events']
    node = client.ask('GET', f'/v1/snapshots/{snapshot["id"]}')['snapshot']
    assert len(node['disks']) == VOLUMES + 1 and node['consistency']['reached'] == 'crash', node
    client.delete(node)
    return (seconds_between(events, ('capture', 'started'), ('capture', 'done')),
            seconds_between(events, (STEPS[0], 'started'), (STEPS[1], 'done')), node['consistency']['pause_ms'])


def share(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def main(out, rounds=15):
    cloud = Cloud()
    cleanup.Leftovers(cloud.admin).remove()
    with tempfile.TemporaryDirectory(prefix='ratoon-bench-') as directory:
        service = Process(pathlib.Path(directory) / 'service').start()
        try:
            project = cloud.project()
            server = project.server(volumes=VOLUMES)
            client, volumes = service.client(project.owner), server.attachments()
            of_all(client, server)  # the first makes a tree, and opens all connections
            together, alone = [], {'system disk': [], **{f'volume {number}': [] for number in range(1, VOLUMES + 1)}}
            for _ in range(int(rounds)):
                together.append(of_all(client, server))
                alone['system disk'].append(of_the_system_disk(server))
                for number, volume in enumerate(volumes, 1):
                    alone[f'volume {number}'].append(of_a_volume(project, volume))
        finally:
            service.stop()
            cleanup.Leftovers(cloud.admin).remove()
    steps, whole, pauses = zip(*together)
    medians = {name: round(statistics.median(found), 3) for name, found in alone.items()}
    ratio = round(statistics.median(steps) / max(medians.values()), 2)
    result = {'goal': GOAL, 'rounds': int(rounds), 'ratio': ratio, 'alone_median_s': medians,
              'capture_step_median_s': round(statistics.median(steps), 3), 'operation_median_s': round(statistics.median(whole), 3),
              'pause_ms': {'p50': share(pauses, 0.5), 'p99': share(pauses, 0.99)}}
    pathlib.Path(out).write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(result, indent=1))
    print(f'goal: ratio <= {GOAL}: {"met" if ratio <= GOAL else "NOT MET"}')
    sys.exit(ratio > GOAL)


if __name__ == '__main__':
    main(*sys.argv[1:])
