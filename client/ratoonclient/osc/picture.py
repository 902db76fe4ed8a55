"""Draws a tree of snapshots as lines of text.

    web-01 (b7c1…)   3 nodes, 2 branches, generation 12   times in UTC

    ● fresh               2026-11-01 02:00  3.0 GiB  main      crash
    ├─● reworked          2026-11-12 09:00  3.0 GiB  branch-2  crash
    │ ▶ You are here                                 branch-2
    ● upgraded            2026-11-10 22:00  3.0 GiB  main      crash

A line of snapshots stays in its column, however long it grows; only what forks
off is indented, and is drawn before its parent's own line goes on. So the
width follows the depth of forks and not the number of snapshots. A snapshot
that is the only child continues the column too, whatever branch it is on.

Pure: the API's tree in, lines out. `paint` decides about colour.
"""

from dataclasses import dataclass

from ratoonclient.osc import text

NAME_COLUMNS_MAX = 40
HERE = "You are here"

FLAGS = (
    ("S", "safety snapshot", lambda node: node.get("safety")),
    ("P", "partial", lambda node: node.get("partial")),
    ("H", "hidden", lambda node: node.get("hidden")),
    ("L", "protected", lambda node: node.get("protected")),
    ("!", "error", lambda node: (node.get("status") or "").startswith("error")),
)


@dataclass(frozen=True)
class Signs:
    node: str
    hidden: str
    here: str
    fork: str
    last_fork: str
    beside: str
    nothing: str
    ellipsis: str


UNICODE = Signs("● ", "○ ", "▶ ", "├─", "└─", "│ ", "  ", "…")
ASCII = Signs("* ", "o ", "> ", "|-", "`-", "| ", "  ", "~")


@dataclass
class Row:
    """One line: the graph before the sign, the sign, and the facts behind it.

    `node` is None for the row that says where the server stands.
    """

    graph: str
    sign: str
    node: dict | None
    branch: str


def plain(part, words):
    return words


def draw(tree, ascii=False, paint=plain, columns=None, ids=False):
    """The picture's lines.

    `paint(part, words)` may wrap words in colour, `part` being one of title,
    graph, name, hidden, here, error, branch, faint. `columns` is the width to
    keep within, by cutting descriptions; `ids` adds the snapshots' full ids.
    """
    signs = ASCII if ascii else UNICODE
    lines = [paint("title", _title(tree, signs))]
    trees = _rows(tree, signs)
    if trees:
        layout = _Layout(trees, signs, paint, columns, ids)
        for rows in trees:
            lines.append("")
            lines.extend(layout.line(row) for row in rows)
    else:
        lines += ["", "No snapshots yet. The first one becomes the root of the tree."]
    footer = [paint("faint", line) for line in _footer(tree)]
    footer += [paint("error", line) for line in _warnings(tree)]
    return lines + ([""] + footer if footer else [])


def _title(tree, signs):
    nodes = tree.get("nodes") or []
    branches = {node.get("branch_id") for node in nodes}
    branches |= {branch.get("id") for branch in tree.get("branches") or []}
    name = text.clean(tree.get("server_name")) or "server"
    if tree.get("deleted_at"):
        name += " (deleted)"
    facts = ", ".join(
        [
            _count(len(nodes), "node", "nodes"),
            _count(len(branches), "branch", "branches"),
            f"generation {tree.get('tree_generation', 0)}",
        ]
    )
    server = f"{text.short_id(tree.get('server_id'))[:4]}{signs.ellipsis}"
    return f"{name} ({server})   {facts}" + ("   times in UTC" if nodes else "")


def _count(number, one, many):
    return f"{number} {one if number == 1 else many}"


def _footer(tree):
    lines = []
    nodes = tree.get("nodes") or []
    shown = [f"{flag} {words}" for flag, words, has in FLAGS if any(map(has, nodes))]
    if shown:
        lines.append("flags: " + ", ".join(shown))
    for node in nodes:
        if node.get("hidden") and node.get("hidden_reason"):
            name = text.clean(node.get("name")) or text.short_id(node["id"])
            lines.append(f"'{name}' was deleted and stays: {node['hidden_reason']}")
    if tree.get("reclaim_pending_bytes"):
        held = text.size(tree["reclaim_pending_bytes"])
        lines.append(f"deleted snapshots still hold {held}, for the disks made of them")
    if tree.get("deleted_at"):
        line = f"the server was deleted {text.minute(tree['deleted_at'])}"
        if tree.get("kept_until"):
            line += f"; its snapshots are kept until {text.minute(tree['kept_until'])}"
        lines.append(line)
    if tree.get("operation_id"):
        lines.append(f"operation {tree['operation_id']} is at work on this tree")
    return lines


def _warnings(tree):
    return [
        f"warning, {text.minute(one.get('at'))}: {text.clean(one.get('text'))}"
        for one in tree.get("warnings") or []
    ]


# Graph


def _rows(tree, signs):
    """The rows of each root's tree, in drawing order.

    Works with a stack of its own, since a line of snapshots may be longer than
    the interpreter's.
    """
    nodes = tree.get("nodes") or []
    known = {node["id"] for node in nodes}
    here = _here(tree)
    here_at = tree.get("current_snapshot_id")
    children = {}
    roots = []
    for node in nodes:
        if node.get("parent_id") in known:
            children.setdefault(node["parent_id"], []).append(node)
        else:
            roots.append(node)

    trees = []
    for root in roots:
        rows = []
        stack = [(root, "", "")]
        while stack:
            node, before, beneath = stack.pop()
            if node is here:
                rows.append(Row(before, signs.here, None, here["branch"]))
                continue
            sign = signs.hidden if node.get("hidden") else signs.node
            rows.append(Row(before, sign, node, node.get("branch") or ""))
            below = list(children.get(node["id"], []))
            if node["id"] == here_at:
                below.append(here)
            forks, continuation = _part(node, below)
            if continuation:
                stack.append((continuation, beneath, beneath))
            for position, fork in reversed(list(enumerate(forks))):
                last = position == len(forks) - 1 and not continuation
                stack.append(
                    (
                        fork,
                        beneath + (signs.last_fork if last else signs.fork),
                        beneath + (signs.nothing if last else signs.beside),
                    )
                )
        trees.append(rows)
    # The server stands on no snapshot that is known: say so beside the trees.
    if nodes and here_at not in known and not tree.get("deleted_at"):
        trees.append([Row("", signs.here, None, here["branch"])])
    return trees


def _part(node, below):
    """What forks off, and what goes on in the node's own column."""
    if len(below) == 1:
        return [], below[0]
    for child in below:
        if child.get("branch_id") == node.get("branch_id"):
            return [other for other in below if other is not child], child
    return below, None


def _here(tree):
    branch_id = tree.get("current_branch_id")
    for branch in tree.get("branches") or []:
        if branch.get("id") == branch_id:
            return {"branch_id": branch_id, "branch": branch.get("name") or ""}
    return {"branch_id": branch_id, "branch": ""}


# Lines


class _Layout:
    """The columns' widths, which all lines share."""

    def __init__(self, trees, signs, paint, columns, ids):
        self.signs, self.paint, self.columns, self.ids = signs, paint, columns, ids
        rows = [row for rows in trees for row in rows]
        nodes = [row.node for row in rows if row.node]
        self.name = max(
            text.width(row.graph + row.sign + self._name(row)) for row in rows
        )
        self.size = max((len(self._size(node)) for node in nodes), default=1)
        self.branch = max(text.width(self._branch(row)) for row in rows)
        self.flags = max((len(_flags(node)) for node in nodes), default=0)
        self.state = max((len(_state(node)) for node in nodes), default=0)

    def line(self, row):
        paint = self.paint
        name = self._name(row)
        filler = " " * (self.name - text.width(row.graph + row.sign + name))
        drawn = paint("graph", row.graph) + self._painted_name(row, name) + filler
        used = self.name
        for part, words, columns, to_the_right in self._cells(row):
            if columns:
                cell = " " * (columns - text.width(words))
                shown = paint(part, words) if words else ""
                drawn += "  " + (cell + shown if to_the_right else shown + cell)
                used += 2 + columns
        description = text.clean(row.node.get("description")) if row.node else ""
        if description:
            if self.columns:
                room = max(self.columns - used - 2, 12)
                description = text.cut(description, room, self.signs.ellipsis)
            drawn += "  " + description
        return drawn.rstrip()

    def _cells(self, row):
        node = row.node or {}
        in_error = (node.get("status") or "").startswith("error")
        cells = [
            ("faint", text.minute(node.get("created_at")), 16, False),
            ("size", self._size(node) if node else "", self.size, True),
            ("branch", self._branch(row), self.branch, False),
            ("flag", _flags(node), self.flags, False),
            ("error" if in_error else "faint", _state(node), self.state, False),
        ]
        if self.ids:
            cells.insert(0, ("faint", node.get("id") or "", 36, False))
        return cells

    def _painted_name(self, row, name):
        if row.node is None:
            return self.paint("here", row.sign + name)
        if row.node.get("hidden"):
            return self.paint("hidden", row.sign + name)
        in_error = (row.node.get("status") or "").startswith("error")
        return self.paint("error" if in_error else "name", row.sign + name)

    def _name(self, row):
        if row.node is None:
            return HERE
        name = text.clean(row.node.get("name")).strip()
        if not name:
            name = "(safety)" if row.node.get("safety") else ""
        if row.node.get("hidden"):
            name = f"(hidden) {name}"
        name = name or f"({text.short_id(row.node['id'])})"
        return text.cut(name.rstrip(), NAME_COLUMNS_MAX, self.signs.ellipsis)

    def _size(self, node):
        return text.size(node.get("size_bytes"))

    def _branch(self, row):
        return text.cut(text.clean(row.branch), NAME_COLUMNS_MAX, self.signs.ellipsis)


def _flags(node):
    return "".join(flag for flag, _words, has in FLAGS if has(node))


def _state(node):
    """The status when there is something to say, else the consistency reached."""
    status = node.get("status")
    if status and status != "available":
        return status
    return node.get("consistency") or ""
