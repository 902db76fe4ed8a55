"""What the disks of one snapshot have in common, and what the server does meanwhile."""
import pytest

import orphans
from cloud import wait
from proof import captured, newest_snapshot, disks, trails


@pytest.fixture(scope='module')
def three_disks(cloud, service):
    project = cloud.project()
    server = project.server(volumes=2)
    return server, service.client(project.owner), server.attachments()


def test_a_crash_capture_of_a_running_server_holds_all_disks_at_one_moment(three_disks, service):
    server, client, own = three_disks
    # The quicker the cloud the more it proves; a limit that a loaded machine keeps, since a longer pause is another test.
    node = client.capture(server, 'one moment', consistency='crash', pause_limit_ms=60_000)
    assert node['consistency']['reached'] == 'crash'
    assert 0 < node['consistency']['pause_ms'] <= 60_000
    assert node['consistency']['skew_ms'] is not None
    counters = [trail.counter for trail in captured(server)]
    assert max(counters) - min(counters) <= 1, counters
    assert server.status() == 'ACTIVE'
    server.ticking()
    orphans.none_are_left(service, server.project, [server], own)


def test_a_pause_that_is_too_short_lowers_auto_to_none_with_the_reason_and_the_server_runs_on(three_disks, service):
    server, client, own = three_disks
    node = client.capture(server, 'short', consistency='auto', pause_limit_ms=1)
    assert node['consistency']['reached'] == 'none'
    assert 'longest pause of 1 ms' in node['consistency']['reason']
    assert server.status() == 'ACTIVE'
    server.ticking()
    orphans.none_are_left(service, server.project, [server], own)


def test_a_pause_that_is_too_short_fails_crash_and_leaves_nothing(three_disks, service):
    server, client, own = three_disks
    before = server.project.snapshots().keys()
    snapshot = client.begin_capture(server, 'short', consistency='crash', pause_limit_ms=1)
    operation = client.finished(snapshot['operation_id'])
    assert operation['status'] == 'failed'
    assert 'pause' in operation['error']['message'] and operation['error']['remedy']
    assert client.ask('GET', f'/v1/snapshots/{snapshot["id"]}')['snapshot']['status'] == 'error'
    assert server.project.snapshots().keys() == before
    assert server.status() == 'ACTIVE'
    server.ticking()
    orphans.none_are_left(service, server.project, [server], own)


def test_a_paused_server_is_captured_and_stays_paused(three_disks, service):
    server, client, own = three_disks
    server.act('pause')
    server.is_('PAUSED')
    node = client.capture(server, 'asleep')
    assert server.status() == 'PAUSED'
    assert node['consistency']['reached'] == 'crash', 'nothing writes: one moment without any pause of ours'
    counters = [trail.counter for trail in captured(server)]
    assert max(counters) - min(counters) <= 1, counters
    server.act('unpause')
    server.is_('ACTIVE')
    server.ticking()
    orphans.none_are_left(service, server.project, [server], own)


def test_capturing_a_stopped_server_twice_shares_the_disk_snapshots(three_disks, service):
    server, client, own = three_disks
    server.stop()
    client.capture(server, 'at rest')
    cinder_before, rbd_before = server.project.snapshots().keys(), [newest_snapshot(spec) for spec in disks(server)]
    node = client.capture(server, 'at rest, again')
    assert all(disk['shared'] for disk in node['disks'])
    assert server.project.snapshots().keys() == cinder_before
    assert [newest_snapshot(spec) for spec in disks(server)] == rbd_before
    orphans.none_are_left(service, server.project, [server], own)


def test_a_server_that_ran_in_between_is_captured_anew(cloud, service):
    project = cloud.project()
    server = project.server(volumes=1)
    client, own = service.client(project.owner), server.attachments()
    server.stop()
    client.capture(server, 'first')
    server.start()
    server.stop()
    node = client.capture(server, 'second')
    assert not any(disk['shared'] for disk in node['disks'])
    assert captured(server) == trails(server)
    wait('the volume to be left alone', lambda: project.volumes()[own[0]]['status'] == 'in-use')
    orphans.none_are_left(service, project, [server], own)
