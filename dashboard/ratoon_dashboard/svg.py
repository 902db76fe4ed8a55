"""The lines and circles of a picture. Pure: places in, coordinates out."""

from dataclasses import dataclass

#: Height of a row and width of a lane, in CSS pixels; static/server_snapshots/tree.css has the first too.
ROW, LANE = 48, 22
#: Branches have so many colours; after that they begin anew.
COLOURS = 8


@dataclass(frozen=True)
class Path:
    d: str
    colour: int
    #: leads to the server as it is now, where nothing was captured yet
    dashed: bool


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    colour: int
    #: snapshot, hidden or here
    kind: str


@dataclass(frozen=True)
class Drawing:
    width: float
    height: float
    paths: list
    dots: list


def of(picture):
    paths, dots, colours = [], [], {}
    for line in picture.lines:
        for stop in line.stops:
            colour = colours.setdefault(stop.branch_id, len(colours)) % COLOURS
            if stop.parent:
                paths.append(Path(_way(stop.parent, stop), colour, stop.node is None))
            dots.append(Dot(_x(stop), _y(stop), colour, _kind(stop)))
    return Drawing(LANE * max(picture.lanes, 1), ROW * len(picture.stops), paths, dots)


def _way(parent, stop):
    """Up from the parent; a fork bends into its lane right above it, and goes straight up from there."""
    x, y, to_x, to_y = _x(parent), _y(parent), _x(stop), _y(stop)
    if x == to_x:
        return f"M{x:g} {y:g}V{to_y:g}"
    bend = y - ROW
    return f"M{x:g} {y:g}C{x:g} {y - ROW / 2:g} {to_x:g} {y - ROW / 2:g} {to_x:g} {bend:g}V{to_y:g}"


def _x(stop):
    return LANE * (stop.lane + 0.5)


def _y(stop):
    return ROW * (stop.row + 0.5)


def _kind(stop):
    if stop.node is None:
        return "here"
    return "hidden" if stop.node.get("hidden") else "snapshot"
