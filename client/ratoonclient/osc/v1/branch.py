"""openstack server snapshot branch list, show, set, restore, delete"""

from ratoonclient.osc import columns
from ratoonclient.osc import command
from ratoonclient.osc import delete
from ratoonclient.osc import find
from ratoonclient.osc import plan as _plan
from ratoonclient.osc import progress
from ratoonclient.osc import restore

LIST = (
    ("ID", "id"),
    ("Name", "name"),
    ("Current", "is_current"),
    ("Fork Snapshot", "fork_snapshot_id"),
    ("Tip Snapshot", "tip_snapshot_id"),
    ("Created At", "created_at"),
)
SHOW = (
    ("created_at", "created_at"),
    ("current", "is_current"),
    ("fork_snapshot_id", "fork_snapshot_id"),
    ("id", "id"),
    ("name", "name"),
    ("operation_id", "operation_id"),
    ("server_id", "server_id"),
    ("tip_snapshot_id", "tip_snapshot_id"),
)


class ListBranch(command.Lister):
    """List the branches of a server's snapshot tree"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="Server (name or ID)")
        return parser

    def take_action(self, parsed_args):
        server = find.server_id(self.conn, parsed_args.server)
        branches = self.client.branches(server)
        return columns.headings(LIST), [columns.of(one, LIST) for one in branches]


class ShowBranch(command.ShowOne):
    """Show a branch"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_branch(parser)
        return parser

    def take_action(self, parsed_args):
        branch = _find(self, parsed_args)
        return columns.headings(SHOW), columns.of(branch, SHOW)


class SetBranch(command.Command):
    """Rename a branch"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_branch(parser)
        parser.add_argument("--name", metavar="<name>", required=True, help="New name")
        return parser

    def take_action(self, parsed_args):
        self.client.update_branch(_find(self, parsed_args).id, name=parsed_args.name)


class RestoreBranch(command.ShowOne):
    """Put a server back to the newest snapshot of a branch, and go on there"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        _add_branch(parser)
        restore.add_options(parser)
        return parser

    def take_action(self, parsed_args):
        branch = _find(self, parsed_args)
        options = restore.options(parsed_args)

        def make_plan():
            return self.client.plan_restore_branch(branch.id, **options)

        if parsed_args.dry_run:
            plan = make_plan()
            self.text = _plan.lines(plan)
            return tuple(plan), tuple(plan.values())
        generation = restore.agreed_generation(parsed_args, branch.name, make_plan)
        branch = self.client.restore_branch(
            branch.id, tree_generation=generation, **options
        )
        if parsed_args.wait:
            progress.wait(self, branch.operation_id)
            branch = self.client.get_branch(branch.id)
        return columns.headings(SHOW), columns.of(branch, SHOW)


class DeleteBranch(command.Command):
    """Delete branches with their snapshots; never the one that the server is on"""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="Server (name or ID)")
        parser.add_argument(
            "branches",
            metavar="<branch>",
            nargs="+",
            help="Branch (name or ID; repeat for several)",
        )
        delete.add_options(parser)
        return parser

    def take_action(self, parsed_args):
        server = find.server_id(self.conn, parsed_args.server)

        def finder(words):
            return lambda: find.branch(self.client, server, words)

        def act(branch, generation):
            return self.client.delete_branch(
                branch, tree_generation=generation
            ).operation_id

        delete.run(
            self,
            parsed_args,
            [(words, finder(words)) for words in parsed_args.branches],
            act,
            self.client.plan_delete_branch,
            asks=True,
        )


def _add_branch(parser):
    parser.add_argument("server", metavar="<server>", help="Server (name or ID)")
    parser.add_argument("of_branch", metavar="<branch>", help="Branch (name or ID)")


def _find(self, parsed_args):
    server = find.server_id(self.conn, parsed_args.server)
    return find.branch(self.client, server, parsed_args.of_branch)
