"""Two controllers, each with API, listener and engine, over one MariaDB and one queue, as operators run them."""
import concurrent.futures

import pytest

import database
import orphans
from cloud import wait
from conftest import sample
from proof import captured, guest_agrees
from service import Process

# Steps of a restore at which its engine's controller is killed: the guest runs, it stands, its disks are changing places.
PHASES = ['prepare', 'stop', 'arrange', 'swap', 'start']


@pytest.fixture(scope='module')
def controllers(directory):
    with database.empty() as url:
        shared = {'database': url, 'queue': 'two-controllers'}
        with concurrent.futures.ThreadPoolExecutor() as both:  # as a package's scripts do on all hosts at once
            made = list(both.map(lambda name: Process(directory / name, **shared), ['controller-1', 'controller-2']))
        for one in made:
            one.start()
        yield made
        for one in made:
            one.stop()


@pytest.fixture(scope='module')
def server(cloud, controllers):
    project = cloud.project()
    project.quota(volumes=-1, snapshots=-1, gigabytes=-1)
    server = project.server(volumes=1)
    server.lasting, server.own_volumes = True, server.attachments()
    return server


def worker(controllers, operation):
    """Which controller works on an operation, and at what."""
    [row] = controllers[0].rows('SELECT o.phase, o.status, e.host FROM operations o LEFT JOIN engines e ON e.id = o.engine_id '
                                'WHERE o.id = ?', operation)
    return row


def test_work_that_is_asked_of_both_is_done_once_each(cloud, controllers):
    servers = [cloud.project().server(wait_up=False) for _ in range(3)]
    operations = []
    for number, server in enumerate(servers):
        server.came_up()
        client = controllers[number % 2].client(server.project.owner)
        operations.append((client, client.begin_capture(server, 'a')['operation_id']))
    for client, operation in operations:
        assert client.succeeded(operation)
    for number, server in enumerate(servers):
        other = controllers[(number + 1) % 2].client(server.project.owner)
        assert [node['status'] for node in other.tree(server)['nodes']] == ['available']
        orphans.none_are_left(controllers[0], server.project, [server], [])


@pytest.mark.parametrize('phase', sample(PHASES, 2))
def test_what_a_killed_controller_was_at_is_finished_by_the_other(controllers, server, phase):
    for one in controllers:
        if not one.alive():
            one.start()
    client = controllers[0].client(server.project.owner)
    base = client.capture(server, f'before {phase}', consistency='crash', pause_limit_ms=60_000)
    expected = captured(server)
    server.ticking()
    operation = client.begin_restore(base)

    def at_it():
        now = worker(controllers, operation)
        assert now['status'] in ('queued', 'running'), f'{now}: it was over before it could be killed'
        return now['host'] if now['phase'] == phase else None
    victim = next(one for one in controllers if one.dir.name == wait(f'an engine to be at {phase}', at_it, every=0.01))
    victim.kill()
    [survivor] = [one for one in controllers if one is not victim]
    assert survivor.client(server.project.owner).finished(operation)['status'] == 'succeeded'
    server.is_('ACTIVE')
    server.came_up()
    guest_agrees(server, expected)
    orphans.none_are_left(survivor, server.project, [server], server.own_volumes)
