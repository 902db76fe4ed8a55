#!/usr/bin/python3
"""What does a page of snapshots cost? lists.py OUT.json [ROUNDS]

`GET /v1/snapshots?limit=100` of `ratoon api` and `GET /snapshots/detail?limit=100` of cinder-api, in turn, with as many rows (1,000, 10,000,
100,000) of one project on the cloud's own MariaDB; ours have three disks each, 50 a server. They are copies of one that was really
captured. Counted is the processor time of the API's processes; the database's stands beside it. Goals: 20 times Cinder's
requests a processor-second at 10,000 and 100,000 rows; p99 at 100,000 rows <= 1.5 times that at 1,000.
"""
import json
import os
import pathlib
import sys
import tempfile
import time

import requests

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / 'cloud'))
import database  # noqa: E402
from cloud import Cloud  # noqa: E402
from cloud import STATE  # noqa: E402
from copies import Copies  # noqa: E402
from service import Process  # noqa: E402

SIZES, PAGE, A_SERVER = (1_000, 10_000, 100_000), 100, 50
REQUESTS, REQUESTS_CINDER = 200, 10
GOAL_CPU, GOAL_P99 = 20, 1.5
TICKS = os.sysconf('SC_CLK_TCK')


def cpu(pid):
    """Processor seconds of a process and those that it has started."""
    children = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(cpu(child) for child in children)


def pid_of(name):
    return (STATE / 'run' / f'{name}.pid').read_text().split()[0]


class Rows(Copies):
    """Many snapshots, copied from one."""

    def __init__(self, ours, server, snapshot, volume, volume_snapshot):
        super().__init__(ours)
        self.server, self.snapshot, self.volume, self.volume_snapshot, self.there = server, snapshot, volume, volume_snapshot, 1

    def grow(self, size):
        first, last = self.there, size - 1
        servers = (first + A_SERVER - 1) // A_SERVER, last // A_SERVER
        server, branch = "id_of(CONCAT('server', {n} DIV 50))", "id_of(CONCAT('branch', {n} DIV 50))"
        at = "t.created_at + INTERVAL {n} SECOND"
        if servers[0] <= servers[1]:
            self.copy('servers', 'id', self.server, *servers, id="id_of(CONCAT('server', {n}))", current_branch_id="id_of(CONCAT('branch', {n}))",
                      current_snapshot_id="id_of(CONCAT('snapshot', {n} * 50))")
            self.copy('branches', 'server_id', self.server, *servers, id="id_of(CONCAT('branch', {n}))", server_id="id_of(CONCAT('server', {n}))")
            for row in self.run('SELECT id FROM layers WHERE server_id = %s', self.server):
                self.copy('layers', 'id', row['id'], *servers, id=f"id_of(CONCAT('{row['id'][-12:]}', {{n}}))",
                          server_id="id_of(CONCAT('server', {n}))")
        first = max(first, A_SERVER)  # the first server keeps what was really captured
        self.copy('snapshots', 'id', self.snapshot, first, last, id="id_of(CONCAT('snapshot', {n}))", server_id=server, branch_id=branch,
                  sequence='{n}', name="CONCAT('nightly-', {n})", created_at=at, updated_at=at)
        for row in self.run('SELECT id, layer_id FROM disk_snapshots WHERE snapshot_id = %s', self.snapshot):
            part = f"id_of(CONCAT('part{row['id'][-12:]}', {{n}}))"
            self.copy('disk_snapshots', 'id', row['id'], first, last, id=part, origin_id=part, server_id=server,
                      snapshot_id="id_of(CONCAT('snapshot', {n}))", layer_id=f"id_of(CONCAT('{row['layer_id'][-12:]}', {{n}} DIV 50))")
        self.copy('cinder.snapshots', 'id', self.volume_snapshot, first, last, id="id_of(CONCAT('cinder', {n}))",
                  display_name="CONCAT('nightly-', {n})", created_at=at)
        self.run('ANALYZE TABLE snapshots, disk_snapshots, layers, servers, cinder.snapshots')
        self.there = size

    def forget(self):
        self.run('DELETE FROM cinder.snapshots WHERE volume_id = %s AND id <> %s', self.volume, self.volume_snapshot)


def asked(url, token, number, pid):
    """Processor seconds a request of the API and of the database, and the seconds that each took."""
    with requests.Session() as session:
        session.headers['X-Auth-Token'] = token
        session.get(url).raise_for_status()
        before, seconds = (cpu(pid), cpu(pid_of('mariadb'))), []
        for _ in range(number):
            begun = time.perf_counter()
            answer = session.get(url)
            seconds.append(time.perf_counter() - begun)
            assert len(answer.json()['snapshots']) == PAGE, answer.text[:500]
        api, mariadb = cpu(pid) - before[0], cpu(pid_of('mariadb')) - before[1]
    seconds.sort()
    return {'api_cpu_ms': 1000 * api / number, 'database_cpu_ms': 1000 * mariadb / number,
            'p50_ms': 1000 * seconds[number // 2], 'p99_ms': 1000 * seconds[min(number - 1, number * 99 // 100)]}


def main(out, rounds=3):
    cloud = Cloud()
    with tempfile.TemporaryDirectory() as folder, database.empty() as url:
        service = Process(pathlib.Path(folder) / 'lists', database=url, listens='false').start()
        project = cloud.project()
        server = project.server(volumes=2)
        snapshot = service.client(project.owner).capture(server, 'nightly')
        server.stop()
        volume = server.attachments()[0]
        [volume_snapshot] = [id for id, one in project.snapshots().items() if one['volume_id'] == volume]
        service.stop()
        service.start(role='api')
        rows, results = Rows(url, server.id, snapshot['id'], volume, volume_snapshot), {}
        cinder = project.owner.conn.block_storage.get_endpoint()
        try:
            for size in SIZES:
                rows.grow(size)
                token = project.owner.token
                for _ in range(rounds):
                    for name, result in (
                            ('ratoon', asked(f'{service.url}/v1/snapshots?limit={PAGE}', token, REQUESTS, service.process.pid)),
                            ('cinder', asked(f'{cinder}/snapshots/detail?limit={PAGE}', token, REQUESTS_CINDER, pid_of('cinder-api')))):
                        results.setdefault(f'{name} {size}', []).append(result)
        finally:
            rows.forget()
            service.stop()
    middle = {name: {key: sorted(one[key] for one in all)[len(all) // 2] for key in all[0]} for name, all in results.items()}
    for name, result in middle.items():
        print(f'{name:>15}: ' + ', '.join(f'{key} {value:.2f}' for key, value in result.items()))
    ratios = {size: middle[f'cinder {size}']['api_cpu_ms'] / middle[f'ratoon {size}']['api_cpu_ms'] for size in SIZES[1:]}
    p99 = middle[f'ratoon {SIZES[-1]}']['p99_ms'] / middle[f'ratoon {SIZES[0]}']['p99_ms']
    print(f'requests a processor-second over Cinder\'s: {", ".join(f"{ratio:.1f} at {size}" for size, ratio in ratios.items())} (goal {GOAL_CPU}); '
          f'p99 at {SIZES[-1]} over {SIZES[0]}: {p99:.2f} (goal {GOAL_P99})')
    pathlib.Path(out).write_text(json.dumps({'results': results, 'ratios': ratios, 'p99': p99}, indent=1))
    return 0 if min(ratios.values()) >= GOAL_CPU and p99 <= GOAL_P99 else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
