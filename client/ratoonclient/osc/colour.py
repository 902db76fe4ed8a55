"""Colours of the tree picture, as ANSI codes for terminals that want them."""

import os

_CODES = {
    "title": "1",
    "graph": "36",
    "hidden": "2",
    "here": "1;32",
    "error": "31",
    "branch": "33",
    "flag": "35",
    "faint": "2",
}


def paint(part, words):
    code = _CODES.get(part)
    return f"\033[{code}m{words}\033[0m" if code and words else words


def wanted(stream):
    """Colour only for a terminal whose owner has not asked for none."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
