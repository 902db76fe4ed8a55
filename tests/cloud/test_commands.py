"""The commands as a tenant types them, against a real Ratoon: what the demo shows, in short."""
import json
import os
import subprocess

import pytest

from cloud import AUTH_URL, ROOT, STATE
from proof import boot, captured


@pytest.fixture
def type_in(service, directory):
    """Runs `openstack` for a person; what it printed on its standard output."""
    made = subprocess.run([ROOT / 'devstack' / 'ratoon', 'client', directory / 'commands'], check=True, capture_output=True, text=True)

    def run(person, *words):
        auth = {'auth_url': AUTH_URL, 'username': person.user, 'project_name': person.project, 'user_domain_name': 'Default',
                'password': person.password or (STATE / 'password').read_text().strip(), 'project_domain_name': 'Default'}
        clouds = directory / 'clouds.json'
        clouds.write_text(json.dumps({'clouds': {'test': {
            'auth': auth, 'region_name': 'RegionOne', 'server_snapshot_endpoint_override': service.url}}}))
        environment = {'PATH': os.environ['PATH'], 'HOME': str(directory), 'PYTHONPATH': made.stdout.strip(), 'OS_CLOUD': 'test',
                       'OS_CLIENT_CONFIG_FILE': str(clouds), 'no_proxy': '127.0.0.1,localhost'}
        done = subprocess.run(['openstack', 'server', 'snapshot', *words], env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    return run


def test_a_tenant_captures_goes_back_branches_and_deletes(type_in, cloud):
    project = cloud.project()
    server, owner = project.server(), project.owner
    fresh = json.loads(type_in(owner, 'create', '--name', 'fresh', '--wait', '-f', 'json', server.id))
    assert (fresh['name'], fresh['status'], fresh['branch']) == ('fresh', 'available', 'main')
    held = captured(server)
    server.ticking()
    assert 'is stopped meanwhile' in type_in(owner, 'restore', '--dry-run', 'fresh')
    type_in(owner, 'restore', '--wait', '--yes', 'fresh')
    server.came_up()
    assert [seen.trail for seen in boot(server)] == held
    type_in(owner, 'create', '--name', 'reworked', '--description', 'after the way back', '--wait', server.id)
    tree = type_in(owner, 'tree', server.id)
    assert all(word in tree for word in ('fresh', 'reworked', 'branch-2', 'You are here')), tree
    branches = json.loads(type_in(owner, 'branch', 'list', '-f', 'json', server.id))
    assert sorted(one['Name'] for one in branches) == ['branch-2', 'main']
    assert '"fresh"' in type_in(owner, 'delete', '--dry-run', 'fresh')
    type_in(owner, 'delete', '--wait', 'reworked')
    names = {one['Name'] for one in json.loads(type_in(owner, 'list', '-f', 'json'))}
    assert 'fresh' in names and 'reworked' not in names
    kinds = [one['Kind'] for one in json.loads(type_in(owner, 'operation', 'list', '-f', 'json'))]
    assert sorted(kinds) == ['snapshot_create', 'snapshot_create', 'snapshot_delete', 'snapshot_restore']
    server.stop()
