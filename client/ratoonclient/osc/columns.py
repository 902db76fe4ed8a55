"""Cells that read well in a table and keep their real type everywhere else.

A resource's columns are given as (heading, attribute) or (heading, attribute,
cell class) and turned into what cliff wants by `of`.
"""

from cliff import columns

from ratoonclient.osc import text


def of(resource, wanted):
    """The row of one resource."""
    return tuple(_cell(resource, *column) for column in wanted)


def headings(wanted):
    return tuple(column[0] for column in wanted)


def _cell(resource, _heading, attribute, cell=None):
    value = getattr(resource, attribute)
    return value if cell is None else cell(value)


class Size(columns.FormattableColumn):
    def human_readable(self):
        return text.size(self._value)


class Consistency(columns.FormattableColumn):
    def human_readable(self):
        value = self._value or {}
        words = f"{value.get('reached') or '-'} (asked: {value.get('requested')}"
        if value.get("pause_ms") is not None:
            words += f", paused {value['pause_ms']} ms"
        words += ")"
        return f"{words}: {value['reason']}" if value.get("reason") else words


class Reached(columns.FormattableColumn):
    """The consistency reached, of the whole record of it."""

    def human_readable(self):
        return self.machine_readable() or "-"

    def machine_readable(self):
        return (self._value or {}).get("reached")


class Disks(columns.FormattableColumn):
    def human_readable(self):
        return "\n".join(_disk(disk) for disk in self._value or [])


class DiskCount(columns.FormattableColumn):
    def human_readable(self):
        return str(self.machine_readable())

    def machine_readable(self):
        return len(self._value or [])


class LeftOut(columns.FormattableColumn):
    def human_readable(self):
        return "\n".join(f"{one['key']}: {one['reason']}" for one in self._value or [])


class Protection(columns.FormattableColumn):
    def human_readable(self):
        if not self._value:
            return ""
        since = text.minute(self._value.get("since"))
        words = f"by user {self._value.get('user_id')} since {since}"
        reason = text.clean(self._value.get("reason"))
        return f"{words}: {reason}" if reason else words


class Lines(columns.FormattableColumn):
    def human_readable(self):
        return "\n".join(self._value or [])


class Replaced(columns.FormattableColumn):
    def human_readable(self):
        return "\n".join(f"{one['old']} -> {one['new']}" for one in self._value or [])


class Error(columns.FormattableColumn):
    def human_readable(self):
        error = self._value or {}
        parts = [error.get("message"), error.get("remedy")]
        return "\n".join(part for part in parts if part)


class Events(columns.FormattableColumn):
    def human_readable(self):
        return "\n".join(_event(event) for event in self._value or [])


def _disk(disk):
    name = disk.get("device") or disk.get("key")
    facts = [
        disk.get("kind"),
        text.size(disk.get("size_bytes")),
        f"volume {disk['volume_id']}" if disk.get("volume_id") else None,
        "shared" if disk.get("shared") else None,
    ]
    return f"{name}: " + ", ".join(fact for fact in facts if fact)


def _event(event):
    at = (event.get("at") or "").replace("T", " ")[:19]
    line = f"{at}  {event.get('step')} {event.get('event')}"
    return f"{line}: {event['detail']}" if event.get("detail") else line
