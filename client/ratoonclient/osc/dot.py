"""Draws a tree of snapshots in the language of Graphviz: `-f dot`."""

from cliff.formatters import base

from ratoonclient.osc import text


def draw(tree):
    """Pure: the API's tree in, a graph out; a snapshot points at what grew from it."""
    lines = [
        f"digraph {_quoted(text.clean(tree.get('server_name')) or 'server')} {{",
        "  node [shape=box];",
    ]
    nodes = tree.get("nodes") or []
    branches = {one["id"]: one["name"] for one in tree.get("branches") or []}
    for node in nodes:
        words = [text.clean(node.get("name")) or text.short_id(node["id"])]
        words += [text.clean(node.get("branch")), text.minute(node.get("created_at"))]
        style = ", style=dashed" if node.get("hidden") else ""
        lines.append(f"  {_quoted(node['id'])} [label={_quoted(*words)}{style}];")
    if nodes and not tree.get("deleted_at"):
        branch = text.clean(branches.get(tree.get("current_branch_id")))
        label = _quoted("You are here", branch)
        lines.append(f"  here [label={label}, shape=ellipse, penwidth=2];")
    known = {node["id"] for node in nodes}
    for node in nodes:
        if node.get("parent_id") in known:
            lines.append(f"  {_quoted(node['parent_id'])} -> {_quoted(node['id'])};")
    if tree.get("current_snapshot_id") in known and not tree.get("deleted_at"):
        lines.append(
            f"  {_quoted(tree['current_snapshot_id'])} -> here [style=dashed];"
        )
    return "\n".join([*lines, "}"])


def _quoted(*lines):
    """A string of DOT, where only the quote and the backslash mean something."""
    escaped = (
        one.replace("\\", "\\\\").replace('"', '\\"') for one in lines if one
    )
    return '"' + "\\n".join(escaped) + '"'


class Formatter(base.SingleFormatter):
    """cliff's formatter of the tree as a graph."""

    def add_argument_group(self, parser):
        """It has no options."""

    def emit_one(self, column_names, data, stdout, parsed_args):
        stdout.write(draw(dict(zip(column_names, data, strict=True))) + "\n")
