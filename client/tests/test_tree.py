"""openstack server snapshot tree"""

from bodies import FRESH, UPGRADED


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
