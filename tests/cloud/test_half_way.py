"""A disk that fails half way: the first k-1 are gone again, and the quota is as before, for every k."""
import pytest

import orphans
from conftest import SOAK

DATA_VOLUMES = 3 if SOAK else 2


@pytest.mark.parametrize('bad', range(DATA_VOLUMES))
def test_a_capture_whose_kth_disk_fails_leaves_nothing(cloud, service, bad, half_way):
    server, client, own = half_way
    before = server.project.snapshots(), server.project.usage()
    cloud.admin.cinder('POST', f'/volumes/{own[bad]}/action', {'os-reset_status': {'status': 'error'}})
    try:
        snapshot = client.send('POST', '/v1/snapshots', {'snapshot': {'server_id': server.id, 'name': 'no'}})
        if snapshot.status_code == 202:
            operation = client.finished(snapshot.json()['snapshot']['operation_id'])
            assert operation['status'] == 'failed'
            assert own[bad] in operation['error']['message'], operation
        else:
            assert snapshot.status_code == 409 and own[bad] in snapshot.text, snapshot.text
    finally:
        cloud.admin.cinder('POST', f'/volumes/{own[bad]}/action', {'os-reset_status': {'status': 'in-use'}})
    assert (server.project.snapshots(), server.project.usage()) == before
    server.ticking()
    orphans.none_are_left(service, server.project, [server], own)


@pytest.mark.parametrize('fitting', range(DATA_VOLUMES))
def test_a_quota_that_shrinks_between_plan_and_run_leaves_nothing(cloud, service, directory, fitting):
    """`fitting` disks can still be captured when the engine comes to it."""
    from service import Process
    process = Process(directory / f'shrinking-{fitting}')
    try:
        project = cloud.project()
        process.start(role='api')
        server = project.server(volumes=DATA_VOLUMES)
        client, own = process.client(project.owner), server.attachments()
        snapshot = client.begin_capture(server, 'no')
        process.stop()
        project.quota(snapshots=fitting)
        process.start()
        operation = client.finished(snapshot['operation_id'])
        assert operation['status'] == 'failed' and operation['error']['code'] == 'quota_exceeded', operation
        assert project.snapshots() == {}
        server.ticking()
        orphans.none_are_left(process, project, [server], own)
        server.stop()
    finally:
        process.stop()


@pytest.fixture(scope='module')
def half_way(cloud, service):
    project = cloud.project()
    server = project.server(volumes=DATA_VOLUMES)
    return server, service.client(project.owner), server.attachments()
