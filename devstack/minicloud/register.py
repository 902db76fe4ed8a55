"""Users, projects, roles and the catalog in Keystone. Can be repeated."""
import os

import openstack

cloud = openstack.connect()
identity = cloud.identity
PASSWORD = os.environ['OS_PASSWORD']
DOMAIN = 'default'

PROJECTS = ('service', 'demo', 'other')
USERS = (  # user, project, roles there
    ('glance', 'service', ('admin', 'service')),
    ('placement', 'service', ('admin', 'service')),
    ('neutron', 'service', ('admin', 'service')),
    ('nova', 'service', ('admin', 'service')),
    ('cinder', 'service', ('admin', 'service')),
    ('ratoon', 'service', ('admin', 'service')),
    ('demo', 'demo', ('member',)),
    ('reader', 'demo', ('reader',)),
    ('other', 'other', ('member',)),
    ('admin', 'demo', ('admin',)),
    ('admin', 'other', ('admin',)),
)
CATALOG = (
    ('image', 'glance', 'http://127.0.0.1:9292'),
    ('placement', 'placement', 'http://127.0.0.1:8778'),
    ('network', 'neutron', 'http://127.0.0.1:9696'),
    ('compute', 'nova', 'http://127.0.0.1:8774/v2.1'),
    ('volumev3', 'cinderv3', 'http://127.0.0.1:8776/v3/%(project_id)s'),
)

project = {p.name: p for p in identity.projects()}
user = {u.name: u for u in identity.users()}
role = {r.name: r for r in identity.roles()}

for name in PROJECTS:
    project[name] = project.get(name) or identity.create_project(name=name, domain_id=DOMAIN)
role['service'] = role.get('service') or identity.create_role(name='service')  # marks a service token
for name, where, roles in USERS:
    if name not in user:
        user[name] = identity.create_user(name=name, password=PASSWORD, domain_id=DOMAIN,
                                          default_project_id=project[where].id)
    for r in roles:
        identity.assign_project_role_to_user(project[where], user[name], role[r])

# Ratoon makes what a project shall own with a token of that project: member, inherited by every project of the domain.
identity.put(f'/OS-INHERIT/domains/{DOMAIN}/users/{user["ratoon"].id}/roles/{role["member"].id}/inherited_to_projects'
             ).raise_for_status()

known = {s.name: s for s in identity.services()}
for type_, name, url in CATALOG:
    service = known.get(name) or identity.create_service(name=name, type=type_)
    have = {e.interface for e in identity.endpoints(service_id=service.id)}
    for interface in ('public', 'internal', 'admin'):
        if interface not in have:
            identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id='RegionOne')
