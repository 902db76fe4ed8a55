"""Restore of one, all, or a set of data volumes that has changed meanwhile: the order inside the guest is that of the node."""
import pytest

import orphans
from cloud import wait
from proof import boot, captured, guest_agrees, trails

pytestmark = pytest.mark.sampled(1)


def labels(server):
    return [seen.trail.label for seen in boot(server)]


def test_one_of_three_volumes_goes_back_and_the_others_stay_in_their_order(service, cloud):
    project = cloud.project()
    client = service.client(project.owner)
    server = project.server(volumes=3)
    first, second, third = originals = server.attachments()
    node = client.capture(server, 'three', consistency='crash', pause_limit_ms=60_000)
    at_capture = captured(server)
    server.ticking()
    before = [trail.label for trail in trails(server)]

    client.restore(node, disks=['/dev/vdc'])
    server.came_up()
    met = boot(server)
    assert [seen.trail.label for seen in met] == before, 'each label is on its device again'
    assert met[2].trail == at_capture[2], 'the second volume went back'
    assert met[2].trail.phase == 'run'
    assert {met[at].trail.phase for at in (0, 1, 3)} == {'shutdown'}, 'the others hold what the guest wrote last'
    assert server.attachments()[0] == first and server.attachments()[2] == third
    assert server.attachments()[1] != second
    guest_agrees(server, [seen.trail for seen in met])

    client.restore(node)
    server.came_up()
    met = boot(server)
    assert [seen.trail for seen in met] == at_capture, 'all of them went back'
    guest_agrees(server, at_capture)
    orphans.none_are_left(service, project, [server], originals)


def test_a_set_with_a_gap_comes_back_in_the_order_of_the_node(service, cloud):
    project = cloud.project()
    client = service.client(project.owner)
    server = project.server(volumes=3)
    first, second, third = originals = server.attachments()
    node = client.capture(server, 'before the gap', consistency='crash', pause_limit_ms=60_000)
    at_capture = captured(server)
    server.stop()
    server.detach(second)
    newcomer = project.volume()
    server.attach(newcomer)
    server.start()
    assert server.attachments() == [first, third, newcomer]
    with_gap = client.capture(server, 'with the gap', consistency='crash', pause_limit_ms=60_000)
    gap_trails = captured(server)

    client.restore(node)
    server.came_up()
    guest_agrees(server, at_capture)
    assert project.volumes()[second]['status'] == 'available', "the owner's detached volume is his, and untouched"
    assert 'parked' not in project.volumes()[second]['name']

    client.restore(with_gap, safety_snapshot=False)  # Cinder's default quota has no room for another
    server.came_up()
    guest_agrees(server, gap_trails)
    assert [trail.label for trail in gap_trails] == labels(server)
    orphans.none_are_left(service, project, [server], [*originals, newcomer])


def test_a_volume_that_was_extended_between_two_nodes_has_the_size_of_each(service, cloud):
    project = cloud.project()
    client = service.client(project.owner)
    server = project.server(volumes=1)
    [volume] = originals = server.attachments()
    small = client.capture(server, 'small', consistency='crash', pause_limit_ms=60_000)
    trails_of_small = captured(server)
    server.stop()
    server.detach(volume)
    project.owner.cinder('POST', f'/volumes/{volume}/action', {'os-extend': {'new_size': 2}})
    wait('Cinder to have extended it', lambda: project.volumes()[volume]['size'] == 2 and project.volumes()[volume]['status'] == 'available')
    server.attach(volume)
    server.start()
    large = client.capture(server, 'large', consistency='crash', pause_limit_ms=60_000)
    trails_of_large = captured(server)

    for node, expected, size in ((small, trails_of_small, 1), (large, trails_of_large, 2)):
        client.restore(node, safety_snapshot=False)
        server.came_up()
        guest_agrees(server, expected)
        [now] = server.attachments()
        assert project.volumes()[now]['size'] == size
    orphans.none_are_left(service, project, [server], originals)
