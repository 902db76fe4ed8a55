"""Refusals: each has its status and a message that says what to do, and everything is as it was."""
import uuid

import pytest

import orphans
from cloud import Refused, wait


class Untouched:
    """Everything that could have been changed: servers, volumes, snapshots, usage, pools, rows."""

    def __init__(self, service, server, own):
        self.service, self.server, self.own = service, server, own

    def picture(self):
        found = orphans.Storage(self.server.project, [self.server])
        now = self.server.look()
        rows = [self.service.rows(f'SELECT * FROM {table} WHERE server_id = ?', self.server.id)
                for table in ('branches', 'snapshots', 'layers', 'disk_snapshots')]
        operations = self.service.rows('SELECT count(*) AS number FROM operations WHERE server_id = ?', self.server.id)
        return {'images': found.images, 'trash': found.trash, 'volumes': {id: one['status'] for id, one in found.volumes.items()},
                'snapshots': sorted(found.snapshots), 'usage': self.server.project.usage(), 'rows': rows, 'operations': operations,
                'server': {key: now[key] for key in ('status', 'locked', 'OS-EXT-STS:task_state', 'OS-EXT-STS:power_state')}}


@pytest.fixture(scope='module')
def lot(cloud, service):
    """A server with one node, its owner's client, and that node."""
    project = cloud.project()
    server = project.server(volumes=1)
    client = service.client(project.owner)
    node = client.capture(server, 'node')
    return server, client, node


@pytest.fixture
def untouched(service, lot):
    """Compares all before and after, whatever the test tries in between."""
    server, _, _ = lot
    watcher = Untouched(service, server, server.attachments())
    before = watcher.picture()
    yield watcher
    assert watcher.picture() == before


def refused(client, status, *words, method='POST', path='/v1/snapshots', body=None, **sending):
    """The service's answer is this status, in API-SIG's form and in openstacksdk's, and its message has these words."""
    response = client.send(method, path, body, **sending)
    assert response.status_code == status, response.text
    answer = response.json()
    error = answer['errors'][0]
    assert error['status'] == status and error['code'].startswith('server-snapshot.') and error['title']
    assert error['request_id'] == response.headers['x-openstack-request-id']
    assert answer['error']['code'] == status
    for word in words:
        assert word.lower() in answer['error']['message'].lower(), answer['error']['message']
    return answer


def capture_body(server, **wanted):
    return {'snapshot': {'server_id': server.id, 'name': 'no', **wanted}}


def restore_path(node):
    return f'/v1/snapshots/{node["id"]}/restore'


STATES = {'suspend': ('resume', 'SUSPENDED'), 'rescue': ('unrescue', 'RESCUE')}


@pytest.mark.parametrize('act', STATES)
def test_a_server_in_a_state_that_cannot_be_captured_or_restored_is_refused(service, lot, act):
    server, client, node = lot
    back, state = STATES[act]
    server.act(act)
    server.is_(state)
    watcher = Untouched(service, server, [])
    before = watcher.picture()
    refused(client, 409, state.split('_')[0], body=capture_body(server))
    refused(client, 409, state.split('_')[0], path=restore_path(node), body={'restore': {}})
    assert watcher.picture() == before
    server.act(back)
    server.is_('ACTIVE')


def test_a_shelved_server_is_refused(service, cloud):
    server = cloud.project().server()  # of its own: its disk does not come back from there
    client = service.client(server.project.owner)
    node = client.capture(server, 'node')
    server.act('shelve')
    server.is_('SHELVED_OFFLOADED')
    wait('the guard to have kept its disk', lambda: len(client.tree(server)['nodes']) == 2 and client.server(server)['operation_id'] is None)
    before = Untouched(service, server, []).picture()
    refused(client, 409, 'SHELVED', body=capture_body(server))
    refused(client, 409, 'SHELVED', path=restore_path(node), body={'restore': {}})
    assert Untouched(service, server, []).picture() == before


def test_a_paused_server_is_not_restored(service, lot):
    server, client, node = lot
    server.act('pause')
    server.is_('PAUSED')
    before = Untouched(service, server, []).picture()
    refused(client, 409, 'PAUSED', path=restore_path(node), body={'restore': {}})
    assert Untouched(service, server, []).picture() == before
    server.act('unpause')
    server.is_('ACTIVE')


def test_a_server_locked_by_its_owner_is_refused_and_stays_locked(service, lot):
    server, client, node = lot
    server.act('lock', {'locked_reason': 'mine'})
    before = Untouched(service, server, []).picture()
    refused(client, 409, 'locked', 'unlock', path=restore_path(node), body={'restore': {}})
    assert Untouched(service, server, []).picture() == before
    assert server.look()['locked_reason'] == 'mine'
    server.act('unlock')


def test_a_server_with_a_task_under_way_is_refused(lot):
    server, client, node = lot
    server.act('reboot', {'type': 'HARD'})
    assert server.status() != 'ACTIVE', 'the reboot is under way'
    refused(client, 409, 'reboot', path=restore_path(node), body={'restore': {}})
    server.is_('ACTIVE')
    server.came_up()


def test_a_volume_backed_server_is_refused(service, cloud):
    project = cloud.project()
    image = cloud.id_of('image', 'tick')
    body = {'name': 'ratoon-test-volume-backed', 'flavorRef': cloud.id_of('flavor', 'tiny'), 'networks': 'none',
            'block_device_mapping_v2': [{'boot_index': 0, 'uuid': image, 'source_type': 'image', 'destination_type': 'volume',
                                         'volume_size': 1, 'delete_on_termination': True}]}
    from cloud import Server
    server = Server(project, project.owner.nova('POST', '/servers', {'server': body})['server']['id'])
    server.is_('ACTIVE')
    refused(service.client(project.owner), 409, 'volume', body=capture_body(server))
    assert project.snapshots() == {}
    assert service.rows('SELECT * FROM operations WHERE server_id = ?', server.id) == []
    server.stop()


@pytest.mark.parametrize('limits', [{'snapshots': 1}, {'gigabytes': 2}, {'volumes': 1}], ids=str)
def test_a_restore_that_does_not_fit_into_the_quota_stops_nothing(lot, untouched, limits):
    server, client, node = lot
    name, limit = next(iter(limits.items()))
    server.project.quota(**limits)
    try:
        answer = refused(client, 403, name, 'quota', path=restore_path(node), body={'restore': {}})
        assert f'of {limit} in use' in answer['error']['message']
        assert 'Delete snapshots' in answer['error']['message'], 'the way out'
    finally:
        server.project.quota(snapshots=10, gigabytes=1000, volumes=10)


def test_a_capture_that_does_not_fit_into_the_quota_creates_nothing(lot, untouched):
    server, client, _ = lot
    server.project.quota(snapshots=1)
    try:
        refused(client, 403, 'snapshots', '1 of 1 in use', body=capture_body(server))
    finally:
        server.project.quota(snapshots=10)


BAD_BODIES = {
    'unknown field': ({'snapshot': {'colour': 'green'}}, 400, 'colour'),
    'unknown field beside': ({'snapshot': {}, 'dryrun': True}, 400, 'dryrun'),
    'wrong type of name': ({'snapshot': {'name': 7}}, 400, 'name'),
    'wrong type of pause_limit_ms': ({'snapshot': {'pause_limit_ms': 'long'}}, 400, 'pause_limit_ms'),
    'pause_limit_ms too long': ({'snapshot': {'pause_limit_ms': 10 ** 9}}, 400, 'pause_limit_ms'),
    'negative pause_limit_ms': ({'snapshot': {'pause_limit_ms': -1}}, 400, 'pause_limit_ms'),
    'over-long name': ({'snapshot': {'name': 'n' * 256}}, 400, 'name'),
    'empty name': ({'snapshot': {'name': ''}}, 400, 'name'),
    'unknown level': ({'snapshot': {'consistency': 'perfect'}}, 400, 'consistency'),
    'no such disk': ({'snapshot': {'exclude_disks': ['/dev/vdz']}}, 400, 'vdz'),
    'bad server id': ({'snapshot': {'server_id': 'not-an-id'}}, 400, 'server_id'),
    'missing server': ({'snapshot': {'server_id': str(uuid.uuid4())}}, 400, 'could not be found'),  # API-SIG: named in the body
    'no snapshot': ({}, 400, 'snapshot'),
    'old tree': ({'snapshot': {}, 'tree_generation': 0}, 409, 'tree'),
}


@pytest.mark.parametrize('what', BAD_BODIES)
def test_a_bad_capture_is_refused(lot, untouched, what):
    server, client, _ = lot
    body, status, word = BAD_BODIES[what]
    if 'snapshot' in body:
        body = {**body, 'snapshot': {**capture_body(server)['snapshot'], **body['snapshot']}}
    refused(client, status, word, body=body)


BAD_RESTORES = {
    'unknown field': ({'restore': {'quickly': True}}, 400, 'quickly'),
    'no such disk': ({'restore': {'disks': ['/dev/vdz']}}, 400, 'vdz'),
    'no disks': ({'restore': {'disks': []}}, 400, 'disk'),
    'branch of a part': ({'restore': {'disks': ['/dev/vdb'], 'branch_name': 'x'}}, 400, 'branch'),
    'branch that exists': ({'restore': {'branch_name': 'main'}}, 409, 'main'),
    'over-long branch': ({'restore': {'branch_name': 'b' * 256}}, 400, 'branch_name'),
    'wrong type': ({'restore': {'safety_snapshot': 'yes'}}, 400, 'safety_snapshot'),
    'old tree': ({'restore': {}, 'tree_generation': 0}, 409, 'tree'),
}


@pytest.mark.parametrize('what', BAD_RESTORES)
def test_a_bad_restore_is_refused(lot, untouched, what):
    _, client, node = lot
    body, status, word = BAD_RESTORES[what]
    refused(client, status, word, path=restore_path(node), body=body)


@pytest.mark.parametrize('path', ['/v1/snapshots/{}', '/v1/operations/{}', '/v1/branches/{}', '/v1/servers/{}/tree'])
def test_ids_that_are_none_or_nobodys_are_told_apart(lot, path):
    _, client, _ = lot
    refused(client, 404, method='GET', path=path.format(uuid.uuid4()))
    assert client.send('GET', path.format('not-an-id')).status_code in (400, 404)


def test_another_projects_things_are_missing_in_the_same_words(cloud, service, lot, untouched):
    server, client, node = lot
    stranger = service.client(cloud.project().owner)
    operation = node['operation_id'] or service.rows('SELECT id FROM operations WHERE server_id = ?', server.id)[0]['id']
    for method, path, body in (('GET', '/v1/servers/{}/tree', None), ('GET', '/v1/snapshots/{}', None), ('GET', '/v1/operations/{}', None),
                               ('PATCH', '/v1/snapshots/{}', {'snapshot': {'name': 'mine'}}),
                               ('POST', '/v1/snapshots/{}/restore', {'restore': {}}), ('POST', '/v1/operations/{}/cancel', None)):
        theirs = server.id if 'servers' in path else operation if 'operations' in path else node['id']
        nobodys = str(uuid.uuid4())
        foreign = refused(stranger, 404, method=method, path=path.format(theirs), body=body)['error']['message']
        missing = refused(stranger, 404, method=method, path=path.format(nobodys), body=body)['error']['message']
        assert foreign.replace(theirs, '') == missing.replace(nobodys, '')
    nobodys = str(uuid.uuid4())
    theirs = refused(stranger, 400, body=capture_body(server))['error']['message']
    missing = refused(stranger, 400, body={'snapshot': {'server_id': nobodys, 'name': 'no'}})['error']['message']
    assert theirs.replace(server.id, '') == missing.replace(nobodys, '')
    assert stranger.ask('GET', '/v1/snapshots')['snapshots'] == []


def test_a_reader_reads_and_changes_nothing(cloud, service, lot, untouched):
    server, _, node = lot
    reader = service.client(cloud.person(server.project.name, server.project.id, ('reader',)))
    assert reader.tree(server)['nodes'][0]['id'] == node['id']
    refused(reader, 403, body=capture_body(server))
    refused(reader, 403, path=restore_path(node), body={'restore': {}})
    refused(reader, 403, method='PATCH', path=f'/v1/snapshots/{node["id"]}', body={'snapshot': {'name': 'x'}})


def test_without_a_valid_token_nothing_is_told(cloud, service, lot, untouched):
    server, client, node = lot
    for token in ('garbage', 'gAAAAABm' + 'x' * 180):
        response = client.send('GET', f'/v1/snapshots/{node["id"]}', token=token)
        assert response.status_code == 401 and 'Keystone' in response.headers['www-authenticate']
        assert node['name'] not in response.text
    import requests
    assert requests.get(f'{service.url}/v1/snapshots', timeout=30).status_code == 401
    gone = cloud.person(server.project.name, server.project.id, ('member',))
    token = gone.token
    revoke(cloud, token)
    assert client.send('GET', '/v1/snapshots', token=token).status_code == 401


def revoke(cloud, token):
    conn = cloud.admin.conn
    answer = conn.identity.request('/auth/tokens', 'DELETE', headers={'X-Subject-Token': token}, raise_exc=False)
    if answer.status_code >= 400:
        raise Refused(answer)
