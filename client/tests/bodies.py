"""What Ratoon's answers look like: the bodies that the fake cloud sends and the tests expect."""

GIB = 2**30
PROJECT = "0123456789abcdef0123456789abcdef"
REQUEST_ID = "req-11111111-2222-4333-8444-555555555555"


def uid(number):
    return f"00000000-0000-4000-8000-{number:012d}"


SERVER = uid(1)
OPERATION = uid(900)
FRESH, UPGRADED, MAIN = uid(10), uid(11), uid(50)
SNAPSHOTS = "/snap/v1/snapshots"
RESTORE = f"{SNAPSHOTS}/{FRESH}/restore"


def snapshot(number, name, **more):
    return {
        "id": uid(number),
        "server_id": SERVER,
        "project_id": PROJECT,
        "user_id": "u",
        "name": name,
        "description": None,
        "status": "available",
        "hidden": False,
        "safety": False,
        "protected": False,
        "protection": None,
        "parent_id": None,
        "branch_id": uid(50),
        "branch": "main",
        "current": False,
        "consistency": {
            "requested": "auto",
            "reached": "crash",
            "reason": None,
            "pause_ms": 12,
            "skew_ms": None,
        },
        "partial": False,
        "at_rest": False,
        "size_bytes": 3 * GIB,
        "disks": [
            {
                "id": uid(700),
                "disk_id": uid(701),
                "kind": "system",
                "key": "disk",
                "device": "/dev/vda",
                "position": 0,
                "size_bytes": 3 * GIB,
                "backend": "rbd",
                "volume_id": None,
                "tag": None,
                "shared": False,
            }
        ],
        "left_out": [],
        "server_name": "web-01",
        "flavor": "m1.small",
        "operation_id": None,
        "fault": None,
        "created_at": "2026-11-01T02:00:00Z",
        "updated_at": None,
    } | more


def branch(number, name, **more):
    return {
        "id": uid(number),
        "server_id": SERVER,
        "name": name,
        "fork_snapshot_id": None,
        "tip_snapshot_id": None,
        "current": False,
        "created_at": "2026-11-01T02:00:00Z",
    } | more


def operation(**more):
    return {
        "id": OPERATION,
        "kind": "snapshot_restore",
        "status": "queued",
        "server_id": SERVER,
        "snapshot_id": uid(11),
        "project_id": PROJECT,
        "user_id": "u",
        "request_id": REQUEST_ID,
        "phase": None,
        "steps_done": 0,
        "steps_total": 2,
        "cancellable": True,
        "cancel_requested": False,
        "warnings": [],
        "error": None,
        "created_at": "2026-11-01T02:00:00Z",
        "started_at": None,
        "finished_at": None,
        "events": [
            {"at": "2026-11-01T02:00:01Z", "step": "stop_server", "event": "started"}
        ],
    } | more


PLAN = {
    "kind": "snapshot_restore",
    "tree_generation": 12,
    "disks": [
        {
            "key": "disk",
            "device": "/dev/vda",
            "kind": "system",
            "action": "clone",
            "reason": "its content changed since",
            "size_bytes": 3 * GIB,
        },
        {
            "key": uid(801),
            "device": "/dev/vdb",
            "kind": "volume",
            "action": "keep",
            "reason": "attached after the snapshot",
            "size_bytes": 100 * GIB,
        },
    ],
    "steps": [
        {"step": "stop_server", "what": "stop the server"},
        {"step": "swap_disks", "what": "put the disks in place"},
    ],
    "needs": {"volumes": 1, "snapshots": 2, "gigabytes": 3},
    "bytes_copied": 0,
    "downtime": True,
    "branch": "branch-2",
    "branch_action": "new",
    "safety": "take",
    "left_out": [{"key": "vdc", "reason": "is shared with other servers"}],
    "not_brought_back": ["the flavor m1.large"],
    "loses": ["what is in memory"],
    "warnings": ["the guest agent does not answer"],
}
