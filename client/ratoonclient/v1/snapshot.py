"""A node of a server's tree: all captured disks of one server at one moment."""

from openstack import resource

from ratoonclient.v1 import _base


class Snapshot(_base.Restorable):
    resource_key = "snapshot"
    resources_key = "snapshots"
    base_path = "/snapshots"

    allow_list = True
    allow_fetch = True
    allow_commit = True
    commit_method = "PATCH"

    _query_mapping = resource.QueryParameters(
        "server_id",
        "status",
        "branch_id",
        "name",
        "hidden",
        "project_id",
        "all_projects",
        "sort",
    )

    server_id = resource.Body("server_id")
    server_name = resource.Body("server_name")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    description = resource.Body("description")
    #: creating, available, restoring, error, deleting or error_deleting
    status = resource.Body("status")
    #: why the status is error
    fault = resource.Body("fault")
    #: deleted, and kept only because others stand on it
    is_hidden = resource.Body("hidden", type=bool)
    #: taken by a restore of what it was about to leave
    is_safety = resource.Body("safety", type=bool)
    #: nobody may delete it; `protection` tells who said so, when and why
    is_protected = resource.Body("protected", type=bool)
    protection = resource.Body("protection", type=dict)
    #: why, to be given together with `is_protected`
    protected_reason = resource.Body("protected_reason")
    #: the node the server now stands on
    is_current = resource.Body("current", type=bool)
    #: some disk was left out
    is_partial = resource.Body("partial", type=bool)
    #: captured while the server was off
    is_at_rest = resource.Body("at_rest", type=bool)
    parent_id = resource.Body("parent_id")
    branch_id = resource.Body("branch_id")
    branch = resource.Body("branch")
    #: requested, reached, reason, pause_ms, skew_ms
    consistency = resource.Body("consistency", type=dict)
    size_bytes = resource.Body("size_bytes", type=int)
    disks = resource.Body("disks", type=list)
    #: the disks not captured, each with its reason
    left_out = resource.Body("left_out", type=list)
    flavor = resource.Body("flavor")
    #: the image that Nova made at the same moment, if it was captured for that
    image_id = resource.Body("image_id")
    #: the operation that works on it now, or worked on it last
    operation_id = resource.Body("operation_id")
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")
