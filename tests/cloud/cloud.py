"""The cloud under test: its people, servers and volumes. Everything that takes time is awaited, until a deadline."""
import contextlib
import fcntl
import os
import pathlib
import subprocess
import time
import uuid

import openstack

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MINICLOUD = ROOT / 'devstack' / 'minicloud'
STATE = pathlib.Path(os.environ.get('MINICLOUD_DIR', '/var/tmp/ratoon-minicloud'))
AUTH_URL = 'http://127.0.0.1:5000/v3'
PREFIX = 'ratoon-test-'  # of all that the tests make, so that what a killed run has left is found again
LEDGER = STATE / 'servers-of-tests'  # ids of all servers that were made, until their last image is gone
WORKER = os.environ.get('PYTEST_XDIST_WORKER', '')
PATIENCE_S = 240
FIRMWARE_S = 60  # a machine's boot loader speaks within a second, its guest is up after five
LOOK_EVERY_S = 0.25


class Refused(Exception):
    """A service said no."""

    def __init__(self, response):
        self.status, self.text = response.status_code, response.text
        super().__init__(f'{response.request.method} {response.request.path_url}: {self.status} {self.text[:500]}')


def wait(what, look, patience=PATIENCE_S, every=LOOK_EVERY_S):
    """The first true answer of `look`; an assertion error that says what was awaited, and what was seen last, if none comes."""
    deadline = time.monotonic() + patience
    while not (answer := look()):
        assert time.monotonic() < deadline, f'waited {patience} s in vain for {what}; last seen: {answer!r}'
        time.sleep(every)
    return answer


class Person:
    """Somebody with a password, in a project."""

    def __init__(self, user, project, password=None):
        self.user, self.project, self.password = user, project, password or (STATE / 'password').read_text().strip()
        self.conn = openstack.connect(
            load_envvars=False, load_yaml_config=False, auth_url=AUTH_URL, username=user, project_name=project,
            password=self.password, user_domain_name='Default',
            project_domain_name='Default', region_name='RegionOne')

    def ask(self, service, method, path, body=None, version=None):
        headers = {}
        if service == 'compute':
            headers['OpenStack-API-Version'] = f'compute {version or "2.92"}'
        if service == 'block_storage':
            headers['OpenStack-API-Version'] = f'volume {version or "3.68"}'
        response = getattr(self.conn, service).request(path, method, json=body, headers=headers, raise_exc=False)
        if response.status_code >= 400:
            raise Refused(response)
        return response.json() if 'json' in response.headers.get('content-type', '') and response.text else None

    def nova(self, method, path, body=None):
        return self.ask('compute', method, path, body)

    def cinder(self, method, path, body=None):
        return self.ask('block_storage', method, path, body)

    def glance(self, method, path, body=None):
        return self.ask('image', method, path, body)

    def keystone(self, method, path, body=None):
        return self.ask('identity', method, path, body)

    @property
    def token(self):
        return self.conn.session.get_token()

    @property
    def project_id(self):
        return self.conn.session.get_project_id()


class Cloud:
    """The cloud as its administrator sees it, and what the tests have made in it."""

    def __init__(self):
        if not WORKER:  # whose master holds it
            self.lock = open(STATE / 'lock-of-tests', 'w')  # each run takes away what it finds of another's
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.admin = Person('admin', 'admin')
        self.projects, self.servers, self.flavors = [], [], []
        self._ids = {}

    @contextlib.contextmanager
    def catalog_kept(self):
        """What reads Ratoon's entry in the catalog; in the end it is what it was."""
        ask = self.admin.keystone

        def services():
            return [one['id'] for one in ask('GET', '/services?type=server-snapshot')['services']]

        def endpoints():
            return [one for id in services() for one in ask('GET', f'/endpoints?service_id={id}')['endpoints']]
        before = services(), endpoints()
        try:
            yield lambda: {one['interface']: one['url'] for one in endpoints()}
        finally:
            for id in services():
                if id not in before[0]:
                    ask('DELETE', f'/services/{id}')
            for one in before[1]:
                ask('PATCH', f'/endpoints/{one["id"]}', {'endpoint': {'url': one['url']}})

    def id_of(self, kind, name):
        """The id of a flavor, an image or a role."""
        if (kind, name) not in self._ids:
            listed = {'flavor': lambda: self.admin.nova('GET', '/flavors')['flavors'],
                      'image': lambda: self.admin.glance('GET', f'/images?name={name}')['images'],
                      'role': lambda: self.admin.keystone('GET', '/roles')['roles']}[kind]()
            self._ids[kind, name] = next(thing['id'] for thing in listed if thing['name'] == name)
        return self._ids[kind, name]

    def project(self, roles=('member',)):
        """A project of its own for one test: with Cinder's default quotas, all of them unused."""
        name = PREFIX + uuid.uuid4().hex[:8]
        project = self.admin.keystone('POST', '/projects', {'project': {'name': name, 'domain_id': 'default'}})['project']
        return Project(self, name, project['id'], self.person(name, project['id'], roles))

    def person(self, project, project_id, roles):
        name, password = PREFIX + uuid.uuid4().hex[:8], uuid.uuid4().hex
        user = self.admin.keystone('POST', '/users', {'user': {'name': name, 'password': password, 'domain_id': 'default'}})
        for role in roles:
            self.admin.keystone('PUT', f'/projects/{project_id}/users/{user["user"]["id"]}/roles/{self.id_of("role", role)}')
        return Person(name, project, password)


class Project:
    def __init__(self, cloud, name, id, owner):
        self.cloud, self.name, self.id, self.owner = cloud, name, id, owner
        cloud.projects.append(self)

    def volume(self, size=1):
        body = {'volume': {'size': size, 'name': PREFIX + 'data', 'metadata': {'kept': 'by the owner'}}}
        id = self.owner.cinder('POST', '/volumes', body)['volume']['id']
        self.volume_is(id, 'available')
        return id

    def volume_is(self, id, status):
        def look():
            now = self.owner.cinder('GET', f'/volumes/{id}')['volume']['status']
            assert not now.startswith('error') or now == status, f'volume {id} is {now}'
            return now == status
        wait(f'volume {id} to become {status}', look)

    def image(self, **properties):
        """The guest's disk as an image of the project's own."""
        body = {'name': PREFIX + 'image', 'disk_format': 'raw', 'container_format': 'bare', **properties}
        id = self.owner.glance('POST', '/images', body)['id']
        with open(STATE / 'guest.raw', 'rb') as data:
            self.owner.conn.image.put(f'/images/{id}/file', data=data, headers={'Content-Type': 'application/octet-stream'})
        return id

    def server(self, volumes=0, flavor='tiny', image=None, volume_ids=None, wait_up=True, doomed=0):
        """A server with a system disk and data volumes, whose guest has been up long enough to have written to all of them."""
        # Of its volumes the first ones are `doomed`: Nova deletes them with the server.
        ids = [self.volume() for _ in range(volumes)] if volume_ids is None else volume_ids
        image = image or self.cloud.id_of('image', 'tick')
        mapping = [{'boot_index': 0, 'uuid': image, 'source_type': 'image', 'destination_type': 'local'}]
        if flavor == 'tiny-eph':
            mapping += [{'source_type': 'blank', 'destination_type': 'local', 'volume_size': 1, 'boot_index': -1},
                        {'source_type': 'blank', 'destination_type': 'local', 'volume_size': 1, 'boot_index': -1,
                         'guest_format': 'swap'}]
        mapping += [{'uuid': id, 'source_type': 'volume', 'destination_type': 'volume', 'boot_index': -1,
                     'delete_on_termination': place < doomed} for place, id in enumerate(ids)]
        body = {'name': PREFIX + 'server', 'flavorRef': self.cloud.id_of('flavor', flavor), 'imageRef': image, 'networks': 'none'}
        if flavor != 'tiny-eph':
            body['block_device_mapping_v2'] = mapping
        server = Server(self, self.owner.nova('POST', '/servers', {'server': body})['server']['id'])
        server.is_('ACTIVE')
        return server.came_up() if wait_up else server

    def quota(self, **limits):
        """Sets Cinder's limits as an operator would."""
        self.cloud.admin.cinder('PUT', f'/os-quota-sets/{self.id}', {'quota_set': limits})

    def usage(self):
        """{resource: (in use, reserved)}"""
        quota = self.cloud.admin.cinder('GET', f'/os-quota-sets/{self.id}?usage=true')['quota_set']
        return {name: (quota[name]['in_use'], quota[name]['reserved']) for name in ('volumes', 'snapshots', 'gigabytes')}

    def volumes(self):
        found = self.cloud.admin.cinder('GET', f'/volumes/detail?all_tenants=1&project_id={self.id}')['volumes']
        return {volume['id']: volume for volume in found}

    def snapshots(self):
        found = self.cloud.admin.cinder('GET', f'/snapshots/detail?all_tenants=1&project_id={self.id}')['snapshots']
        return {snapshot['id']: snapshot for snapshot in found}


class Server:
    def __init__(self, project, id):
        self.project, self.id = project, id
        self.admin = project.cloud.admin
        self.lasting = False  # whether other tests than the one that made it use it too
        project.cloud.servers.append(self)
        with open(LEDGER, 'a') as ledger:
            ledger.write(id + '\n')

    def delete(self):
        """Returns how long Nova took, in seconds."""
        begun = time.monotonic()
        self.project.owner.nova('DELETE', f'/servers/{self.id}')
        wait(f'server {self.id} to be gone', self.is_gone, every=0.05)
        return time.monotonic() - begun

    def is_gone(self):
        try:
            return self.look()['status'] == 'DELETED'
        except Refused as refused:
            return refused.status == 404

    def rebuild(self):
        """From its own image, waiting until Nova has done so; returns how long that took, in seconds."""
        begun = time.monotonic()
        self.act('rebuild', {'imageRef': self.look()['image']['id']})
        self.is_('ACTIVE', 'SHUTOFF')
        return time.monotonic() - begun

    def look(self):
        return self.admin.nova('GET', f'/servers/{self.id}')['server']

    def status(self):
        """The state, with what Nova is doing about it, if anything: 'ACTIVE', 'ACTIVE powering-off'."""
        now = self.look()
        return ' '.join(filter(None, [now['status'], now['OS-EXT-STS:task_state']]))

    def is_(self, *statuses, patience=PATIENCE_S):
        def look():
            now = self.status()
            assert 'ERROR' in statuses or not now.startswith('ERROR'), f'server {self.id} is in ERROR: {self.look().get("fault")}'
            return now if now in statuses else None
        return wait(f'server {self.id} to become {" or ".join(statuses)} (it is {self.status()})', look, patience)

    def act(self, name, arguments=None, who=None):
        return (who or self.project.owner).nova('POST', f'/servers/{self.id}/action', {name: arguments})

    def stop(self):
        self.act('os-stop')
        self.is_('SHUTOFF')

    def start(self):
        self.act('os-start')
        self.is_('ACTIVE')
        return self.came_up()

    def came_up(self):
        """Waits until the guest of a server that Nova has just started is up, and ticks."""
        from proof import boot
        begin, was_reset = time.monotonic(), False

        def is_up():
            nonlocal was_reset
            if not self.has_console():
                return False
            if not was_reset and time.monotonic() - begin > FIRMWARE_S and not self.console().strip():
                was_reset = True
                self.reset_machine()
            return boot(self) is not None

        wait(f'the guest of {self.id} to come up', is_up, every=0.5)
        return self.ticking()

    def reset_machine(self):
        """The test bed's own fault: about one emulated machine in 500 stops at its first read, before its boot loader has said a
        word and with nothing of ours near it. It is told, with what the machine was about, and gets its reset button pressed."""
        for what, *how in ('qemu-monitor-command', '--hmp', 'info registers'), ('domstats', '--block', '--vcpu'), ('reset',):
            command = ['virsh', '-q', '-c', 'qemu:///system', what, self.id, *how]
            told = subprocess.run(command, capture_output=True, text=True, timeout=60)
            print(f'{self.id} never left its firmware; {what}: {told.stdout[:1500]}{told.stderr}', flush=True)

    def has_console(self):
        try:
            return self.console() is not None
        except Refused:
            return False

    def ticking(self, rounds=2):
        """Waits until the guest has written to all disks, some rounds from now on."""
        from proof import disks, trail
        specs = disks(self)
        first = [trail(spec).counter or 0 for spec in specs]

        def written():
            now = [trail(spec) for spec in specs]
            return all((one.counter or 0) >= old + rounds and one.phase == 'run' for one, old in zip(now, first))
        wait(f'the guest of {self.id} to write to its {len(first)} disks', written)
        return self

    def attachments(self):
        """Volume ids in Nova's order."""
        found = self.admin.nova('GET', f'/servers/{self.id}/os-volume_attachments')['volumeAttachments']
        return [attachment['volumeId'] for attachment in found]

    def attach(self, volume):
        self.project.owner.nova('POST', f'/servers/{self.id}/os-volume_attachments', {'volumeAttachment': {'volumeId': volume}})
        self.project.volume_is(volume, 'in-use')
        self.is_('ACTIVE', 'SHUTOFF')

    def detach(self, volume):
        self.project.owner.nova('DELETE', f'/servers/{self.id}/os-volume_attachments/{volume}')
        self.project.volume_is(volume, 'available')

    def console(self):
        return self.act('os-getConsoleOutput', {}, self.admin)['output']
