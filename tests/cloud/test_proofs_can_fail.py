"""The proofs of the other tests, proven to be able to fail: what they look for is planted, and they must find it."""
import uuid

import pytest
import rbd

import orphans
from proof import boot, captured, digest, disks, guest_agrees, mark, marks, pool, trails


# What is planted here, the other worker's looks at storage would find.
pytestmark = pytest.mark.alone


@pytest.fixture(scope='module')
def lot(cloud, service):
    """A stopped server with one node, and storage that agrees with the tree."""
    project = cloud.project()
    server = project.server(volumes=1)
    client, own = service.client(project.owner), server.attachments()
    client.capture(server, 'node')
    server.stop()
    orphans.none_are_left(service, project, [server], own)
    return server, own


def differences(service, server, own):
    return '\n'.join(orphans.differences(service, server.project, [server], own))


def test_an_image_that_nothing_explains_is_found(service, lot):
    server, own = lot
    name = f'ratoon.{uuid.uuid4()}'
    rbd.RBD().create(pool('vms'), name, 1 << 20, old_format=False)
    try:
        assert f'image vms/{name} is there, and nothing explains it' in differences(service, server, own)
    finally:
        rbd.RBD().remove(pool('vms'), name)


def test_an_image_in_the_trash_is_found(service, lot):
    server, own = lot
    name = f'ratoon.{uuid.uuid4()}'
    rbd.RBD().create(pool('vms'), name, 1 << 20, old_format=False)
    rbd.RBD().trash_move(pool('vms'), name, 0)
    try:
        assert f'trash vms/{name} is there' in differences(service, server, own)
    finally:
        id = next(one['id'] for one in rbd.RBD().trash_list(pool('vms')) if one['name'] == name)
        rbd.RBD().trash_remove(pool('vms'), id, force=True)


def test_an_rbd_snapshot_too_many_is_found(service, lot):
    server, own = lot
    with rbd.Image(pool('vms'), f'{server.id}_disk') as image:
        image.create_snap('ratoon-stray')
        try:
            assert 'ratoon-stray is there, and nothing explains it' in differences(service, server, own)
        finally:
            image.remove_snap('ratoon-stray')


def test_a_volume_and_a_volume_snapshot_that_nothing_explains_are_found(service, lot):
    server, own = lot
    assert f'volume {own[0]} is there' not in differences(service, server, own)
    stray = server.project.volume()
    assert f'volume {stray} is there, and nothing explains it' in differences(service, server, own)
    assert differences(service, server, [*own, stray]) == ''
    server.project.owner.cinder('DELETE', f'/volumes/{stray}')
    orphans.none_are_left(service, server.project, [server], own)


def test_a_lock_that_is_left_is_found(service, lot):
    server, own = lot
    server.act('lock')
    assert 'is locked' in differences(service, server, own)
    server.act('unlock')
    assert differences(service, server, own) == ''


def test_one_changed_byte_changes_the_digest_and_a_mark_is_read_back(lot):
    server, _ = lot
    before = [digest(spec) for spec in disks(server)]
    assert [digest(spec) for spec in disks(server)] == before
    mark(server, 'planted')
    assert marks(disks(server)) == ['planted'] * 2
    assert all(new != old for new, old in zip([digest(spec) for spec in disks(server)], before))


def test_disks_in_another_order_or_of_another_moment_are_found(lot):
    server, _ = lot
    now = trails(server)
    server.start()
    assert [seen.trail for seen in boot(server)] == now
    guest_agrees(server, now)
    for wrong in (list(reversed(now)), captured(server), now[:1]):
        with pytest.raises(AssertionError):
            guest_agrees(server, wrong)


def test_an_rbd_snapshot_too_few_is_found(service, lot):
    server, own = lot
    server.stop()
    with rbd.Image(pool('vms'), f'{server.id}_disk') as image:
        [ours] = [one['name'] for one in image.list_snaps() if one['name'].startswith('ratoon-')]
        image.remove_snap(ours)  # the node is spoilt: this is the last of these tests
    assert f'{ours} is missing' in differences(service, server, own)
