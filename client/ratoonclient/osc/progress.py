"""Follows an operation on stderr, so that stdout stays clean for formatters.

On a terminal one line is rewritten in place, with what is left of the time
that the last one of the kind took on the server; elsewhere (a log, a pipe) a line
is written whenever the phase changes. `--quiet` silences it.
"""

import sys
import time

from osc_lib import exceptions

from ratoonclient.v1 import _proxy

_DOING = {
    "snapshot_create": "snapshot",
    "snapshot_restore": "restore",
    "snapshot_delete": "deletion",
}


class Progress:
    def __init__(self, stream, clock=time.monotonic, expected=lambda operation: None):
        self.stream, self.clock = stream, clock
        self.started = clock()
        self.in_place = stream.isatty()
        self.last, self.expected = None, expected
        #: when it began to run, and how long it may take from then on; None where that is not known
        self.begun = self.total = None

    def __call__(self, operation):
        line = line_of(operation)
        if self.in_place:
            now = self.clock()
            line += f"  {clock_of(now - self.started)}"
            if operation.status == "running":
                line += self._left(operation, now)
            self._write(f"\r{line}\033[K")
        elif line != self.last:
            self._write(line + "\n")
        self.last = line

    def close(self):
        """Leave the terminal's line as it is and go to the next."""
        if self.in_place and self.last is not None:
            self._write("\n")

    def _left(self, operation, now):
        """What is left of the time that the last one took, if it was seen to begin."""
        if self.begun is None:
            self.begun = now
            self.total = None if operation.steps_done else self.expected(operation)
        left = self.total - (now - self.begun) if self.total else 0
        return f", about {clock_of(left)} left" if left >= 1 else ""

    def _write(self, words):
        self.stream.write(words)
        self.stream.flush()


def clock_of(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def line_of(operation):
    """`restore: clone_volumes (3/7)`: what it does, and how far it is."""
    doing = _DOING.get(operation.kind) or (operation.kind or "").replace("_", " ")
    now = operation.phase if operation.status == "running" else None
    if operation.status == "unwinding":
        now = f"undoing {operation.phase}" if operation.phase else "undoing"
    line = f"{doing}: {now or operation.status}"
    if operation.steps_total:
        line += f" ({operation.steps_done or 0}/{operation.steps_total})"
    return line


def wait(command, operation_id):
    """Wait for the operation as the command's user sees it; failure is an error."""
    if not operation_id:
        raise exceptions.CommandError("the service named no operation to wait for")
    quiet = command.app.options.verbose_level == 0
    expected = command.client.expected_seconds
    progress = None if quiet else Progress(sys.stderr, expected=expected)
    try:
        operation = command.client.wait_for_operation(
            operation_id, on_progress=progress
        )
    except _proxy.OperationFailed as error:
        raise exceptions.CommandError(str(error)) from error
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\noperation {operation_id} goes on; "
            f"'openstack server snapshot operation show {operation_id}' tells how far, "
            "'operation cancel' stops it\n"
        )
        raise
    finally:
        if progress:
            progress.close()
    for warning in operation.warnings or []:
        sys.stderr.write(f"warning: {warning}\n")
    return operation
