"""A Ratoon of the tests' own: its process, configuration and database, on a port that the catalog does not know."""
import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import requests

import cloud as cloud_module
import database
from cloud import AUTH_URL, STATE, WORKER, wait

BINARY = os.environ.get('RATOON_BINARY', str(cloud_module.ROOT / 'target' / 'debug' / 'ratoon'))
OPERATION_PATIENCE_S = 300
CONF = """
[DEFAULT]
log_file = {dir}/ratoon.log
host = {host}
debug = false
transport_url = rabbit://openstack:{password}@127.0.0.1:5672/
[events]
enabled = {listens}
queue_name = ratoon-test-{queue}
capture = {capture}
[api]
bind_port = {port}
[database]
connection = {database}
[keystone_authtoken]
auth_url = {auth_url}
username = ratoon
password = {password}
region_name = RegionOne
token_cache_time = 60
http_request_timeout = {http_timeout}
[engine]
poll_seconds = 0.2
heartbeat_seconds = 0.3
lease_seconds = 1
step_backoff_seconds = 0.3
[capture]
nodes_per_server = {nodes}
[rbd]
ceph_conf = {state}/ceph/ceph.conf
user = ratoon
timeout = {rbd_timeout}
[guard]
keep_deleted_seconds = {keep_deleted}
[sweep]
interval_seconds = {sweep}
"""


def bare_environment():
    """What a Ratoon would not read its settings from."""
    return {name: value for name, value in os.environ.items() if not name.startswith(('OS_', 'RATOON_'))}


class Process:
    """Ratoon's process, which a test may kill and start again over the same database."""

    def __init__(self, dir, **settings):
        self.dir, self.process = dir, None
        dir.mkdir(parents=True, exist_ok=True)
        self.binary = dir / 'ratoon'
        shutil.copy(BINARY, self.binary)  # a rebuild must not disturb the run
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        self.url = f'http://127.0.0.1:{self.port}'
        self.conf = dir / 'ratoon.conf'
        self.configure(**settings)
        self.run('manage', 'db', 'upgrade')

    def configure(self, **settings):
        """Writes its configuration; it holds from the next start on."""
        settings = {'http_timeout': 30, 'rbd_timeout': 15, 'nodes': 64, 'sweep': 15, 'keep_deleted': 604800, 'listens': 'true',
                    'capture': 'off', 'host': self.dir.name, 'queue': f'{self.dir.name}{WORKER}',
                    'database': f'sqlite://{self.dir}/ratoon.sqlite', **settings}
        self.database = settings['database']
        self.conf.write_text(CONF.format(dir=self.dir, port=self.port, auth_url=AUTH_URL, state=STATE,
                                         password=(STATE / 'password').read_text().strip(), **settings))
        self.conf.chmod(0o600)

    def run(self, *arguments):
        with open(self.dir / 'ratoon.out', 'ab') as out:
            subprocess.run([self.binary, '--config-file', self.conf, *arguments], check=True, stdout=out, stderr=out)

    def register(self):
        """In the catalog, with an administrator's credentials, which the service never has."""
        admin = {'OS_AUTH_URL': AUTH_URL, 'OS_USERNAME': 'admin', 'OS_PASSWORD': (STATE / 'password').read_text().strip(),
                 'OS_PROJECT_NAME': 'admin', 'OS_USER_DOMAIN_NAME': 'Default', 'OS_PROJECT_DOMAIN_NAME': 'Default'}
        with open(self.dir / 'ratoon.out', 'ab') as out:
            subprocess.run([self.binary, '--config-file', self.conf, 'manage', 'service', 'register', '--public-url', self.url], check=True,
                           env={**bare_environment(), **admin}, stdout=out, stderr=out)

    def start(self, failpoint=None, role='all', wait_for_answer=True):
        assert not self.alive(), 'it runs already'
        environment = bare_environment()
        if failpoint:
            environment['RATOON_FAILPOINT'] = failpoint
        with open(self.dir / 'ratoon.out', 'ab') as out:
            self.process = subprocess.Popen([self.binary, '--config-file', self.conf, role], env=environment, stdout=out,
                                            stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
        if wait_for_answer:
            wait('Ratoon to answer', self.answers, 60, 0.05)
        return self

    def answers(self):
        assert self.alive(), f'Ratoon has ended with {self.process.returncode}: {self.tail()}'
        with contextlib.suppress(requests.RequestException):
            return requests.get(self.url + '/healthcheck', timeout=5).ok

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9: nothing is flushed, nothing is cleaned up."""
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def died(self, patience=OPERATION_PATIENCE_S):
        """Whether it ended by itself: a failpoint aborts it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        return not self.alive()

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        self.must_have_kept_its_secrets()

    def must_have_kept_its_secrets(self):
        said = ''.join(file.read_text(errors='replace') for file in self.dir.glob('ratoon.[lo][ou][gt]'))
        password = (STATE / 'password').read_text().strip()
        assert 'gAAAAA' not in said and f':{password}@' not in said, f'a token or a password is in the logs in {self.dir}'

    def tail(self, lines=30):
        log = self.dir / 'ratoon.log'
        return '\n'.join((log.read_text(errors='replace') if log.exists() else '').splitlines()[-lines:])

    def rows(self, sql, *values):
        """Reads the database, as it stands on the disk."""
        if self.database.startswith('mysql:'):
            return database.rows(self.database, sql.replace('?', '%s'), values)
        with contextlib.closing(sqlite3.connect(f'file:{self.dir}/ratoon.sqlite?mode=ro', uri=True, timeout=10)) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(sql, values)]

    def client(self, person):
        return Client(self, person)


class Failed(AssertionError):
    """An operation did not succeed."""

    def __init__(self, operation):
        self.operation = operation
        super().__init__(f'{operation["kind"]} {operation["status"]}: {operation["error"]}')


class Client:
    """A person who talks to a Ratoon."""

    def __init__(self, service, person, token=None):
        self.service, self.person, self.fixed_token = service, person, token

    def send(self, method, path, body=None, token=None, headers=None):
        return requests.request(method, self.service.url + path, json=body, timeout=120, headers={
            'X-Auth-Token': token or self.fixed_token or self.person.token, **(headers or {})})

    def ask(self, method, path, body=None):
        response = self.send(method, path, body)
        if response.status_code >= 400:
            raise cloud_module.Refused(response)
        return response.json()

    def begin(self, method, path, body=None):
        """Asks for an act; again, if what stood in its way was something that nobody had asked for."""
        while True:
            try:
                return self.ask(method, path, body)
            except cloud_module.Refused as refused:
                found = re.search(r'Operation (\S{36}) is under way', refused.text)
                mine = self.service.rows("SELECT 1 FROM operations WHERE id = ? AND user_id <> ''", found[1]) if found else True
                if mine:
                    raise
            self.finished(found[1])

    def begin_capture(self, server, name, **wanted):
        body = {'snapshot': {'server_id': server.id, 'name': name, **wanted}}
        return self.begin('POST', '/v1/snapshots', body)['snapshot']

    def capture(self, server, name, **wanted):
        snapshot = self.begin_capture(server, name, **wanted)
        self.succeeded(snapshot['operation_id'])
        return self.ask('GET', f'/v1/snapshots/{snapshot["id"]}')['snapshot']

    def begin_restore(self, snapshot, **wanted):
        return self.begin('POST', f'/v1/snapshots/{snapshot["id"]}/restore', {'restore': wanted})['snapshot']['operation_id']

    def restore(self, snapshot, **wanted):
        return self.succeeded(self.begin_restore(snapshot, **wanted))

    def restore_branch(self, server, name):
        branch = next(branch for branch in self.tree(server)['branches'] if branch['name'] == name)
        answer = self.begin('POST', f'/v1/branches/{branch["id"]}/restore', {'restore': {}})
        return self.succeeded(answer['branch']['operation_id'])

    def begin_delete(self, snapshot, **query):
        query = '&'.join(f'{key}={value}' for key, value in query.items())
        return self.begin('DELETE', f'/v1/snapshots/{snapshot["id"]}?{query}')['snapshot']['operation_id']

    def delete(self, snapshot, **query):
        return self.succeeded(self.begin_delete(snapshot, **query))

    def delete_branch(self, server, name):
        branch = next(branch for branch in self.tree(server)['branches'] if branch['name'] == name)
        return self.succeeded(self.begin('DELETE', f'/v1/branches/{branch["id"]}')['branch']['operation_id'])

    def delete_tree(self, server):
        return self.succeeded(self.begin('DELETE', f'/v1/servers/{server.id}/tree')['tree']['operation_id'])

    def plan_restore(self, snapshot, **wanted):
        return self.ask('POST', f'/v1/snapshots/{snapshot["id"]}/restore', {'restore': wanted, 'dry_run': True})['plan']

    def server(self, server):
        return self.ask('GET', f'/v1/servers/{server.id}')['server']

    def tree(self, server):
        return self.ask('GET', f'/v1/servers/{server.id}/tree')['tree']

    def operation(self, id):
        return self.ask('GET', f'/v1/operations/{id}')['operation']

    def finished(self, id, patience=OPERATION_PATIENCE_S):
        def look():
            operation = self.operation(id)
            return operation if operation['status'] in ('succeeded', 'failed', 'cancelled') else None
        try:
            return wait(f'operation {id} to end', look, patience)
        except AssertionError as error:
            raise AssertionError(f'{error}\n{self.operation(id)}\n{self.service.tail()}') from None

    def succeeded(self, id, patience=OPERATION_PATIENCE_S):
        operation = self.finished(id, patience)
        if operation['status'] != 'succeeded':
            raise Failed(operation)
        return operation


def seconds_between(events, first, last):
    """Between two events of an operation: ('quiet', 'done') and ('start', 'started')."""
    import datetime
    at = {(event['step'], event['event']): datetime.datetime.fromisoformat(event['at'].replace('Z', '+00:00')) for event in events}
    return (at[last] - at[first]).total_seconds()


def now():
    return time.monotonic()
