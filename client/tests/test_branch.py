"""openstack server snapshot branch"""

import bodies
import pytest
from bodies import MAIN, UPGRADED


def test_branch_list(snap):
    assert snap("branch", "list", "web-01", "-f", "json").json == [
        {
            "ID": MAIN,
            "Name": "main",
            "Current": True,
            "Fork Snapshot": None,
            "Tip Snapshot": UPGRADED,
            "Created At": "2026-11-01T02:00:00Z",
        }
    ]


@pytest.mark.parametrize("given", ["main", MAIN])
def test_branch_show(snap, given):
    shown = snap("branch", "show", "web-01", given, "-f", "json").json
    assert (shown["id"], shown["current"]) == (MAIN, True)
    assert shown["tip_snapshot_id"] == UPGRADED


@pytest.mark.parametrize("given", ["main", MAIN])
def test_branch_set(snap, cloud, given):
    ran = snap("branch", "set", "--name", "trunk", "web-01", given)
    assert (ran.code, ran.out) == (0, "")
    assert cloud.asked("PATCH", f"/snap/v1/branches/{MAIN}") == [
        {"branch": {"name": "trunk"}}
    ]


def test_branch_restore(snap, cloud):
    ran = snap("branch", "restore", "--wait", "web-01", "main", "-f", "json")
    assert ran.code == 0
    assert ran.json["name"] == "main"
    assert ran.err.endswith("restore: succeeded (2/2)\n")
    ran = snap("branch", "restore", "--dry-run", "web-01", "main", "-f", "json")
    assert ran.json == bodies.PLAN
    ran = snap("branch", "restore", "--branch", "b", "web-01", "main", answer="yes\n")
    assert ran.code == 0
    assert cloud.asked("POST", f"/snap/v1/branches/{MAIN}/restore")[-1] == {
        "restore": {"safety_snapshot": True, "branch_name": "b"},
        "tree_generation": 12,
    }
