"""What restoring a snapshot and restoring a branch have in common.

A restore that takes a running server down asks first, but only a person at a
terminal: a script has nobody to ask and has said what it wants. The question
shows the plan's worst, and the answer holds for that plan alone: its tree
generation goes with the request, so the service refuses if the tree changed
while the user was thinking.
"""

import sys

from osc_lib import exceptions

from ratoonclient.osc import plan as _plan


def add_options(parser):
    parser.add_argument(
        "--disk",
        metavar="<disk>",
        dest="disks",
        action="append",
        help="Restore only this disk, by device name, key or volume ID "
        "(repeat for several; default: all)",
    )
    parser.add_argument(
        "--branch",
        metavar="<name>",
        help="Name of the branch on which the server goes on",
    )
    parser.add_argument(
        "--no-safety-snapshot",
        action="store_true",
        help="Do not capture the present state first",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Show what would be done and do nothing",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="Do not ask before a running server is stopped (asked only at a terminal)",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="Wait until the restore has finished",
    )


def options(parsed_args):
    return {
        "disks": parsed_args.disks,
        "branch_name": parsed_args.branch,
        "safety_snapshot": not parsed_args.no_safety_snapshot,
    }


def agreed_generation(parsed_args, name, make_plan):
    """The tree generation the user agreed to, or None if there was no question."""
    if parsed_args.yes or not sys.stdin.isatty():
        return None
    plan = make_plan()
    if _plan.stops(plan):
        for line in _plan.lines(plan):
            sys.stderr.write(line + "\n")
        sys.stderr.write(f"\nStop the server and restore '{name}'? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise exceptions.CommandError("nothing has been done")
    return plan.get("tree_generation")
