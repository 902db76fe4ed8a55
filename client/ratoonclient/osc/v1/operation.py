"""openstack server snapshot operation list, show, cancel, wait"""

from ratoonclient.osc import columns
from ratoonclient.osc import command
from ratoonclient.osc import find
from ratoonclient.osc import paging
from ratoonclient.osc import progress
from ratoonclient.osc import projects

LIST = (
    ("ID", "id"),
    ("Kind", "kind"),
    ("Status", "status"),
    ("Phase", "phase"),
    ("Steps Done", "steps_done"),
    ("Steps Total", "steps_total"),
    ("Server ID", "server_id"),
    ("Created At", "created_at"),
)
SHOW = (
    ("cancel_requested", "is_cancel_requested"),
    ("cancellable", "is_cancellable"),
    ("created_at", "created_at"),
    ("error", "error", columns.Error),
    ("events", "events", columns.Events),
    ("finished_at", "finished_at"),
    ("id", "id"),
    ("kind", "kind"),
    ("phase", "phase"),
    ("project_id", "project_id"),
    ("replaced", "replaced", columns.Replaced),
    ("request_id", "request_id"),
    ("server_id", "server_id"),
    ("snapshot_id", "snapshot_id"),
    ("started_at", "started_at"),
    ("status", "status"),
    ("steps_done", "steps_done"),
    ("steps_total", "steps_total"),
    ("user_id", "user_id"),
    ("warnings", "warnings", columns.Lines),
)
STATUSES = ("queued", "running", "unwinding", "succeeded", "failed", "cancelled")


class ListOperation(command.Lister):
    """List operations on snapshots, running and past"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--server", metavar="<server>", help="Only of this server (name or ID)"
        )
        parser.add_argument("--status", choices=STATUSES, help="Only with this status")
        projects.add_options(parser)
        paging.add_options(parser)
        return parser

    def take_action(self, parsed_args):
        query = paging.query(parsed_args)
        if parsed_args.server:
            query["server_id"] = find.server_id(self.conn, parsed_args.server)
        if parsed_args.status:
            query["status"] = parsed_args.status
        query.update(projects.query(self.conn, parsed_args))
        operations = paging.first(parsed_args, self.client.operations(**query))
        return columns.headings(LIST), [columns.of(one, LIST) for one in operations]


class ShowOperation(command.ShowOne):
    """Show an operation, how far it is and what it did"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_operation(parser)
        return parser

    def take_action(self, parsed_args):
        return _show(self.client.get_operation(parsed_args.operation))


class CancelOperation(command.ShowOne):
    """Cancel an operation; what it has done so far is undone"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_operation(parser)
        return parser

    def take_action(self, parsed_args):
        return _show(self.client.cancel_operation(parsed_args.operation))


class WaitOperation(command.ShowOne):
    """Wait for an operation to end; fails if it fails"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_operation(parser)
        return parser

    def take_action(self, parsed_args):
        return _show(progress.wait(self, parsed_args.operation))


def _add_operation(parser):
    parser.add_argument("operation", metavar="<operation>", help="Operation (ID)")


def _show(operation):
    return columns.headings(SHOW), columns.of(operation, SHOW)
