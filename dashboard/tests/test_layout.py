"""What stands where in the picture of a tree."""

import random

import pytest

from ratoon_dashboard import layout


def node(id, parent=None, branch="main", at=None):
    at = f"2026-11-01T00:{id // 60:02}:{id % 60:02}Z" if at is None else at
    return {
        "id": str(id),
        "parent_id": None if parent is None else str(parent),
        "branch_id": branch,
        "branch": branch,
        "created_at": at,
    }


def tree(nodes, at=None, branch="main", **more):
    names = sorted({one["branch"] for one in nodes} | {branch or "main"})
    return {
        "nodes": nodes,
        "branches": [{"id": name, "name": name} for name in names],
        "current_snapshot_id": None if at is None else str(at),
        "current_branch_id": branch,
        **more,
    }


def drawn(picture):
    """Lane and id of each row, from the top; `here` for the server."""
    return [(one.lane, one.node["id"] if one.node else "here") for one in picture.stops]


def test_a_tree_without_snapshots_has_no_rows():
    assert layout.of(tree([])) == layout.Picture([], [], 0)


def test_a_line_keeps_its_lane_and_the_server_stands_above_it():
    picture = layout.of(tree([node(1), node(2, 1), node(3, 2)], at=3))
    assert drawn(picture) == [(0, "here"), (0, "3"), (0, "2"), (0, "1")]
    assert picture.lanes == 1


def test_what_forks_off_gets_a_lane_of_its_own():
    nodes = [node(1), node(2, 1), node(3, 1, "b")]
    picture = layout.of(tree(nodes, at=3, branch="b"))
    assert drawn(picture) == [(1, "here"), (1, "3"), (0, "2"), (0, "1")]


def test_a_restored_server_forks_off_before_anything_is_captured():
    picture = layout.of(tree([node(1), node(2, 1)], at=1, branch="b"))
    assert drawn(picture) == [(1, "here"), (0, "2"), (0, "1")]


def test_a_line_that_has_ended_leaves_its_lane_to_others():
    nodes = [
        node(1),
        node(2, 1, "b"),
        node(3, 1),
        node(4, 3),
        node(5, 4, "c"),
        node(6, 4),
    ]
    picture = layout.of(tree(nodes, at=6))
    assert [(one.lane, one.branch) for one in picture.stops if one.lane] == [
        (1, "c"),
        (1, "b"),
    ]
    assert picture.lanes == 2


def test_several_roots_stand_beside_each_other_only_where_they_are_of_one_time():
    nodes = [node(1), node(2, 1), node(3, branch="n"), node(4, 3, "n")]
    picture = layout.of(tree(nodes, at=4, branch="n"))
    assert picture.lanes == 1
    assert picture.stops[0].parent.node["id"] == "4"


def test_a_server_that_stands_on_nothing_we_know_begins_a_line():
    picture = layout.of(tree([node(1)], at=None, branch=None))
    assert picture.stops[0].node is None
    assert picture.stops[0].parent is None


def test_a_deleted_server_is_nowhere():
    picture = layout.of(tree([node(1)], at=1, deleted_at="2026-11-02T00:00:00Z"))
    assert drawn(picture) == [(0, "1")]


def test_a_clock_that_was_set_back_turns_no_line_round():
    nodes = [node(1, at="2026-11-05"), node(2, 1, at="2026-11-04")]
    assert [id for _, id in drawn(layout.of(tree(nodes, at=2)))] == ["here", "2", "1"]


@pytest.mark.parametrize("seed", range(50))
def test_no_two_lines_share_a_place(seed):
    chance = random.Random(seed)
    nodes = [node(0)]
    for id in range(1, chance.randrange(2, 80)):
        parent = chance.randrange(id)
        same = chance.random() < 0.7
        branch = nodes[parent]["branch"] if same else f"b{id}"
        nodes.append(node(id, parent, branch))
    picture = layout.of(tree(nodes, at=chance.randrange(len(nodes)), branch="main"))
    assert [one.row for one in picture.stops] == list(range(len(nodes) + 1))
    for line in picture.lines:
        rows = [stop.row for stop in line.stops]
        assert rows == sorted(rows, reverse=True), "a line goes up"
    for one in picture.lines:
        for other in picture.lines:
            if one is not other and one.lane == other.lane:
                assert one.begins < other.ends or other.begins < one.ends


def test_a_line_of_a_thousand_snapshots_is_one_lane():
    nodes = [node(0)] + [node(id, id - 1) for id in range(1, 1000)]
    assert layout.of(tree(nodes, at=999)).lanes == 1
