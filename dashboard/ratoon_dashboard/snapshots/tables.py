from django.template.defaultfilters import yesno
from django.utils.translation import gettext_lazy as _

from horizon import tables

from ratoon_dashboard.templatetags.server_snapshots import moment


class ServersTable(tables.DataTable):
    name = tables.Column("name", verbose_name=_("Server"), link="horizon:project:server_snapshots:tree")
    branch = tables.Column("current_branch", verbose_name=_("Branch"), empty_value="-")
    count = tables.Column("snapshot_count", verbose_name=_("Snapshots"))
    operation = tables.Column(lambda server: bool(server.operation_id), verbose_name=_("At work"), filters=(yesno,))
    deleted_at = tables.Column("deleted_at", verbose_name=_("Server deleted"), filters=(moment,), empty_value="-")

    class Meta:
        name = "server_snapshots"
        verbose_name = _("Servers with snapshots")
        no_data_message = _(
            "No server has snapshots yet. Take the first one on the page of an instance, in its tab Snapshot Tree."
        )
        multi_select = False
