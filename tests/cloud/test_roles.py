"""API and engine as two processes over one database."""
import subprocess
import uuid

from cloud import STATE
from service import Process, bare_environment


def test_what_the_api_was_asked_for_waits_for_the_engine_and_a_second_engine_is_refused(cloud, directory):
    api = Process(directory / 'api').start(role='api')
    command, environment = [api.binary, '--config-file', api.conf, 'engine'], bare_environment()
    try:
        server = cloud.project().server()
        client = api.client(server.project.owner)
        mine = f'req-{uuid.uuid4()}'
        body = {'snapshot': {'server_id': server.id, 'name': 'by two processes'}}
        snapshot = client.send('POST', '/v1/snapshots', body, headers={'X-Openstack-Request-Id': mine}).json()['snapshot']
        assert client.operation(snapshot['operation_id'])['status'] == 'queued', 'nobody is there to do it'
        with subprocess.Popen(command, env=environment) as engine:
            try:
                operation = client.succeeded(snapshot['operation_id'])
                assert operation['request_id'] == mine
                said = [line for line in (STATE / 'log' / 'nova-api.log').read_text().splitlines() if mine in line]
                assert any(line for line in said if f'/servers/{server.id}' in line), 'the engine has passed on what the API was told'
                second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
                said = second.stdout + second.stderr + api.tail()
                assert second.returncode != 0 and 'with SQLite there is one engine' in said, said
            finally:
                engine.terminate()
        assert engine.returncode == 0, 'it ends in order'
        assert api.answers()
    finally:
        api.stop()
