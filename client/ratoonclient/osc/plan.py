"""Words a plan: what would stop, what becomes of each disk, what would be lost.

Pure: the API's plan in, lines out.
"""

from ratoonclient.osc import text

_DOING = {
    "snapshot_create": "snapshot",
    "snapshot_restore": "restore",
    "snapshot_delete": "deletion",
}

_SAFETY = {
    "take": "taken first, so that the present state can be come back to",
    "not_needed": "not needed, the present state is captured already",
    "declined": "declined, the present state will be lost",
}

_LISTS = (
    ("loses", "Will be lost"),
    ("not_brought_back", "Not brought back"),
    ("warnings", "Warnings"),
)


def lines(plan):
    kind = plan.get("kind") or ""
    doing = _DOING.get(kind, kind.replace("_", " "))
    drawn = [f"Plan of a {doing}; nothing has been done.", ""]
    drawn += _facts(plan)
    if plan.get("disks"):
        drawn += ["", "Disks:"] + _disks(plan["disks"])
    if plan.get("left_out"):
        drawn += ["", "Left out:"]
        drawn += [f"  {one['key']}: {one['reason']}" for one in plan["left_out"]]
    for key, heading in _LISTS:
        if plan.get(key):
            drawn += ["", f"{heading}:"] + [f"  {one}" for one in plan[key]]
    if plan.get("steps"):
        drawn += ["", "Steps:"]
        drawn += [
            f"  {number}. {step.get('what') or step.get('step')}"
            for number, step in enumerate(plan["steps"], 1)
        ]
    return [text.clean(line) for line in drawn]


def stops(plan):
    """Whether a running server would be taken down."""
    return bool(plan.get("downtime"))


def _facts(plan):
    deletes = plan.get("kind") == "snapshot_delete"
    facts = [
        ("server", "is stopped meanwhile" if stops(plan) else "is not stopped"),
        ("branch", _branch(plan)),
        ("safety snapshot", _SAFETY.get(plan.get("safety"))),
        ("needs of quota", None if deletes else _needs(plan.get("needs") or {})),
        ("data copied", text.size(plan.get("bytes_copied") or 0)),
        ("data freed", _freed(plan.get("bytes_freed")) if deletes else None),
        ("tree generation", plan.get("tree_generation")),
    ]
    facts = [(name, value) for name, value in facts if value is not None]
    widest = max(len(name) for name, _value in facts)
    return [f"  {name:<{widest}}  {value}" for name, value in facts]


def _freed(size):
    return "not known" if size is None else f"about {text.size(size)}"


def _branch(plan):
    name = plan.get("branch")
    if not name:
        return None
    action = plan.get("branch_action")
    if action == "new":
        return f"{name} (new)"
    return f"{name} (continued)" if action == "continue" else name


def _needs(needs):
    parts = []
    for key, one, many in (
        ("volumes", "volume", "volumes"),
        ("snapshots", "volume snapshot", "volume snapshots"),
    ):
        if needs.get(key):
            parts.append(f"{needs[key]} {one if needs[key] == 1 else many}")
    if needs.get("gigabytes"):
        parts.append(f"{needs['gigabytes']} GiB")
    return ", ".join(parts) or "nothing"


def _disks(disks):
    rows = [
        (
            text.clean(disk.get("device") or disk.get("key")),
            disk.get("kind") or "",
            text.size(disk.get("size_bytes")),
            disk.get("action") or "",
            text.clean(disk.get("reason")),
        )
        for disk in disks
    ]
    widths = [max(text.width(row[column]) for row in rows) for column in range(4)]
    return [
        (
            f"  {text.pad(name, widths[0])}  {kind:<{widths[1]}}  "
            f"{size:>{widths[2]}}  {action:<{widths[3]}}  {reason}"
        ).rstrip()
        for name, kind, size, action, reason in rows
    ]
