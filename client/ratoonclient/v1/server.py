"""A server as the snapshot service sees it: where it stands in its tree."""

from openstack import exceptions
from openstack import resource

from ratoonclient.v1 import _base


class Server(_base.Resource):
    resource_key = "server"
    resources_key = "servers"
    base_path = "/servers"

    allow_list = True
    allow_fetch = True

    _query_mapping = resource.QueryParameters("project_id", "all_projects")

    project_id = resource.Body("project_id")
    #: counts the changes of the tree; a plan is good for one generation
    tree_generation = resource.Body("tree_generation", type=int)
    current_snapshot_id = resource.Body("current_snapshot_id")
    current_branch_id = resource.Body("current_branch_id")
    current_branch = resource.Body("current_branch")
    snapshot_count = resource.Body("snapshot_count", type=int)
    #: size of all disks of these; storage holds less
    snapshot_size_bytes = resource.Body("snapshot_size_bytes", type=int)
    #: what deleted snapshots still hold, for the sake of disks made of them
    reclaim_pending_bytes = resource.Body("reclaim_pending_bytes", type=int)
    #: when the server was deleted in Nova, and when its snapshots go
    deleted_at = resource.Body("deleted_at")
    kept_until = resource.Body("kept_until")
    #: what its owner should know: [{"at": time, "text": words}]
    warnings = resource.Body("warnings", type=list)
    #: the operation that holds the tree now, if any
    operation_id = resource.Body("operation_id")

    def tree(self, session):
        """The whole tree, parents before children, as the API gives it."""
        response = session.get(
            f"/servers/{self.id}/tree", microversion=_base.microversion(session)
        )
        exceptions.raise_from_response(response)
        return response.json()["tree"]

    def remove_tree(self, session, query):
        return _base.delete(session, f"/servers/{self.id}/tree", query)["tree"]

    def plan_remove_tree(self, session):
        return _base.delete_for_plan(session, f"/servers/{self.id}/tree", {})
