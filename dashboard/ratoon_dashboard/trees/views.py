import itertools

from django.utils.translation import gettext_lazy as _

from horizon import tables

from ratoon_dashboard import api
from ratoon_dashboard.trees import tables as trees

NEWEST = 50


class IndexView(tables.MultiTableView):
    table_classes = (trees.TreesTable, trees.OperationsTable)
    template_name = "server_snapshots/all.html"
    page_title = _("Snapshot Trees")

    def get_server_snapshot_trees_data(self):
        return self._ask(lambda client: list(client.servers(all_projects="true")))

    def get_server_snapshot_operations_data(self):
        newest = lambda client: client.operations(all_projects="true", limit=NEWEST)  # noqa: E731
        return self._ask(lambda client: list(itertools.islice(newest(client), NEWEST)))

    def _ask(self, what):
        try:
            return what(api.client(self.request))
        except Exception as error:
            api.handle(self.request, error)
            return []
