"""What all commands share: names, errors, and the shell as a process."""

import os
import subprocess
import sys

import bodies
import pytest
from bodies import FRESH, REQUEST_ID, RESTORE, SERVER, uid


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
        bodies.snapshot(20, "fresh", server_id=uid(2), server_name="web-02")
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
