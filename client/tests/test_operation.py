"""openstack server snapshot operation"""

from bodies import OPERATION, PROJECT, SERVER


def test_operation_list(snap, cloud):
    ran = snap(
        *("operation", "list", "--server", "web-01", "--status", "queued"),
        *("--limit", "1", "--sort", "created_at:asc", "-f", "json"),
    )
    assert ran.json[0]["Steps Total"] == 2
    assert cloud.asked("GET", "/snap/v1/operations") == [
        {
            "server_id": SERVER,
            "status": "queued",
            "limit": "1",
            "sort": "created_at:asc",
        }
    ]


def test_operations_of_a_project(snap, cloud):
    assert snap("operation", "list", "--project", "demo", "-f", "json").code == 0
    assert cloud.asked("GET", "/snap/v1/operations") == [
        {"project_id": PROJECT, "all_projects": "true"}
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


def test_operation_wait(snap):
    ran = snap("operation", "wait", OPERATION, "-f", "json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded")
    assert ran.err.endswith("(2/2)\n")


def test_operation_wait_for_one_that_fails(snap, cloud):
    cloud.course[-1].update(status="failed", error={"message": "No.", "step": "x"})
    ran = snap("operation", "wait", OPERATION)
    assert ran.code == 1
    assert "No." in ran.err
