"""The owner does not sit still while his server is restored: each of his calls gets an error, or happens wholly before or after."""
import collections
import threading

import pytest

import orphans
from cloud import Person, Refused, Server, wait
from conftest import SOAK
from proof import disks, mark, marks, trail, trails

pytestmark = pytest.mark.alone  # his calls, and the images that they make, want the whole cloud
RESTORES = 20 if SOAK else 1
RESTORES_A_SERVER = 3  # each makes a volume, of Cinder's ten; three more are the owner's nodes' own
TRIES = 4  # of each: he must not be able to keep his server from ever being restored
RESTORE_PATIENCE_S = 600  # it waits for him, several times
BETWEEN_CALLS_S = 0.3  # two cores: his calls must not be all that the machine does


class Owner(threading.Thread):
    """Calls `server start`, `server reboot --hard` and `server image create` in turn until told to stop."""

    def __init__(self, server):
        super().__init__(daemon=True)
        owner = server.project.owner
        self.person = Person(owner.user, owner.project, owner.password)  # a session of its own: they are not for two threads
        self.server, self.stopping = server, threading.Event()
        self.answers, self.images, self.trouble = collections.Counter(), [], []

    def run(self):
        number = 0
        while not self.stopping.is_set():
            for name, arguments in (('os-start', None), ('reboot', {'type': 'HARD'}), ('createImage', {'name': f'ratoon-test-{number}'})):
                try:
                    answer = self.person.nova('POST', f'/servers/{self.server.id}/action', {name: arguments})
                    self.answers[name, 'accepted'] += 1
                    if name == 'createImage':
                        self.images.append(answer['image_id'])
                except Refused as refusal:
                    self.answers[name, refusal.status] += 1
                    # The 500 is Nova's own when two acts begin at the same moment: an error all the same, and the loser's.
                    if refusal.status not in (403, 404, 409) and 'UnexpectedTaskStateError' not in refusal.text:
                        self.trouble.append(str(refusal))
                number += 1
                self.stopping.wait(BETWEEN_CALLS_S)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()


class Lot:
    """A server with two nodes whose disks bear the marks `one` and `two`."""

    def __init__(self, cloud, service):
        self.project = cloud.project()
        self.server = self.project.server(volumes=1)
        self.server.lasting = True
        self.client = service.client(self.project.owner)
        self.own_volumes = self.server.attachments()
        self.nodes, self.rounds, self.succeeded = {}, 0, False
        self.server.stop()
        for word in ('one', 'two'):
            mark(self.server, word)
            self.server.start()  # or the second would share the first one's disk snapshots
            self.server.stop()
            self.nodes[word] = self.client.capture(self.server, word)
            assert marks(disks(self.server)) == [word, word]
        self.server.start()
        self.now = 'two'


@pytest.fixture(scope='module')
def lots(cloud, service):
    """Gives a lot whose quota has room."""
    made = []

    def next_lot():
        if not made or made[-1].rounds == RESTORES_A_SERVER:
            if made:
                made[-1].server.is_('ACTIVE')
                made[-1].server.stop()
            made.append(Lot(cloud, service))
        made[-1].rounds += 1
        made[-1].succeeded = False
        return made[-1]
    yield next_lot
    if made:
        made[-1].server.is_('ACTIVE', 'SHUTOFF')


def settled(server):
    """Nova has done all that the owner asked for; the server is up."""
    wait('Nova to finish with the server', lambda: server.look()['OS-EXT-STS:task_state'] is None)
    if server.status() == 'SHUTOFF':
        server.act('os-start')
    server.is_('ACTIVE')
    server.came_up()


def images_are_whole(project, images, allowed):
    """Those that became active hold one moment of before or of after; the others are gone or never came."""
    whole = []
    for id in images:
        def look(id=id):
            try:
                return project.owner.glance('GET', f'/images/{id}')['status'] not in ('queued', 'saving', 'importing')
            except Refused:
                return True  # Nova takes away what it could not make
        wait(f'image {id} to be made', look)
        try:
            image = project.owner.glance('GET', f'/images/{id}')
        except Refused:
            continue
        if image['status'] == 'active':
            assert marks([f'images/{id}'])[0] in allowed, f'image {id} bears no mark of before or after'
            assert trail(f'images/{id}').counter
            whole.append(id)
    return whole


@pytest.mark.parametrize('number', range(RESTORES))
def test_restoring_while_the_owner_starts_reboots_and_images(service, lots, number):
    lot = lots()
    begins = number % RESTORES_A_SERVER == 0
    tries = [tried(service, lot, boots=begins) for _ in range(TRIES) if not lot.succeeded]
    assert lot.succeeded, f'{len(tries)} restores, all of them undone: {tries}'


def tried(service, lot, boots):
    """Restores once. Either the bytes are the node's, or it was undone and they are those of before; which is said."""
    server, client = lot.server, lot.client
    target = 'one' if lot.now == 'two' else 'two'
    with Owner(server) as owner:
        wait('his first calls', lambda: sum(owner.answers.values()) >= 2)

        def begun():
            try:
                return client.begin_restore(lot.nodes[target])
            except Refused as refusal:
                assert refusal.status == 409, refusal  # Nova was at work for him
                return None
        operation = client.finished(wait('a moment at which Nova is idle', begun), RESTORE_PATIENCE_S)
        found = marks(disks(server))
    print(f'{operation["status"]} {operation["error"]}; his calls: {dict(owner.answers)}')
    assert not owner.trouble, owner.trouble
    if operation['status'] == 'succeeded':
        assert found == [target, target], 'the bytes are those of the node'
        lot.now, lot.succeeded = target, True
    else:
        # Nova had a task, or the disk open for one.
        reason = operation['error']['message']
        assert operation['status'] == 'failed' and ('Nova' in reason or 'is open' in reason), operation
        assert found == [lot.now, lot.now], 'undone: the bytes are those of before'
    settled(server)
    assert marks(disks(server)) == [lot.now, lot.now]
    assert server.look()['locked'] is False
    whole = images_are_whole(lot.project, owner.images, {'one', 'two'})
    if whole and boots:
        boots_and_counts_on(lot.project, whole[-1])
    for id in whole:
        lot.project.owner.glance('DELETE', f'/images/{id}')
    orphans.none_are_left(service, lot.project, [server], lot.own_volumes)
    return operation['error'] or 'succeeded'


def boots_and_counts_on(project, image):
    counted = trail(f'images/{image}').counter
    server: Server = project.server(image=image)
    assert trails(server)[0].counter > counted
    project.owner.nova('DELETE', f'/servers/{server.id}')
    wait('it to be deleted', lambda: gone(project, server))


def gone(project, server):
    try:
        server.look()
    except Refused as refusal:
        return refusal.status == 404
