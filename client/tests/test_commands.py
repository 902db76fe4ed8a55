"""Every command through the real shell: what is asked, printed and returned."""

import os
import subprocess
import sys

import fake_cloud
import pytest
from fake_cloud import OPERATION, REQUEST_ID, SERVER, uid

FRESH, UPGRADED, MAIN = uid(10), uid(11), uid(50)
SNAPSHOTS = "/snap/v1/snapshots"
RESTORE = f"{SNAPSHOTS}/{FRESH}/restore"


@pytest.fixture
def snap(openstack):
    def run(*argv, **how):
        return openstack("server", "snapshot", *argv, **how)

    return run


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
    cloud.course = [fake_cloud.operation(status="succeeded", warnings=["it was slow"])]
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
        "Size": 3 * fake_cloud.GIB,
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
            "branch_id": fake_cloud.uid(50),
            "status": "error",
            "project_id": fake_cloud.PROJECT,
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
    assert shown["size_bytes"] == 3 * fake_cloud.GIB
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
    path = f"/snap/v1/branches/{fake_cloud.uid(50)}"
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
    assert snap("restore", "--dry-run", "fresh", "-f", "json").json == fake_cloud.PLAN
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
    cloud.plan = {**fake_cloud.PLAN, "downtime": False}
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
        fake_cloud.operation(
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


# tree


def test_tree(snap):
    assert snap("tree", "web-01").out == (
        """\
web-01 (0000…)   2 nodes, 1 branch, generation 12   times in UTC

● fresh         2026-11-01 02:00  3.0 GiB  main  crash
● upgraded      2026-11-01 02:00  3.0 GiB  main  crash
▶ You are here                             main
"""
    )


def test_tree_in_ascii_with_ids(snap):
    ran = snap("tree", "--ascii", "--long", "web-01")
    assert ran.out.isascii()
    assert f"* upgraded      {UPGRADED}  " in ran.out


def test_tree_colour_is_for_terminals(snap, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033[" in snap("tree", "web-01", terminal=True).out
    assert "\033[" not in snap("tree", "--no-color", "web-01", terminal=True).out
    assert "\033[" not in snap("tree", "web-01").out


def test_tree_json(snap):
    tree = snap("tree", "web-01", "-f", "json").json
    assert tree["current_snapshot_id"] == UPGRADED
    assert [one["parent_id"] for one in tree["nodes"]] == [None, FRESH]


def test_tree_single_column(snap):
    assert snap("tree", "web-01", "-f", "value", "-c", "tree_generation").out == "12\n"


# branches


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
    assert ran.json == fake_cloud.PLAN
    ran = snap("branch", "restore", "--branch", "b", "web-01", "main", answer="yes\n")
    assert ran.code == 0
    assert cloud.asked("POST", f"/snap/v1/branches/{MAIN}/restore")[-1] == {
        "restore": {"safety_snapshot": True, "branch_name": "b"},
        "tree_generation": 12,
    }


# operations


def test_operation_list(snap, cloud):
    ran = snap(
        *("operation", "list", "--server", "web-01", "--status", "queued"),
        *("--limit", "1", "-f", "json"),
    )
    assert ran.json[0]["Steps Total"] == 2
    assert cloud.asked("GET", "/snap/v1/operations") == [
        {"server_id": SERVER, "status": "queued", "limit": "1"}
    ]


def test_operation_show(snap, cloud):
    cloud.course[0]["error"] = {"message": "No.", "remedy": "Do it.", "step": "x"}
    shown = snap("operation", "show", OPERATION, "-f", "json").json
    assert shown["events"][0]["step"] == "stop_server"
    assert shown["cancellable"] is True
    assert shown["error"]["remedy"] == "Do it."


def test_operation_show_as_a_table(snap, cloud):
    cloud.course[0]["error"] = {"message": "No.", "remedy": "Do it.", "step": "x"}
    shown = snap("operation", "show", OPERATION).out
    assert "2026-11-01 02:00:01  stop_server started" in shown
    assert "| Do it. " in shown


def test_operation_cancel(snap, cloud):
    assert snap("operation", "cancel", OPERATION, "-f", "json").json["cancel_requested"]


# names


def test_a_server_of_no_such_name(snap):
    ran = snap("tree", "web-99")
    assert (ran.code, ran.err) == (1, "no server has the name 'web-99'\n")


def test_a_server_of_a_name_of_two(snap, cloud):
    cloud.servers.append({"id": uid(2), "name": "web-01"})
    ran = snap("tree", "web-01")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "2 servers have the name 'web-01', give the id of one:",
        f"  {SERVER}",
        f"  {uid(2)}",
    ]


def test_a_server_by_id_is_not_looked_up(snap, cloud):
    assert snap("tree", SERVER).code == 0
    assert not [one for one in cloud.requests if "compute" in one[1]]


def test_a_snapshot_of_a_name_of_two(snap, cloud):
    cloud.snapshots.append(
        fake_cloud.snapshot(20, "fresh", server_id=uid(2), server_name="web-02")
    )
    ran = snap("restore", "--yes", "fresh")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "2 snapshots have the name 'fresh', give the id of one; "
        "--server narrows the search:",
        f"  {FRESH}  of server web-01, 2026-11-01 02:00",
        f"  {uid(20)}  of server web-02, 2026-11-01 02:00",
    ]
    assert not cloud.asked("POST", RESTORE)
    assert snap("show", "--server", "web-01", "fresh", "-f", "json").json["id"] == FRESH


def test_a_snapshot_of_no_such_name(snap):
    ran = snap("show", "--server", "web-01", "nope")
    assert ran.err == "no snapshot of server 'web-01' has the name 'nope'\n"


def test_a_branch_of_no_such_name(snap):
    ran = snap("branch", "restore", "web-01", "nope")
    assert (ran.code, ran.err) == (
        1,
        "the server has no branch 'nope'; its branches: main\n",
    )


# errors


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 503])
def test_the_services_words_reach_the_user(snap, cloud, status):
    message = "Operation op-1 works on this tree. Wait for it, or cancel it."
    cloud.errors["POST", RESTORE] = (status, message)
    ran = snap("restore", FRESH, "-f", "json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"{message} (HTTP {status}, {REQUEST_ID})\n"


def test_a_cloud_without_the_service(snap, cloud):
    cloud.catalogued = False
    ran = snap("list")
    assert ran.code == 1
    assert (
        "endpoint for server-snapshot service in RegionOne region not found" in ran.err
    )


def test_a_service_that_does_not_answer(snap, cloud):
    cloud.errors["GET", "/snap"] = (503, "down")
    cloud.errors["GET", "/snap/v1/"] = (503, "down")
    ran = snap("list")
    assert ran.code == 1
    assert "is in the catalog but does not answer" in ran.err.splitlines()[-1]


# the shell as a process: exit code and the two streams, for real


def test_as_a_process(cloud, tmp_path):
    def run(*argv):
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "openstackclient.shell",
                "server",
                "snapshot",
                *argv,
            ],
            # The plugin may be on PYTHONPATH instead of being installed.
            env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            | {"LANG": "C.UTF-8"}
            | cloud.environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    ran = run("restore", "--wait", "fresh", "-f", "value", "-c", "status")
    assert (ran.returncode, ran.stdout) == (0, "available\n")
    assert "restore: swap_disks (1/2)\n" in ran.stderr
    assert run("show", "nope").returncode == 1
    assert "▶ You are here" in run("tree", "web-01").stdout
