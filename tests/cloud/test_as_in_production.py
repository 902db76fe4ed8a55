"""The minicloud is no kinder than a cloud in production: rights, roles, quotas, and what Glance shows."""
import json

import pytest

from proof import cluster

RBD = 'profile rbd pool='


@pytest.mark.parametrize('user, pools, pools_to_read', [
    ('glance', ['images'], []),
    ('cinder', ['vms', 'volumes'], ['images']),
    ('nova', ['images', 'vms', 'volumes'], []),
    ('ratoon', ['images', 'vms'], []),
])
def test_a_user_of_ceph_has_the_rights_of_the_manual_and_no_more(user, pools, pools_to_read):
    code, answer, said = cluster().mon_command(json.dumps({'prefix': 'auth get', 'entity': f'client.{user}', 'format': 'json'}), b'')
    assert code == 0, said
    [found] = json.loads(answer)
    assert found['caps']['mon'] == 'profile rbd'
    expected = [f'profile rbd pool={name}' for name in pools] + [f'profile rbd-read-only pool={name}' for name in pools_to_read]
    assert sorted(found['caps']['osd'].split(', ')) == sorted(expected)


def test_ratoon_has_the_roles_that_the_readme_asks_for_and_no_more(cloud):
    ask = cloud.admin.keystone
    [ratoon] = ask('GET', '/users?name=ratoon&domain_id=default')['users']
    assignments = ask('GET', f'/role_assignments?user.id={ratoon["id"]}&include_names=true')['role_assignments']
    found = sorted((one['role']['name'], *(place.get('name', 'all') for place in one['scope'].values() if isinstance(place, dict)),
                    one['scope'].get('OS-INHERIT:inherited_to', 'here')) for one in assignments)
    assert found == [('admin', 'service', 'here'), ('member', 'Default', 'projects'), ('service', 'service', 'here')]


def test_the_quotas_of_a_new_project_are_cinders_defaults(cloud):
    project = cloud.project()
    quota = cloud.admin.cinder('GET', f'/os-quota-sets/{project.id}')['quota_set']
    assert (quota['volumes'], quota['snapshots'], quota['gigabytes']) == (10, 10, 1000)


def test_glance_lets_nobody_see_or_change_the_locations_of_an_image(cloud):
    for person in (cloud.project().owner, cloud.admin):
        for image in person.glance('GET', '/images')['images']:
            assert 'locations' not in image
