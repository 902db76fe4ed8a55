"""What Horizon is told of the service's rules."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import policies  # noqa: E402

CONF = pathlib.Path(__file__).parent.parent / "ratoon_dashboard/conf"


def test_the_rules_are_those_of_the_services_sample():
    assert (CONF / "default_policies.yaml").read_text() == policies.text(), "policies.py > ratoon_dashboard/conf/default_policies.yaml"


def test_each_rule_says_what_it_is_asked_for():
    named = {rule["name"]: rule for rule in policies.rules(policies.SAMPLE.read_text())}
    restore = named["server-snapshot:snapshot:restore"]
    assert {"method": "POST", "path": "/v1/snapshots/{snapshot_id}/restore"} in restore["operations"]
    assert restore["description"].startswith("Take a server back") and restore["check_str"] == "rule:project_member_or_admin"
    assert named["project_reader"]["operations"] == []
