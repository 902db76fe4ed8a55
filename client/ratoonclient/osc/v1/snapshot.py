"""openstack server snapshot create, list, show, set, unset, restore, delete"""

from osc_lib import exceptions

from ratoonclient.osc import columns
from ratoonclient.osc import command
from ratoonclient.osc import delete
from ratoonclient.osc import find
from ratoonclient.osc import paging
from ratoonclient.osc import plan as _plan
from ratoonclient.osc import progress
from ratoonclient.osc import projects
from ratoonclient.osc import restore

LIST = (
    ("ID", "id"),
    ("Name", "name"),
    ("Server", "server_name"),
    ("Branch", "branch"),
    ("Status", "status"),
    ("Size", "size_bytes", columns.Size),
    ("Created At", "created_at"),
)
LIST_LONG = LIST + (
    ("Current", "is_current"),
    ("Parent", "parent_id"),
    ("Consistency", "consistency", columns.Reached),
    ("Disks", "disks", columns.DiskCount),
    ("Partial", "is_partial"),
    ("Safety", "is_safety"),
    ("Hidden", "is_hidden"),
    ("Protected", "is_protected"),
    ("Description", "description"),
    ("Server ID", "server_id"),
    ("Project ID", "project_id"),
)
SHOW = (
    ("at_rest", "is_at_rest"),
    ("branch", "branch"),
    ("branch_id", "branch_id"),
    ("consistency", "consistency", columns.Consistency),
    ("created_at", "created_at"),
    ("current", "is_current"),
    ("description", "description"),
    ("disks", "disks", columns.Disks),
    ("fault", "fault"),
    ("flavor", "flavor"),
    ("hidden", "is_hidden"),
    ("id", "id"),
    ("image_id", "image_id"),
    ("left_out", "left_out", columns.LeftOut),
    ("name", "name"),
    ("operation_id", "operation_id"),
    ("parent_id", "parent_id"),
    ("partial", "is_partial"),
    ("project_id", "project_id"),
    ("protection", "protection", columns.Protection),
    ("safety", "is_safety"),
    ("server_id", "server_id"),
    ("server_name", "server_name"),
    ("size_bytes", "size_bytes", columns.Size),
    ("status", "status"),
    ("updated_at", "updated_at"),
    ("user_id", "user_id"),
)
STATUSES = (
    "creating",
    "available",
    "restoring",
    "error",
    "deleting",
    "error_deleting",
)


class CreateSnapshot(command.ShowOne):
    """Capture all disks of a server as a new snapshot of its tree"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="Server (name or ID)")
        parser.add_argument("--name", metavar="<name>", help="Name of the snapshot")
        parser.add_argument(
            "--description", metavar="<text>", help="Description of the snapshot"
        )
        parser.add_argument(
            "--consistency",
            choices=["auto", "none", "crash"],
            help="Whether all disks must be of one moment: crash insists, none "
            "does not, auto does what can be done (default)",
        )
        parser.add_argument(
            "--pause-limit",
            metavar="<milliseconds>",
            type=int,
            help="How long the server may be paused for it",
        )
        parser.add_argument(
            "--exclude-disk",
            metavar="<disk>",
            dest="exclude_disks",
            action="append",
            help="Leave this disk out, by device name, key or volume ID "
            "(repeat for several)",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Show what would be done and do nothing",
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Wait until the snapshot is complete",
        )
        return parser

    def take_action(self, parsed_args):
        attrs = {
            "server_id": find.server_id(self.conn, parsed_args.server),
            "name": parsed_args.name,
            "description": parsed_args.description,
            "consistency": parsed_args.consistency,
            "pause_limit_ms": parsed_args.pause_limit,
            "exclude_disks": parsed_args.exclude_disks,
        }
        attrs = {key: value for key, value in attrs.items() if value is not None}
        if parsed_args.dry_run:
            return _show_plan(self, self.client.plan_snapshot(**attrs))
        snapshot = self.client.create_snapshot(**attrs)
        return _show_after(self, parsed_args, snapshot)


class ListSnapshot(command.Lister):
    """List snapshots of servers"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--server", metavar="<server>", help="Only of this server (name or ID)"
        )
        parser.add_argument(
            "--branch",
            metavar="<branch>",
            help="Only on this branch (ID; or name, together with --server)",
        )
        parser.add_argument(
            "--hidden",
            action="store_true",
            help="Show those too that were deleted and had to stay as joints of "
            "their tree",
        )
        parser.add_argument("--status", choices=STATUSES, help="Only with this status")
        projects.add_options(parser)
        parser.add_argument(
            "--long", action="store_true", help="List additional fields"
        )
        paging.add_options(parser)
        return parser

    def take_action(self, parsed_args):
        query = paging.query(parsed_args)
        if parsed_args.server:
            query["server_id"] = find.server_id(self.conn, parsed_args.server)
        if parsed_args.branch:
            query["branch_id"] = find.branch_id(
                self.client, query.get("server_id"), parsed_args.branch
            )
        if parsed_args.hidden:
            query["hidden"] = "true"
        if parsed_args.status:
            query["status"] = parsed_args.status
        query.update(projects.query(self.conn, parsed_args))
        snapshots = paging.first(parsed_args, self.client.snapshots(**query))
        wanted = LIST_LONG if parsed_args.long else LIST
        return columns.headings(wanted), [columns.of(one, wanted) for one in snapshots]


class ShowSnapshot(command.ShowOne):
    """Show a snapshot"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_snapshot(parser)
        return parser

    def take_action(self, parsed_args):
        return _show(_find(self, parsed_args))


class SetSnapshot(command.Command):
    """Change the name or description of a snapshot, or protect it"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_snapshot(parser)
        parser.add_argument("--name", metavar="<name>", help="New name")
        parser.add_argument("--description", metavar="<text>", help="New description")
        parser.add_argument(
            "--protected",
            action="store_true",
            help="Refuse to delete it until the protection is taken off",
        )
        parser.add_argument(
            "--protected-reason",
            metavar="<text>",
            help="Why, for those who are refused (protects it as well)",
        )
        return parser

    def take_action(self, parsed_args):
        given = {
            "name": parsed_args.name,
            "description": parsed_args.description,
        }
        if parsed_args.protected or parsed_args.protected_reason is not None:
            given["is_protected"] = True
            given["protected_reason"] = parsed_args.protected_reason
        given = {key: value for key, value in given.items() if value is not None}
        snapshot = _find(self, parsed_args)
        if given:
            self.client.update_snapshot(snapshot.id, **given)


class UnsetSnapshot(command.Command):
    """Take the protection or the description off a snapshot"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_snapshot(parser)
        parser.add_argument(
            "--description", action="store_true", help="Take the description off"
        )
        parser.add_argument(
            "--protected", action="store_true", help="Allow again to delete it"
        )
        return parser

    def take_action(self, parsed_args):
        given = {}
        if parsed_args.description:
            given["description"] = ""
        if parsed_args.protected:
            given["is_protected"] = False
        snapshot = _find(self, parsed_args)
        if given:
            self.client.update_snapshot(snapshot.id, **given)


class DeleteSnapshot(command.Command):
    """Delete snapshots; the others, and the server, do not change by it.

    A snapshot at which two lines part stays as a hidden joint of the tree until
    only one of them is left.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "snapshots",
            metavar="<snapshot>",
            nargs="*",
            help="Snapshot (name or ID; repeat for several)",
        )
        parser.add_argument(
            "--server",
            metavar="<server>",
            help="Look for the snapshots' names on this server only (name or ID)",
        )
        parser.add_argument(
            "--subtree",
            action="store_true",
            help="All snapshots that grew from it, too",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="All snapshots of --server",
        )
        delete.add_options(parser)
        return parser

    def take_action(self, parsed_args):
        if parsed_args.all:
            return self._delete_tree(parsed_args)
        if not parsed_args.snapshots:
            raise exceptions.CommandError(
                "name a snapshot, or say --all --server <server>"
            )
        subtree = parsed_args.subtree

        def act(snapshot, generation):
            return self.client.delete_snapshot(
                snapshot, subtree=subtree, tree_generation=generation
            ).operation_id

        delete.run(
            self,
            parsed_args,
            [(words, self._finder(words, parsed_args)) for words in parsed_args.snapshots],
            act,
            lambda snapshot: self.client.plan_delete_snapshot(snapshot, subtree=subtree),
            asks=subtree,
        )

    def _finder(self, words, parsed_args):
        return lambda: find.snapshot(self.conn, self.client, words, parsed_args.server)

    def _delete_tree(self, parsed_args):
        if parsed_args.snapshots or not parsed_args.server or parsed_args.subtree:
            raise exceptions.CommandError(
                "--all goes with --server and without names or --subtree"
            )

        def act(server, generation):
            tree = self.client.delete_server_tree(server, tree_generation=generation)
            return tree["operation_id"]

        delete.run(
            self,
            parsed_args,
            [
                (
                    f"all snapshots of {parsed_args.server}",
                    lambda: find.server_id(self.conn, parsed_args.server),
                )
            ],
            act,
            self.client.plan_delete_server_tree,
            asks=True,
        )


class RestoreSnapshot(command.ShowOne):
    """Put a server back to a snapshot, and go on from there.

    Nothing of the tree is lost by it: the snapshots behind stay where they are,
    and the present state is captured first unless it is already.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_snapshot(parser)
        restore.add_options(parser)
        return parser

    def take_action(self, parsed_args):
        snapshot = _find(self, parsed_args)
        options = restore.options(parsed_args)

        def make_plan():
            return self.client.plan_restore_snapshot(snapshot.id, **options)

        if parsed_args.dry_run:
            return _show_plan(self, make_plan())
        generation = restore.agreed_generation(
            parsed_args, snapshot.name or snapshot.id, make_plan
        )
        snapshot = self.client.restore_snapshot(
            snapshot.id, tree_generation=generation, **options
        )
        return _show_after(self, parsed_args, snapshot)


def _add_snapshot(parser):
    parser.add_argument("snapshot", metavar="<snapshot>", help="Snapshot (name or ID)")
    parser.add_argument(
        "--server",
        metavar="<server>",
        help="Look for the snapshot's name on this server only (name or ID)",
    )


def _find(self, parsed_args):
    return find.snapshot(
        self.conn, self.client, parsed_args.snapshot, parsed_args.server
    )


def _show(snapshot):
    return columns.headings(SHOW), columns.of(snapshot, SHOW)


def _show_plan(self, plan):
    self.text = _plan.lines(plan)
    return tuple(plan), tuple(plan.values())


def _show_after(self, parsed_args, snapshot):
    if parsed_args.wait:
        progress.wait(self, snapshot.operation_id)
        snapshot = self.client.get_snapshot(snapshot.id)
    return _show(snapshot)
