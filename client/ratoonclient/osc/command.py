"""Bases of the commands: how errors are worded, and how text replaces tables.

The service's messages are written for people and carry the remedy, so they are
shown as they are, without the URL openstacksdk puts before them; the request
id stays, since it is what finds the failure in the service's log.
"""

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions
from osc_lib.command import command


class _Worded:
    def run(self, parsed_args):
        try:
            return super().run(parsed_args)
        except sdk_exceptions.HttpException as error:
            raise exceptions.CommandError(error_text(error)) from error

    @property
    def client(self):
        return self.app.client_manager.server_snapshot

    @property
    def conn(self):
        return self.app.client_manager.sdk_connection


class Command(_Worded, command.Command):
    pass


class Lister(_Worded, command.Lister):
    pass


class ShowOne(_Worded, command.ShowOne):
    """Shows one thing; a command may set `text` to lines that read better.

    The lines stand in for the default table only: asked for JSON, YAML or
    single columns the command gives the same data as always.
    """

    text = None

    def produce_output(self, parsed_args, column_names, data):
        wants_table = parsed_args.formatter == "table" and not parsed_args.columns
        if self.text is not None and wants_table:
            self.app.stdout.write("\n".join(self.text) + "\n")
            return 0
        return super().produce_output(parsed_args, column_names, data)


def error_text(error):
    message = error.details or error.message or str(error)
    marks = []
    if error.status_code:
        marks.append(f"HTTP {error.status_code}")
    if error.request_id:
        marks.append(error.request_id)
    return f"{message} ({', '.join(marks)})" if marks else str(message)
