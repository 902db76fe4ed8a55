"""openstack server snapshot create and the like: asked, printed and returned."""

import bodies
import pytest
from bodies import FRESH, OPERATION, RESTORE, SERVER, SNAPSHOTS, UPGRADED, uid


# create


def test_create(snap, cloud):
    ran = snap("create", "--name", "new", "web-01", "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert cloud.asked("POST", SNAPSHOTS) == [
        {"snapshot": {"server_id": SERVER, "name": "new"}}
    ]
    assert ran.json["status"] == "creating"
    assert ran.json["operation_id"] == OPERATION


def test_create_sends_every_option(snap, cloud):
    ran = snap(
        *("create", SERVER, "--name", "n", "--description", "d"),
        *("--consistency", "crash", "--pause-limit", "500"),
        *("--exclude-disk", "vdb", "--exclude-disk", uid(801)),
    )
    assert ran.code == 0
    assert cloud.asked("POST", SNAPSHOTS) == [
        {
            "snapshot": {
                "server_id": SERVER,
                "name": "n",
                "description": "d",
                "consistency": "crash",
                "pause_limit_ms": 500,
                "exclude_disks": ["vdb", uid(801)],
            }
        }
    ]


def test_create_wait_keeps_stdout_for_the_formatter(snap, cloud):
    ran = snap("create", "--name", "new", "--wait", "web-01", "-f", "json")
    assert ran.code == 0
    assert ran.json["status"] == "available"
    assert ran.err.splitlines() == [
        "snapshot: queued (0/2)",
        "snapshot: stop_server (0/2)",
        "snapshot: swap_disks (1/2)",
        "snapshot: succeeded (2/2)",
    ]


def test_quiet_has_no_progress(openstack):
    ran = openstack("-q", "server", "snapshot", "create", "--wait", "web-01")
    assert (ran.code, ran.err) == (0, "")


def test_warnings_are_told(snap, cloud):
    cloud.course = [bodies.operation(status="succeeded", warnings=["it was slow"])]
    assert "warning: it was slow\n" in snap("create", "--wait", "web-01").err


def test_create_dry_run(snap, cloud):
    ran = snap("create", "--dry-run", "web-01")
    assert ran.code == 0
    assert ran.out.startswith("Plan of a snapshot; nothing has been done.\n")
    assert cloud.asked("POST", SNAPSHOTS) == [
        {"snapshot": {"server_id": SERVER}, "dry_run": True}
    ]


# list


def test_list(snap):
    ran = snap("list", "-f", "json")
    assert ran.code == 0
    assert ran.json[0] == {
        "ID": FRESH,
        "Name": "fresh",
        "Server": "web-01",
        "Branch": "main",
        "Status": "available",
        "Size": 3 * bodies.GIB,
        "Created At": "2026-11-01T02:00:00Z",
    }
    assert "| 3.0 GiB |" in snap("list").out


def test_list_long_keeps_real_types(snap):
    first = snap("list", "--long", "-f", "json").json[0]
    assert (first["Current"], first["Partial"], first["Disks"]) == (False, False, 1)
    assert first["Consistency"] == "crash"
    assert first["Parent"] is None


def test_list_sends_every_filter(snap, cloud):
    cloud.snapshots = []
    ran = snap(
        *("list", "--server", "web-01", "--branch", "main", "--status", "error"),
        *("--project", "demo", "--sort", "name:asc"),
    )
    assert ran.code == 0
    assert cloud.asked("GET", SNAPSHOTS) == [
        {
            "server_id": SERVER,
            "branch_id": bodies.uid(50),
            "status": "error",
            "project_id": bodies.PROJECT,
            "all_projects": "true",
            "sort": "name:asc",
        }
    ]


def test_list_limit_is_a_limit(snap, cloud):
    assert [one["ID"] for one in snap("list", "--limit", "1", "-f", "json").json] == [
        FRESH
    ]
    assert len(cloud.asked("GET", SNAPSHOTS)) == 1
    after = snap("list", "--limit", "1", "--marker", FRESH, "-f", "json").json
    assert [one["ID"] for one in after] == [UPGRADED]


def test_list_of_a_project_one_may_not_look_up(snap, cloud):
    cloud.errors["GET", "/identity/v3/projects"] = (403, "You may not.")
    cloud.errors["GET", "/identity/v3/projects/p"] = (403, "You may not.")
    assert snap("list", "--project", "p").code == 0
    assert cloud.asked("GET", SNAPSHOTS)[0]["project_id"] == "p"


# show, set


@pytest.mark.parametrize("given", ["fresh", FRESH])
def test_show(snap, given):
    shown = snap("show", given, "-f", "json").json
    assert shown["id"] == FRESH
    assert shown["size_bytes"] == 3 * bodies.GIB
    assert shown["disks"][0]["device"] == "/dev/vda"
    assert shown["consistency"]["pause_ms"] == 12
    assert (shown["current"], shown["fault"]) == (False, None)


def test_show_as_a_table(snap, cloud):
    cloud.snapshots[0]["left_out"] = [{"key": "vdc", "reason": "is shared"}]
    shown = snap("show", "fresh").out
    assert "crash (asked: auto, paused 12 ms)" in shown
    assert "/dev/vda: system, 3.0 GiB" in shown
    assert "vdc: is shared" in shown


def test_set(snap, cloud):
    ran = snap("set", "--name", "older", "--description", "", "fresh")
    assert (ran.code, ran.out) == (0, "")
    assert cloud.asked("PATCH", f"{SNAPSHOTS}/{FRESH}") == [
        {"snapshot": {"name": "older", "description": ""}}
    ]


def test_protect_and_take_it_off(snap, cloud):
    assert snap("set", "--protected", "fresh").code == 0
    assert snap("set", "--protected-reason", "audit", "fresh").code == 0
    assert snap("unset", "--protected", "--description", "fresh").code == 0
    assert cloud.asked("PATCH", f"{SNAPSHOTS}/{FRESH}") == [
        {"snapshot": {"protected": True}},
        {"snapshot": {"protected": True, "protected_reason": "audit"}},
        {"snapshot": {"protected": False, "description": ""}},
    ]


def test_show_tells_who_protects(snap, cloud):
    since = "2026-11-01T02:00:00Z"
    protection = {"user_id": "alice", "reason": "audit", "since": since}
    cloud.snapshots[0]["protection"] = protection
    assert snap("show", "fresh", "-f", "json").json["protection"] == protection
    assert "by user alice since 2026-11-01 02:00: audit" in snap("show", "fresh").out


def test_a_branch_by_name_needs_its_server(snap):
    ran = snap("list", "--branch", "main")
    assert ran.code == 1
    assert "--server" in ran.err


# delete


def test_delete(snap, cloud):
    ran = snap("delete", "fresh", terminal=True)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert cloud.asked("DELETE", f"{SNAPSHOTS}/{FRESH}") == [{}]


def test_delete_of_several_goes_on_after_a_failure(snap, cloud):
    cloud.errors["DELETE", f"{SNAPSHOTS}/{FRESH}"] = (409, "It is protected.")
    ran = snap("delete", "missing", "fresh", "upgraded")
    assert ran.code == 1
    assert "no snapshot has the name 'missing'" in ran.err
    assert "It is protected. (HTTP 409, req-" in ran.err
    assert ran.err.endswith("2 of 3 could not be deleted\n")
    assert cloud.asked("DELETE", f"{SNAPSHOTS}/{UPGRADED}") == [{}]


def test_delete_waits(snap):
    ran = snap("delete", "--wait", "fresh")
    assert ran.code == 0
    assert "deletion: succeeded" in ran.err


def test_delete_dry_run(snap, cloud):
    ran = snap("delete", "--dry-run", "--subtree", "fresh")
    assert ran.code == 0
    assert ran.out.startswith("Plan of a deletion; nothing has been done.")
    assert "Will be lost:\n  x" in ran.out
    assert cloud.asked("DELETE", f"{SNAPSHOTS}/{FRESH}") == [
        {"subtree": "true", "dry_run": "true"}
    ]


def test_delete_of_a_subtree_asks_at_a_terminal(snap, cloud):
    declined = snap("delete", "--subtree", "fresh", answer="\n")
    assert (declined.code, declined.err.endswith("nothing more has been done\n")) == (
        1,
        True,
    )
    assert snap("delete", "--subtree", "fresh", answer="y\n").code == 0
    assert cloud.asked("DELETE", f"{SNAPSHOTS}/{FRESH}")[-1] == {
        "subtree": "true",
        "tree_generation": "12",
    }


def test_delete_of_all(snap, cloud):
    tree = f"/snap/v1/servers/{SERVER}/tree"
    assert snap("delete", "--all", "--server", "web-01", "--yes").code == 0
    assert cloud.asked("DELETE", tree) == [{}]
    for wrong in (["--all"], ["--all", "--server", "web-01", "fresh"], []):
        assert snap("delete", *wrong).code == 1
    assert len(cloud.asked("DELETE", tree)) == 1


def test_branch_delete(snap, cloud):
    path = f"/snap/v1/branches/{bodies.uid(50)}"
    assert snap("branch", "delete", "web-01", "main", "--wait").code == 0
    assert cloud.asked("DELETE", path) == [{}]


def test_set_of_nothing_asks_nothing(snap, cloud):
    assert snap("set", "fresh").code == 0
    assert not [one for one in cloud.requests if one[0] == "PATCH"]


# restore


def test_restore(snap, cloud):
    ran = snap("restore", "fresh", "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert cloud.asked("POST", RESTORE) == [{"restore": {"safety_snapshot": True}}]
    assert ran.json["status"] == "restoring"


def test_restore_sends_every_option(snap, cloud):
    ran = snap(
        *("restore", FRESH, "--disk", "vda", "--disk", "vdb"),
        *("--branch", "again", "--no-safety-snapshot", "--yes"),
    )
    assert ran.code == 0
    assert cloud.asked("POST", RESTORE) == [
        {
            "restore": {
                "safety_snapshot": False,
                "disks": ["vda", "vdb"],
                "branch_name": "again",
            }
        }
    ]


def test_restore_dry_run(snap, cloud):
    ran = snap("restore", "--dry-run", "fresh")
    assert "  1. stop the server\n" in ran.out
    assert snap("restore", "--dry-run", "fresh", "-f", "json").json == bodies.PLAN
    assert all(body["dry_run"] for body in cloud.asked("POST", RESTORE))


def test_restore_asks_at_a_terminal(snap, cloud):
    ran = snap("restore", "fresh", "-f", "json", answer="y\n")
    assert ran.code == 0
    assert ran.json["status"] == "restoring"
    assert "Stop the server and restore 'fresh'? [y/N]" in ran.err
    assert "what is in memory" in ran.err
    # The answer was for this plan: the service is to refuse any other tree.
    assert cloud.asked("POST", RESTORE)[-1] == {
        "restore": {"safety_snapshot": True},
        "tree_generation": 12,
    }


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_restore_refused_at_a_terminal(snap, cloud, answer):
    ran = snap("restore", "fresh", answer=answer)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith("nothing has been done\n")
    assert [body.get("dry_run") for body in cloud.asked("POST", RESTORE)] == [True]


def test_restore_does_not_ask_when_nothing_stops(snap, cloud):
    cloud.plan = {**bodies.PLAN, "downtime": False}
    ran = snap("restore", "fresh", answer="")
    assert (ran.code, ran.err) == (0, "")


def test_restore_wait_on_a_terminal(snap):
    ran = snap("restore", "--yes", "--wait", "fresh", "-f", "json", terminal=True)
    assert ran.code == 0
    assert ran.json["status"] == "available"
    assert ran.err.startswith("\rrestore: queued (0/2)  0:0")
    assert ran.err.endswith("\033[K\n")


def test_restore_that_fails(snap, cloud):
    cloud.course = [
        bodies.operation(
            status="failed",
            error={
                "code": "quota",
                "step": "clone_volumes",
                "message": "The volume quota is used up.",
                "remedy": "Free 2 volumes and restore again.",
            },
        )
    ]
    ran = snap("restore", "--wait", "fresh", "-f", "json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == (
        f"operation {OPERATION} failed at step clone_volumes: The volume quota is "
        "used up. Free 2 volumes and restore again."
    )
