"""Empties the cloud: servers, volumes, snapshots, images but "tick", key pairs, networks, quota rows, RBD leftovers.

Why this order. A delete in Nova or Cinder takes a minute, or fails, when the RBD image below it still has snapshots,
clones or watchers. So the caller ends the guests, and the pools are emptied first: after that nothing can hold a delete up.
Then the services delete what they know through their own APIs, since they also keep it in memory and in Placement. What is
still there after some seconds is stuck, and goes from the databases; exit code 3 then asks for a new nova-compute.
Keystone is left alone: projects and users cost nothing, and the catalog may hold Ratoon's own entry.
"""
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import openstack
import pymysql
import rados
import rbd

import resources

# So long may Nova and Cinder, or the pools, stay as they are; as long as something goes, there is time.
PATIENCE_S = 15
POOLS_PATIENCE_S = 60
SYSTEM_POOLS = ('vms', 'volumes', 'images')

# Whatever a server, a volume or a test's quota leaves in the databases. Not the services, flavors, types and cells.
TABLES = {
    'nova': '''instances instance_actions instance_actions_events instance_extra instance_faults instance_id_mappings
        instance_info_caches instance_metadata instance_system_metadata block_device_mapping console_auth_tokens migrations
        snapshot_id_mappings volume_id_mappings volume_usage_cache virtual_interfaces tags task_log''',
    'nova_api': '''instance_mappings build_requests request_specs instance_group_member instance_group_policy
        instance_groups key_pairs quotas''',
    'placement': 'allocations consumers',
    'cinder': '''volumes volume_attachment volume_metadata volume_admin_metadata volume_glance_metadata attachment_specs
        snapshots snapshot_metadata groups group_snapshots group_volume_type_mapping backups backup_metadata transfers messages
        image_volume_cache_entries reservations quota_usages quotas''',
}
TABLES['nova_cell0'] = TABLES['nova']


class Patience:
    """So many seconds, anew each time that fewer things are left."""

    def __init__(self, seconds):
        self.seconds, self.fewest, self.deadline = seconds, None, 0

    def is_over(self, left):
        if self.fewest is None or len(left) < self.fewest:
            self.fewest, self.deadline = len(left), time.monotonic() + self.seconds
        return time.monotonic() > self.deadline


class Pools:
    """Removes RBD images, children before parents: by trying again until nothing is left.

    Many at once: to remove a snapshot or to fence a client takes a round of the monitor, a second each, and rounds are shared.
    """

    def __init__(self, cluster, keep):
        self.cluster, self.keep = cluster, keep
        self.ios = {pool: cluster.open_ioctx(pool) for pool in SYSTEM_POOLS}

    def empty(self):
        patience = Patience(POOLS_PATIENCE_S)
        self.fence()
        while left := self.sweep():
            if patience.is_over(left):
                sys.exit(f'RBD images that cannot be removed: {", ".join(left)}')
            time.sleep(0.2)
            self.fence()

    def images(self):
        for pool, io in self.ios.items():
            for name in rbd.RBD().list(io):
                if pool != 'images' or name not in self.keep:
                    yield pool, io, name

    def sweep(self):
        """One pass; the names of what could not be removed yet."""
        images = list(self.images())
        gone = each(lambda image: self.remove(*image[1:]), images)
        left = [f'{pool}/{name}' for (pool, _, name), removed in zip(images, gone) if not removed]
        for pool, io in self.ios.items():
            for name in rbd.RBD().group_list(io):
                rbd.RBD().group_remove(io, name)
            for entry in rbd.RBD().trash_list(io):
                if not self.remove(io, entry['name'], entry['id']):
                    left.append(f'{pool}/{entry["name"]} in the trash')
        return left

    @staticmethod
    def remove(io, name, trash_id=None):
        try:
            with rbd.Image(io, name=None if trash_id else name, image_id=trash_id) as image:
                for snap in image.list_snaps():
                    if snap['namespace'] != rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
                        continue  # a deleted parent: it goes with its last clone
                    if image.is_protected_snap(snap['name']):
                        image.unprotect_snap(snap['name'])
                    image.remove_snap(snap['name'])
        except rbd.ImageNotFound:
            pass  # half removed: the header is gone, the name is not
        except rbd.Error:
            return False
        try:
            if trash_id:
                rbd.RBD().trash_remove(io, trash_id, force=True)
            else:
                rbd.RBD().remove(io, name)
        except rbd.ImageNotFound:
            pass
        except rbd.Error:
            return False
        return True

    def fence(self):
        """The guests are gone, so who still watches an image is a killed client: without a fence it counts for 30 s more."""
        watchers = set().union(*each(lambda image: self.watchers(*image[1:]), list(self.images())))
        each(lambda address: self.cluster.mon_command(json.dumps(
            {'prefix': 'osd blocklist', 'blocklistop': 'add', 'addr': address, 'expire': 60.0}), b''), watchers)

    @staticmethod
    def watchers(io, name):
        try:
            with rbd.Image(io, name, read_only=True) as image:
                return {watcher['addr'] for watcher in image.watchers_list()}
        except rbd.Error:
            return set()


def each(function, things):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(function, things))


def quietly(function, *args, **kwargs):
    """Deleting what is gone, busy or odd is no error here: the last step looks at what is left."""
    try:
        function(*args, **kwargs)
    except Exception as e:
        print(f'  {type(e).__name__}: {e}'.splitlines()[0])


def until_none(what, things):
    patience = Patience(PATIENCE_S)
    while left := things():
        if patience.is_over(left):
            print(f'  {len(left)} {what} stuck, removing them from the database')
            return False
        time.sleep(0.2)
    return True


def servers(cloud):
    return cloud.compute.get('/servers?all_tenants=1').json()['servers']


def delete_server(cloud, server):
    quietly(cloud.compute.delete, f'/servers/{server["id"]}')


def volumes(cloud):
    return cloud.block_storage.get('/volumes?all_tenants=1').json()['volumes']


def delete_volume(cloud, volume):
    path = f'/volumes/{volume["id"]}'
    quietly(cloud.block_storage.post, path + '/action', json={'os-reset_status': {
        'status': 'error', 'attach_status': 'detached', 'migration_status': 'none'}})
    quietly(cloud.block_storage.delete, path + '?cascade=true&force=true')


def delete_image(cloud, image):
    if image.is_protected:
        quietly(cloud.image.update_image, image, is_protected=False)
    quietly(cloud.image.delete_image, image)


def delete_networks(network):
    for port in network.ports():
        quietly(network.delete_port, port)
    for net in network.networks():
        quietly(network.delete_network, net)


def purge_databases():
    db = pymysql.connect(unix_socket=os.path.join(os.environ['MINICLOUD_DIR'], 'run', 'mysql.sock'), user='root')
    with db, db.cursor() as cursor:
        cursor.execute('SET FOREIGN_KEY_CHECKS = 0')
        for schema, tables in TABLES.items():
            for table in tables.split():
                cursor.execute(f'DELETE FROM {schema}.`{table}`')
        db.commit()


def main():
    cloud = openstack.connect()
    images = list(cloud.image.images())
    ticks = [i.id for i in images if i.name == resources.IMAGE and i.status == 'active'][:1]
    with rados.Rados(conffile=os.environ['CEPH_CONF'], rados_id='admin') as cluster:
        pools = Pools(cluster, keep=ticks)
        pools.empty()
        each(lambda s: delete_server(cloud, s), servers(cloud))
        each(lambda i: delete_image(cloud, i), [i for i in images if i.id not in ticks])
        clean = until_none('servers', lambda: servers(cloud))
        each(lambda v: delete_volume(cloud, v), volumes(cloud))
        until_none('volumes', lambda: volumes(cloud))
        delete_networks(cloud.network)
        for flavor in cloud.compute.flavors(is_public=None):
            if flavor.name not in resources.FLAVORS:
                quietly(cloud.compute.delete_flavor, flavor)
        for type_ in cloud.block_storage.types():
            if type_.name not in (resources.VOLUME_TYPE, '__DEFAULT__'):
                quietly(cloud.block_storage.delete_type, type_)
        purge_databases()
        pools.empty()  # what a build or an upload under way has made meanwhile
    sys.exit(0 if clean else 3)


if __name__ == '__main__':
    main()
