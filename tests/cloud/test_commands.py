"""Every command as a tenant types it, against a real Ratoon, with Debian's openstackclient and with the newest. What was printed is
kept in commands.txt; RATOON_KEEP=1 writes it anew, to be read."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import tomllib

import pytest

from cloud import AUTH_URL, ROOT
from conftest import sample
from proof import boot, captured
from service import Process

KEPT = pathlib.Path(__file__).parent / 'commands.txt'
PROJECT = tomllib.loads((ROOT / 'client' / 'pyproject.toml').read_text())
COMMANDS = sorted(name.removeprefix('server_snapshot_').replace('_', ' ')
                  for name in PROJECT['project']['entry-points']['openstack.server_snapshot.v1'])


@pytest.fixture(scope='module', params=sample(['debian', 'newest'], 1))
def openstack(request):
    """The command, of one version or the other."""
    if request.param == 'debian':
        return '/usr/bin/openstack'
    newest = subprocess.run([ROOT / 'client' / 'newest'], check=True, stdout=subprocess.PIPE, text=True)
    return newest.stdout.strip() + '/openstack'


@pytest.fixture
def service(directory):
    """A Ratoon whose engine can be stopped."""
    process = Process(directory / 'commanded', listens='false').start()
    yield process
    process.stop()


class Terminal:
    """Where somebody types, and what stands there afterwards."""

    def __init__(self, openstack, directory, service, person):
        self.openstack, self.kept = openstack, []
        made = subprocess.run([ROOT / 'devstack' / 'ratoon', 'client', directory / 'commands'], check=True, capture_output=True, text=True)
        auth = {'auth_url': AUTH_URL, 'username': person.user, 'project_name': person.project, 'user_domain_name': 'Default',
                'password': person.password, 'project_domain_name': 'Default'}
        clouds = directory / 'clouds.json'
        clouds.write_text(json.dumps({'clouds': {'test': {
            'auth': auth, 'region_name': 'RegionOne', 'server_snapshot_endpoint_override': service.url}}}))
        self.environment = {'PATH': os.environ['PATH'], 'HOME': str(directory), 'PYTHONPATH': made.stdout.strip(), 'OS_CLOUD': 'test',
                            'OS_CLIENT_CONFIG_FILE': str(clouds), 'no_proxy': '127.0.0.1,localhost', 'PYTHONWARNINGS': 'ignore'}

    def run(self, *words, ends=0):
        done = subprocess.run([self.openstack, *words], env=self.environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout if ends == 0 else PROGRESS.sub('', done.stderr)

    def type(self, *words, ends=0):
        """`openstack server snapshot …`, which is kept."""
        printed = self.run('server', 'snapshot', *words, ends=ends)
        self.kept += [shlex.join(['$ openstack', 'server', 'snapshot', *words]).replace("'$ openstack'", '$ openstack'), printed.rstrip(), '']
        return printed


HEX = '0123456789abcdef'
PROGRESS = re.compile(r'^\w+: .*\(\d+/\d+\)\n', re.M)  # which of its steps are seen depends on how fast it goes


def alike(text):
    """What differs from run to run is made the same, in the same width where it stands in a table."""
    for shape in (r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', r'\b[0-9a-f]{32}\b', r'\([0-9a-f]{4}(?=[…~])'):
        text = re.sub(shape, lambda found: re.sub(f'[{HEX}]', 'x', found[0]), text)
    text = re.sub(r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?', lambda found: re.sub(r'\d', '0', found[0]), text)
    text = re.sub(r'(generation +)\d+|(about )[\d.]+ \w+', lambda found: (found[1] or found[2]) + '…', text)
    return '\n'.join(line.rstrip() for line in text.splitlines()) + '\n'


@pytest.mark.long
def test_every_command_does_and_says_what_is_kept(openstack, service, directory, cloud):
    project = cloud.project()
    server, client = project.server(), service.client(project.owner)
    terminal = Terminal(openstack, directory, service, project.owner)
    type = terminal.type
    type('create', '--dry-run', server.id)
    type('create', '--name', 'fresh', '--consistency', 'crash', '--pause-limit', '20000', '--wait', '-c', 'name', '-c', 'status', '-c', 'branch', server.id)
    held = captured(server)
    server.ticking()
    type('restore', '--dry-run', 'fresh')
    type('restore', '--wait', '--yes', '-c', 'name', '-c', 'status', 'fresh')
    server.came_up()
    assert [seen.trail for seen in boot(server)] == held
    type('create', '--name', 'reworked', '--consistency', 'none', '--description', 'after the way back', '--wait', '-f', 'json', '-c', 'name', '-c', 'description', server.id)
    type('tree', '--no-color', server.id)
    type('tree', '--ascii', '--no-color', server.id)
    type('list', '--server', server.id)
    type('set', '--name', 'kept', '--protected', '--protected-reason', 'audit', 'reworked')
    type('show', '-c', 'name', '-c', 'protection', '-c', 'consistency', '-c', 'disks', 'kept')
    type('delete', 'kept', ends=1)
    type('unset', '--protected', '--description', 'kept')
    type('branch', 'list', server.id)
    type('branch', 'set', '--name', 'rework', server.id, 'branch-2')
    type('branch', 'show', server.id, 'rework')
    type('branch', 'restore', '--wait', '--yes', '-c', 'name', server.id, 'main')
    server.came_up()
    type('branch', 'delete', '--dry-run', server.id, 'rework')
    type('branch', 'delete', '--wait', server.id, 'rework')

    service.stop()
    service.start(role='api')  # so that it is still waiting when it is cancelled
    type('restore', '--yes', '-c', 'name', 'fresh')
    going = client.server(server)['operation_id']
    type('operation', 'cancel', '-c', 'kind', '-c', 'cancel_requested', going)
    service.stop()
    service.start()
    type('operation', 'wait', going, ends=1)
    type('operation', 'show', '-c', 'kind', '-c', 'status', going)
    type('operation', 'list', '-c', 'Kind', '-c', 'Status')
    type('delete', '--dry-run', 'fresh')
    type('delete', '--all', '--server', server.id, '--wait', '--yes')
    type('list')
    type('show', 'fresh', ends=1)
    server.stop()

    typed = ' '.join(line for line in terminal.kept if line.startswith('$'))
    assert [name for name in COMMANDS if f' snapshot {name} ' not in f'{typed} '] == [], 'each command is in the story'
    found = alike('\n'.join(terminal.kept))
    if os.environ.get('RATOON_KEEP'):
        KEPT.write_text(found)
    assert found == KEPT.read_text()


def test_the_shell_completes_all_commands(openstack, service, directory, cloud):
    offered = Terminal(openstack, directory, service, cloud.admin).run('complete')
    for name in COMMANDS:
        group, _, last = f'server snapshot {name}'.rpartition(' ')
        [words] = re.findall(rf"^ *cmds_{group.replace(' ', '_')}='([^']*)'", offered, re.M)
        assert last in words.split(), f'{group} offers {words}'
