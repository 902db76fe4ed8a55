"""Fixtures of the cloud's tests. One project per server, so that quotas are Cinder's defaults and usage can be compared."""
import contextlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cleanup  # noqa: E402
import cloud as cloud_module  # noqa: E402
import proof  # noqa: E402
from service import Process  # noqa: E402

WORKER = cloud_module.WORKER
SOAK = os.environ.get('RATOON_SOAK') == '1'
SEED = int(os.environ.get('RATOON_SEED') or random.SystemRandom().randrange(10 ** 6))
os.environ['RATOON_SEED'] = str(SEED)  # all workers must choose the same tests


def sample(things, count):
    """Some of them, by the seed; in the soak all."""
    return things if SOAK else sorted(random.Random(SEED).sample(things, min(count, len(things))), key=things.index)


def pytest_configure(config):
    config.addinivalue_line('markers', 'alone: stops parts of the cloud, or minds what other tests do; see run')
    config.addinivalue_line('markers', 'long: begun first, so that not one worker still runs when the others have ended')
    config.addinivalue_line('markers', 'sampled(count): so many of the module run outside the soak')


def pytest_report_header():
    return f'RATOON_SEED={SEED}; {"the whole (soak)" if SOAK else "a seeded sample; RATOON_SOAK=1 runs the whole"}'


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    modules = {}
    for item in items:
        if marker := item.get_closest_marker('sampled'):
            modules.setdefault(item.module, (marker.args[0], []))[1].append(item)
    left_out = [item for count, tests in modules.values() for item in tests if item not in sample(tests, count)]
    items[:] = spread([item for item in items if item not in left_out])
    config.hook.pytest_deselected(items=left_out)


def spread(items):
    """Long tests first, and on different workers: pytest-xdist begins by giving each a batch of tests that follow one another."""
    is_long = [item.get_closest_marker('long') is not None for item in items]
    spread = [item for item, long in zip(items, is_long) if not long]
    batch = max(len(items) // (4 * int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1))), 2)
    for number, item in enumerate(item for item, long in zip(items, is_long) if long):
        spread.insert(number * batch, item)
    return spread


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    item.has_failed = report.failed
    if report.failed and (service := getattr(item, 'funcargs', {}).get('service')):
        report.sections.append(('the end of the log of Ratoon', service.tail(60)))


def pytest_runtest_logreport(report):
    """Says a failure when it happens: the end of a soak is hours away."""
    if report.failed and not WORKER:
        print(f'\n{report.nodeid}: {report.when} failed\n{report.longreprtext}', file=sys.__stderr__, flush=True)


def pytest_sessionstart(session):
    """Before the first test of all workers: the cloud is this run's alone, and without what a killed one has left."""
    if WORKER or session.config.option.collectonly:
        return
    session.config.cloud = cloud_module.Cloud()
    cleanup.Leftovers(session.config.cloud.admin).remove()
    proof.remember_what_is_there()


def pytest_sessionfinish(session):
    """After the last one."""
    if not hasattr(session.config, 'cloud'):
        return
    if not any(image for image in proof.foreign if not image.startswith('images/')):  # then all is ours: seconds instead of minutes
        for command in ('up', 'reset'):  # a test that failed may have left parts of it stopped
            subprocess.run([cloud_module.MINICLOUD / 'minicloud', command], check=True, stdout=subprocess.DEVNULL)
    cleanup.Leftovers(session.config.cloud.admin).remove()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """What was there before the tests is the same for all workers."""
    node.workerinput['foreign'] = sorted(proof.foreign)


@pytest.fixture(scope='session')
def cloud(request):
    if WORKER:
        proof.foreign.update(request.config.workerinput['foreign'])
        return cloud_module.Cloud()
    return request.config.cloud


def rest(servers):
    """Asks Nova to stop them: ten idle guests take a processor, and all but a few have played their part."""
    for server in servers:
        with contextlib.suppress(cloud_module.Refused):  # it is gone, paused, or stopped already
            server.act('os-stop', who=server.admin)


@pytest.fixture(scope='module', autouse=True)
def guests_of_the_module_rest(cloud):
    before = len(cloud.servers)
    yield
    rest(cloud.servers[before:])


@pytest.fixture(autouse=True)
def guests_of_the_test_rest(cloud):
    before = len(cloud.servers)
    yield
    rest(server for server in cloud.servers[before:] if not server.lasting)


@pytest.fixture(scope='module')
def catalog(cloud):
    """Reads Ratoon's entry in the catalog; in the end it is what it was."""
    with cloud.catalog_kept() as read:
        yield read


@pytest.fixture(scope='session')
def directory():
    with tempfile.TemporaryDirectory(prefix='ratoon-cloud-') as path:
        yield pathlib.Path(path)


@pytest.fixture(scope='session')
def service(directory):
    """The Ratoon that most tests share."""
    process = Process(directory / 'shared').start()
    yield process
    process.stop()


@pytest.fixture
def chance(request):
    """Randomness that can be had again: of the seed and the test's name."""
    print(f'RATOON_SEED={SEED}')
    return random.Random(f'{SEED} {request.node.name}')
