"""The picture, as it is printed."""

import re

import pytest

from ratoonclient.osc import colour
from ratoonclient.osc import picture
from ratoonclient.osc import text

GIB = 2**30


def node(id, parent, branch, day, name=None, **more):
    return {
        "id": id,
        "parent_id": parent,
        "name": id if name is None else name,
        "description": None,
        "status": "available",
        "hidden": False,
        "safety": False,
        "branch_id": f"id of {branch}",
        "branch": branch,
        "size_bytes": 3 * GIB,
        "consistency": "crash",
        "partial": False,
        "created_at": f"2026-11-{day:02}T02:00:00Z",
    } | more


def tree(nodes, here=None, on="main", branches=(), **more):
    names = {one["branch"] for one in nodes} | set(branches) | {on}
    return {
        "server_id": "b7c1d2e3-0000",
        "server_name": "web-01",
        "tree_generation": 12,
        "current_snapshot_id": here,
        "current_branch_id": f"id of {on}",
        "operation_id": None,
        "nodes": nodes,
        "branches": [{"id": f"id of {name}", "name": name} for name in sorted(names)],
    } | more


FORKED = tree(
    [
        node("fresh", None, "main", 1),
        node("upgraded", "fresh", "main", 10),
        node(
            "s",
            "upgraded",
            "main",
            11,
            "",
            safety=True,
            description="before restore of fresh",
        ),
        node("reworked", "fresh", "branch-2", 12, size_bytes=120 * GIB),
    ],
    here="reworked",
    on="branch-2",
)

PICTURES = {
    "no snapshots": (
        tree([]) | {"branches": []},
        """
        web-01 (b7c1…)   0 nodes, 0 branches, generation 12

        No snapshots yet. The first one becomes the root of the tree.
        """,
    ),
    "a line stays in its column": (
        tree(
            [
                node("one", None, "main", 1),
                node("two", "one", "main", 2),
                node("three", "two", "main", 3),
            ],
            here="three",
        ),
        """
        web-01 (b7c1…)   3 nodes, 1 branch, generation 12   times in UTC

        ● one           2026-11-01 02:00  3.0 GiB  main  crash
        ● two           2026-11-02 02:00  3.0 GiB  main  crash
        ● three         2026-11-03 02:00  3.0 GiB  main  crash
        ▶ You are here                             main
        """,
    ),
    "a fork is drawn before its parent's line goes on": (
        FORKED,
        """
        web-01 (b7c1…)   4 nodes, 2 branches, generation 12   times in UTC

        ● fresh           2026-11-01 02:00    3.0 GiB  main         crash
        ├─● reworked      2026-11-12 02:00  120.0 GiB  branch-2     crash
        │ ▶ You are here                               branch-2
        ● upgraded        2026-11-10 02:00    3.0 GiB  main         crash
        ● (safety)        2026-11-11 02:00    3.0 GiB  main      S  crash  before restore of fresh

        flags: S safety snapshot
        """,  # noqa: E501
    ),
    "restored, and nothing captured since": (
        tree(
            [node("one", None, "main", 1), node("two", "one", "main", 2)],
            here="one",
            on="branch-2",
        ),
        """
        web-01 (b7c1…)   2 nodes, 2 branches, generation 12   times in UTC

        ● one             2026-11-01 02:00  3.0 GiB  main      crash
        ├─▶ You are here                             branch-2
        ● two             2026-11-02 02:00  3.0 GiB  main      crash
        """,
    ),
    "forks of a node whose own line ended": (
        tree(
            [
                node("one", None, "main", 1),
                node("a", "one", "x", 2),
                node("b", "a", "x", 3),
                node("c", "one", "y", 4),
                node("d", "c", "y", 5),
                node("e", "c", "z", 6),
            ],
            here="d",
            on="y",
        ),
        """
        web-01 (b7c1…)   6 nodes, 4 branches, generation 12   times in UTC

        ● one             2026-11-01 02:00  3.0 GiB  main  crash
        ├─● a             2026-11-02 02:00  3.0 GiB  x     crash
        │ ● b             2026-11-03 02:00  3.0 GiB  x     crash
        └─● c             2026-11-04 02:00  3.0 GiB  y     crash
          ├─● e           2026-11-06 02:00  3.0 GiB  z     crash
          ● d             2026-11-05 02:00  3.0 GiB  y     crash
          ▶ You are here                             y
        """,
    ),
    "hidden, partial, error, creating": (
        tree(
            [
                node("one", None, "main", 1, hidden=True),
                node("two", "one", "main", 2, partial=True, consistency="none"),
                node("three", "two", "main", 3, status="error", consistency=None),
                node("four", "three", "main", 4, status="creating", size_bytes=0),
            ],
            here="three",
            operation_id="op-1",
        ),
        """
        web-01 (b7c1…)   4 nodes, 1 branch, generation 12   times in UTC

        ○ (hidden) one    2026-11-01 02:00  3.0 GiB  main  H  crash
        ● two             2026-11-02 02:00  3.0 GiB  main  P  none
        ● three           2026-11-03 02:00  3.0 GiB  main  !  error
        ├─▶ You are here                             main
        ● four            2026-11-04 02:00      0 B  main     creating

        flags: P partial, H hidden, ! error
        operation op-1 is at work on this tree
        """,
    ),
    "two roots, and here is on neither": (
        tree([node("one", None, "main", 1), node("two", None, "x", 2)], on="y"),
        """
        web-01 (b7c1…)   2 nodes, 3 branches, generation 12   times in UTC

        ● one           2026-11-01 02:00  3.0 GiB  main  crash

        ● two           2026-11-02 02:00  3.0 GiB  x     crash

        ▶ You are here                             y
        """,
    ),
    "wide, unnamed and hostile names": (
        tree(
            [
                node("aaaaaaaabbbb", None, "main", 1, ""),
                node("two", "aaaaaaaabbbb", "main", 2, "升级之前"),
                node("three", "two", "main", 3, "a\x1b[31m\nb"),
            ],
            here="three",
        ),
        """
        web-01 (b7c1…)   3 nodes, 1 branch, generation 12   times in UTC

        ● (aaaaaaaa)    2026-11-01 02:00  3.0 GiB  main  crash
        ● 升级之前      2026-11-02 02:00  3.0 GiB  main  crash
        ● a?[31m b      2026-11-03 02:00  3.0 GiB  main  crash
        ▶ You are here                             main
        """,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name):
    drawn_from, expected = PICTURES[name]
    lines = [line[8:] for line in expected.splitlines()[1:-1]]
    assert picture.draw(drawn_from) == lines


def test_ascii_has_the_same_shape():
    lines = picture.draw(FORKED, ascii=True)
    assert lines[2:7] == [
        "* fresh           2026-11-01 02:00    3.0 GiB  main         crash",
        "|-* reworked      2026-11-12 02:00  120.0 GiB  branch-2     crash",
        "| > You are here                               branch-2",
        "* upgraded        2026-11-10 02:00    3.0 GiB  main         crash",
        "* (safety)        2026-11-11 02:00    3.0 GiB  main      S  crash"
        "  before restore of fresh",
    ]
    assert "\n".join(lines).isascii()


def test_ids_are_drawn_on_demand():
    line = picture.draw(FORKED, ids=True)[3]
    assert line.startswith("├─● reworked      reworked ")


def test_descriptions_give_way_to_the_terminal():
    lines = picture.draw(FORKED, columns=82)
    assert lines[6].endswith("  before restore…")
    assert all(text.width(line) <= 82 for line in lines)


def test_colour_changes_nothing_but_colour():
    painted = picture.draw(FORKED, paint=colour.paint)
    assert "\033[1;32m▶ You are here\033[0m" in painted[4]
    assert [re.sub(r"\033\[[0-9;]*m", "", line) for line in painted] == picture.draw(
        FORKED
    )


def test_a_hundred_nodes_stay_readable():
    nodes = [node("n0", None, "main", 1)]
    for number in range(1, 100):
        if number % 10 == 0:  # every tenth forks off the middle of the line before
            parent, branch = f"n{number - 5}", f"branch-{number // 10 + 1}"
        else:
            parent, branch = f"n{number - 1}", nodes[-1]["branch"]
        nodes.append(node(f"n{number}", parent, branch, 1 + number // 4))
    lines = picture.draw(tree(nodes, here="n99", on="branch-10"))
    assert len(lines) == 2 + 100 + 1
    assert max(text.width(line) for line in lines) < 100
    assert sum("You are here" in line for line in lines) == 1
    # All of a branch stand in one column.
    columns = {}
    for line in lines[2:]:
        sign = re.search("[●▶]", line)
        branch = re.search(r"(main|branch-\d+)", line).group()
        columns.setdefault(branch, set()).add(sign.start())
    assert all(len(where) == 1 for where in columns.values())
    assert sorted(min(where) for where in columns.values()) == list(range(0, 20, 2))


def test_a_very_long_line_needs_no_recursion():
    nodes = [node("n0", None, "main", 1)]
    nodes += [node(f"n{n}", f"n{n - 1}", "main", 1) for n in range(1, 5000)]
    lines = picture.draw(tree(nodes, here="n4999"))
    assert lines[-1].startswith("▶ You are here")
    assert len(lines) == 2 + 5001


def test_a_deleted_server_stands_nowhere_and_its_snapshots_have_a_term():
    deleted = tree(
        [node("fresh", None, "main", 1), node("before deleting", "fresh", "main", 2)],
        deleted_at="2026-11-03T04:05:06Z",
        kept_until="2026-11-10T04:05:06Z",
    )
    lines = picture.draw(deleted)
    assert lines[0].startswith("web-01 (deleted) (b7c1…)   2 nodes")
    assert not [line for line in lines if picture.HERE in line]
    assert lines[-1] == (
        "the server was deleted 2026-11-03 04:05; "
        "its snapshots are kept until 2026-11-10 04:05"
    )


def test_what_the_owner_should_know_is_said_last():
    text = "The rebuild has not replaced the server's disk.\nRebuild it again."
    told = [{"at": "2026-11-03T04:05:06Z", "text": text}]
    lines = picture.draw(
        tree([node("fresh", None, "main", 1)], "fresh", warnings=told),
        paint=lambda part, words: f"<{part}>{words}",
    )
    assert lines[-1].startswith("<error>warning, 2026-11-03 04:05: The rebuild has")
    assert lines[-1].endswith("Rebuild it again.")
