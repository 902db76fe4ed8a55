"""Hundreds of random acts against real Ceph and Cinder, compared with a byte-level model after each restore."""
import collections
import os
import time

import pytest
import rbd

import orphans
from conftest import SOAK
from proof import boot, digest, disks, newest_snapshot, pool, trail, trails
from service import Process

ACTS = int(os.environ.get('RATOON_ACTS') or (200 if SOAK else 12))
ACTS_A_SERVER = 50  # a clone of a clone of a clone ... is a depth that each server starts anew
WEIGHTS = {'run': 4, 'capture': 4, 'restore': 4, 'restore_some': 2, 'restore_branch': 2, 'delete': 3, 'delete_branch': 1}
BLOCK = 4096
FREE = (900 << 20, 1 << 30)  # nothing of the guest's file systems is there


class Model:
    """What each node's disks hold, and what the live ones do: a digest of all bytes, by the disk's place in the server."""

    def __init__(self, project, client, service, chance):
        self.project, self.client, self.service, self.chance = project, client, service, chance
        self.server = project.server(volumes=2)
        self.own_volumes = self.server.attachments()
        self.nodes = {}
        self.log, self.seconds = collections.Counter(), collections.Counter()
        self.running = True
        self.capture()
        self.server.stop()  # most acts on a stopped server: there every byte can be compared
        self.running = False

    def specs(self):
        return disks(self.server)

    def learn_new_nodes(self, contents=None):
        """Nodes that an act has made: their contents are read from Ceph, or are those that the live disks had."""
        for node in self.visible():
            if node['id'] not in self.nodes:
                self.nodes[node['id']] = contents or self.read_node(node['id'])

    def visible(self):
        return [node for node in self.client.tree(self.server)['nodes'] if not node['hidden']]

    def read_node(self, id):
        rows = self.service.rows('''SELECT l.backend, l.role, l.key, l.id AS layer, l.backend_id AS volume, l.server_id,
            d.origin_id, d.backend_id FROM disk_snapshots d JOIN layers l ON l.id = d.layer_id
            WHERE d.snapshot_id = ? ORDER BY d.position''', id)
        specs = []
        for row in rows:
            if row['backend'] == 'rbd':
                image = f'{row["server_id"]}_{row["key"]}' if row['role'] == 'head' else f'ratoon.{row["layer"]}'
                specs.append(f'vms/{image}@ratoon-{row["origin_id"]}')
            else:
                specs.append(f'volumes/volume-{row["volume"]}@snapshot-{row["backend_id"]}')
        return self.contents(specs)

    def live(self):
        return self.contents(self.specs())

    @staticmethod
    def contents(specs):
        return [(digest(spec), trail(spec), digest(spec, FREE)) for spec in specs]

    # Acts

    def act(self):
        weights = [weight * (4 if self.running and name == 'run' else 1) for name, weight in WEIGHTS.items()]
        name = self.chance.choices(list(WEIGHTS), weights)[0]
        self.log[name] += 1
        print(f'{name}{" (running)" if self.running else ""}', end=' ', flush=True)
        begun = time.monotonic()
        getattr(self, name)()
        self.seconds[name] += round(time.monotonic() - begun)

    def run(self):
        """The guest runs a bit, and mostly is stopped again; before, more than a guest writes may be written for it."""
        if not self.running:
            if self.chance.random() < 0.6:
                self.scribble()
            self.server.start()
        self.server.ticking()
        self.running = self.chance.random() < 0.25
        if not self.running:
            self.server.stop()

    def scribble(self):
        """Random bytes at random places of a stopped server's disks. What an outsider writes starts no server: the guest must run
        now, else the model would let Ratoon believe that the disks have rested."""
        for spec in self.specs():
            where, _, name = spec.partition('/')
            with rbd.Image(pool(where), name) as image:
                for _ in range(self.chance.randrange(1, 4)):
                    at = self.chance.randrange(FREE[0], FREE[1] - 64 * BLOCK, BLOCK)
                    image.write(self.chance.randbytes(BLOCK * self.chance.randrange(1, 64)), at)

    def capture(self):
        contents = None if self.running else self.live()
        self.client.capture(self.server, f'node-{len(self.nodes)}')
        if self.running:
            contents = self.contents([newest_snapshot(spec) for spec in self.specs()])
        self.learn_new_nodes(contents)

    def restore(self):
        self.restore_node(self.any_node())

    def restore_some(self):
        node = self.any_node()
        places = sorted(self.chance.sample(range(3), self.chance.choice([1, 2])))
        self.restore_node(node, [['disk', '/dev/vdb', '/dev/vdc'][place] for place in places], places)

    def restore_branch(self):
        tree = self.client.tree(self.server)
        visible = {node['id'] for node in tree['nodes'] if not node['hidden']}
        branches = [one for one in tree['branches'] if one['tip_snapshot_id'] in visible]
        if not branches:
            return self.capture()
        branch = self.chance.choice(branches)
        self.restore_node(branch['tip_snapshot_id'], act=lambda: self.client.restore_branch(self.server, branch['name']))

    def any_node(self):
        if not self.visible():
            self.capture()
        return self.chance.choice(self.visible())['id']

    def delete(self):
        """A node, or all that grew from it as well."""
        node, subtree = self.any_node(), self.chance.random() < 0.2
        tree = self.client.tree(self.server)['nodes']
        gone = {node}
        for other in tree if subtree else []:  # parents come before their children
            if other['parent_id'] in gone:
                gone.add(other['id'])
        self.survivors_keep_their_bytes(gone, lambda: self.client.delete(
            {'id': node}, **({'subtree': 'true'} if subtree else {})))

    def delete_branch(self):
        tree = self.client.tree(self.server)
        branches = [one for one in tree['branches'] if not one['current']]
        if not branches:
            return self.delete()
        branch = self.chance.choice(branches)
        gone = {node['id'] for node in tree['nodes'] if node['branch_id'] == branch['id']}
        self.survivors_keep_their_bytes(gone, lambda: self.client.delete_branch(self.server, branch['name']))

    def survivors_keep_their_bytes(self, gone, act):
        before = None if self.running else self.live()
        visible = {node['id'] for node in self.visible()}
        tree = self.client.tree(self.server)['nodes']
        beside = {node['id'] for node in tree if node['parent_id'] in gone} | {node['parent_id'] for node in tree if node['id'] in gone}
        self.holds(gone & visible, 'has changed before it was deleted')
        operation = act()
        assert operation['warnings'] == [], operation
        assert {node['id'] for node in self.visible()} == visible - gone
        for id in gone:
            self.nodes.pop(id, None)
        self.holds(beside & visible - gone, f'has changed by the deletion of {gone}, beside it')
        if before:
            assert self.live() == before

    def holds(self, nodes, wrong='has changed'):
        """Each is read when it is made, when what stands beside it goes, before it goes itself, and in the end: bytes do not heal."""
        for id in nodes:
            assert self.read_node(id) == self.nodes[id], f'node {id} {wrong}'

    def restore_node(self, node, names=None, places=(0, 1, 2), act=None):
        before = None if self.running else self.live()
        labels = [one.label for one in trails(self.server)]
        if act:
            act()
        else:
            self.client.restore({'id': node}, **({'disks': names} if names else {}))
        self.learn_new_nodes(before)
        wanted = [self.nodes[node][place] if place in places else (before or [None] * 3)[place] for place in range(3)]
        if before:
            found = self.live()
            for place in range(3):
                assert found[place] == wanted[place], f'disk {place} after a restore of {names or "all"} from {node}'
            assert self.server.status() == 'SHUTOFF'
            return
        self.server.came_up()
        for place, (seen, want) in enumerate(zip(boot(self.server), wanted)):
            assert seen.trail.label == labels[place]
            if want:
                assert seen.trail == want[1], f'disk {place} after a restore of {names or "all"} from {node}'
                assert digest(self.specs()[place], FREE) == want[2], f'what no guest touches on disk {place}, from {node}'
            else:
                assert seen.trail.phase == 'shutdown', 'a disk that stays holds what the guest wrote last'


@pytest.fixture
def big_service(directory):
    process = Process(directory / 'random', nodes=4096).start()
    yield process
    process.stop()


@pytest.mark.long
@pytest.mark.parametrize('first', range(0, ACTS, ACTS_A_SERVER))
def test_random_acts_agree_with_a_byte_level_model(cloud, big_service, chance, first):
    project = cloud.project()
    project.quota(volumes=-1, snapshots=-1, gigabytes=-1)
    model = Model(project, big_service.client(project.owner), big_service, chance)
    for _ in range(min(ACTS_A_SERVER, ACTS - first)):
        model.act()
    print(dict(model.log), 'seconds:', dict(model.seconds))
    model.holds(node['id'] for node in model.visible())
    orphans.none_are_left(big_service, project, [model.server], model.own_volumes)
    if model.running:
        model.server.stop()
