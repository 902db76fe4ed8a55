"""Our commands beside everybody else's in the same `openstack`."""

from importlib import metadata

OURS = "openstack.server_snapshot.v1"

COMMANDS = {
    "server snapshot create",
    "server snapshot list",
    "server snapshot show",
    "server snapshot set",
    "server snapshot unset",
    "server snapshot delete",
    "server snapshot restore",
    "server snapshot tree",
    "server snapshot branch list",
    "server snapshot branch show",
    "server snapshot branch set",
    "server snapshot branch restore",
    "server snapshot branch delete",
    "server snapshot operation list",
    "server snapshot operation show",
    "server snapshot operation cancel",
    "server snapshot operation wait",
}


def commands(wanted):
    points = metadata.entry_points()
    return {
        point.name.replace("_", " ")
        for group in points.groups
        if group.startswith("openstack.") and wanted(group)
        for point in points.select(group=group)
    }


def test_these_are_our_commands():
    assert commands(lambda group: group == OURS) == COMMANDS


def test_no_clash():
    others = commands(lambda group: group not in (OURS, "openstack.cli.extension"))
    assert "server image create" in others, "openstackclient is not installed"
    assert not COMMANDS & others
    # Nor may a command begin with a whole other one: which is meant, then?
    for other in others:
        for command in COMMANDS:
            assert not command.startswith(other + " ")
            assert not other.startswith(command + " ")


def test_every_command_loads_and_has_help(openstack):
    for command in sorted(COMMANDS):
        try:
            openstack(*command.split(), "--help")
        except SystemExit as ended:
            assert ended.code == 0


def test_complete_lists_them(openstack):
    ran = openstack("complete")
    assert ran.code == 0
    assert (
        "cmds_server_snapshot='branch create delete list operation restore set show "
        "tree unset'"
        in ran.out
    )
    assert "cmds_server_snapshot_operation='cancel list show wait'" in ran.out
