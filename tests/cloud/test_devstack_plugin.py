"""The DevStack plugin on a real cloud. Packages, pip and systemd are left out: all else that it asks for is done."""
import json
import os
import shutil
import socket
import subprocess
import sys
import types

import amqp
import pymysql
import pytest
import requests

from cloud import PREFIX, ROOT, STATE
from proof import cluster
from service import BINARY, Client, bare_environment

sys.path.insert(0, str(ROOT / 'tests' / 'devstack'))
from stack import COMMANDS, STACK, Stack  # noqa: E402

pytestmark = pytest.mark.alone  # it has Ratoon's own entry in the catalog, and its queue
DOMAIN = PREFIX + 'devstack'  # of the service user: the cloud's own Ratoon user stays as it is
CEPH_USER = PREFIX + 'devstack'
# The cloud's RabbitMQ is not the system's.
RABBITMQCTL = f'HOME={STATE}/rabbit RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_CONF_ENV_FILE=/dev/null exec /usr/lib/rabbitmq/bin/rabbitmqctl "$@"'


@pytest.fixture
def password():
    return (STATE / 'password').read_text().strip()


@pytest.fixture
def database(password):
    with pymysql.connect(host='127.0.0.1', user='openstack', password=password, autocommit=True) as connection:
        yield connection.cursor()
        connection.cursor().execute('DROP DATABASE IF EXISTS ratoon')


@pytest.fixture
def domain(cloud):
    """The domain and the project of the service user."""
    ask = cloud.admin.keystone

    def remove():
        for found in ask('GET', f'/domains?name={DOMAIN}')['domains']:
            ask('PATCH', f'/domains/{found["id"]}', {'domain': {'enabled': False}})
            ask('DELETE', f'/domains/{found["id"]}')
    remove()
    made = ask('POST', '/domains', {'domain': {'name': DOMAIN}})['domain']['id']
    ask('POST', '/projects', {'project': {'name': 'service', 'domain_id': made}})
    yield made
    remove()


@pytest.fixture
def ceph_user():
    def ask(prefix):
        return cluster().mon_command(json.dumps({'prefix': prefix, 'entity': f'client.{CEPH_USER}', 'format': 'json'}), b'')
    yield lambda: json.loads(ask('auth get')[1])[0]['caps']
    ask('auth rm')
    (STATE / 'ceph' / f'ceph.client.{CEPH_USER}.keyring').unlink(missing_ok=True)


@pytest.fixture
def stack(tmp_path, domain, catalog, ceph_user, database, password):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    real = {name: COMMANDS[name] for name in ('sudo', 'apt-get', 'python3', 'systemctl')}
    stack = Stack(tmp_path / 'stack', {**real, 'rabbitmqctl': RABBITMQCTL}, **{
        'RATOON_BINARY': str(tmp_path / 'ratoon'), 'RATOON_SERVICE_PORT': str(port), 'RATOON_CEPH_USER': CEPH_USER,
        'CEPH_CONF_FILE': f'{STATE}/ceph/ceph.conf', 'SERVICE_HOST': '127.0.0.1', 'SERVICE_LISTEN_ADDRESS': '127.0.0.1',
        'KEYSTONE_SERVICE_URI': 'http://127.0.0.1:5000', 'KEYSTONE_URL': 'http://127.0.0.1:5000', 'SERVICE_DOMAIN_NAME': DOMAIN,
        'DATABASE_USER': 'openstack', 'RABBIT_USERID': 'openstack', 'RABBIT_HOST': '127.0.0.1', 'no_proxy': '127.0.0.1,localhost',
        **dict.fromkeys(('DATABASE_PASSWORD', 'RABBIT_PASSWORD', 'ADMIN_PASSWORD'), password)})
    shutil.copy(BINARY, tmp_path / 'ratoon')  # a rebuild must not disturb the run
    admin = {'region_name': 'RegionOne', 'auth': {
        'auth_url': 'http://127.0.0.1:5000/v3', 'username': 'admin', 'password': password, 'project_name': 'admin',
        'user_domain_name': 'Default', 'project_domain_name': 'Default'}}
    clouds = tmp_path / 'clouds.json'
    clouds.write_text(json.dumps({'clouds': {'devstack-admin': admin, 'devstack-system-admin': admin}}))
    made = subprocess.run([ROOT / 'devstack' / 'ratoon', 'client', tmp_path / 'client'], env=bare_environment(), check=True,
                          capture_output=True, text=True)
    stack.variables.update(OS_CLIENT_CONFIG_FILE=str(clouds), PYTHONPATH=made.stdout.strip())
    yield stack
    stack.end()


def roles(cloud, domain):
    ask = cloud.admin.keystone
    [user] = ask('GET', f'/users?name=ratoon&domain_id={domain}')['users']
    found = ask('GET', f'/role_assignments?user.id={user["id"]}&include_names=true')['role_assignments']
    return sorted((one['role']['name'], *(place.get('name', 'all') for place in one['scope'].values() if isinstance(place, dict)),
                   one['scope'].get('OS-INHERIT:inherited_to', 'here')) for one in found)


def has_queue(password):
    with amqp.Connection('127.0.0.1:5672', 'openstack', password) as connection:
        try:
            return bool(connection.channel().queue_declare('ratoon.notifications', passive=True))
        except amqp.exceptions.NotFound:
            return False


def test_phase_by_phase_from_nothing_to_a_captured_server_and_back(stack, cloud, domain, catalog, ceph_user, database, password):
    stack.run('stack pre-install', 'stack install')
    stack.run('stack post-config')
    stack.run('stack post-config')  # what is there already is no obstacle
    assert roles(cloud, domain) == [('admin', 'service', 'here'), ('member', 'Default', 'projects'), ('service', 'service', 'here')]
    url = f'http://127.0.0.1:{stack.variables["RATOON_SERVICE_PORT"]}'
    assert catalog() == dict.fromkeys(('public', 'internal', 'admin'), url)
    assert ceph_user() == {'mon': 'profile rbd', **dict.fromkeys(('osd', 'mgr'), 'profile rbd pool=vms, profile rbd pool=images')}
    database.execute('SELECT COUNT(*) FROM ratoon.snapshots')
    assert database.fetchone() == (0,)

    stack.run(*STACK[3:])
    assert sorted(stack.running()) == ['ratoon-api', 'ratoon-engine']
    assert requests.get(f'{url}/healthcheck', timeout=10).ok and has_queue(password)
    api = types.SimpleNamespace(url=url, tail=lambda: '\n'.join(log.read_text() for log in stack.state.glob('devstack@*.log')))
    server = cloud.project().server(volumes=1)
    owner = Client(api, server.project.owner)
    snapshot = owner.capture(server, 'on DevStack')
    database.execute('SELECT name FROM ratoon.snapshots')
    assert database.fetchall() == (('on DevStack',),)
    owner.delete(snapshot)

    stack.run('unstack')
    assert stack.running() == {} and not has_queue(password)
    with pytest.raises(requests.ConnectionError):
        requests.get(f'{url}/healthcheck', timeout=10)
    stack.run('clean')
    assert not stack.conf.parent.exists() and not os.path.exists(f'{STATE}/ceph/ceph.client.{CEPH_USER}.keyring')
