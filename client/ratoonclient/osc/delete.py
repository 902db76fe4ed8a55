"""What deleting snapshots, branches and whole trees has in common.

Deleting one snapshot asks nothing, as everywhere in `openstack`. What takes
several at once, a subtree, a branch, a tree, asks first, but only a person at
a terminal, and the answer holds for the plan that was shown alone.
"""

import logging
import sys

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions

from ratoonclient.osc import command
from ratoonclient.osc import plan as _plan
from ratoonclient.osc import progress

LOG = logging.getLogger(__name__)


def add_options(parser):
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Show what would be deleted, what would stay and why, and do nothing",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="Do not ask before several snapshots are deleted (asked only at a "
        "terminal)",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="Wait until the deletion has finished",
    )


def run(self, parsed_args, named, act, make_plan, asks):
    """Delete one thing after the other; one that fails does not stop the rest.

    `named` are (what the user calls it, how to find it) pairs, `act(thing,
    generation)` deletes what was found, `make_plan(thing)` only plans it.
    """
    failures = 0
    for words, find in named:
        try:
            thing = find()
            if parsed_args.dry_run:
                lines = _plan.lines(make_plan(thing))
                self.app.stdout.write("\n".join(lines) + "\n")
                continue
            generation = None
            if asks and not parsed_args.yes and sys.stdin.isatty():
                generation = _agreed_generation(words, make_plan(thing))
            operation_id = act(thing, generation)
            if parsed_args.wait:
                progress.wait(self, operation_id)
        except _Declined:
            raise exceptions.CommandError("nothing more has been done") from None
        except (exceptions.CommandError, sdk_exceptions.SDKException) as error:
            failures += 1
            LOG.error("Failed to delete '%s': %s", words, _words_of(error))
    if failures:
        raise exceptions.CommandError(
            f"{failures} of {len(named)} could not be deleted"
        )


class _Declined(Exception):
    pass


def _agreed_generation(words, plan):
    for line in _plan.lines(plan):
        sys.stderr.write(line + "\n")
    sys.stderr.write(f"\nDelete '{words}'? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise _Declined
    return plan.get("tree_generation")


def _words_of(error):
    if isinstance(error, sdk_exceptions.HttpException):
        return command.error_text(error)
    return str(error)
