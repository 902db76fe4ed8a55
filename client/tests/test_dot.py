"""The tree as a graph for Graphviz."""

from bodies import FRESH, UPGRADED

from ratoonclient.osc import dot


def node(id, parent=None, **more):
    return {"id": id, "parent_id": parent, "name": id, "branch": "main"} | more


def test_a_snapshot_points_at_what_grew_from_it_and_the_last_one_at_the_server(snap):
    graph = snap("tree", "-f", "dot", "web-01").out
    assert graph.startswith('digraph "web-01" {') and graph.endswith("}\n")
    assert f'  "{FRESH}" -> "{UPGRADED}";' in graph
    assert f'  "{UPGRADED}" -> here [style=dashed];' in graph


def test_names_are_anybodys_and_hidden_ones_are_dashed():
    nodes = [node("a", name='6" \\ \n pipe', hidden=True), node("b", "a")]
    lines = dot.draw({"nodes": nodes, "deleted_at": "2026-11-01T02:00:00Z"}).split("\n")
    assert lines[2].startswith('  "a" [label="6\\" \\\\ ')
    assert lines[2].endswith('\\nmain", style=dashed];')
    assert lines[3:] == ['  "b" [label="b\\nmain"];', '  "a" -> "b";', "}"]


def test_a_server_without_snapshots_has_an_empty_graph():
    assert dot.draw({"server_name": "web"}).count("\n") == 2


def test_every_other_format_is_still_there(snap):
    assert "dot,json,shell,table,value,yaml" in snap("tree", "--help").out
