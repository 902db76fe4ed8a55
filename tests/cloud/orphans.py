"""Storage == tree: what lies in the pools, in Cinder and in its quota is what the database and the owner's ledger say. No more, no less."""
import collections
import contextlib
import time

import rbd

from proof import POOLS, foreign, pool

GOES_S = 3  # what is just being removed leaves the trash within this
MARKED_S = 60  # an image of ours is marked after it was made; a disk kept from Nova, once Nova is done with its server
SETTLE_S = 120  # Cinder's deletes end a moment after their answer


class Found(AssertionError):
    pass


class Storage:
    """One look at everything that belongs to a project and its servers."""

    def __init__(self, project, servers):
        self.project = project
        self.server_ids = {server.id for server in servers}
        self.volumes, self.snapshots = project.volumes(), project.snapshots()
        glance = {image['id'] for image in project.cloud.admin.glance('GET', '/images?limit=500')['images']}
        self.images, self.trash, self.parents = {}, [], set()
        for where in POOLS:
            for name in rbd.RBD().list(pool(where)):
                if f'{where}/{name}' in foreign or (where == 'images' and name in glance):
                    continue
                if where == 'volumes' and name.removeprefix('volume-') not in self.volumes and not self.foreign_is_gone(name):
                    continue  # another project's
                try:
                    with rbd.Image(pool(where), name, read_only=True) as image:
                        if where != 'volumes' and not self.is_ours(where, name, image):
                            continue
                        self.parents.add(self.parent_of(image))
                        self.images[f'{where}/{name}'] = sorted(self.snapshot_name(image, snap) for snap in image.list_snaps())
                except rbd.ImageNotFound:
                    pass  # gone while we looked
            self.trash += [f'{where}/{entry["name"]}' for entry in self.trash_of(where)]

    @staticmethod
    def trash_of(where):
        """What lies in a pool's trash, and not only because another test's Ratoon or Cinder is just removing it."""
        if not (found := list(rbd.RBD().trash_list(pool(where)))):
            return []
        time.sleep(GOES_S)
        still = {entry['id'] for entry in rbd.RBD().trash_list(pool(where))}
        return [entry for entry in found if entry['id'] in still]

    @staticmethod
    def parent_of(image):
        try:
            return '/'.join(image.parent_info()[:2])
        except rbd.ImageNotFound:
            return None

    def foreign_is_gone(self, name):
        """A volume's image that no volume of any project explains."""
        if not hasattr(self, 'all_volumes'):
            self.all_volumes = {one['id'] for one in self.project.cloud.admin.cinder('GET', '/volumes?all_tenants=1')['volumes']}
        return name.removeprefix('volume-') not in self.all_volumes

    def is_ours(self, where, name, image):
        if name[:36] in self.server_ids:
            return True
        if not name.startswith('ratoon.'):
            return False
        with contextlib.suppress(KeyError):
            return image.metadata_get('ratoon.server') in self.server_ids
        until = time.monotonic() + MARKED_S
        while time.monotonic() < until:  # another test's Ratoon may just be making it, or removing it
            time.sleep(1)
            with contextlib.suppress(KeyError), rbd.Image(pool(where), name, read_only=True) as image:
                return image.metadata_get('ratoon.server') in self.server_ids
        return True  # half made, and nobody says by whom

    @staticmethod
    def snapshot_name(image, snap):
        if snap['namespace'] == rbd.RBD_SNAP_NAMESPACE_TYPE_TRASH:
            return '(trash) ' + image.snap_get_trash_namespace(snap['id'])['original_name']
        return snap['name']


def expected(service, project, servers, own_volumes, own_snapshots=(), own_images=()):
    """(images with their snapshots, volumes, Cinder snapshots) by the database and the owner's ledger."""
    images = collections.defaultdict(list)
    volumes, snapshots = set(own_volumes), set(own_snapshots)
    marks = ','.join('?' * len(servers))
    ids = [server.id for server in servers]
    layers = {row['id']: row for row in service.rows(f'SELECT * FROM layers WHERE server_id IN ({marks})', *ids)}
    parts = service.rows(f'SELECT * FROM disk_snapshots WHERE server_id IN ({marks})', *ids)

    for server in servers:
        for image in (own_images or ['disk']) if not server.is_gone() else []:
            images[f'vms/{server.id}_{image}']
    for layer in layers.values():
        if layer['backend'] != 'rbd':
            volumes.add(layer['backend_id'])
            continue
        images[image_of(layer)]
        if origin := layer['parent_disk_snapshot_id']:
            carrier = images[f'images/ratoon.{origin}']
            if 'c' not in carrier:
                carrier.append('c')
    origins = {part['origin_id']: part for part in parts}
    for origin, part in origins.items():
        layer = layers[part['layer_id']]
        if layer['backend'] == 'rbd':
            images[image_of(layer)].append(f'ratoon-{origin}')
        else:
            snapshots.add(part['backend_id'])
    # What a node's disk was made of stays with Ceph after the node was deleted, as long as that disk is there.
    for origin, parent in {(layer['parent_disk_snapshot_id'], layer['parent_layer_id']) for layer in layers.values()}:
        if origin and origin not in origins and layers[parent]['backend'] == 'rbd':
            images[image_of(layers[parent])].append(f'(trash) ratoon-{origin}')
    return images, volumes, snapshots


def image_of(layer):
    name = f'{layer["server_id"]}_{layer["key"]}' if layer['role'] == 'head' else f'ratoon.{layer["id"]}'
    return f'vms/{name}'


def differences(service, project, servers, own_volumes, own_snapshots=(), own_images=()):
    """Every difference between storage and tree, as lines; none is right."""
    found = Storage(project, servers)
    images, volumes, snapshots = expected(service, project, servers, own_volumes, own_snapshots, own_images)
    lines = []

    def compare(what, really, wanted):
        really, wanted = set(really), set(wanted)
        lines.extend(f'{what} {name} is there, and nothing explains it' for name in sorted(really - wanted))
        lines.extend(f'{what} {name} is missing' for name in sorted(wanted - really))

    compare('volume', found.volumes, volumes)
    compare('volume snapshot', found.snapshots, snapshots)
    for id in volumes:
        images[f'volumes/volume-{id}'] = [f'snapshot-{one["id"]}' for one in found.snapshots.values() if one['volume_id'] == id]
        # Cinder keeps no record of what Ceph keeps for a volume's clones.
        if f'volumes/volume-{id}' in found.parents:
            kept = [name for name in found.images.get(f'volumes/volume-{id}', []) if name.startswith('(trash)')]
            images[f'volumes/volume-{id}'] += kept
    compare('image', found.images, images)
    compare('image in the trash', found.trash, [])
    for name in images.keys() & found.images.keys():
        compare(f'snapshot on {name}:', found.images[name], images[name])
    sizes = [one['size'] for one in [*found.volumes.values(), *found.snapshots.values()]]
    right = {'volumes': (len(found.volumes), 0), 'snapshots': (len(found.snapshots), 0), 'gigabytes': (sum(sizes), 0)}
    if (usage := project.usage()) != right:
        lines.append(f'quota usage is {usage} instead of {right}')
    lines += [f'{kind} {one["id"]} is {one["status"]}' for kind, things in (('volume', found.volumes), ('volume snapshot', found.snapshots))
              for one in things.values() if one['status'] not in ('available', 'in-use')]
    return lines + rows_at_rest(service, servers)


def rows_at_rest(service, servers):
    """The database says that nothing is under way."""
    lines = [f'operation {row["id"]} is {row["status"]}' for row in service.rows(
        "SELECT id, status FROM operations WHERE status NOT IN ('succeeded', 'failed', 'cancelled')")]
    lines += [f'server {row["id"]} is still leased to operation {row["operation_id"]}' for row in service.rows(
        'SELECT id, operation_id FROM servers WHERE operation_id IS NOT NULL')]
    lines += [f'snapshot {row["id"]} is {row["status"]}' for row in service.rows(
        "SELECT id, status FROM snapshots WHERE status NOT IN ('available', 'error', 'deleted')")]
    lines += [f'layer {row["id"]} is still {row["role"]}' for row in service.rows("SELECT id, role FROM layers WHERE role = 'preparing'")]
    for server in servers:
        if server.is_gone():
            continue
        now = server.look()
        if now['OS-EXT-STS:task_state'] or now['status'] not in ('ACTIVE', 'SHUTOFF'):
            lines.append(f'server {server.id} is {server.status()}')
        if now['locked']:
            lines.append(f'server {server.id} is locked: {now.get("locked_reason")}')
    return lines


def none_are_left(service, project, servers, own_volumes, **ledger):
    """Storage and tree agree, at the latest when Cinder's last delete has ended."""
    deadline = time.monotonic() + SETTLE_S
    while lines := differences(service, project, servers, own_volumes, **ledger):
        if time.monotonic() > deadline:
            raise Found('storage and tree differ:\n  ' + '\n  '.join(lines))
        time.sleep(0.5)
