"""openstack server snapshot tree"""

import shutil

from ratoonclient.osc import colour
from ratoonclient.osc import command
from ratoonclient.osc import find
from ratoonclient.osc import picture


class ShowTree(command.ShowOne):
    """Draw the snapshot tree of a server.

    The default format is the picture, -f dot is Graphviz's; every other (-f
    json, for one) gives the tree as the API does.
    """

    formatter_namespace = "ratoonclient.formatter.tree"

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="Server (name or ID)")
        parser.add_argument(
            "--ascii", action="store_true", help="Draw with ASCII characters only"
        )
        parser.add_argument(
            "--no-color", action="store_true", help="Draw without colour"
        )
        parser.add_argument(
            "--long", action="store_true", help="Draw the snapshots' IDs as well"
        )
        return parser

    def take_action(self, parsed_args):
        server = find.server_id(self.conn, parsed_args.server)
        tree = self.client.get_server_tree(server)
        stdout = self.app.stdout
        coloured = not parsed_args.no_color and colour.wanted(stdout)
        self.text = picture.draw(
            tree,
            ascii=parsed_args.ascii or not _can_print(stdout, picture.UNICODE),
            paint=colour.paint if coloured else picture.plain,
            columns=_columns(stdout),
            ids=parsed_args.long,
        )
        return tuple(tree), tuple(tree.values())


def _can_print(stream, signs):
    try:
        "".join(vars(signs).values()).encode(
            getattr(stream, "encoding", None) or "utf-8"
        )
    except UnicodeEncodeError:
        return False
    return True


def _columns(stream):
    """The terminal's width; anything else takes lines of any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else None
