"""The lines and circles of a picture. Pure: places in, coordinates out."""

from dataclasses import dataclass

#: Height of a row and width of a lane, in CSS pixels; static/server_snapshots/tree.css has the first too.
ROW, LANE = 48, 22
#: Where many lines stand side by side they move together, so that there is room for words beside them.
LANES_WIDTH_MAX, LANE_MIN = 220, 8
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
    x: int
    y: int
    colour: int
    #: snapshot, hidden or here
    kind: str


@dataclass(frozen=True)
class Drawing:
    width: int
    height: int
    paths: list
    dots: list
    #: by branch
    colours: dict


def of(picture):
    paths, dots, colours = [], [], {}
    lane = max(LANE_MIN, min(LANE, LANES_WIDTH_MAX // max(picture.lanes, 1)))
    for line in picture.lines:
        for stop in line.stops:
            colour = colours.setdefault(stop.branch_id, len(colours) % COLOURS)
            if stop.parent:
                paths.append(Path(_way(stop.parent, stop, lane), colour, stop.node is None))
            dots.append(Dot(_x(stop, lane), _y(stop), colour, _kind(stop)))
    return Drawing(lane * max(picture.lanes, 1) + LANE - lane, ROW * len(picture.stops), paths, dots, colours)


def _way(parent, stop, lane):
    """Up from the parent; a fork bends into its lane right above it, and goes straight up from there."""
    x, y, to_x, to_y = _x(parent, lane), _y(parent), _x(stop, lane), _y(stop)
    if x == to_x:
        return f"M{x} {y}V{to_y}"
    middle, bend = y - ROW // 2, y - ROW
    return f"M{x} {y}C{x} {middle} {to_x} {middle} {to_x} {bend}V{to_y}"


def _x(stop, lane):
    return lane * stop.lane + LANE // 2


def _y(stop):
    return ROW * stop.row + ROW // 2


def _kind(stop):
    if stop.node is None:
        return "here"
    return "hidden" if stop.node.get("hidden") else "snapshot"
