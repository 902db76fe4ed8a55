from django.utils.translation import gettext_lazy as _

from horizon import tables
from horizon.utils import filters


class ServersTable(tables.DataTable):
    name = tables.Column("name", verbose_name=_("Server"), link="horizon:project:server_snapshots:tree")
    branch = tables.Column("current_branch", verbose_name=_("Branch"), empty_value="-")
    count = tables.Column("snapshot_count", verbose_name=_("Snapshots"))
    operation = tables.Column(lambda server: bool(server.operation_id), verbose_name=_("At work"), filters=(filters.yesno,) if hasattr(filters, "yesno") else ())
    deleted_at = tables.Column("deleted_at", verbose_name=_("Server deleted"), filters=(filters.parse_isotime,), empty_value="-")

    class Meta:
        name = "server_snapshots"
        verbose_name = _("Servers with snapshots")
        multi_select = False
