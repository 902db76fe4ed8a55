"""A long-running act: its steps, how far it is and how it ended."""

import datetime

from openstack import resource

from ratoonclient.v1 import _base


class Operation(_base.Resource):
    resource_key = "operation"
    resources_key = "operations"
    base_path = "/operations"

    allow_list = True
    allow_fetch = True

    _query_mapping = resource.QueryParameters(
        "server_id", "snapshot_id", "status", "project_id", "all_projects", "sort"
    )

    kind = resource.Body("kind")
    #: queued, running, unwinding, succeeded, failed or cancelled
    status = resource.Body("status")
    server_id = resource.Body("server_id")
    snapshot_id = resource.Body("snapshot_id")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    request_id = resource.Body("request_id")
    phase = resource.Body("phase")
    steps_done = resource.Body("steps_done", type=int)
    steps_total = resource.Body("steps_total", type=int)
    is_cancellable = resource.Body("cancellable", type=bool)
    is_cancel_requested = resource.Body("cancel_requested", type=bool)
    warnings = resource.Body("warnings", type=list)
    #: which volume has taken whose place: old, new
    replaced = resource.Body("replaced", type=list)
    #: code, message, remedy, step
    error = resource.Body("error", type=dict)
    #: at, step, event, detail; only when fetched singly
    events = resource.Body("events", type=list)
    created_at = resource.Body("created_at")
    started_at = resource.Body("started_at")
    finished_at = resource.Body("finished_at")

    @property
    def is_finished(self):
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def seconds(self):
        """How long it took; None if it has not ended, or never begun."""
        if not self.started_at or not self.finished_at:
            return None
        begun, ended = (
            datetime.datetime.fromisoformat(at)
            for at in (self.started_at, self.finished_at)
        )
        return (ended - begun).total_seconds()

    def cancel(self, session):
        return self._post(session, f"/operations/{self.id}/cancel", None)
