#!/usr/bin/python3
"""How much longer do delete and rebuild take when snapshots lie on the server's disk? guard.py OUT.json [PAIRS] [RACES]

Two servers, one with 20 snapshots on its head, one whose tree is empty, are rebuilt and then deleted in turn, A B A B; counted is what the
owner waits for. Goal: median of the pairs' ratios <= 1.3 (Nova alone: about 10 and 100 times).

Then RACES servers with a snapshot are deleted, every other one stopped: how often the guard was first (Nova did not have to try again), how
long after the request the head was taken, how often Nova failed since its disk vanished under its hands, and whether any disk was left
behind.
"""
import datetime
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
from guarded import listening  # noqa: E402
from proof import pool  # noqa: E402
from service import Process  # noqa: E402

SNAPSHOTS, GOAL = 20, 1.3
TOGETHER = 6
NOVA_TRIES_AGAIN_S = 5  # the pause between two tries of Nova to remove an image


def subject(cloud, service, snapshots):
    server = cloud.project().server()
    client = service.client(server.project.owner)
    for number in range(snapshots):
        client.capture(server, f's{number}', consistency='none')
    return server, client


def pair(cloud, service):
    """Seconds of rebuild and of delete, with snapshots and without."""
    seconds = {}
    for snapshots in (SNAPSHOTS, 0):
        server, client = subject(cloud, service, snapshots)
        seconds['rebuild', snapshots] = server.rebuild()
        if snapshots:
            server.came_up()
            for number in range(SNAPSHOTS):
                client.capture(server, f't{number}', consistency='none')
        else:
            server.came_up()
        seconds['delete', snapshots] = server.delete()
    return seconds


def taken_after(service, server, asked):
    """Seconds between the owner's request and the rename; None if the head was not taken before Nova was done."""
    rows = service.rows("SELECT at FROM operation_events JOIN operations ON operations.id = operation_id "
                        "WHERE server_id = ? AND operations.kind = 'head_takeover' AND operation_events.step = 'take' AND operation_events.kind = 'done'", server.id)
    if not rows:
        return None
    at = datetime.datetime.fromisoformat(rows[0]['at']).replace(tzinfo=datetime.timezone.utc)
    return at.timestamp() - asked


def contestants(cloud, service, count):
    """Servers with a snapshot, every other one stopped, made a few at a time: their guests come up side by side."""
    for begin in range(0, count, TOGETHER):
        project = cloud.project()
        client = service.client(project.owner)
        servers = [project.server(wait_up=False) for _ in range(begin, min(begin + TOGETHER, count))]
        for server in servers:
            client.capture(server.came_up(), 'node', consistency='none')
        for server in servers[::2]:
            server.act('os-stop')
        for server in servers[::2]:
            server.is_('SHUTOFF')
        yield from ((server, client) for server in servers)


def deleted(server):
    """How long Nova took, in seconds, and whether it failed at first.

    It lists a server's images, removes them, and where one has snapshots opens it once more, by its name: it gives up, and the server
    is in ERROR, where the guard takes the head just then. Then the head must come back, and the next deletion is asked for.
    """
    begun = time.monotonic()
    server.project.owner.nova('DELETE', f'/servers/{server.id}')
    if wait('the deletion to end', lambda: server.is_gone() and 'gone' or server.status() == 'ERROR' and 'failed', every=0.05) == 'gone':
        return time.monotonic() - begun, False
    wait('the head to come back', lambda: f'{server.id}_disk' in rbd.RBD().list(pool('vms')))
    wait('Ratoon to let go of the server', lambda: not server.look().get('locked'))
    server.delete()
    return time.monotonic() - begun, True


def races(cloud, service, count):
    latencies, first, late, failed, left = [], 0, 0, 0, 0
    for server, client in contestants(cloud, service, count):
        asked = time.time()
        took, fails = deleted(server)
        failed += fails
        wait('the record of the deletion', lambda: service.rows(
            'SELECT id FROM servers WHERE id = ? AND deleted_at IS NOT NULL', server.id))
        latency = taken_after(service, server, asked)
        if latency is not None:
            latencies.append(latency)
        if latency is not None and took < NOVA_TRIES_AGAIN_S + 2:
            first += 1
        else:
            late += 1
        left += f'{server.id}_disk' in rbd.RBD().list(pool('vms'))
        client.delete_tree(server)
    latencies.sort()
    at = lambda share: round(latencies[min(len(latencies) - 1, int(share * len(latencies)))], 3) if latencies else None  # noqa: E731
    return {'deletes': count, 'first': first, 'late': late, 'failed_in_nova': failed, 'left_behind': left, 'taken_after_p50_s': at(0.5), 'taken_after_p99_s': at(0.99)}


def main(out, pairs=3, count=10):
    cloud = Cloud()
    cleanup.Leftovers(cloud.admin).remove()
    with tempfile.TemporaryDirectory() as directory:
        service = Process(pathlib.Path(directory) / 'bench', sweep=30).start()
        try:
            listening(service)
            measured = [pair(cloud, service) for _ in range(int(pairs))]
            result = {'goal': GOAL, 'snapshots': SNAPSHOTS}
            for act in ('rebuild', 'delete') if measured else ():
                ratios = [one[act, SNAPSHOTS] / one[act, 0] for one in measured]
                result[act] = {
                    'ratio_median': round(statistics.median(ratios), 2), 'ratios': [round(ratio, 2) for ratio in ratios],
                    'with_s': [round(one[act, SNAPSHOTS], 2) for one in measured], 'without_s': [round(one[act, 0], 2) for one in measured]}
            result['race'] = races(cloud, service, int(count))
        finally:
            service.stop()
            cleanup.Leftovers(cloud.admin).remove()
    pathlib.Path(out).write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(result, indent=1))
    if measured:
        worst = max(result[act]['ratio_median'] for act in ('rebuild', 'delete'))
        print(f'goal: ratio <= {GOAL}: {"met" if worst <= GOAL else "NOT MET"}')
        sys.exit(worst > GOAL)


if __name__ == '__main__':
    main(*sys.argv[1:])
