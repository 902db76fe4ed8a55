"""The proxy by itself, as a Python program uses it."""

import bodies
import openstack
import pytest
from openstack import exceptions

import ratoonclient.sdk
from ratoonclient.v1 import _proxy


@pytest.fixture
def conn(cloud):
    conn = openstack.connect(
        auth_url=f"{cloud.url}/identity/v3",
        username="demo",
        password="demo",
        project_name="demo",
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
        load_yaml_config=False,
        load_envvars=False,
    )
    return ratoonclient.sdk.register(conn)


def test_registering_twice_is_harmless(conn):
    first = conn.server_snapshot
    assert isinstance(first, _proxy.Proxy)
    assert ratoonclient.sdk.register(conn).server_snapshot is first


def test_the_microversion_is_asked_for(conn, cloud):
    conn.server_snapshot.get_snapshot(bodies.uid(10))
    list(conn.server_snapshot.snapshots())
    conn.server_snapshot.restore_snapshot(bodies.uid(10))
    asked = {path: version for path, version in cloud.microversions if "/v1/" in path}
    assert len(asked) == 3
    assert set(asked.values()) == {"server-snapshot 1.0"}


def test_a_capture_may_be_named_so_that_it_can_be_asked_for_again(conn, cloud):
    conn.server_snapshot.create_snapshot(server_id=bodies.SERVER, client_token="t-1")
    assert cloud.requests[-1][3] == {
        "snapshot": {"server_id": bodies.SERVER},
        "client_token": "t-1",
    }


def test_lists_follow_pages(conn, cloud):
    cloud.page = 1
    assert [one.name for one in conn.server_snapshot.snapshots()] == [
        "fresh",
        "upgraded",
    ]


def test_resources_are_typed(conn):
    snapshot = conn.server_snapshot.get_snapshot(bodies.uid(11))
    assert snapshot.is_current is True
    assert snapshot.size_bytes == 3 * bodies.GIB
    assert snapshot.consistency["reached"] == "crash"
    assert conn.server_snapshot.get_server(bodies.SERVER).tree_generation == 12


def test_waiting(conn):
    seen = []
    operation = conn.server_snapshot.wait_for_operation(
        bodies.OPERATION,
        on_progress=lambda one: seen.append((one.status, one.steps_done)),
        interval=0.01,
    )
    assert operation.status == "succeeded"
    assert seen == [
        ("queued", 0),
        ("running", 0),
        ("running", 1),
        ("succeeded", 2),
    ]


def test_waiting_has_an_end(conn, cloud):
    cloud.course = [bodies.operation(status="running")]
    with pytest.raises(exceptions.ResourceTimeout, match="is still running"):
        conn.server_snapshot.wait_for_operation(
            bodies.OPERATION, interval=0.01, timeout=0.02
        )


def test_waiting_outlives_a_restart_of_the_service(conn, cloud, monkeypatch):
    monkeypatch.setattr(_proxy, "POLL_INTERVAL_MAX_SECONDS", 0.01)
    where = ("GET", f"/snap/v1/operations/{bodies.OPERATION}")
    cloud.errors[where] = (503, "starting")
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            del cloud.errors[where]

    monkeypatch.setattr(_proxy.time, "sleep", sleep)
    operation = conn.server_snapshot.wait_for_operation(bodies.OPERATION)
    assert operation.status == "succeeded"


def test_waiting_gives_up_when_the_service_stays_away(conn, cloud, monkeypatch):
    monkeypatch.setattr(_proxy.time, "sleep", lambda seconds: None)
    where = ("GET", f"/snap/v1/operations/{bodies.OPERATION}")
    cloud.errors[where] = (503, "the store is not reachable")
    with pytest.raises(exceptions.HttpException, match="the store is not reachable"):
        conn.server_snapshot.wait_for_operation(bodies.OPERATION)
    assert len(cloud.asked(*where)) == 1 + _proxy.POLL_FAILURES_MAX


@pytest.mark.parametrize(
    "more, words",
    [
        (
            {
                "status": "failed",
                "error": {
                    "code": "x",
                    "step": "swap_disks",
                    "message": "Volume v is in use.",
                    "remedy": "Detach it.",
                },
            },
            "failed at step swap_disks: Volume v is in use. Detach it.",
        ),
        (
            {
                "status": "failed",
                "error": {
                    "message": "No room",
                    "remedy": "Ask for quota.",
                },
            },
            "failed: No room. Ask for quota.",
        ),
        ({"status": "failed"}, "failed: no reason was recorded"),
        ({"status": "cancelled"}, "was cancelled; what it had begun is undone"),
    ],
)
def test_failures_say_why(conn, cloud, more, words):
    cloud.course = [bodies.operation(**more)]
    with pytest.raises(_proxy.OperationFailed) as caught:
        conn.server_snapshot.wait_for_operation(bodies.OPERATION)
    assert str(caught.value) == f"operation {bodies.OPERATION} {words}"
    assert caught.value.operation.status == more["status"]


def test_an_operation_is_expected_to_take_as_long_as_the_newest_of_its_kind(
    conn, cloud
):
    proxy, now = conn.server_snapshot, bodies.operation()
    operation = proxy.get_operation(now["id"])
    assert proxy.expected_seconds(operation) is None

    def past(kind, minutes):
        times = {
            "started_at": "2026-11-01T01:00:00Z",
            "finished_at": f"2026-11-01T01:{minutes:02}:30Z",
        }
        return bodies.operation(kind=kind, status="succeeded", **times)

    cloud.past = [
        past("snapshot_create", 1),
        past(operation.kind, 2),
        past(operation.kind, 3),
    ]
    assert proxy.expected_seconds(operation) == 150
    query = cloud.requests[-1][2]
    wanted = {"server_id": operation.server_id, "project_id": operation.project_id}
    assert wanted.items() <= query.items()

    cloud.errors["GET", "/snap/v1/operations"] = (503, "away")
    assert proxy.expected_seconds(operation) is None
    cloud.close()
    assert proxy.expected_seconds(operation) is None


def test_engines_are_listed(conn):
    [engine] = conn.server_snapshot.engines()
    assert (engine.host, engine.operations) == ("controller-1", 2)
