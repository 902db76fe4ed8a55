"""What each phase of the DevStack plugin leaves: files, accounts, processes, and the commands that were issued."""
import re
import textwrap

import pytest

from stack import ROOT, STACK, Failed, Stack, options

NOVA, CELL = 'etc/nova/nova.conf', 'etc/nova/nova_cell1.conf'
BEFORE = {  # what DevStack has written when plugins are asked to configure
    NOVA: '[DEFAULT]\ntransport_url = rabbit://cell0\n[notifications]\nnotification_format = unversioned\n',
    CELL: '[DEFAULT]\ntransport_url = rabbit://cell1\n',
    'etc/cinder/cinder.conf': '[DEFAULT]\nenabled_backends = ceph\n',
    'etc/glance/glance-api.conf': '[DEFAULT]\nworkers = 2\n',
    'etc/ceph/ceph.conf': '[global]\n',
}


@pytest.fixture
def make(tmp_path):
    """Makes the one DevStack of a test; its processes end with the test."""
    made = []

    def make(**local_conf):
        made.append(Stack(tmp_path / 'stack', **local_conf))
        for name, text in BEFORE.items():
            (made[0].dir / name).write_text(text)
        return made[0]
    yield make
    for stack in made:
        stack.end()


def guide(page):
    """The code blocks of a page of the installation guide."""
    text = (ROOT / 'doc' / 'source' / 'install' / f'{page}.rst').read_text()
    return [textwrap.dedent(block) for block in re.findall(r'\.\. code-block:: \w+\n\n((?:   .*\n|\n)+)', text)]


def test_the_configuration_is_made_of_devstacks_variables(make):
    stack = make()
    stack.run(*STACK)
    assert options(stack.conf) == {
        'DEFAULT': {'debug': 'True'},
        'api': {'bind_host': '0.0.0.0', 'bind_port': '8790', 'public_endpoint': 'http://192.0.2.7:8790'},
        'database': {'connection': 'mysql+pymysql://root:of-databases@127.0.0.1/ratoon?charset=utf8&plugin=dbcounter'},
        'oslo_messaging_notifications': {'transport_url': 'rabbit://stackrabbit:of-rabbit@192.0.2.7:5672/'},
        'keystone_authtoken': {
            'auth_type': 'password', 'interface': 'public', 'auth_url': 'http://192.0.2.7/identity', 'username': 'ratoon',
            'password': 'of-services', 'user_domain_name': 'Default', 'project_name': 'service', 'project_domain_name': 'Default',
            'www_authenticate_uri': 'http://192.0.2.7/identity', 'region_name': 'RegionOne'},
        'rbd': {'ceph_conf': f'{stack.etc}/ceph/ceph.conf', 'user': 'ratoon', 'keyring': f'{stack.etc}/ceph/ceph.client.ratoon.keyring',
                'pool': 'vms', 'glance_pool': 'images'},
    }
    assert stack.conf.stat().st_mode & 0o777 == 0o600, 'it holds passwords'


def test_every_option_that_is_written_is_one_of_ratoons(make):
    stack = make(ENABLED_SERVICES='mysql,rabbit,n-api,tls-proxy')
    stack.run('stack install', 'stack post-config')
    known, section = set(), None
    for line in (ROOT / 'etc' / 'ratoon' / 'ratoon.conf.sample').read_text().splitlines():
        if line.startswith('['):
            section = line.strip('[]')
        elif found := re.match(r'#(\w+) = ', line):
            known.add((section, found[1]))
    written = {(section, name) for section, values in options(stack.conf).items() for name in values}
    assert written and written <= known


def test_nova_cinder_and_glance_notify_as_the_guide_says(make):
    stack = make()
    stack.run('stack install', 'stack post-config')
    wanted = options_of_text(next(block for block in guide('notifications') if '[notifications]' in block))
    for file in (NOVA, CELL):
        found = options(stack.dir / file)
        assert found['notifications'] == wanted['notifications']
        assert found['oslo_messaging_notifications'] == {
            **wanted['oslo_messaging_notifications'], 'transport_url': 'rabbit://stackrabbit:of-rabbit@192.0.2.7:5672/'}
        assert found['DEFAULT'] == options_of_text(BEFORE[file])['DEFAULT'], 'the rest stays'
    for file in ('etc/cinder/cinder.conf', 'etc/glance/glance-api.conf'):
        found = options(stack.dir / file)
        assert found == {**options_of_text(BEFORE[file]), 'oslo_messaging_notifications': {'driver': 'messagingv2'}}


def options_of_text(text):
    return {name: dict(re.findall(r'^(\w+) *= *(\S+)', part, re.MULTILINE))
            for name, part in re.findall(r'^\[(\w+)\]\n(.*?)(?=^\[|\Z)', text, re.MULTILINE | re.DOTALL)}


def test_the_ceph_user_has_the_rights_of_the_guide(make):
    stack = make()
    stack.run('stack install', 'stack post-config')
    asked = re.search(r'get-or-create (client\.ratoon .*?) -o', ''.join(guide('accounts')).replace('\\\n', ''), re.DOTALL)[1]
    assert stack.noted('ceph') == [' '.join(asked.replace("'", '').split())]
    assert [call.split()[0] for call in stack.calls('ceph')] == ['sudo']
    keyring = stack.etc / 'ceph' / 'ceph.client.ratoon.keyring'
    assert keyring.read_text().startswith('[client.ratoon]') and keyring.stat().st_mode & 0o777 == 0o600


def test_the_user_has_the_roles_of_the_guide_and_the_catalog_an_entry(make):
    stack = make(RATOON_DOMAINS='Default,customers')
    stack.run('stack install', 'stack post-config')
    asked = [re.search(r'(role|user) (add|create) .*', line)[0] for line in stack.noted('keystone')]
    user, *roles = asked
    assert re.match(r'user create ratoon --password of-services --domain=Default .*--or-show', user)
    here = '--user ratoon --project service --user-domain Default --project-domain Default'
    inherited = '--user ratoon --user-domain Default --domain {} --inherited'
    assert sorted(roles) == sorted([f'role add service {here}', f'role add admin {here}',
                                    f'role add member {inherited.format("Default")}', f'role add member {inherited.format("customers")}'])
    assert stack.noted('catalog') == ['admin:of-admin in admin: http://192.0.2.7:8790']


def test_it_is_built_installed_and_brought_up(make):
    stack = make()
    stack.run(*STACK)
    binary = f'{stack.clone}/target/release/ratoon'
    assert sorted(stack.noted('packages')) == ['librados2', 'librbd1']
    assert stack.calls('cargo')[-1] == f'cargo build --locked --release --manifest-path {stack.clone}/Cargo.toml --target-dir {stack.clone}/target'
    assert any(call.endswith(f'-e {stack.clone}/client') for call in stack.calls('python3'))
    assert stack.noted('databases/ratoon') == ['schema'], 'made first, then upgraded'
    assert sorted(stack.running()) == ['ratoon-api', 'ratoon-engine']
    for role in ('api', 'engine'):
        unit = options(stack.etc / 'systemd' / f'devstack@ratoon-{role}.service')
        assert unit['Service']['ExecStart'] == f'{binary} --config-file {stack.conf} {role}'
    assert stack.calls('openstack')[-1] == 'openstack --os-cloud devstack-admin server snapshot list --all-projects'


@pytest.mark.parametrize('phase', [*STACK, 'unstack', 'clean'])
def test_a_phase_that_is_run_twice_changes_nothing(make, phase):
    stack = make()
    before = STACK[:STACK.index(phase)] if phase in STACK else [*STACK, 'unstack'][:6 if phase == 'clean' else 5]
    if before:
        stack.run(*before)
    stack.run(phase)
    once, running = stack.files(), stack.running()
    stack.run(phase)
    assert (stack.files(), stack.running()) == (once, running)


def test_unstack_and_clean_leave_what_was_there_and_what_devstack_removes_itself(make):
    stack = make()
    stack.run('stack install')
    there = stack.files()
    stack.run(*STACK)
    for queue in ('ratoon.notifications', 'ratoon.notifications.dead', 'notifications.info'):
        (stack.state / 'queues' / queue).touch()
    stack.run('unstack')
    assert stack.running() == {}
    assert [path.name for path in (stack.state / 'queues').iterdir()] == ['notifications.info']
    assert all(call.startswith('sudo ') for call in stack.calls('rabbitmqctl'))
    stack.run('clean')
    # Its options in other services' files, units, databases, accounts: clean.sh does away with them after the plugins.
    devstacks = ('state/', 'etc/systemd/', 'etc/nova/', 'etc/cinder/', 'etc/glance/')
    assert [name for name in stack.files() if name not in there and not name.startswith(devstacks)] == []
    assert not stack.conf.parent.exists()


def test_after_unstack_it_can_be_stacked_again_with_other_settings(make):
    stack = make()
    stack.run(*STACK)
    stack.run('unstack')
    stack.variables.update(SERVICE_HOST='192.0.2.8', REMOTE_CEPH='True')
    with stack.conf.open('a') as conf:
        conf.write('[sweep]\ninterval_seconds = 5\n')
    stack.run(*STACK)
    found = options(stack.conf)
    assert 'sweep' not in found and found['api']['public_endpoint'] == 'http://192.0.2.8:8790'
    assert stack.noted('catalog') == ['admin:of-admin in admin: http://192.0.2.8:8790']
    assert sorted(stack.running()) == ['ratoon-api', 'ratoon-engine']


def test_a_binary_that_is_there_is_not_built(make, tmp_path):
    stack = make(RATOON_BINARY=str(tmp_path / 'stack' / 'bin' / 'ratoon'))
    (stack.state / 'cargo').write_text('1.63.0\n')
    stack.run(*STACK)
    assert stack.calls('cargo', 'rustup') == []
    assert f'{stack.dir}/bin/ratoon' in options(stack.etc / 'systemd' / 'devstack@ratoon-api.service')['Service']['ExecStart']


def test_a_toolchain_that_is_too_old_is_replaced(make):
    stack = make()
    (stack.state / 'cargo').write_text('1.63.0\n')
    stack.run('stack pre-install')
    assert 'rustup' in stack.noted('packages')
    assert stack.calls('rustup') == ['rustup toolchain install stable --profile minimal', 'rustup default stable']


def test_mysql_is_refused_before_anything_is_installed(make):
    stack = make(MYSQL_SERVICE_NAME='mysql')
    with pytest.raises(Failed, match='MYSQL_SERVICE_NAME=mariadb'):
        stack.run('stack pre-install')
    assert stack.noted('packages') == []


def test_postgresql_is_understood(make):
    stack = make(ENABLED_SERVICES='key,postgresql,rabbit,n-api', DATABASE_TYPE='postgresql', MYSQL_SERVICE_NAME='mysql')
    stack.run(*STACK)
    assert options(stack.conf)['database'] == {'connection': 'postgresql://root:of-databases@127.0.0.1/ratoon?client_encoding=utf8'}
    assert stack.noted('databases/ratoon') == ['schema']


@pytest.mark.parametrize('local_conf', [{'DEVSTACK_PLUGINS': ',ratoon'}, {'ENABLE_CEPH_NOVA': 'False'}])
def test_without_ceph_it_says_what_will_not_work(make, local_conf):
    stack = make(**local_conf)
    said = stack.run(*STACK)
    assert 'Ratoon will refuse to capture servers' in said
    assert options(stack.conf)['rbd'] == {'enabled': 'false'}
    stack.run('unstack')
    assert stack.calls('ceph') == []


def test_the_keyring_of_a_remote_cluster_is_its_operators(make):
    stack = make(REMOTE_CEPH='True', NOVA_CEPH_POOL='disks', GLANCE_CEPH_POOL='pictures', RATOON_CEPH_USER='roots')
    keyring = stack.etc / 'ceph' / 'ceph.client.roots.keyring'
    keyring.write_text('from the operator')
    stack.run(*STACK)
    rbd = options(stack.conf)['rbd']
    assert (rbd['user'], rbd['keyring'], rbd['pool'], rbd['glance_pool']) == ('roots', str(keyring), 'disks', 'pictures')
    stack.run('unstack')
    stack.run('clean')
    assert stack.calls('ceph') == [] and keyring.read_text() == 'from the operator'


def test_tls_stands_before_it(make):
    stack = make(ENABLED_SERVICES='key,mysql,rabbit,n-api,tls-proxy')
    stack.run(*STACK)
    found = options(stack.conf)
    assert (found['api']['bind_port'], found['api']['public_endpoint']) == ('18790', 'https://192.0.2.7:8790')
    assert found['keystone_authtoken']['cafile'] == str(stack.dir / 'ca-bundle.pem')
    assert stack.noted('catalog') == ['admin:of-admin in admin: https://192.0.2.7:8790']
    assert (stack.etc / 'apache' / 'ratoon-tls-proxy.conf').read_text() == '*:8790 -> 192.0.2.7:18790\n'


def test_without_rabbitmq_nothing_is_listened_to(make):
    stack = make(ENABLED_SERVICES='key,mysql', RABBIT_HOST='', RABBIT_PASSWORD='')
    stack.run(*STACK)
    assert options(stack.conf)['oslo_messaging_notifications'] == {'transport_url': ''}
    stack.run('unstack')
    assert stack.calls('rabbitmqctl') == []


def test_a_compute_host_only_notifies(make):
    stack = make(ENABLED_SERVICES='n-cpu,rabbit', DISABLED_SERVICES='ratoon-api,ratoon-engine')
    stack.run(*STACK)
    stack.run('unstack')
    stack.run('clean')
    assert options(stack.dir / NOVA)['notifications']['notify_on_state_change'] == 'vm_and_task_state'
    assert not stack.conf.exists() and stack.running() == {}
    assert stack.calls('openstack', 'ceph', 'cargo', 'ratoon', 'mysql') == []


def test_a_second_engine_makes_neither_database_nor_accounts(make):
    stack = make(DISABLED_SERVICES='ratoon-api')
    stack.run(*STACK)
    assert sorted(stack.running()) == ['ratoon-engine']
    assert stack.calls('openstack', 'mysql') == [] and stack.noted('catalog') == []


def test_a_service_that_does_not_start_ends_the_stack_with_its_log_named(make):
    stack = make(SERVICE_TIMEOUT='1')
    (stack.state / 'broken').touch()
    with pytest.raises(Failed, match='ratoon-api did not start. Its log: journalctl -u devstack@ratoon-api'):
        stack.run(*STACK)


def test_a_command_that_gets_no_answer_ends_the_stack(make):
    stack = make()
    stack.run(*STACK[:-1])
    (stack.state / 'refuses').touch()
    with pytest.raises(Failed, match='Ratoon does not answer the openstack command'):
        stack.run(STACK[-1])


@pytest.mark.parametrize('trace, wanted', [('set -o xtrace', 'traced'), ('set +o xtrace', 'quiet')])
def test_tracing_is_left_as_it_was(make, trace, wanted):
    stack = make()
    stack.variables['PS4'] = 'TRACE '
    (stack.clone / 'devstack' / 'plugin.sh').write_text(
        f'{trace}\nsource "$RATOON_DIR/devstack/lib/ratoon"\n[[ $- == *x* ]] && echo it is traced || echo it is quiet\n')
    assert f'it is {wanted}\n' in stack.run('stack')
