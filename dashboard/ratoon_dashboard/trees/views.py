import collections
import itertools

from django.utils.translation import gettext_lazy as _

from horizon import exceptions
from horizon import tables
from horizon.utils.memoized import memoized_method
from openstack_dashboard.api import keystone

from ratoon_dashboard import api
from ratoon_dashboard.trees import tables as trees
from ratoon_dashboard.trees import usage

NEWEST = 50


class IndexView(tables.MultiTableView):
    table_classes = (trees.TreesTable, trees.ProjectsTable, trees.EnginesTable, trees.OperationsTable)
    template_name = "server_snapshots/all.html"
    page_title = _("Snapshot Trees")

    def get_server_snapshot_trees_data(self):
        """Those that need care first."""
        return sorted(self._servers(), key=lambda server: (not server.warnings, server.project_name, server.name))

    def get_server_snapshot_projects_data(self):
        return usage.of_projects(self._servers())

    def get_server_snapshot_engines_data(self):
        return self._ask(lambda client: list(client.engines())) if api.may(self.request)["engines"] else []

    def get_server_snapshot_operations_data(self):
        newest = lambda client: client.operations(all_projects="true", limit=NEWEST)  # noqa: E731
        operations = self._ask(lambda client: list(itertools.islice(newest(client), NEWEST)))
        servers = {server.id: server.name for server in self._servers()}
        for operation in operations:
            operation.project_name = self._name(operation)
            operation.server_name = servers.get(operation.server_id, operation.server_id)
        return operations

    @memoized_method
    def _servers(self):
        servers = self._ask(lambda client: list(client.servers(all_projects="true")))
        for server in servers:
            server.project_name = self._name(server)
        return servers

    def _name(self, thing):
        return self._project_names().get(thing.project_id, thing.project_id)

    @memoized_method
    def _project_names(self):
        try:
            projects, _more = keystone.tenant_list(self.request)
        except Exception:
            exceptions.handle(self.request, _("The names of the projects are not known."))
            return {}
        names = collections.Counter(project.name for project in projects)
        return {
            project.id: project.name if names[project.name] == 1 else f"{project.name} ({project.id})"
            for project in projects
        }

    def _ask(self, what):
        try:
            return what(api.client(self.request))
        except Exception as error:
            api.handle(self.request, error)
            return []
