"""Where each snapshot of a tree stands in its picture. Pure: the API's tree in, places out.

Time runs upwards: a row is a snapshot, the newest at the top, and above the one
that the server grew from, the server itself ("here"). A line of snapshots keeps
its lane as long as it goes on; what forks off gets the leftmost lane that is free
from its fork on. So the picture is as wide as there are lines side by side, and
as high as there are snapshots, however they hang together.
"""

from dataclasses import dataclass, field


@dataclass
class Stop:
    """A row: a snapshot, or, where `node` is None, the server as it is now."""

    node: dict | None
    branch_id: str | None
    branch: str
    #: the stop it grew from, if any; not one that is gone
    parent: "Stop | None" = None
    row: int = 0
    lane: int = 0


@dataclass
class Line:
    """Stops that go on from one another in one lane, oldest first."""

    stops: list = field(default_factory=list)
    lane: int = 0

    @property
    def begins(self):
        """The row from which its lane is taken: that of its fork."""
        first = self.stops[0]
        return first.parent.row if first.parent else first.row

    @property
    def ends(self):
        return self.stops[-1].row


@dataclass(frozen=True)
class Picture:
    #: newest first
    stops: list
    lines: list
    #: how many lines stand side by side at most
    lanes: int


def of(tree):
    """The picture of a tree as the API shows it."""
    stops = _stops(tree)
    lines = _lines(stops)
    lanes = _lanes(lines)
    return Picture(list(reversed(stops)), lines, lanes)


def _stops(tree):
    """Oldest first, parents before what grew from them; rows count upwards from the newest."""
    stops, by_id = [], {}
    here_at = tree.get("current_snapshot_id")
    for node in _in_order(tree.get("nodes") or []):
        stop = Stop(
            node,
            node.get("branch_id"),
            node.get("branch") or "",
            by_id.get(node.get("parent_id")),
        )
        by_id[node["id"]] = stop
        stops.append(stop)
    if stops and not tree.get("deleted_at"):
        branch_id = tree.get("current_branch_id")
        names = {one["id"]: one["name"] for one in tree.get("branches") or []}
        stops.append(
            Stop(None, branch_id, names.get(branch_id) or "", by_id.get(here_at))
        )
    for row, stop in enumerate(reversed(stops)):
        stop.row = row
    return stops


def _in_order(nodes):
    """By time; but never before what it grew from, though a clock was set back."""
    known = {node["id"] for node in nodes}
    ready = sorted(nodes, key=lambda node: node.get("created_at") or "")
    done, ordered = set(), []
    while ready:
        waiting = []
        for node in ready:
            parent = node.get("parent_id")
            if parent in known and parent not in done:
                waiting.append(node)
            else:
                done.add(node["id"])
                ordered.append(node)
        if len(waiting) == len(ready):  # a circle: there is none, but who draws must end
            return ordered + waiting
        ready = waiting
    return ordered


def _lines(stops):
    """A stop goes on in the line of what it grew from, if that is its branch's, or nothing else grew from there."""
    grown = {}
    for stop in stops:
        grown.setdefault(id(stop.parent), []).append(stop)
    lines, line_of = [], {}
    for stop in stops:
        line = line_of.get(id(stop.parent)) if stop.parent else None
        if line is None or not _goes_on(stop, grown[id(stop.parent)]):
            line = Line()
            lines.append(line)
        line.stops.append(stop)
        line_of[id(stop)] = line
    return lines


def _goes_on(stop, siblings):
    if len(siblings) == 1:
        return True
    same = [one for one in siblings if one.branch_id == stop.parent.branch_id]
    return bool(same) and same[0] is stop


def _lanes(lines):
    """Gives each line the leftmost lane that nobody else has between its fork and its end. Older lines choose first."""
    taken = []  # by lane: the intervals of rows, newest row first
    for line in lines:
        first, last = line.ends, line.begins
        for lane, intervals in enumerate(taken):
            if all(last < top or bottom < first for top, bottom in intervals):
                break
        else:
            lane = len(taken)
            taken.append([])
        taken[lane].append((first, last))
        line.lane = lane
        for stop in line.stops:
            stop.lane = lane
    return len(taken)
