#!/usr/bin/python3
"""What the guest "tick" left on a disk: disktick.py [--user NAME] POOL/IMAGE[@SNAPSHOT]...

Prints a JSON line each: {"spec", "counter", "epoch", "phase", "label"}, null where the disk has no trail (see guest.sh).
As a module: `with connect() as cluster: read(cluster, 'vms/<uuid>_disk@snap')`.
"""
import argparse
import json
import os

import rados
import rbd

SECTOR = 512
SYSTEM_DISK, DATA_DISK = 2040, 0  # the counter's sector; the label is in the next. Sector 0 of a system disk is its MBR.


def connect(user='admin'):
    return rados.Rados(conffile=os.environ['CEPH_CONF'], rados_id=user)


def read(cluster, spec):
    pool, _, name = spec.partition('/')
    name, _, snapshot = name.partition('@')
    trail = {'spec': spec, 'counter': None, 'epoch': None, 'phase': None, 'label': None}
    with cluster.open_ioctx(pool) as io, rbd.Image(io, name, snapshot=snapshot or None, read_only=True) as image:
        for first in (SYSTEM_DISK, DATA_DISK):
            if image.size() < (first + 2) * SECTOR:
                continue
            counter, label = (image.read((first + i) * SECTOR, SECTOR).split(b'\n')[0].split() for i in (0, 1))
            if counter[:1] == [b'COUNTER']:
                trail.update(counter=int(counter[1]), epoch=int(counter[2]), phase=counter[3].decode())
            if label[:1] == [b'LABEL']:
                trail['label'] = b'-'.join(label[1:]).decode()
            if trail['counter'] or trail['label']:
                break
    return trail


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--user', default='admin', help='the Ceph user')
    parser.add_argument('specs', nargs='+', metavar='POOL/IMAGE[@SNAPSHOT]')
    args = parser.parse_args()
    with connect(args.user) as cluster:
        for spec in args.specs:
            print(json.dumps(read(cluster, spec)))


if __name__ == '__main__':
    main()
