"""The pages as Horizon makes them, with a service that answers from the API's own samples."""

import json
import pathlib
import re
from unittest import mock

import requests
from django.utils import html
from django.template import loader
from django.urls import resolve
from django.urls import reverse
from django.utils import translation
from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions
from openstack_dashboard.test import helpers

from ratoon_dashboard import api
from ratoon_dashboard import svg
from ratoon_dashboard.snapshots import tabs
from ratoonclient.v1 import branch
from ratoonclient.v1 import engine
from ratoonclient.v1 import operation
from ratoonclient.v1 import server
from ratoonclient.v1 import snapshot

SAMPLES = pathlib.Path(__file__).parents[2] / "api-ref/source/samples"
ERRORS = json.loads((SAMPLES.parents[2] / "tests/api/errors.json").read_text())
TREE = json.loads((SAMPLES / "tree-show-response.json").read_text())["tree"]
PLAN = json.loads((SAMPLES / "snapshot-restore-plan-response.json").read_text())["plan"]
DELETE_PLAN = json.loads((SAMPLES / "snapshot-delete-plan-response.json").read_text())["plan"]
SNAPSHOT = snapshot.Snapshot(**json.loads((SAMPLES / "snapshot-show-response.json").read_text())["snapshot"])
AT_WORK = {"operation_id": "01a1fc56-03b4-7759-90fc-bc646e85df08"}
TREE |= AT_WORK
THE_SERVER = server.Server(**json.loads((SAMPLES / "server-show-response.json").read_text())["server"] | AT_WORK)
BRANCH = branch.Branch(**json.loads((SAMPLES / "branch-show-response.json").read_text())["branch"])
OPERATION = operation.Operation(**json.loads((SAMPLES / "operation-show-response.json").read_text())["operation"])
ENGINES = [engine.Engine(**one) for one in json.loads((SAMPLES / "engines-list-response.json").read_text())["engines"]]
ENDPOINT = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": "http://snapshots"}
ENTRY = {"type": api.SERVICE_TYPE, "name": "ratoon", "endpoints": [ENDPOINT]}
SERVER, NODE = TREE["server_id"], TREE["nodes"][0]["id"]


class Service:
    """What the pages ask, and what they are told."""

    def __init__(self):
        self.asked, self.refusal = [], None

    def servers(self, **query):
        self.asked.append(query)
        return [THE_SERVER]

    def operations(self, **query):
        self.asked.append(query)
        return [OPERATION]

    def engines(self):
        return ENGINES

    def expected_seconds(self, operation):
        return 75.0

    def get_server(self, id):
        return THE_SERVER

    def get_server_tree(self, server):
        return TREE

    def get_snapshot(self, snapshot):
        return SNAPSHOT

    def get_branch(self, branch):
        return BRANCH

    def plan_restore_snapshot(self, snapshot, safety_snapshot=True):
        return PLAN | ({} if safety_snapshot else {"safety": "declined", "loses": ["what disk vda holds now"]})

    def plan_delete_snapshot(self, snapshot, subtree=False):
        self.asked.append((snapshot, subtree))
        return DELETE_PLAN

    def plan_delete_server_tree(self, server):
        return DELETE_PLAN

    def plan_snapshot(self, **attrs):
        return PLAN

    def delete_snapshot(self, snapshot, **how):
        self.asked.append((snapshot, how))

    def delete_server_tree(self, server, **how):
        self.asked.append((server, how))

    def restore_snapshot(self, snapshot, **how):
        self.asked.append((snapshot, how))
        if self.refusal:
            raise self.refusal

    def get_operation(self, operation):
        return mock.Mock(
            id=operation, kind="snapshot_restore", phase="swap", status="running", steps_done=3, steps_total=9, is_cancellable=True
        )


class Catalogued:
    """The service is in the user's catalog, and answers."""

    def _setup_user(self, **kwargs):
        super()._setup_user(**{**kwargs, "service_catalog": [*self.service_catalog, ENTRY]})

    def setUp(self):
        super().setUp()
        self.service = Service()
        self.enterContext(mock.patch("ratoon_dashboard.api.client", return_value=self.service))


class PagesTest(Catalogued, helpers.TestCase):
    def page(self, name, *args):
        return self.client.get(reverse(f"horizon:project:server_snapshots:{name}", args=args))

    def test_a_tree_is_drawn_with_all_its_snapshots(self):
        page = self.page("tree", SERVER)
        self.assertEqual(page.status_code, 200)
        for node in TREE["nodes"]:
            if not node["hidden"]:
                self.assertContains(page, node["name"])
        self.assertContains(page, "You are here")

    def test_it_is_told_how_long_what_is_under_way_took_last_time(self):
        self.assertContains(self.page("tree", SERVER), "took 1:15 last time")

    def test_all_that_the_picture_offers_leads_somewhere(self):
        picture = self.page("picture", SERVER).content.decode()
        offered = re.findall(r'href="(/project/server_snapshots/[^"]*)"', picture)
        self.assertIn(reverse("horizon:project:server_snapshots:restore", args=[SERVER, NODE]), offered)
        for address in offered:
            resolve(address)

    def test_servers_are_listed(self):
        page = self.page("index")
        self.assertContains(page, THE_SERVER.name)
        self.assertContains(page, reverse("horizon:project:server_snapshots:tree", args=[THE_SERVER.id]))

    def test_a_snapshot_is_shown(self):
        self.assertContains(self.page("snapshot", SERVER, NODE), SNAPSHOT.name)

    def test_before_a_restore_its_plan_is_shown(self):
        page = self.page("restore", SERVER, NODE)
        self.assertContains(page, PLAN["disks"][0]["reason"])
        self.assertContains(page, f'name="tree_generation" value="{PLAN["tree_generation"]}"')

    def restore(self, generation=PLAN["tree_generation"], **changes):
        url = reverse("horizon:project:server_snapshots:restore", args=[SERVER, NODE])
        agreed = {"id": NODE, "server_id": SERVER, "tree_generation": generation, "branch_name": "",
                  "safety_snapshot": "on", "planned_safety_snapshot": "True"}
        return self.client.post(url, {name: value for name, value in (agreed | changes).items() if value is not None})

    def test_a_restore_holds_for_the_tree_that_was_shown(self):
        page = self.restore()
        self.assertRedirects(page, reverse("horizon:project:server_snapshots:tree", args=[SERVER]))
        [(id, how)] = self.service.asked
        self.assertEqual((id, how["tree_generation"]), (NODE, PLAN["tree_generation"]))

    def test_who_keeps_nothing_is_shown_what_is_lost_and_asked_again(self):
        page = self.restore(safety_snapshot=None)
        self.assertEqual(self.service.asked, [])
        for text in "what disk vda holds now", "This is another plan now.", 'name="planned_safety_snapshot" value="False"':
            self.assertContains(page, text)
        self.restore(safety_snapshot=None, planned_safety_snapshot="False")
        [(_id, how)] = self.service.asked
        self.assertIs(how["safety_snapshot"], False)

    def test_a_form_names_what_it_is_about(self):
        for name, thing in ("restore", SNAPSHOT), ("delete", SNAPSHOT), ("edit", SNAPSHOT), ("rename_branch", BRANCH):
            self.assertContains(self.page(name, SERVER, NODE), f"{thing.name}</h")

    def edit(self, **changes):
        before = {"id": NODE, "server_id": SERVER, "name": SNAPSHOT.name, "description": SNAPSHOT.description}
        self.service.update_snapshot = mock.Mock()
        self.client.post(reverse("horizon:project:server_snapshots:edit", args=[SERVER, NODE]), {**before, **changes})
        return [call.kwargs for call in self.service.update_snapshot.mock_calls]

    def test_what_was_not_edited_is_not_sent(self):
        self.assertEqual(self.edit(), [])
        self.assertEqual(self.edit(description="other"), [{"description": "other"}])
        self.assertEqual(self.edit(protected="on", protected_reason="audit"), [{"is_protected": True, "protected_reason": "audit"}])

    def test_what_is_agreed_to_after_a_refusal_is_the_plan_that_is_shown(self):
        self.service.refusal = exceptions.ConflictException("The tree has changed.", http_status=409)
        with mock.patch.dict(PLAN, tree_generation=99):
            self.assertContains(self.restore(generation=7), 'name="tree_generation" value="99"')

    def test_who_may_only_look_is_offered_nothing_else(self):
        with mock.patch("openstack_dashboard.policy.check", side_effect=lambda rules, *_: rules[0][1].endswith(":get")):
            for page in self.page("tree", SERVER), self.page("snapshot", SERVER, NODE):
                self.assertNotContains(page, "ajax-modal")

    def test_times_are_the_readers(self):
        self.client.cookies["django_timezone"] = "Asia/Tokyo"
        shown = {
            self.client.get(reverse("horizon:project:server_snapshots:picture", args=[SERVER]), **headers).content
            for headers in ({}, {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"})}
        self.assertEqual(len(shown), 1)

    def test_before_a_deletion_its_steps_and_what_is_lost_are_shown(self):
        for name, *args in [("delete", SERVER, NODE), ("delete_subtree", SERVER, NODE), ("delete_tree", SERVER)]:
            page = self.page(name, *args)
            for line in [*DELETE_PLAN["loses"], DELETE_PLAN["steps"][0]["what"]]:
                self.assertContains(page, html.escape(line))
        self.assertEqual(self.service.asked, [(NODE, False), (NODE, True)])

    def test_what_is_deleted_is_what_the_plan_was_of(self):
        agreed = {"id": NODE, "server_id": SERVER, "tree_generation": 7}
        for name, *args in [("delete", SERVER, NODE), ("delete_subtree", SERVER, NODE), ("delete_tree", SERVER)]:
            self.client.post(reverse(f"horizon:project:server_snapshots:{name}", args=args), agreed)
        self.assertEqual(self.service.asked, [
            (NODE, {"tree_generation": 7}), (NODE, {"subtree": True, "tree_generation": 7}), (SERVER, {"tree_generation": 7})])

    def test_before_a_capture_it_is_said_what_it_would_do(self):
        self.assertContains(self.page("create", SERVER), PLAN["disks"][0]["reason"])

    def test_what_the_service_refuses_is_said_with_the_id_of_the_request(self):
        self.service.refusal = exceptions.ConflictException("The tree has changed. Look again.", http_status=409)
        self.service.refusal.request_id = "req-1"
        self.assertContains(self.restore(), "The tree has changed. Look again. (req-1)")

    def test_each_error_of_the_service_is_told_in_its_words(self):
        for error in ERRORS:
            if error["status"] == 401:  # the session is over, which is Horizon's to tell
                continue
            refusal = exceptions.HttpException(error["message"], http_status=error["status"])
            refusal.request_id = "req-1"
            self.service.refusal = refusal
            with self.subTest(error["when"]):
                self.assertContains(self.restore(), html.escape(f"{error['message']} (req-1)"))

    def test_an_open_page_learns_how_far_the_operation_is(self):
        state = self.page("state", SERVER).json()
        self.assertEqual(state["generation"], THE_SERVER.tree_generation)
        self.assertEqual((state["operation"]["words"], state["operation"]["done"]), ("Restoring: swap", 3))

    def test_how_the_newest_operation_went_is_told_where_the_tree_does_not(self):
        error = {"code": "conflict", "message": "The server has moved.", "remedy": "Try again.", "step": "swap"}
        ends = {"finished_at": "2026-11-21T04:02:11Z", "error": error, "warnings": []}
        for status, told in ("failed", "The server has moved."), ("cancelled", "was cancelled"), ("succeeded", None):
            one = operation.Operation(**OPERATION.to_dict() | ends | {"status": status})
            with self.subTest(status), mock.patch.dict(TREE, operation_id=None), mock.patch.object(self.service, "operations", return_value=[one]):
                page = self.page("picture", SERVER)
                if told:
                    self.assertContains(page, told)
                    self.assertContains(page, one.request_id)
                else:
                    self.assertNotContains(page, "snapshot-tree-ended")

    def test_the_tree_is_shown_though_nobody_knows_how_the_newest_operation_went(self):
        self.service.operations = mock.Mock(side_effect=exceptions.HttpException("away"))
        with mock.patch.dict(TREE, operation_id=None):
            self.assertContains(self.page("picture", SERVER), 'id="snapshot-tree"')

    def test_in_every_language_a_picture_is_drawn_in_whole_pixels(self):
        with translation.override("de"), mock.patch.object(svg, "LANE", 23):
            self.assertNotRegex(self.page("picture", SERVER).content.decode(), r'c[xy]="[0-9]+[.,]')

    def test_the_picture_alone_is_a_part_of_a_page(self):
        page = self.page("picture", SERVER)
        self.assertContains(page, 'id="snapshot-tree"')
        self.assertNotContains(page, "<html")


class Failing:
    """A service that answers whatever is asked with one failure."""

    def __init__(self, failure):
        self.failure = failure

    def __getattr__(self, name):
        def fail(*args, **kwargs):
            raise self.failure
        return fail


class FailuresTest(Catalogued, helpers.TestCase):
    FAILURES = [
        (exceptions.NotFoundException("There is no such server.", http_status=404), 404),
        (exceptions.ConflictException("An operation is under way.", http_status=409), 409),
        (exceptions.HttpException("The database is away.", http_status=503), 503),
        (ks_exceptions.ConnectFailure("No answer."), 503),
    ]

    def each(self, name, *args, **headers):
        for failure, status in self.FAILURES:
            with mock.patch("ratoon_dashboard.api.client", return_value=Failing(failure)):
                yield self.client.get(reverse(f"horizon:project:server_snapshots:{name}", args=args), **headers), failure, status

    def test_the_list_stands_and_says_it(self):
        for page, failure, _ in self.each("index"):
            self.assertContains(page, str(failure))

    def test_a_page_of_one_thing_goes_back_and_says_it(self):
        index = reverse("horizon:project:server_snapshots:index")
        tree = reverse("horizon:project:server_snapshots:tree", args=[SERVER])
        for name, args, back in [
            ("tree", [SERVER], index), ("snapshot", [SERVER, NODE], tree), ("restore", [SERVER, NODE], tree), ("edit", [SERVER, NODE], tree)]:
            for page, failure, _ in self.each(name, *args):
                self.assertRedirects(page, back, fetch_redirect_response=False)
            for page, failure, _ in self.each(name, *args, HTTP_X_REQUESTED_WITH="XMLHttpRequest"):
                self.assertEqual((page.status_code, page["X-Horizon-Location"]), (200, back))

    def test_an_open_page_gets_the_status_and_nothing_else(self):
        ended = (exceptions.HttpException("The token has ended.", http_status=401), 401)
        for name in ("state", "picture"):
            with mock.patch.object(self, "FAILURES", [*self.FAILURES, ended]):
                answers = list(self.each(name, SERVER))
            for page, _, status in answers:
                self.assertEqual((page.status_code, page.content), (status, b""))


class ServiceTest(helpers.TestCase):
    def test_the_service_is_asked_with_the_token_of_whoever_is_logged_in(self):
        self.request.user.service_catalog.append(ENTRY)
        answer = requests.Response()
        answer.status_code, answer._content = 200, json.dumps({"tree": TREE}).encode()
        with mock.patch("requests.Session.send", return_value=answer) as send:
            self.assertEqual(api.client(self.request).get_server_tree("1"), TREE)
        [asked] = send.call_args.args
        self.assertEqual(asked.url, "http://snapshots/v1/servers/1/tree")
        self.assertEqual(asked.headers["X-Auth-Token"], self.request.user.token.id)


class TabTest(Catalogued, helpers.TestCase):
    def tab(self):
        group = mock.Mock(kwargs={"instance_id": SERVER}, request=self.request)
        return tabs.TreeTab(group, self.request).get_context_data(self.request)

    def test_a_server_that_the_service_has_not_met_has_an_empty_tree(self):
        self.service.get_server_tree = mock.Mock(side_effect=exceptions.NotFoundException)
        context = self.tab()
        self.assertEqual((context["picture"].stops, context["server_id"]), ([], SERVER))
        self.assertIn("No snapshots yet", loader.render_to_string("server_snapshots/_tree.html", context))

    def test_without_the_service_the_tab_says_so(self):
        self.service.get_server_tree = mock.Mock(side_effect=exceptions.HttpException("away"))
        with mock.patch("horizon.messages.error") as told:
            self.assertIn("cannot be shown", loader.render_to_string("server_snapshots/_tree.html", self.tab()))
        self.assertEqual(told.call_args.args[1], "away")


class AdminTest(Catalogued, helpers.BaseAdminViewTests):
    PROJECT = mock.Mock(id=THE_SERVER.project_id)
    PROJECT.name = "the web team"

    def setUp(self):
        super().setUp()
        keystone = "openstack_dashboard.api.keystone.tenant_list"
        self.projects = self.enterContext(mock.patch(keystone, return_value=([self.PROJECT], False)))

    def test_an_administrator_sees_all_trees_and_what_goes_on(self):
        page = self.client.get(reverse("horizon:admin:server_snapshots:index"))
        for text in (self.PROJECT.name, THE_SERVER.warnings[-1]["text"][:40], OPERATION.request_id, ENGINES[0].host):
            self.assertContains(page, text)
        self.assertContains(page, reverse("horizon:project:server_snapshots:tree", args=[THE_SERVER.id]))
        self.assertEqual([query["all_projects"] for query in self.service.asked], ["true", "true"])

    def test_a_project_without_a_name_is_shown_by_its_id(self):
        self.projects.side_effect = ks_exceptions.ConnectFailure("Keystone is away")
        page = self.client.get(reverse("horizon:admin:server_snapshots:index"))
        self.assertContains(page, THE_SERVER.project_id)
