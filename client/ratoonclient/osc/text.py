"""Small pure formatters: sizes, times, and text that fits a terminal cell.

Names come from users and are shown to other users' terminals, so whatever is
not printable is replaced before it gets there.
"""

import unicodedata


def size(size_bytes):
    """3221225472 -> "3.0 GiB"; an unknown size is a dash."""
    if size_bytes is None:
        return "-"
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def minute(timestamp):
    """ "2026-11-01T02:00:00Z" -> "2026-11-01 02:00"; the service speaks UTC."""
    return (timestamp or "").replace("T", " ")[:16]


def short_id(uuid):
    return (uuid or "")[:8]


def clean(text):
    """The text on one line, with nothing in it that a terminal would obey."""
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "?"
        for character in (text or "")
    )


def width(text):
    """Columns the text takes on a terminal; wide characters take two."""
    return sum(_character_width(character) for character in text)


def pad(text, columns):
    return text + " " * (columns - width(text))


def cut(text, columns, ellipsis="…"):
    """The text in at most so many columns, its end replaced when too long."""
    if width(text) <= columns:
        return text
    kept, used = "", width(ellipsis)
    for character in text:
        used += _character_width(character)
        if used > columns:
            break
        kept += character
    return kept.rstrip() + ellipsis


def _character_width(character):
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
