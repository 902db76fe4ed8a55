"""`ratoon manage doctor`: well where all is well; each of its lines turns when the thing is broken, and says what to do."""
import http.server
import json
import re
import socket
import subprocess
import threading
import urllib.request
import uuid

import pytest

from cloud import AUTH_URL, STATE
from service import Process, bare_environment

PASSWORD = (STATE / 'password').read_text().strip()


class Clinic:
    """A Ratoon that is registered under a type of its own, and copies of its configuration with something wrong in them."""

    def __init__(self, cloud, directory):
        self.cloud, self.kind = cloud, f'server-snapshot-{uuid.uuid4().hex[:8]}'
        self.process = Process(directory / 'doctor')
        self.conf = self.process.conf.read_text().replace('[keystone_authtoken]', f'[keystone_authtoken]\nservice_type = {self.kind}')
        self.process.conf.write_text(self.conf)
        self.process.start()
        self.process.run('manage', 'service', 'register', '--os-username', 'admin', '--os-password', PASSWORD,
                         '--public-url', self.process.url)
        self.server = cloud.project().server()

    def ask(self, *arguments, **changes):
        """The findings, and the exit code, with these options of ratoon.conf changed."""
        text = self.conf
        for option, value in changes.items():
            text, times = re.subn(rf'^{option} = .*$', f'{option} = {value}', text, flags=re.MULTILINE)
            assert times == 1, option
        conf = self.process.dir / 'broken.conf'
        conf.write_text(text)
        conf.chmod(0o600)
        command = [self.process.binary, '--config-file', conf, 'manage', 'doctor', *arguments]
        done = subprocess.run([*command, '--json'], env=bare_environment(), capture_output=True, text=True, timeout=300)
        assert PASSWORD not in done.stdout + done.stderr
        return Findings(json.loads(done.stdout)['findings'], done.returncode)

    def end(self):
        service = next(one for one in self.cloud.admin.keystone('GET', f'/services?type={self.kind}')['services'])
        self.cloud.admin.keystone('DELETE', f'/services/{service["id"]}')
        self.process.stop()


class Findings:
    def __init__(self, findings, code):
        self.all, self.code = findings, code

    def of(self, check, verdict):
        return [f'{one["says"]} {one.get("remedy", "")}' for one in self.all if (one['check'], one['verdict']) == (check, verdict)]

    def errors(self):
        return {one['check'] for one in self.all if one['verdict'] == 'error'}


@pytest.fixture(scope='module')
def clinic(cloud, directory):
    clinic = Clinic(cloud, directory)
    yield clinic
    clinic.end()


def test_where_all_is_well_no_line_is_an_error_and_what_comes_from_nova_is_counted(clinic):
    clinic.server.stop()
    starting = threading.Timer(3, clinic.server.act, ['os-start'])
    starting.start()
    findings = clinic.ask('--listen', '15')
    starting.join()
    assert (findings.errors(), findings.code) == (set(), 0), findings.all
    checks = {one['check'] for one in findings.all}
    assert checks >= {'configuration', 'database', 'schema', 'engines', 'keystone', 'clock', 'roles', 'catalog', 'calls', 'projects',
                      'quotas', 'broker', 'exchanges', 'queue', 'notifications', 'ceph'}, checks
    assert any(re.match('Nova, versioned: [1-9]', one) for one in findings.of('notifications', 'ok')), findings.all
    clinic.server.is_('ACTIVE')


NOWHERE = 'http://127.0.0.1:9/v3'
BROKEN = {
    'a wrong password': ({'password': 'wrong'}, 'keystone', 'Check user name, password'),
    'a Keystone that is not there': ({'auth_url': NOWHERE}, 'keystone', 'Check that Keystone runs'),
    'another region': ({'region_name': 'Elsewhere'}, 'catalog', 'Check region_name'),
    'a type that nobody registered': ({'service_type': 'nothing-of-the-kind'}, 'catalog', 'manage service register'),
    'a broker that is not there': ({'transport_url': 'rabbit://openstack:x@127.0.0.1:9/'}, 'broker', '127.0.0.1:9 does not let us in'),
    'a wrong password of the broker': ({'transport_url': 'rabbit://openstack:x@127.0.0.1:5672/'}, 'broker', 'does not let us in'),
    'a database in a folder that is not there': ({'connection': 'sqlite:///nowhere/at/all.sqlite'}, 'database', ''),
    'a user that Ceph does not know': ({'user': 'nobody-of-that-name'}, 'ceph', 'keyring'),
    'a Ceph that has not been configured': ({'ceph_conf': '/nowhere/ceph.conf'}, 'ceph', 'ceph_conf'),
}


@pytest.mark.parametrize('case', BROKEN)
def test_what_is_wrong_in_the_configuration_is_named_with_its_remedy(clinic, case):
    changes, check, says = BROKEN[case]
    findings = clinic.ask(**changes)
    assert check in findings.errors() and findings.code == 1, findings.all
    assert says in ' '.join(findings.of(check, 'error')), findings.of(check, 'error')


def test_a_schema_that_is_not_there_names_the_upgrade(clinic):
    findings = clinic.ask(connection=f'sqlite://{clinic.process.dir}/empty.sqlite')
    assert findings.errors() == {'schema'} and 'manage db upgrade' in findings.of('schema', 'error')[0]


def test_without_an_engine_what_is_asked_for_waits(clinic):
    other = clinic.process.dir / 'other.sqlite'
    conf = clinic.process.dir / 'other.conf'
    conf.write_text(clinic.conf.replace('/ratoon.sqlite', f'/{other.name}'))
    subprocess.run([clinic.process.binary, '--config-file', conf, 'manage', 'db', 'upgrade'], check=True, env=bare_environment())
    findings = clinic.ask(connection=f'sqlite://{other}')
    assert 'Start `ratoon engine`' in findings.of('engines', 'warning')[0]
    assert 'None has come yet' in findings.of('notifications', 'warning')[0]


def test_an_engine_that_was_killed_is_not_taken_for_one_at_work(clinic):
    assert clinic.ask().of('engines', 'ok')
    clinic.process.kill()
    try:
        findings = clinic.ask()
        assert not findings.of('engines', 'ok') and 'No sign of life comes from 1 of 1' in findings.of('engines', 'warning')[0]
    finally:
        clinic.process.start()


def test_an_api_that_does_not_answer_where_the_catalog_sends_people_is_an_error(clinic):
    clinic.process.stop()
    try:
        findings = clinic.ask()
        assert 'Start `ratoon api`' in findings.of('catalog', 'error')[0]
        assert 'Nobody listens' in findings.of('queue', 'warning')[0]
    finally:
        clinic.process.start()


def test_each_role_that_is_missing_is_named_with_the_calls_that_fail_without_it(clinic, cloud):
    project = cloud.project()
    nobody = clinic.ask(username=project.owner.user, password=project.owner.password, **{'region_name': 'RegionOne'})
    # He logs in to the project service, where he has no role.
    assert 'keystone' in nobody.errors()
    service = next(one for one in cloud.admin.keystone('GET', '/projects?name=service')['projects'])
    member = cloud.person('service', service['id'], ['member'])
    findings = clinic.ask(username=member.user, password=member.password)
    assert 'admin, nor service' in findings.of('roles', 'error')[0]
    assert any('Nova does not let it list the servers of all projects' in one for one in findings.of('calls', 'error')), findings.all
    uninvited = cloud.person('service', service['id'], ['admin', 'service'])
    findings = clinic.ask(username=uninvited.user, password=uninvited.password)
    assert findings.of('roles', 'ok') and findings.errors() == {'projects'}, findings.all
    assert clinic.server.project.id in ' '.join(findings.of('projects', 'error'))


def test_an_exchange_and_a_queue_that_are_not_there_are_named(clinic):
    text = clinic.conf
    try:
        clinic.conf = text.replace('[events]', '[events]\nexchanges = nova,nothing-of-the-kind')
        findings = clinic.ask(queue_name='ratoon-test-nobody')
    finally:
        clinic.conf = text
    assert 'nothing-of-the-kind is not there' in findings.of('exchanges', 'warning')[0]
    assert 'not there yet' in findings.of('queue', 'warning')[0]


def test_silence_of_nova_is_an_error_with_what_nova_conf_must_say(clinic):
    text = clinic.conf
    try:
        clinic.conf = text.replace('[events]', '[events]\nexchanges = nothing-of-the-kind')
        findings = clinic.ask('--listen', '1')
    finally:
        clinic.conf = text
    assert 'notification_format' in findings.of('notifications', 'error')[0]


def test_a_ceph_user_without_glances_pool_is_told_which_pool(clinic):
    keyring = clinic.process.dir / 'ceph.keyring'
    name = f'client.ratoon-test-{uuid.uuid4().hex[:8]}'
    ceph = ['ceph', '-c', STATE / 'ceph' / 'ceph.conf', '--name', 'client.admin', 'auth']
    subprocess.run([*ceph, 'get-or-create', name, 'mon', 'profile rbd', 'osd', 'profile rbd pool=vms', '-o', keyring], check=True,
                   capture_output=True)
    text = clinic.conf
    try:
        clinic.conf = text.replace('[rbd]', f'[rbd]\nkeyring = {keyring}')
        findings = clinic.ask(user=name.removeprefix('client.'))
        assert findings.errors() == {'ceph'} and 'images' in findings.of('ceph', 'error')[0], findings.all
    finally:
        clinic.conf = text
        subprocess.run([*ceph, 'del', name], check=True, capture_output=True)


def test_a_project_without_room_for_volumes_is_named(clinic, cloud):
    id = clinic.server.project.id
    cloud.admin.cinder('PUT', f'/os-quota-sets/{id}', {'quota_set': {'volumes': 0}})
    findings = clinic.ask()
    assert id in findings.of('quotas', 'warning')[0] and findings.code == 0
    cloud.admin.cinder('DELETE', f'/os-quota-sets/{id}')


def test_an_option_that_is_unknown_is_a_warning(clinic):
    text = clinic.conf
    try:
        clinic.conf = text.replace('[rbd]', '[rbd]\npol = vms')
        findings = clinic.ask()
    finally:
        clinic.conf = text
    assert 'pol' in findings.of('configuration', 'warning')[0] and findings.code == 0


class Late(http.server.BaseHTTPRequestHandler):
    """Keystone behind a clock that is wrong."""

    def date_time_string(self, timestamp=None):
        return 'Sat, 01 Jan 2022 00:00:00 GMT'

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0)) or None
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ('host', 'content-length', 'connection')}
        asked = urllib.request.Request(AUTH_URL.removesuffix('/v3') + self.path, body, headers, method=self.command)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as answer:
            text = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ('date', 'server', 'content-length', 'connection', 'transfer-encoding'):
                    self.send_header(name, value)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = pass_on

    def log_message(self, *_):
        pass


def test_a_clock_that_differs_from_keystones_is_a_warning(clinic):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        findings = clinic.ask(auth_url=f'http://127.0.0.1:{server.server_address[1]}/v3')
    finally:
        server.shutdown()
    assert 'ahead of' in findings.of('clock', 'warning')[0] and 'NTP' in findings.of('clock', 'warning')[0]


def test_the_measures_tell_what_was_done_and_are_served_to_whoever_may_reach_their_port(clinic):
    metrics = Process(clinic.process.dir.parent / 'metrics')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    metrics.conf.write_text(f'{metrics.conf.read_text()}[metrics]\nenabled = true\nbind_port = {port}\n')
    metrics.start()
    try:
        metrics.client(clinic.server.project.owner).capture(clinic.server, 'measured')
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f'http://127.0.0.1:{port}/metrics') as answer:
            lines = answer.read().decode().splitlines()
        for line in ('ratoon_operation_duration_seconds_count{kind="snapshot_create",status="succeeded"} 1', 'ratoon_database_up 1',
                     'ratoon_engines 1'):
            assert line in lines, lines
        for begin in ('ratoon_backend_duration_seconds_count{backend="Nova",act="GET",outcome="success"}',
                      'ratoon_backend_duration_seconds_count{backend="Ceph",act="take an RBD snapshot",outcome="success"} 1',
                      'ratoon_request_duration_seconds_count{method="POST",route="/v1/snapshots",status="202"} 1'):
            assert any(line.startswith(begin) for line in lines), begin
    finally:
        metrics.stop()
