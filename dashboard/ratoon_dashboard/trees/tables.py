from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from horizon import tables

from ratoon_dashboard import words
from ratoon_dashboard.templatetags.server_snapshots import moment


def warning_of(server):
    """What an operator should know first."""
    return server.warnings[-1]["text"] if server.warnings else None


class Plain:
    """How all tables of the page look."""

    hidden_title = False
    footer = False
    multi_select = False


class TreesTable(tables.DataTable):
    name = tables.Column("name", verbose_name=_("Server"), link="horizon:project:server_snapshots:tree")
    project = tables.Column("project_name", verbose_name=_("Project"))
    count = tables.Column("snapshot_count", verbose_name=_("Snapshots"))
    size = tables.Column("snapshot_size_bytes", verbose_name=_("Size of their disks"), filters=(filesizeformat,))
    pending = tables.Column("reclaim_pending_bytes", verbose_name=_("Held by deleted ones"), filters=(filesizeformat,))
    kept_until = tables.Column("kept_until", verbose_name=_("Goes at"), filters=(moment,), empty_value="-")
    warning = tables.Column(warning_of, verbose_name=_("Needs care"), empty_value="-")

    class Meta(Plain):
        name = "server_snapshot_trees"
        verbose_name = _("Trees")


class ProjectsTable(tables.DataTable):
    name = tables.Column("name", verbose_name=_("Project"))
    servers = tables.Column("servers", verbose_name=_("Servers"))
    count = tables.Column("snapshot_count", verbose_name=_("Snapshots"))
    size = tables.Column("snapshot_size_bytes", verbose_name=_("Size of their disks"), filters=(filesizeformat,))
    pending = tables.Column("reclaim_pending_bytes", verbose_name=_("Held by deleted ones"), filters=(filesizeformat,))

    class Meta(Plain):
        name = "server_snapshot_projects"
        verbose_name = _("Projects")


class EnginesTable(tables.DataTable):
    host = tables.Column("host", verbose_name=_("Host"))
    started_at = tables.Column("started_at", verbose_name=_("Started"), filters=(moment,))
    operations = tables.Column("operations", verbose_name=_("Operations at work"))

    def get_object_display(self, engine):
        return engine.host

    class Meta(Plain):
        name = "server_snapshot_engines"
        verbose_name = _("Engines")


def tree_of(operation):
    return reverse("horizon:project:server_snapshots:tree", args=[operation.server_id])


def steps_of(operation):
    return f"{operation.steps_done}/{operation.steps_total}"


class OperationsTable(tables.DataTable):
    kind = tables.Column(lambda one: words.OPERATIONS.get(one.kind, one.kind), verbose_name=_("Operation"))
    status = tables.Column("status", verbose_name=_("Status"))
    phase = tables.Column("phase", verbose_name=_("Phase"), empty_value="-")
    steps = tables.Column(steps_of, verbose_name=_("Steps"))
    server = tables.Column("server_name", verbose_name=_("Server"), link=tree_of)
    project = tables.Column("project_name", verbose_name=_("Project"))
    request = tables.Column("request_id", verbose_name=_("Request"))
    error = tables.Column(lambda one: (one.error or {}).get("message"), verbose_name=_("Error"), empty_value="-")
    created_at = tables.Column("created_at", verbose_name=_("Asked for"), filters=(moment,))

    def get_object_display(self, operation):
        return operation.id

    class Meta(Plain):
        name = "server_snapshot_operations"
        verbose_name = _("Newest Operations")
