"""Fixtures of the cloud's tests. One project per server, so that quotas are Cinder's defaults and usage can be compared."""
import os
import pathlib
import random
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cleanup  # noqa: E402
import cloud as cloud_module  # noqa: E402
import proof  # noqa: E402
from service import Process  # noqa: E402

SOAK = os.environ.get('RATOON_SOAK') == '1'
SEED = int(os.environ.get('RATOON_SEED') or random.SystemRandom().randrange(10 ** 6))


def pytest_configure(config):
    config.addinivalue_line('markers', 'disruptive: stops parts of the cloud; runs last')


def pytest_report_header():
    return f'RATOON_SEED={SEED}; {"the whole (soak)" if SOAK else "a seeded sample; RATOON_SOAK=1 runs the whole"}'


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker('disruptive') is not None)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed and (service := getattr(item, 'funcargs', {}).get('service')):
        report.sections.append(('the end of the log of Ratoon', service.tail(60)))


@pytest.fixture(scope='session')
def cloud():
    the_cloud = cloud_module.Cloud()
    cleanup.Leftovers(the_cloud.admin).remove()  # of a run that was killed
    proof.remember_what_is_there()
    yield the_cloud
    cleanup.Leftovers(the_cloud.admin).remove()


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
