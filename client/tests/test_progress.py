"""The progress line, on a terminal and in a log."""

import io

import bodies
import pytest
from conftest import Terminal

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


def follow_a_restore(*looks, expected=10.0):
    """Looks at it every three seconds; the last one took so long."""
    stream, times = Terminal(), iter([0, *range(3, 99, 3)])
    follow = progress.Progress(
        stream, clock=lambda: next(times), expected=lambda operation: expected
    )
    for look in looks:
        follow(operation(**look))
    return [line.removesuffix("\033[K") for line in stream.getvalue().split("\r")[1:]]


RUNNING = {"status": "running", "phase": "swap"}


def test_a_terminal_is_told_what_is_left_of_the_time_that_it_took_last():
    lines = follow_a_restore(
        {},
        RUNNING,
        {**RUNNING, "steps_done": 1},
        RUNNING,
        RUNNING,
        RUNNING,
        {"status": "succeeded", "steps_done": 2},
    )
    assert lines == [
        "restore: queued (0/2)  0:03",
        "restore: swap (0/2)  0:06, about 0:10 left",
        "restore: swap (1/2)  0:09, about 0:07 left",
        "restore: swap (0/2)  0:12, about 0:04 left",
        "restore: swap (0/2)  0:15, about 0:01 left",
        "restore: swap (0/2)  0:18",
        "restore: succeeded (2/2)  0:21",
    ]


def test_of_one_that_was_not_seen_to_begin_nobody_knows_what_is_left():
    lines = follow_a_restore({**RUNNING, "steps_done": 1}, RUNNING)
    assert lines == ["restore: swap (1/2)  0:03", "restore: swap (0/2)  0:06"]


def test_it_is_followed_all_the_same_where_nobody_knows_how_long_it_takes():
    assert follow_a_restore(RUNNING, expected=None) == ["restore: swap (0/2)  0:03"]
