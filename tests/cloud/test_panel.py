"""Ratoon's panel in Debian's Horizon, as people use it: in a browser."""
import re

import pytest

from browser import PHONE, Browser
from cloud import STATE, Refused, wait
from proof import boot, trails
from service import Process

pytestmark = pytest.mark.alone  # Horizon finds Ratoon by the catalog, of which there is one


@pytest.fixture(scope='module')
def panel(directory, catalog):
    """The Ratoon that Horizon finds."""
    process = Process(directory / 'panel', sweep=3600).start()  # nothing begins that nobody has asked for
    process.register()
    yield process
    process.stop()


@pytest.fixture(scope='module')
def captured(panel, cloud):
    """A server with a snapshot, and its owner's client."""
    project = cloud.project()
    server, client = project.server(), panel.client(project.owner)
    server.lasting = True
    client.capture(server, 'before the upgrade')
    return server, client


@pytest.fixture
def browser(request):
    browser = Browser()
    try:
        yield browser
        if getattr(request.node, 'has_failed', False):
            browser.keep(STATE / 'log' / 'panel-last-seen.png')
    finally:
        browser.end()


SUBMIT = '.modal-footer input[type=submit]'
LINE = "//li[contains(concat(' ', @class, ' '), ' snapshot ')][.//a[contains(@class, 'name')][normalize-space()='{}']]"


def line(name):
    """Where the snapshot of that name stands in the picture."""
    return LINE.format(name)


def act(browser, name, word):
    """Presses one of the acts of a snapshot, which are shown where one points."""
    browser.press(f"{line(name)}//a[normalize-space()='{word}']", pointing_at=line(name))
    browser.see(SUBMIT)  # while it is loading there is a picture without a button


def agree(browser):
    browser.press(SUBMIT)


def is_done(browser, client, server, begun):
    """Waits until what was agreed to has been done, and the page has told so by itself."""
    def shows_the_end():
        tree = client.tree(server)
        return tree['operation_id'] is None and tree['tree_generation'] > begun and browser.find(
            f'.snapshot-tree[data-generation="{tree["tree_generation"]}"]') and not browser.find('.snapshot-tree-operation')
    wait('the page to show the end of it', shows_the_end)


def done(browser, client, server):
    """Agrees, and waits for the end."""
    try:
        begun = client.tree(server)['tree_generation']
    except Refused:  # it has none yet
        begun = 0
    agree(browser)
    is_done(browser, client, server, begun)


def test_a_tenant_captures_restores_branches_switches_and_deletes(panel, cloud, browser):
    project = cloud.project()
    server = project.server(volumes=1)
    client = panel.client(project.owner)
    browser.log_in(project.owner)

    # The page of the instance has a tab, which teaches while there is nothing to show.
    browser.go(f'/project/instances/{server.id}/')
    browser.press('a[data-target*=snapshot_tree], a[href*=snapshot_tree]', 'Snapshot Tree')
    browser.see('.snapshot-tree-empty', 'No snapshots yet')
    browser.picture('empty')
    browser.press('a', 'Take Snapshot')
    browser.type('#id_name', 'fresh')
    browser.picture('create')
    done(browser, client, server)
    browser.see(line('fresh'))
    fresh = trails(server)

    server.ticking()
    browser.press('a', 'Take Snapshot')
    browser.type('#id_name', 'upgraded')
    done(browser, client, server)
    browser.see(line('upgraded'))

    act(browser, 'fresh', 'Restore')
    browser.see('.snapshot-plan', 'is stopped meanwhile')
    browser.picture('restore-plan')
    begun = client.tree(server)['tree_generation']
    agree(browser)
    browser.see('.snapshot-tree-operation')
    browser.picture('restore-under-way')
    is_done(browser, client, server, begun)
    server.came_up()
    node = next(node for node in client.tree(server)['nodes'] if node['name'] == 'fresh')
    assert client.tree(server)['current_snapshot_id'] == node['id']
    assert boot(server)[0].trail.counter <= fresh[0].counter, 'the guest has met what it had written before'
    browser.picture('branch')

    browser.press('.snapshot-tree-branches li a', 'Restore')
    browser.see('.snapshot-plan')
    done(browser, client, server)
    server.came_up()
    tree = client.tree(server)
    assert [branch['name'] for branch in tree['branches'] if branch['id'] == tree['current_branch_id']] == ['main']

    act(browser, 'upgraded', 'Delete')
    browser.see('.snapshot-plan')
    browser.picture('delete-plan')
    done(browser, client, server)
    assert not browser.find(line('upgraded')) and browser.find(line('fresh'))
    assert browser.complaints() == []


def test_another_tenant_sees_nothing_of_it(captured, cloud, browser):
    server, _ = captured
    browser.log_in(cloud.project().owner)
    browser.go('/project/server_snapshots/')
    browser.see('body', 'No server has snapshots yet')
    browser.go(f'/project/server_snapshots/{server.id}/')
    browser.see('.alert-danger', 'req-')
    assert browser.driver.current_url.endswith('/project/server_snapshots/')


def test_a_plan_that_is_out_of_date_is_refused_in_words_and_with_the_id_of_the_request(panel, captured, browser):
    server, client = captured
    browser.log_in(client.person).go(f'/project/server_snapshots/{server.id}/')
    act(browser, 'before the upgrade', 'Restore')
    before = client.tree(server)['tree_generation']
    client.capture(server, 'meanwhile')
    agree(browser)
    said = browser.see('.modal-body .alert-danger, .modal .alert-danger, .alert-danger', 'req-').text
    browser.picture('refused')
    assert 'changed' in said, said
    request = re.search(r'req-[0-9a-f-]{36}', said)[0]
    assert request in panel.tail(1000), 'what went wrong is found in the log of Ratoon'
    assert client.tree(server)['tree_generation'] > before and client.server(server)['operation_id'] is None


def test_what_has_been_asked_for_can_be_cancelled(panel, captured, browser):
    server, client = captured
    panel.stop()
    panel.start(role='api')  # nobody is at work
    try:
        operation = client.begin_capture(server, 'not after all')['operation_id']
        browser.log_in(client.person).go(f'/project/server_snapshots/{server.id}/')
        browser.see('.snapshot-tree-operation', 'last time')
        browser.press('.snapshot-tree-operation a', 'Cancel')
        agree(browser)
        wait('the service to be told', lambda: client.operation(operation)['cancel_requested'])
    finally:
        panel.stop()
        panel.start()
    wait('the operation to end', lambda: client.operation(operation)['status'] == 'cancelled')
    wait('the page to show that', lambda: browser.find('.snapshot-tree') and not browser.find('.snapshot-tree-operation'))
    assert not browser.find(line('not after all'))


def test_an_administrator_sees_the_trees_and_the_operations_of_all(captured, cloud, browser):
    server, client = captured
    browser.log_in(cloud.admin).go('/admin/server_snapshots/')
    for table in ('trees', 'projects'):
        browser.see(f'#server_snapshot_{table}', server.project.name)
    browser.see('#server_snapshot_engines', 'panel')
    browser.see('#server_snapshot_operations', 'Taking a snapshot')
    browser.picture('admin')
    browser.press(f'#server_snapshot_trees a[href*="{server.id}"]')
    browser.see(line('before the upgrade'))


def test_on_a_telephone_the_tree_can_be_read_and_a_snapshot_opened(captured, browser):
    server, client = captured
    browser.size(PHONE)
    browser.log_in(client.person).go(f'/project/server_snapshots/{server.id}/')
    browser.see('.snapshot-tree-rows .name', 'before the upgrade')
    browser.picture('phone')
    browser.press('.snapshot-tree-rows .name', 'before the upgrade')
    browser.see('dl', 'Disks')
