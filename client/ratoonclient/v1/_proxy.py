"""`conn.server_snapshot`: everything the service can do, and the only HTTP here.

Captures and restores answer at once with the resource and its `operation_id`;
`wait_for_operation` follows that to its end. Each has a twin `plan_...` that
tells what would be done and does nothing. A plan names the `tree_generation`
it was made for: handed back with the act, the service refuses when the tree
has changed in between.
"""

import itertools
import time

from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions
from openstack import proxy

from ratoonclient.v1 import _base
from ratoonclient.v1 import branch as _branch
from ratoonclient.v1 import engine as _engine
from ratoonclient.v1 import operation as _operation
from ratoonclient.v1 import server as _server
from ratoonclient.v1 import snapshot as _snapshot

# A poll may meet a restart of the service; this many in a row are forgiven.
POLL_FAILURES_MAX = 5
POLL_INTERVAL_MAX_SECONDS = 2.0
# So many operations of a server are looked through for one of the same kind.
PAST_OPERATIONS_MAX = 20


class OperationFailed(exceptions.ResourceFailure):
    """An operation ended without success; `operation` tells why."""

    def __init__(self, operation):
        self.operation = operation
        super().__init__(_failure_text(operation))


class Proxy(proxy.Proxy):
    # Snapshots

    def snapshots(self, **query):
        return self._list(_snapshot.Snapshot, **query)

    def get_snapshot(self, snapshot):
        return self._get(_snapshot.Snapshot, snapshot)

    def create_snapshot(self, tree_generation=None, client_token=None, **attrs):
        """Capture a server; `attrs` are the fields of the API's request.

        The same request under the same `client_token`, as a UUID, captures the server once, however often it is sent.
        """
        body = {"snapshot": attrs}
        if client_token is not None:
            body["client_token"] = client_token
        if tree_generation is not None:
            body["tree_generation"] = tree_generation
        return _snapshot.Snapshot()._post(self, "/snapshots", body)

    def plan_snapshot(self, **attrs):
        return _base.post_for_plan(self, "/snapshots", {"snapshot": attrs})

    def update_snapshot(self, snapshot, **attrs):
        return self._update(_snapshot.Snapshot, snapshot, **attrs)

    def restore_snapshot(
        self,
        snapshot,
        disks=None,
        branch_name=None,
        safety_snapshot=True,
        tree_generation=None,
    ):
        body = _base.restore_body(disks, branch_name, safety_snapshot, tree_generation)
        return self._get_resource(_snapshot.Snapshot, snapshot).restore(self, body)

    def plan_restore_snapshot(
        self, snapshot, disks=None, branch_name=None, safety_snapshot=True
    ):
        body = _base.restore_body(disks, branch_name, safety_snapshot, None)
        return self._get_resource(_snapshot.Snapshot, snapshot).plan_restore(self, body)

    def delete_snapshot(self, snapshot, subtree=False, tree_generation=None):
        """Delete a snapshot, with `subtree` all that grew from it as well.

        Returns the snapshot as it is now, with the `operation_id` to wait for.
        """
        query = _base.delete_query(subtree, tree_generation)
        return self._get_resource(_snapshot.Snapshot, snapshot).remove(self, query)

    def plan_delete_snapshot(self, snapshot, subtree=False):
        query = _base.delete_query(subtree)
        resource = self._get_resource(_snapshot.Snapshot, snapshot)
        return resource.plan_remove(self, query)

    # Servers and their trees

    def servers(self, **query):
        return self._list(_server.Server, **query)

    def get_server(self, server):
        return self._get(_server.Server, server)

    def get_server_tree(self, server):
        return self._get_resource(_server.Server, server).tree(self)

    def delete_server_tree(self, server, tree_generation=None):
        """Delete all snapshots of a server; returns the tree as it was before."""
        query = _base.delete_query(tree_generation=tree_generation)
        return self._get_resource(_server.Server, server).remove_tree(self, query)

    def plan_delete_server_tree(self, server):
        return self._get_resource(_server.Server, server).plan_remove_tree(self)

    # Branches

    def branches(self, server):
        server_id = self._get_resource(_server.Server, server).id
        return self._list(_branch.Branch, base_path=f"/servers/{server_id}/branches")

    def get_branch(self, branch):
        return self._get(_branch.Branch, branch)

    def update_branch(self, branch, **attrs):
        return self._update(_branch.Branch, branch, **attrs)

    def restore_branch(
        self,
        branch,
        disks=None,
        branch_name=None,
        safety_snapshot=True,
        tree_generation=None,
    ):
        body = _base.restore_body(disks, branch_name, safety_snapshot, tree_generation)
        return self._get_resource(_branch.Branch, branch).restore(self, body)

    def plan_restore_branch(
        self, branch, disks=None, branch_name=None, safety_snapshot=True
    ):
        body = _base.restore_body(disks, branch_name, safety_snapshot, None)
        return self._get_resource(_branch.Branch, branch).plan_restore(self, body)

    def delete_branch(self, branch, tree_generation=None):
        query = _base.delete_query(tree_generation=tree_generation)
        return self._get_resource(_branch.Branch, branch).remove(self, query)

    def plan_delete_branch(self, branch):
        return self._get_resource(_branch.Branch, branch).plan_remove(self, {})

    # Operations

    def operations(self, **query):
        return self._list(_operation.Operation, **query)

    def get_operation(self, operation):
        return self._get(_operation.Operation, operation)

    def cancel_operation(self, operation):
        return self._get_resource(_operation.Operation, operation).cancel(self)

    def expected_seconds(self, operation):
        """How long the newest of its kind took on its server: seconds, one at least.

        None where none has succeeded, and where that cannot be learned now: an
        estimate is worth no failure.
        """
        past = self.operations(
            server_id=operation.server_id,
            project_id=operation.project_id,
            status="succeeded",
            sort="created_at:desc",
            limit=PAST_OPERATIONS_MAX,
        )
        try:
            for one in itertools.islice(past, PAST_OPERATIONS_MAX):
                if one.kind == operation.kind:
                    return None if one.seconds is None else max(one.seconds, 1.0)
        except (exceptions.SDKException, ks_exceptions.ClientException):
            pass
        return None

    def wait_for_operation(
        self, operation, on_progress=None, interval=0.3, timeout=None
    ):
        """Follow an operation to its end and return it.

        `on_progress` is called with the operation after each look. The time
        between looks grows from `interval` seconds to two. Raises
        OperationFailed when it ends as failed or cancelled, ResourceTimeout
        after `timeout` seconds.
        """
        operation = self._get_resource(_operation.Operation, operation)
        started = time.monotonic()
        while True:
            operation = self._poll(operation)
            if on_progress:
                on_progress(operation)
            if operation.is_finished:
                break
            if timeout is not None and time.monotonic() - started > timeout:
                raise exceptions.ResourceTimeout(
                    f"operation {operation.id} is still {operation.status} "
                    f"after {timeout} s; it goes on"
                )
            time.sleep(interval)
            interval = min(interval * 1.5, max(interval, POLL_INTERVAL_MAX_SECONDS))
        if operation.status != "succeeded":
            raise OperationFailed(operation)
        return operation

    # Engines

    def engines(self):
        """The processes that run operations; for administrators."""
        return self._list(_engine.Engine)

    def _poll(self, operation):
        failures = 0
        while True:
            try:
                return operation.fetch(self, skip_cache=True)
            except (exceptions.HttpException, ks_exceptions.ConnectFailure) as error:
                failures += 1
                if failures > POLL_FAILURES_MAX or not _is_passing(error):
                    raise
                time.sleep(POLL_INTERVAL_MAX_SECONDS)


def _is_passing(error):
    if isinstance(error, ks_exceptions.ConnectFailure):
        return True
    return error.status_code in (502, 503, 504)


def _failure_text(operation):
    if operation.status == "cancelled":
        return f"operation {operation.id} was cancelled; what it had begun is undone"
    error = operation.error or {}
    text = f"operation {operation.id} failed"
    if error.get("step"):
        text += f" at step {error['step']}"
    text += f": {error.get('message') or 'no reason was recorded'}"
    remedy = error.get("remedy")
    if remedy:
        text += f" {remedy}" if text.endswith((".", "!", "?")) else f". {remedy}"
    return text
