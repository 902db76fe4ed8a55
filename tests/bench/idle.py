#!/usr/bin/python3
"""What does Ratoon take while nobody asks for anything, and how soon is it there? idle.py OUT.json

Memory (PSS) of `ratoon api` and of `ratoon engine`, connected to Ceph and RabbitMQ, after a request and when it has settled, beside that of
cinder-api and cinder-volume of the same cloud; and the time from the start of `ratoon api` to its first answer, ten times. Goals:
25 MiB, 80 MiB, median 100 ms.
"""
import json
import pathlib
import statistics
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / 'cloud'))
import database  # noqa: E402
from cloud import STATE, Cloud, wait  # noqa: E402
from service import Process  # noqa: E402

GOAL_API_MIB, GOAL_ENGINE_MIB, GOAL_START_MS, STARTS, LOOK_EVERY_S = 25, 80, 100, 10, 10


def memory(pid):
    """MiB of a process and those that it has started, shared pages divided among those that share them."""
    children = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    rollup = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith('Pss:'))
    return own / 1024 + sum(memory(child) for child in children)


def first_answer(service):
    """Milliseconds from the start of the process to the end of its first answer."""
    begun = time.perf_counter()
    service.start(role='api', wait_for_answer=False)
    wait('the first answer', service.answers, 60, 0.002)
    return 1000 * (time.perf_counter() - begun)


def at_rest(pids):
    """MiB of each process, as soon as none has changed by a percent since the look before."""
    before = {}

    def settled():
        nonlocal before
        now, then = {name: memory(pid) for name, pid in pids.items()}, before
        before = now
        return now if then and all(abs(now[name] - then[name]) <= 0.01 * then[name] for name in now) else None
    return wait('memory to settle', settled, every=LOOK_EVERY_S)


def main(out):
    cloud = Cloud()
    with tempfile.TemporaryDirectory() as folder, database.empty() as url:
        api, engine = (Process(pathlib.Path(folder) / name, database=url, queue='idle', sweep=60) for name in ('api', 'engine'))
        starts = []
        for _ in range(STARTS):
            starts.append(first_answer(api))
            api.stop()
        api.start(role='api')
        engine.start(role='engine', wait_for_answer=False)
        project = cloud.project()
        server = project.server(volumes=1)
        api.client(project.owner).capture(server, 'a')
        server.stop()
        wait('the queue to be heard', lambda: 'listening to notifications' in engine.tail(200))
        pids = {'ratoon api': api.process.pid, 'ratoon engine': engine.process.pid,
                **{name: (STATE / 'run' / f'{name}.pid').read_text().split()[0] for name in ('cinder-api', 'cinder-volume')}}
        found = at_rest(pids)
        for one in (engine, api):
            one.stop()
    start = statistics.median(starts)
    print(', '.join(f'{name} {mib:.1f} MiB' for name, mib in found.items()) + f' (goals {GOAL_API_MIB} and {GOAL_ENGINE_MIB}); '
          f'first answer after {start:.0f} ms, {min(starts):.0f} to {max(starts):.0f} (goal {GOAL_START_MS})')
    pathlib.Path(out).write_text(json.dumps({'memory_mib': found, 'first_answer_ms': starts}, indent=1))
    return 0 if found['ratoon api'] <= GOAL_API_MIB and found['ratoon engine'] <= GOAL_ENGINE_MIB and start <= GOAL_START_MS else 1


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
