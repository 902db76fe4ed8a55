"""Takes away everything that the tests made, whatever state it is in: the next run starts clean.

RBD first: with snapshots on a head Nova needs a minute for a delete, and leaves the image behind. So heads are renamed away,
the servers deleted, then the volumes by Cinder, and what is left of ours in the pools is removed, children before parents.
"""
import contextlib
import time

import rbd

from cloud import PREFIX, Person, Refused
from proof import POOLS, pool

PATIENCE_S = 90
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
        self.ours = set(self.servers)  # also those that are gone, as their images say

    def remove(self):
        if not self.projects:
            return
        for id in self.servers:
            quietly(self.admin.nova, 'POST', f'/servers/{id}/action', {'unlock': None})
        self.rename_heads()
        until_none('servers', self.servers_left, lambda id: self.admin.nova('DELETE', f'/servers/{id}'))
        for image in listed(self.admin, 'image', '/images?limit=500', 'images'):
            if image.get('owner') in self.projects:
                quietly(self.admin.glance, 'DELETE', f'/images/{image["id"]}')
        until_none('volume snapshots', lambda: self.volumes_left('snapshots'), self.remove_snapshot)
        until_none('volumes', lambda: self.volumes_left('volumes'), self.remove_volume)
        until_none('RBD images', self.images_left, lambda image: self.remove_image(*image))
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

    def volumes_left(self, kind):
        key = 'os-vol-tenant-attr:tenant_id' if kind == 'volumes' else 'os-extended-snapshot-attributes:project_id'
        return [thing['id'] for thing in listed(self.admin, 'block_storage', f'/{kind}/detail?all_tenants=1', kind)
                if thing[key] in self.projects]

    def remove_snapshot(self, id):
        quietly(self.admin.cinder, 'POST', f'/snapshots/{id}/action', {'os-reset_status': {'status': 'error'}})
        self.admin.cinder('DELETE', f'/snapshots/{id}')

    def remove_volume(self, id):
        quietly(self.admin.cinder, 'POST', f'/volumes/{id}/action', {'os-reset_status': {
            'status': 'error', 'attach_status': 'detached', 'migration_status': 'none'}})
        self.admin.cinder('DELETE', f'/volumes/{id}')

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
        except (rbd.Error, KeyError):
            return False

    def remove_image(self, where, name):
        with rbd.Image(pool(where), name) as image:
            for snapshot in image.list_snaps():
                if snapshot['namespace'] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
                    if image.is_protected_snap(snapshot['name']):
                        image.unprotect_snap(snapshot['name'])
                    image.remove_snap(snapshot['name'])
        rbd.RBD().remove(pool(where), name)
