"""A named line of snapshots in a server's tree."""

from openstack import resource

from ratoonclient.v1 import _base


class Branch(_base.Restorable):
    resource_key = "branch"
    resources_key = "branches"
    base_path = "/branches"

    allow_list = True
    allow_fetch = True
    allow_commit = True
    commit_method = "PATCH"

    server_id = resource.Body("server_id")
    #: the snapshot it left another branch at; none for the first branch
    fork_snapshot_id = resource.Body("fork_snapshot_id")
    #: its newest snapshot; none as long as nothing was captured on it
    tip_snapshot_id = resource.Body("tip_snapshot_id")
    is_current = resource.Body("current", type=bool)
    operation_id = resource.Body("operation_id")
    created_at = resource.Body("created_at")
