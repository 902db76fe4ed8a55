"""Lines and circles of a picture."""

from ratoon_dashboard import layout
from ratoon_dashboard import svg

from tests.test_layout import node, tree


def drawn(nodes, **more):
    return svg.of(layout.of(tree(nodes, **more)))


def test_the_newest_is_at_the_top():
    drawing = drawn([node(1), node(2, 1)], at=2)
    assert [(dot.y, dot.kind) for dot in drawing.dots] == [
        (svg.ROW * 2.5, "snapshot"),
        (svg.ROW * 1.5, "snapshot"),
        (svg.ROW * 0.5, "here"),
    ]
    assert (drawing.width, drawing.height) == (svg.LANE, 3 * svg.ROW)


def test_a_line_goes_straight_up_and_to_the_server_it_is_dashed():
    paths = drawn([node(1), node(2, 1)], at=2).paths
    assert [path.d for path in paths] == ["M11 120V72", "M11 72V24"]
    assert [path.dashed for path in paths] == [False, True]


def test_a_fork_bends_into_its_lane_right_above_its_parent():
    nodes = [node(1), node(2, 1), node(3, 2), node(4, 1, "b")]
    [fork] = [path for path in drawn(nodes, at=3).paths if "C" in path.d]
    assert fork.d == "M11 216C11 192 33 192 33 168V72"


def test_a_joint_is_hidden():
    kinds = [dot.kind for dot in drawn([{**node(1), "hidden": True}], at=1).dots]
    assert kinds == ["hidden", "here"]


def test_a_branch_has_one_colour_wherever_it_stands():
    nodes = [node(1), node(2, 1), node(3, 1, "b")]
    colours = {dot.colour for dot in drawn(nodes, at=1).dots}
    assert len(colours) == 2


def test_many_lines_side_by_side_leave_room_for_words():
    forks = [node(1)] + [node(number, 1, f"b{number}") for number in range(2, 40)]
    drawing = drawn(forks, at=1)
    assert drawing.width < 400
    assert max(dot.x for dot in drawing.dots) < drawing.width
