"""Takes away everything that the tests made, whatever state it is in: the next run starts clean.

RBD first: with snapshots on a head Nova needs a minute for a delete, and leaves the image behind. So heads are renamed away,
the servers deleted, then the volumes by Cinder, and what is left of ours in the pools is removed, children before parents.
"""
import contextlib
import time

import pymysql
import rbd

from cloud import LEDGER, PREFIX, STATE, Person, Refused
from proof import POOLS, foreign, pool, scanning_pool

PATIENCE_S = 90
STUCK_S = 15
LEFTOVER = 'ratoon.leftover.'


def listed(person, service, path, key):
    return person.ask(service, 'GET', path)[key]


def quietly(function, *arguments):
    with contextlib.suppress(Refused, rbd.Error):
        return function(*arguments)


def until_none(what, things, act):
    deadline = time.monotonic() + PATIENCE_S
    while left := things():
        for thing in left:
            quietly(act, thing)
        if time.monotonic() > deadline:
            print(f'cleanup: {len(left)} {what} are left: {left}')
            return
        time.sleep(0.5)


class Leftovers:
    def __init__(self, admin: Person):
        self.admin = admin
        found = [project for project in listed(admin, 'identity', '/projects', 'projects') if project['name'].startswith(PREFIX)]
        self.projects = {project['id'] for project in found}
        servers = listed(admin, 'compute', '/servers/detail?all_tenants=1', 'servers')
        self.servers = {server['id'] for server in servers if server['tenant_id'] in self.projects}
        self.ours = self.servers | set(LEDGER.read_text().split() if LEDGER.exists() else [])  # also those that are gone
        self.deleting = {}

    def remove(self):
        for id in self.servers:
            quietly(self.admin.nova, 'POST', f'/servers/{id}/action', {'unlock': None})
        self.rename_heads()
        until_none('servers', self.servers_left, lambda id: self.admin.nova('DELETE', f'/servers/{id}'))
        for image in listed(self.admin, 'image', '/images?limit=500', 'images'):
            if image.get('owner') in self.projects:
                quietly(self.admin.glance, 'DELETE', f'/images/{image["id"]}')
        until_none('volumes and snapshots', self.volumes_left, self.remove_one_of_cinder)
        until_none('RBD images', self.images_left, lambda image: self.remove_image(*image))
        if not self.images_left():
            LEDGER.unlink(missing_ok=True)
        for user in listed(self.admin, 'identity', '/users', 'users'):
            if user['name'].startswith(PREFIX):
                quietly(self.admin.keystone, 'DELETE', f'/users/{user["id"]}')
        for id in self.projects:
            quietly(self.admin.cinder, 'DELETE', f'/os-quota-sets/{id}')
            quietly(self.admin.keystone, 'DELETE', f'/projects/{id}')
        for flavor in listed(self.admin, 'compute', '/flavors/detail?is_public=None', 'flavors'):
            if flavor['name'].startswith(PREFIX):
                quietly(self.admin.nova, 'DELETE', f'/flavors/{flavor["id"]}')

    def rename_heads(self):
        for name in rbd.RBD().list(pool('vms')):
            if name[:36] in self.servers:
                quietly(rbd.RBD().rename, pool('vms'), name, LEFTOVER + name)

    def servers_left(self):
        left = listed(self.admin, 'compute', '/servers/detail?all_tenants=1', 'servers')
        return [server['id'] for server in left if server['id'] in self.servers]

    def volumes_left(self):
        """What can go now: volumes and snapshots grow from each other, so the others go in a later round."""
        volumes = [one for one in listed(self.admin, 'block_storage', '/volumes/detail?all_tenants=1', 'volumes')
                   if one['os-vol-tenant-attr:tenant_id'] in self.projects or (one['name'] or '').startswith(PREFIX)]
        snapshots = [one for one in listed(self.admin, 'block_storage', '/snapshots/detail?all_tenants=1', 'snapshots')
                     if one['volume_id'] in {volume['id'] for volume in volumes}]
        with_snapshots = {one['volume_id'] for one in snapshots}
        with_clones = {one['snapshot_id'] for one in volumes}
        return [('snapshots', one['id'], one['status']) for one in snapshots if one['id'] not in with_clones] + [
            ('volumes', one['id'], one['status']) for one in volumes if one['id'] not in with_snapshots]

    def remove_one_of_cinder(self, thing):
        kind, id, status = thing
        if status == 'deleting':
            if time.monotonic() - self.deleting.setdefault(id, time.monotonic()) > STUCK_S and kind == 'snapshots':
                self.purge_snapshot(id)
            return
        if status != 'available':
            fresh = {'attach_status': 'detached', 'migration_status': 'none'} if kind == 'volumes' else {}
            quietly(self.admin.cinder, 'POST', f'/{kind}/{id}/action', {'os-reset_status': {'status': 'available', **fresh}})
        self.admin.cinder('DELETE', f'/{kind}/{id}')

    def purge_snapshot(self, id):
        """Cinder has forgotten a delete (its worker's log does not even mention it), and asking again does not help."""
        print(f'cleanup: Cinder has forgotten the delete of snapshot {id}; it is removed by force')
        database = pymysql.connect(unix_socket=str(STATE / 'run' / 'mysql.sock'), user='root', autocommit=True)
        with database, database.cursor() as cursor:
            cursor.execute('SELECT volume_id FROM cinder.snapshots WHERE id = %s', id)
            with rbd.Image(scanning_pool('volumes'), f'volume-{cursor.fetchone()[0]}') as image:
                quietly(image.unprotect_snap, f'snapshot-{id}')
                quietly(image.remove_snap, f'snapshot-{id}')
            cursor.execute("UPDATE cinder.snapshots SET deleted = 1, status = 'deleted' WHERE id = %s", id)

    def images_left(self):
        return [(name, image) for name in POOLS for image in rbd.RBD().list(pool(name)) if self.is_ours(name, image)]

    def is_ours(self, where, name):
        if name.startswith(LEFTOVER):
            return name[len(LEFTOVER):][:36] in self.ours
        if name[:36] in self.servers:
            return True
        if not name.startswith('ratoon.'):
            return False
        try:
            with rbd.Image(pool(where), name, read_only=True) as image:
                return image.metadata_get('ratoon.server') in self.ours
        except KeyError:
            return bool(foreign) and f'{where}/{name}' not in foreign  # half made, since the tests began
        except rbd.Error:
            return False

    def remove_image(self, where, name):
        with rbd.Image(scanning_pool(where), name) as image:
            for snapshot in image.list_snaps():
                if snapshot['namespace'] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
                    if image.is_protected_snap(snapshot['name']):
                        image.unprotect_snap(snapshot['name'])
                    image.remove_snap(snapshot['name'])
        rbd.RBD().remove(pool(where), name)
