"""The progress line, on a terminal and in a log."""

import io

import bodies
import pytest
from conftest import Terminal
from openstack import exceptions

from ratoonclient.osc import progress
from ratoonclient.v1 import operation as _operation


def operation(**more):
    return _operation.Operation.existing(**bodies.operation(**more))


@pytest.mark.parametrize(
    "more, line",
    [
        ({}, "restore: queued (0/2)"),
        (
            {"status": "running", "phase": "swap_disks", "steps_done": 1},
            "restore: swap_disks (1/2)",
        ),
        ({"status": "running"}, "restore: running (0/2)"),
        (
            {"status": "unwinding", "phase": "swap_disks", "steps_done": 1},
            "restore: undoing swap_disks (1/2)",
        ),
        ({"kind": "snapshot_create", "steps_total": 0}, "snapshot: queued"),
        ({"kind": "tree_verify", "steps_total": None}, "tree verify: queued"),
        ({"status": "succeeded", "steps_done": 2}, "restore: succeeded (2/2)"),
    ],
)
def test_line(more, line):
    assert progress.line_of(operation(**more)) == line


def test_a_terminal_has_one_line_rewritten():
    stream, times = Terminal(), iter([0, 1, 75])
    follow = progress.Progress(stream, clock=lambda: next(times))
    follow(operation())
    follow(operation(status="succeeded", steps_done=2))
    follow.close()
    assert stream.getvalue() == (
        "\rrestore: queued (0/2)  0:01\033[K\rrestore: succeeded (2/2)  1:15\033[K\n"
    )


def test_a_log_has_a_line_for_each_change():
    stream = io.StringIO()
    follow = progress.Progress(stream)
    for _look in range(3):
        follow(operation())
    follow(operation(status="succeeded", steps_done=2))
    follow.close()
    assert stream.getvalue() == "restore: queued (0/2)\nrestore: succeeded (2/2)\n"


def follow_a_restore(*looks, expected):
    stream, times = Terminal(), iter([0, *range(3, 99, 3)])
    follow = progress.Progress(stream, clock=lambda: next(times), expected=expected)
    for look in looks:
        follow(operation(**look))
    return [line.removesuffix("\033[K") for line in stream.getvalue().split("\r")[1:]]


def test_a_terminal_is_told_how_long_it_took_last_time():
    running = {"status": "running", "phase": "swap", "steps_done": 1}
    lines = follow_a_restore(
        {},
        running,
        running,
        running,
        {"status": "succeeded", "steps_done": 2},
        expected=lambda operation: 10.0,
    )
    assert lines == [
        "restore: queued (0/2)  0:03",
        "restore: swap (1/2)  0:06 of about 0:10",
        "restore: swap (1/2)  0:09 of about 0:10",
        "restore: swap (1/2)  0:12",
        "restore: succeeded (2/2)  0:15",
    ]


def test_it_is_followed_all_the_same_where_nobody_knows_how_long_it_takes():
    def refused(operation):
        raise exceptions.HttpException("not yours to list")

    for expected in (lambda operation: None, refused):
        assert follow_a_restore({"status": "running"}, expected=expected) == [
            "restore: running (0/2)  0:03"
        ]
