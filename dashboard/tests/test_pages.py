"""The pages as Horizon makes them, with a service that answers from the API's own samples."""

import json
import pathlib
from unittest import mock

from django.urls import reverse
from openstack_dashboard.test import helpers

from ratoon_dashboard import api

SAMPLES = pathlib.Path(__file__).parents[2] / "api-ref/source/samples"
TREE = json.loads((SAMPLES / "tree-show-response.json").read_text())["tree"]
SERVER = TREE["server_id"]


class Service:
    """What the pages ask, and what they are told."""

    def __init__(self):
        self.asked = []

    def servers(self):
        return []

    def get_server_tree(self, server):
        return TREE

    def get_operation(self, operation):
        return mock.Mock(
            id=operation, kind="snapshot_restore", phase="swap", status="running", steps_done=3, steps_total=9, is_cancellable=True
        )


class PagesTest(helpers.TestCase):
    def _setup_user(self, **kwargs):
        endpoint = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": "http://snapshots"}
        service = {"type": api.SERVICE_TYPE, "name": "ratoon", "endpoints": [endpoint]}
        super()._setup_user(**{**kwargs, "service_catalog": [*self.service_catalog, service]})

    def setUp(self):
        super().setUp()
        self.service = Service()
        self.enterContext(mock.patch("ratoon_dashboard.api.client", return_value=self.service))

    def page(self, name, *args):
        return self.client.get(reverse(f"horizon:project:server_snapshots:{name}", args=args))

    def test_a_tree_is_drawn_with_all_its_snapshots(self):
        page = self.page("tree", SERVER)
        self.assertEqual(page.status_code, 200)
        for node in TREE["nodes"]:
            if not node["hidden"]:
                self.assertContains(page, node["name"])
        self.assertContains(page, "You are here")

    def test_servers_are_listed(self):
        self.assertEqual(self.page("index").status_code, 200)
