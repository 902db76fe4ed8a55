"""What is really on the disks: read from Ceph, beside and below all services, and from the guest's own console."""
import dataclasses
import functools
import hashlib
import os
import re
import sys

import rados
import rbd

from cloud import MINICLOUD, STATE

os.environ.setdefault('CEPH_CONF', str(STATE / 'ceph' / 'ceph.conf'))
sys.path.append(str(MINICLOUD))
import disktick  # noqa: E402

POOLS = ('vms', 'images', 'volumes')
BLOCK, CHUNK = 4096, 1 << 20  # read much at once: each read is a way to Ceph and back


foreign = set()  # POOL/IMAGE of what lay there before the tests began


def remember_what_is_there():
    foreign.update(f'{name}/{image}' for name in POOLS for image in rbd.RBD().list(pool(name)))


@dataclasses.dataclass(frozen=True)
class Trail:
    """What the guest left on a disk: see devstack/minicloud/guest.sh."""
    counter: int | None
    epoch: int | None
    phase: str | None
    label: str | None


@dataclasses.dataclass(frozen=True)
class Seen:
    """A disk as the guest met it at boot, before it wrote anything."""
    name: str
    serial: str
    trail: Trail
    new: bool


@functools.cache
def cluster(threads='1'):
    # With librbd's two callback threads an image that is closed right after it was opened may abort us: see
    # src/drivers/rbd/connection.rs.
    handle = rados.Rados(conffile=os.environ['CEPH_CONF'], rados_id='admin', conf={'librados_thread_count': threads})
    handle.connect()
    return handle


@functools.cache
def pool(name):
    return cluster().open_ioctx(name)


@functools.cache
def scanning_pool(name):
    """For what hangs with one thread: to unprotect a snapshot, librbd asks all pools from within a callback."""
    return cluster('2').open_ioctx(name)


def trail(spec):
    found = disktick.read(cluster(), spec)
    return Trail(found['counter'], found['epoch'], found['phase'], found['label'])


def disks(server):
    """The RBD images of a server in the guest's order: Nova's own, then the volumes."""
    own = [f'{server.id}_disk', f'{server.id}_disk.eph0', f'{server.id}_disk.local']
    there = set(rbd.RBD().list(pool('vms')))
    return [f'vms/{name}' for name in own if name in there] + [f'volumes/volume-{id}' for id in server.attachments()]


def trails(server):
    return [trail(spec) for spec in disks(server)]


def digest(spec, within=None):
    """A digest of all that is not zero in POOL/IMAGE[@SNAPSHOT], or between two places in it, with its places and the image's size.

    Which extents Ceph names depends on how the bytes came there, so they only say where to read: whole chunks, each once.
    """
    where, _, name = spec.partition('/')
    name, _, snapshot = name.partition('@')
    total = hashlib.sha256()
    with rbd.Image(pool(where), name, snapshot=snapshot or None, read_only=True) as image:
        total.update(str(image.size()).encode())
        chunks = set()
        begin, end = within or (0, image.size())
        image.diff_iterate(begin, end - begin, None, lambda offset, length, exists: exists and chunks.update(
            range(offset // CHUNK, (offset + length - 1) // CHUNK + 1)))
        for at in sorted(chunks):
            data = image.read(at * CHUNK, min(CHUNK, image.size() - at * CHUNK))
            for start in range(0, len(data), BLOCK):
                if (block := data[start:start + BLOCK]).count(0) != len(block):
                    total.update(b'%d:' % (at * CHUNK + start) + block)
    return total.hexdigest()


DISK = re.compile(r'DISK (vd\w) serial=(\S+) found=(?:none|COUNTER (\d+) (\d+) (\w+)) label=(vd\w-[0-9a-f]{16})( new)?')


def boot(server):
    """The disks in order, as the guest met them when it came up last; None while it has not. Nova begins a new console at each start.

    The guest says each twice, since a line may lose characters on its way: the longer one counts."""
    met, disks = None, {}
    for line in server.console().splitlines():
        if match := DISK.search(line):
            name, serial, counter, epoch, phase, label, new = match.groups()
            seen = Seen(name, serial, Trail(counter and int(counter), epoch and int(epoch), phase, label), bool(new))
            disks[name] = max(disks.get(name, (0, seen)), (len(match[0]), seen), key=lambda one: one[0])
        elif 'GUEST up' in line:
            met, disks = [disks[name][1] for name in sorted(disks)], {}
        elif line.startswith('SYSLINUX'):
            disks = {}
    return met


def guest_agrees(server, expected):
    """At its last boot the guest met exactly these trails, in this order, and serials as Nova lists the volumes."""
    met = boot(server)
    assert [seen.trail for seen in met] == list(expected), f'the guest met {met}'
    serials = [id[:20] for id in server.attachments()]
    assert [seen.serial for seen in met][len(met) - len(serials):] == serials, 'serials are not the volume ids that Nova lists'


def shutdown_moment(server):
    """The trails of a stopped server, which must be of one round: what its guest wrote while it was being shut down."""
    found = trails(server)
    assert {one.phase for one in found} == {'shutdown'}, found
    assert len({one.counter for one in found}) == 1, found
    return found


def size_of(spec):
    """Bytes of POOL/IMAGE."""
    where, _, name = spec.partition('/')
    with rbd.Image(pool(where), name, read_only=True) as image:
        return image.size()


def newest_snapshot(spec):
    """POOL/IMAGE -> POOL/IMAGE@SNAPSHOT of its newest snapshot."""
    where, _, name = spec.partition('/')
    with rbd.Image(pool(where), name, read_only=True) as image:
        snapshots = [one for one in image.list_snaps() if one['namespace'] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER]
    return f'{spec}@{max(snapshots, key=lambda one: one["id"])["name"]}'


def captured(server):
    """What the newest snapshot of each of the server's disks holds: what was captured, if that was just now."""
    return [trail(newest_snapshot(spec)) for spec in disks(server)]


MARK_SECTOR = 2044  # behind counter and label, where the guest never writes


def mark(server, word):
    """Writes a word onto every disk of a stopped server, at a place that its guest leaves alone."""
    for spec in disks(server):
        where, _, name = spec.partition('/')
        with rbd.Image(pool(where), name) as image:
            image.write(f'MARK {word}'.ljust(512).encode(), MARK_SECTOR * 512)


def marks(specs):
    """The words on these POOL/IMAGE[@SNAPSHOT]."""
    words = []
    for spec in specs:
        where, _, name = spec.partition('/')
        name, _, snapshot = name.partition('@')
        with rbd.Image(pool(where), name, snapshot=snapshot or None, read_only=True) as image:
            found = image.read(MARK_SECTOR * 512, 512).decode(errors='replace').split()
            words.append(found[1] if found[:1] == ['MARK'] else None)
    return words
