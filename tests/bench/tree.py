#!/usr/bin/python3
"""What do people wait for with a large tree? tree.py OUT.json [ROUNDS]

A server with 500 snapshots in ten lines, which are copies of one that was really captured; beside them as many Cinder snapshots of one
volume. Measured are the commands `server snapshot tree`, `server snapshot list` and `volume snapshot list`, in turn (`--version` tells what the
command itself costs), and in Debian's Chromium the panel's page: until it is drawn, and the frames of a scroll from its top to its
end; beside it Horizon's own page of volume snapshots, which shows 20 of them. Goals: no command of ours takes more than 1.5 times as long as
Cinder's; the panel's page is drawn in 3 s, and no frame of the scroll takes more than 100 ms.
"""
import contextlib
import json
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'cloud'))
import database  # noqa: E402
from browser import Browser  # noqa: E402
from cloud import Cloud, wait  # noqa: E402
from copies import Copies  # noqa: E402
from service import Process  # noqa: E402
from test_commands import Terminal  # noqa: E402

NODES, A_LINE = 500, 50
# openstacksdk makes an object of each snapshot, which the older client of Cinder does for less.
GOAL_COMMAND, GOAL_DRAWN_S, GOAL_FRAME_MS = 1.5, 3.0, 100
PAGES = {'panel': '/project/server_snapshots/{server}/', 'horizon': '/project/snapshots/'}
PAINTED = "const [entry] = performance.getEntriesByName('first-contentful-paint'); return entry ? entry.startTime : 0"
# One step of the wheel a frame; answers the milliseconds of each.
SCROLL = """
const done = arguments[0], frames = [], step = 120;
let last = performance.now();
function next(now) {
  frames.push(now - last);
  last = now;
  if (window.scrollY + window.innerHeight >= document.documentElement.scrollHeight - 1 || frames.length > 2000) { done(frames.slice(1)); return; }
  window.scrollBy({top: step, behavior: 'instant'});
  requestAnimationFrame(next);
}
requestAnimationFrame(next);
"""


class Tree(Copies):
    """A large one, grown from a snapshot."""

    def __init__(self, url, server, snapshot):
        super().__init__(url)
        first = f"'{snapshot['id']}'"
        node = "id_of(CONCAT('node', {n} - %d))"
        parent = f"CASE WHEN {{n}} = 1 THEN {first} WHEN {{n}} MOD {A_LINE} = 0 THEN {node % (A_LINE // 2)} ELSE {node % 1} END"
        branch = f"CASE WHEN {{n}} < {A_LINE} THEN t.branch_id ELSE id_of(CONCAT('branch', {{n}} DIV {A_LINE})) END"
        at = 't.created_at + INTERVAL {n} MINUTE'
        self.copy('branches', 'server_id', server, 1, NODES // A_LINE - 1, id="id_of(CONCAT('branch', {n}))", name="CONCAT('branch-', {n})",
                  fork_snapshot_id=f"id_of(CONCAT('node', {{n}} * {A_LINE} - {A_LINE // 2}))", created_at=at)
        self.copy('snapshots', 'id', snapshot['id'], 1, NODES - 1, id=node % 0, parent_id=parent, branch_id=branch, sequence='t.sequence + {n}',
                  name="CONCAT('nightly-', {n})", created_at=at, updated_at=at)
        for row in self.run('SELECT id FROM disk_snapshots WHERE snapshot_id = %s', snapshot['id']):
            part = f"id_of(CONCAT('part{row['id'][-12:]}', {{n}}))"
            self.copy('disk_snapshots', 'id', row['id'], 1, NODES - 1, id=part, origin_id=part, snapshot_id=node % 0)
        self.run(f"UPDATE servers SET current_snapshot_id = id_of('node{NODES - 1}'), "
                 f"current_branch_id = id_of('branch{NODES // A_LINE - 1}') WHERE id = %s", server)


def timed(terminal, *words):
    """Seconds, and seconds of the processor, that a command takes; and what it has printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    printed = terminal.run(*words)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {'seconds': seconds, 'cpu_s': after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}, printed


def drawn(browser, path):
    """Seconds from the request until the first thing is seen, and until all is drawn; milliseconds of a scroll's frames."""
    browser.go(path)
    entry = browser.driver.execute_script("return performance.getEntriesByType('navigation')[0].toJSON()")
    paint = wait('the page to be seen', lambda: browser.driver.execute_script(PAINTED))
    frames = sorted(browser.driver.execute_async_script(SCROLL)) or [0]  # there is nothing to scroll
    return {'answer_s': entry['responseEnd'] / 1000, 'seen_s': paint / 1000, 'drawn_s': entry['loadEventEnd'] / 1000,
            'frames': len(frames), 'frame_p50_ms': frames[len(frames) // 2], 'frame_max_ms': frames[-1]}


@contextlib.contextmanager
def as_many_of_cinder(tree, snapshot):
    """As many snapshots of one volume, while it lasts."""
    [row] = tree.run('SELECT volume_id FROM cinder.snapshots WHERE id = %s', snapshot)
    tree.copy('cinder.snapshots', 'id', snapshot, 1, NODES - 1, id="id_of(CONCAT('cinder', {n}))", display_name="CONCAT('nightly-', {n})")
    try:
        yield
    finally:
        tree.run('DELETE FROM cinder.snapshots WHERE volume_id = %s AND id <> %s', row['volume_id'], snapshot)


def measure_commands(terminal, server, rounds, results):
    commands = {'tree': ('server', 'snapshot', 'tree', server.id), 'list': ('server', 'snapshot', 'list', '--server', server.id, '--limit', str(NODES)),
                'cinder': ('volume', 'snapshot', 'list'), 'version': ('--version',)}
    for _ in range(rounds):
        for name, words in commands.items():
            result, printed = timed(terminal, *words)
            assert name == 'version' or printed.count('nightly-') >= NODES - 1, printed[-2000:]
            results.setdefault(name, []).append(result)


def measure_pages(person, server, rounds, results):
    browser = Browser()
    try:
        browser.log_in(person)
        for _ in range(rounds):
            for name, path in PAGES.items():
                results.setdefault(name, []).append(drawn(browser, path.format(server=server.id)))
        browser.go(PAGES['panel'].format(server=server.id))
        assert len(browser.driver.find_elements('css selector', '.snapshot-tree-rows li')) == NODES + 1
    finally:
        browser.end()


def middle(results):
    return {key: sorted(one[key] for one in results)[len(results) // 2] for key in results[0]}


def main(out, rounds=5):
    cloud, results = Cloud(), {}
    with tempfile.TemporaryDirectory() as folder, database.empty() as url, cloud.catalog_kept():
        folder = pathlib.Path(folder)
        service = Process(folder / 'tree', database=url, listens='false', nodes=NODES).start()
        try:
            project = cloud.project()
            server, owner = project.server(volumes=1), project.owner
            snapshot = service.client(owner).capture(server, 'nightly')
            service.stop()
            tree = Tree(url, server.id, snapshot)
            service.start(role='api')
            service.register()
            [volume_snapshot] = project.snapshots()
            with as_many_of_cinder(tree, volume_snapshot):
                measure_commands(Terminal('/usr/bin/openstack', folder, service, owner), server, rounds, results)
                measure_pages(owner, server, rounds, results)
        finally:
            service.stop()
    found = {name: middle(all) for name, all in results.items()}
    for name, result in found.items():
        print(f'{name:>10}: ' + ', '.join(f'{key} {value:.2f}' for key, value in result.items()))
    ratios = {name: found[name]['seconds'] / found['cinder']['seconds'] for name in ('tree', 'list')}
    print(f'over volume snapshot list: {", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())} (goal {GOAL_COMMAND}); the page is drawn in '
          f'{found["panel"]["drawn_s"]:.2f} s (goal {GOAL_DRAWN_S}), its slowest frame takes {found["panel"]["frame_max_ms"]:.0f} ms (goal {GOAL_FRAME_MS})')
    pathlib.Path(out).write_text(json.dumps({'results': results, 'ratios': ratios}, indent=1))
    return 0 if max(ratios.values()) <= GOAL_COMMAND and found['panel']['drawn_s'] <= GOAL_DRAWN_S and found['panel']['frame_max_ms'] <= GOAL_FRAME_MS else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
