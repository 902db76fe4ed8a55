"""Flattening on real Ceph: a parked disk without snapshots goes, once what was made of it hangs on nothing."""
import signal

import pytest
import rados
import rbd

import orphans
from cloud import wait
from conftest import sample
from proof import captured, guest_agrees, pool
from service import Process

pytestmark = pytest.mark.sampled(1)  # two minutes each
MIB = 1 << 20
EVENTS = [f'layer_flatten/{step}:{event}' for step in ('flatten', 'record') for event in ('started', 'done')]


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


def inherited(image):
    """Names of the objects that an image will get when it is flattened, in the order in which it does: what it reads and has not itself."""
    with rbd.Image(pool('vms'), image, read_only=True) as opened:
        size, prefix = opened.stat()['obj_size'], opened.block_name_prefix()
        read = [f'{prefix}.{at // size:016x}' for at in range(0, opened.size(), size) if any(opened.read(at, size))]
    return [name for name in read if not is_there(name)]


def is_there(name):
    """Whether there is such an object."""
    try:
        pool('vms').stat(name)
        return True
    except rados.ObjectNotFound:
        return False


class Waiting:
    """A server of whose deleted branch one parked disk waits to go, since another one was made of it."""

    def __init__(self, service, project):
        self.service, self.project = service, project
        self.server, self.client = server, client = project.server(), service.client(project.owner)
        fresh, _ = capture(client, server, 'fresh')
        client.restore(fresh)
        main = next(node['id'] for node in client.tree(server)['nodes'] if node['safety'])
        server.came_up()
        upgraded, _ = capture(client, server, 'upgraded')
        client.restore(upgraded)
        server.came_up()
        self.reworked, self.held = capture(client, server, 'reworked')
        client.restore({'id': main})  # the first of the three disks is the head again
        server.came_up()
        layers = {row['id']: row['parent_layer_id']
                  for row in service.rows("SELECT id, parent_layer_id FROM layers WHERE role = 'parked' AND server_id = ?", server.id)}
        self.last = next(id for id, made_of in layers.items() if made_of in layers)
        self.waits = f'ratoon.{layers[self.last]}'
        with rbd.Image(pool('vms'), self.waits) as image:  # as if the guest had written much after the snapshot
            for at in range(512 * MIB, 768 * MIB, 4 * MIB):
                image.write(b'x' * 4 * MIB, at)
        client.delete_branch(server, 'branch-2')
        assert parent(f'ratoon.{self.last}') and self.waits in rbd.RBD().list(pool('vms'))
        assert client.server(server)['reclaim_pending_bytes'] > 256 * MIB

    def sweep(self, failpoint=None):
        self.service.stop()
        self.service.configure(sweep=2, listens='false')
        self.service.start(failpoint, wait_for_answer=False)

    def must_go(self):
        """It does, and nothing else is changed."""
        wait('the disk that waited to go', lambda: self.waits not in rbd.RBD().list(pool('vms')))
        assert parent(f'ratoon.{self.last}') is None
        wait('the tree to be at rest', lambda: self.client.server(self.server)['operation_id'] is None)
        assert self.client.server(self.server)['reclaim_pending_bytes'] == 0
        orphans.none_are_left(self.service, self.project, [self.server], [])
        self.server.ticking()
        self.client.restore(self.reworked)
        self.server.came_up()
        guest_agrees(self.server, self.held)
        orphans.none_are_left(self.service, self.project, [self.server], [])
        self.server.stop()


def test_a_parked_disk_goes_once_what_was_made_of_it_hangs_on_nothing(service, cloud):
    waiting = Waiting(service, cloud.project())
    waiting.sweep()
    waiting.must_go()


@pytest.mark.parametrize('event', sample(EVENTS, 1))
def test_it_goes_though_the_engine_was_killed_at(service, cloud, event):
    waiting = Waiting(service, cloud.project())
    waiting.sweep(failpoint=event)
    assert service.died() and service.process.returncode == -signal.SIGABRT, f'{event} was not reached\n{service.tail()}'
    waiting.sweep()
    waiting.must_go()


def test_it_goes_though_the_engine_was_killed_in_the_middle_of_writing(service, cloud):
    waiting = Waiting(service, cloud.project())
    half = f'ratoon.{waiting.last}'
    first = inherited(half)[0]
    waiting.sweep()
    wait('Ratoon to write', lambda: is_there(first), every=0.001)
    service.kill()
    assert parent(half), 'it was killed too late'
    waiting.sweep()
    waiting.must_go()
