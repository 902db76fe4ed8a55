#!/usr/bin/python3
"""How long is a server away for a restore in place, and does it grow with the disk? restore.py OUT.json [PAIRS]

Two stopped-and-started servers, one with a system disk of 1 GiB, one of 100 GiB (sparse), are restored in turn, A B A B. Counted is
Ratoon's own part: from the event `quiet done` (nobody has the disk open any more) to `start started`. Beside it `rbd snap rollback`
of images of the same sizes and contents, which is what one would do by hand. Goal: median of the pairs' ratios <= 1.2.
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
from cloud import PREFIX, Cloud  # noqa: E402
from proof import pool  # noqa: E402
from service import Process, seconds_between  # noqa: E402

SMALL_GB, LARGE_GB, GOAL = 1, 100, 1.2
WRITTEN_MIB, MIB = 16, 1 << 20


def flavor(cloud, gigabytes):
    body = {'flavor': {'name': f'{PREFIX}{gigabytes}g', 'ram': 128, 'vcpus': 1, 'disk': gigabytes}}
    made = cloud.admin.nova('POST', '/flavors', body)['flavor']
    # Sparse, so it fits where Placement counts whole gigabytes: it shall count none.
    cloud.admin.nova('POST', f'/flavors/{made["id"]}/os-extra_specs', {'extra_specs': {'resources:DISK_GB': '0'}})
    return made['name']


def write(image, size_gb, seed):
    """Some MiB, spread over the disk behind what its guest uses: what a rollback has to bring back."""
    step = (size_gb << 30) // 2 // WRITTEN_MIB
    for number in range(WRITTEN_MIB):
        image.write(bytes([seed % 255 + 1]) * MIB, (size_gb << 30) // 2 - MIB + number * step)


class Subject:
    def __init__(self, cloud, service, gigabytes):
        self.gigabytes = gigabytes
        self.server = cloud.project().server(flavor=flavor(cloud, gigabytes))
        self.client = service.client(self.server.project.owner)
        self.node = self.client.capture(self.server, 'node')
        self.copy = f'{PREFIX}bench-{gigabytes}'
        rbd.RBD().create(pool('vms'), self.copy, gigabytes << 30, old_format=False)
        with rbd.Image(pool('vms'), self.copy) as image:
            write(image, gigabytes, 1)
            image.create_snap('node')

    def restore(self, round_number):
        """Seconds of Ratoon's own part."""
        self.server.ticking()
        operation = self.client.restore(self.node)
        self.server.came_up()
        return seconds_between(operation['events'], ('quiet', 'done'), ('start', 'started'))

    def roll_back(self, round_number):
        with rbd.Image(pool('vms'), self.copy) as image:
            write(image, self.gigabytes, round_number + 2)
            image.flush()
            begun = time.monotonic()
            image.rollback_to_snap('node')
            return time.monotonic() - begun

    def remove(self):
        with rbd.Image(pool('vms'), self.copy) as image:
            image.remove_snap('node')
        rbd.RBD().remove(pool('vms'), self.copy)


def measure(act, small, large, pairs):
    """Interleaved pairs: what else the machine does meets both."""
    found = [(act(small, number), act(large, number)) for number in range(pairs)]
    ratios = [b / a for a, b in found]
    return {'small_s': [round(a, 3) for a, _ in found], 'large_s': [round(b, 3) for _, b in found],
            'ratio_median': round(statistics.median(ratios), 3), 'ratio_min': round(min(ratios), 3), 'ratio_max': round(max(ratios), 3)}


def main():
    out, pairs = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    cloud = Cloud()
    cleanup.Leftovers(cloud.admin).remove()
    with tempfile.TemporaryDirectory(prefix='ratoon-bench-') as directory:
        service = Process(pathlib.Path(directory) / 'service').start()
        subjects = []
        try:
            for gigabytes in (SMALL_GB, LARGE_GB):
                subjects.append(Subject(cloud, service, gigabytes))
            for subject in subjects:
                subject.restore(0)  # the first makes the carrier: not a pair
            found = {'restore in place': measure(Subject.restore, *subjects, pairs),
                     'rbd snap rollback': measure(Subject.roll_back, *subjects, pairs)}
        finally:
            service.stop()
            for subject in subjects:
                subject.remove()
            cleanup.Leftovers(cloud.admin).remove()
    out.write_text(json.dumps({'sizes_gb': [SMALL_GB, LARGE_GB], 'pairs': pairs, 'goal': GOAL, **found}, indent=2) + '\n')
    print(f'{"":20}{SMALL_GB} GiB, s   {LARGE_GB} GiB, s   ratio: median (min-max)')
    for name, row in found.items():
        print(f'{name:20}{statistics.median(row["small_s"]):<11.3f}{statistics.median(row["large_s"]):<13.3f}'
              f'{row["ratio_median"]:.2f} ({row["ratio_min"]:.2f}-{row["ratio_max"]:.2f})')
    ratio = found['restore in place']['ratio_median']
    print(f'goal: ratio <= {GOAL}: {"met" if ratio <= GOAL else "NOT MET"}')
    sys.exit(ratio > GOAL)


if __name__ == '__main__':
    main()
