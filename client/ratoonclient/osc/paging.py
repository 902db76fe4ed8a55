"""--limit, --marker and --sort, as the stock list commands have them.

(osc-lib has helpers for them only in versions newer than the oldest we run on.)
"""

import itertools


def add_options(parser):
    parser.add_argument(
        "--limit",
        metavar="<limit>",
        type=int,
        help="Show at most so many",
    )
    parser.add_argument(
        "--marker",
        metavar="<id>",
        help="Start behind this ID, the last one of the list before",
    )
    parser.add_argument(
        "--sort",
        metavar="<key>[:<direction>]",
        help="Sort by this key, asc or desc (default: created_at:desc)",
    )


def query(parsed_args):
    given = {
        name: getattr(parsed_args, name) for name in ("limit", "marker", "sort")
    }
    return {name: value for name, value in given.items() if value is not None}


def first(parsed_args, resources):
    """No more than --limit of them; the SDK takes a limit for the size of a page."""
    return list(itertools.islice(resources, parsed_args.limit))
