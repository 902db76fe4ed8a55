"""A cloud in one process: the few answers of Keystone, Nova and Ratoon we need.

The tests change its dictionaries to set a stage and read `requests` to see
what was asked. Operations go one step further at each look.
"""

import http.server
import json
import re
import threading
import urllib.parse

from bodies import (
    OPERATION,
    PLAN,
    PROJECT,
    REQUEST_ID,
    SERVER,
    branch,
    operation,
    snapshot,
    uid,
)


class Cloud:
    def __init__(self):
        self.servers = [{"id": SERVER, "name": "web-01"}]
        self.snapshots = [
            snapshot(10, "fresh"),
            snapshot(11, "upgraded", parent_id=uid(10), current=True),
        ]
        self.branches = [branch(50, "main", tip_snapshot_id=uid(11), current=True)]
        self.plan = PLAN
        #: the operations that have succeeded
        self.past = []
        #: the states an operation goes through, one a look; the last one stays
        self.course = [
            operation(),
            operation(status="running", phase="stop_server"),
            operation(status="running", phase="swap_disks", steps_done=1),
            operation(status="succeeded", steps_done=2),
        ]
        #: (method, path) -> (status, message) answered instead
        self.errors = {}
        self.catalogued = True
        self.requests = []
        self.microversions = set()
        self.page = 1000
        cloud = self

        class Handler(_Handler):
            def do(self):
                cloud.answer(self)

            do_GET = do_POST = do_PATCH = do_DELETE = do

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    @property
    def environment(self):
        return {
            "OS_AUTH_URL": f"{self.url}/identity/v3",
            "OS_USERNAME": "demo",
            "OS_PASSWORD": "demo",
            "OS_PROJECT_NAME": "demo",
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": "RegionOne",
            "OS_IDENTITY_API_VERSION": "3",
        }

    def asked(self, method, path):
        """The bodies (or queries, of a GET) of the requests to this path."""
        return [
            query if method in ("GET", "DELETE") else body
            for one, where, query, body in self.requests
            if (one, where) == (method, path)
        ]

    # Answers

    def answer(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        length = int(handler.headers.get("content-length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        method, path = handler.command, parts.path
        self.requests.append((method, path, query, body))
        self.microversions.add((path, handler.headers.get("OpenStack-API-Version")))
        if (method, path) in self.errors:
            return handler.fail(*self.errors[method, path])
        for pattern, answer in self._routes():
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                return answer(handler, *found.groups(), query=query, body=body)
        return handler.fail(404, f"There is nothing at {path}.")

    def _routes(self):
        return [
            (r"GET /identity/v3/?", self._identity_version),
            (r"POST /identity/v3/auth/tokens", self._token),
            (r"GET /identity/v3/projects", self._projects),
            (r"GET /compute/v2.1/?", self._compute_version),
            (r"GET /compute/v2.1/servers(?:/detail)?", self._nova_servers),
            (r"GET /snap/?", self._snap_versions),
            (r"GET /snap/v1/?", self._snap_versions),
            (r"GET /snap/v1/snapshots", self._list_snapshots),
            (r"POST /snap/v1/snapshots", self._create),
            (r"GET /snap/v1/snapshots/([^/]+)", self._get_snapshot),
            (r"PATCH /snap/v1/snapshots/([^/]+)", self._patch_snapshot),
            (r"DELETE /snap/v1/snapshots/([^/]+)", self._delete_snapshot),
            (r"POST /snap/v1/snapshots/([^/]+)/restore", self._restore_snapshot),
            (r"GET /snap/v1/servers/([^/]+)/branches", self._list_branches),
            (r"GET /snap/v1/servers/([^/]+)/tree", self._tree),
            (r"DELETE /snap/v1/servers/([^/]+)/tree", self._delete_tree),
            (r"GET /snap/v1/servers/([^/]+)", self._server),
            (r"GET /snap/v1/branches/([^/]+)", self._get_branch),
            (r"PATCH /snap/v1/branches/([^/]+)", self._patch_branch),
            (r"DELETE /snap/v1/branches/([^/]+)", self._delete_branch),
            (r"POST /snap/v1/branches/([^/]+)/restore", self._restore_branch),
            (r"GET /snap/v1/operations", self._list_operations),
            (r"GET /snap/v1/engines", self._list_engines),
            (r"GET /snap/v1/operations/([^/]+)", self._get_operation),
            (r"POST /snap/v1/operations/([^/]+)/cancel", self._cancel),
        ]

    def _identity_version(self, handler, query, body):
        handler.send(
            200,
            {
                "version": {
                    "id": "v3.14",
                    "status": "stable",
                    "links": [{"rel": "self", "href": f"{self.url}/identity/v3/"}],
                }
            },
        )

    def _token(self, handler, query, body):
        services = {"identity": "identity/v3", "compute": "compute/v2.1"}
        if self.catalogued:
            services["server-snapshot"] = "snap"
        catalog = [
            {
                "type": kind,
                "name": kind,
                "id": kind,
                "endpoints": [
                    {
                        "id": f"{kind}-{interface}",
                        "interface": interface,
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "url": f"{self.url}/{path}",
                    }
                    for interface in ("public", "internal", "admin")
                ],
            }
            for kind, path in services.items()
        ]
        token = {
            "methods": ["password"],
            "user": {
                "id": "u",
                "name": "demo",
                "domain": {"id": "default", "name": "Default"},
            },
            "project": {
                "id": PROJECT,
                "name": "demo",
                "domain": {"id": "default", "name": "Default"},
            },
            "roles": [{"id": "m", "name": "member"}],
            "catalog": catalog,
            "issued_at": "2026-11-01T00:00:00.000000Z",
            "expires_at": "2099-11-01T00:00:00.000000Z",
        }
        handler.send(201, {"token": token}, {"X-Subject-Token": "t"})

    def _projects(self, handler, query, body):
        found = [{"id": PROJECT, "name": "demo"}] if query.get("name") == "demo" else []
        handler.send(200, {"projects": found, "links": {"next": None}})

    def _compute_version(self, handler, query, body):
        handler.send(
            200,
            {
                "version": {
                    "id": "v2.1",
                    "status": "CURRENT",
                    "version": "2.93",
                    "min_version": "2.1",
                    "links": [{"rel": "self", "href": f"{self.url}/compute/v2.1/"}],
                }
            },
        )

    def _nova_servers(self, handler, query, body):
        wanted = query.get("name", "")
        handler.send(
            200, {"servers": [one for one in self.servers if wanted in one["name"]]}
        )

    def _snap_versions(self, handler, query, body):
        version = {
            "id": "v1.0",
            "status": "CURRENT",
            "min_version": "1.0",
            "max_version": "1.0",
            "version": "1.0",
            "links": [{"rel": "self", "href": f"{self.url}/snap/v1/"}],
        }
        if handler.path.rstrip("/").endswith("v1"):
            return handler.send(200, {"version": version})
        return handler.send(200, {"versions": [version]})

    def _list_snapshots(self, handler, query, body):
        found = self.snapshots
        # As the service: a key that it does not know is refused.
        known = "server_id status branch_id name hidden project_id all_projects"
        for key in query:
            if key not in known.split() + ["limit", "marker", "sort"]:
                return handler.fail(400, f"There is no query parameter {key}.")
        for key in ("server_id", "status", "branch_id", "name"):
            if key in query:
                found = [one for one in found if one[key] == query[key]]
        if "marker" in query:
            ids = [one["id"] for one in found]
            found = found[ids.index(query["marker"]) + 1 :]
        limit = min(int(query.get("limit", self.page)), self.page)
        answer = {"snapshots": found[:limit], "snapshots_links": []}
        if len(found) > limit:
            following = urllib.parse.urlencode(
                {**query, "marker": found[limit - 1]["id"]}
            )
            answer["snapshots_links"] = [
                {"rel": "next", "href": f"{self.url}/snap/v1/snapshots?{following}"}
            ]
        handler.send(200, answer)

    def _get_snapshot(self, handler, wanted, query, body):
        one = self._one(self.snapshots, wanted)
        if one is None:
            return handler.fail(404, f"There is no snapshot {wanted}.")
        return handler.send(200, {"snapshot": one})

    def _patch_snapshot(self, handler, wanted, query, body):
        self._one(self.snapshots, wanted).update(body["snapshot"])
        self._get_snapshot(handler, wanted, query, body)

    def _create(self, handler, query, body):
        if body.get("dry_run"):
            plan = {**self.plan, "kind": "snapshot_create", "downtime": False}
            return handler.send(200, {"plan": plan})
        one = snapshot(12, body["snapshot"].get("name"), operation_id=OPERATION)
        self.snapshots.append(one)
        self.course = [{**look, "kind": "snapshot_create"} for look in self.course]
        return handler.send(202, {"snapshot": {**one, "status": "creating"}})

    def _restore_snapshot(self, handler, wanted, query, body):
        if body.get("dry_run"):
            return handler.send(200, {"plan": self.plan})
        one = self._one(self.snapshots, wanted)
        one["operation_id"] = OPERATION
        return handler.send(202, {"snapshot": {**one, "status": "restoring"}})

    def _deletion(self, handler, noun, thing, query):
        if query.get("dry_run"):
            plan = {"kind": "snapshot_delete", "tree_generation": 12, "loses": ["x"]}
            return handler.send(200, {"plan": plan})
        if thing is None:
            return handler.fail(404, f"There is no such {noun}.")
        self.course = [{**look, "kind": "snapshot_delete"} for look in self.course]
        return handler.send(202, {noun: {**thing, "operation_id": OPERATION}})

    def _delete_snapshot(self, handler, wanted, query, body):
        one = self._one(self.snapshots, wanted)
        self._deletion(handler, "snapshot", one, query)

    def _delete_branch(self, handler, wanted, query, body):
        one = self._one(self.branches, wanted)
        self._deletion(handler, "branch", one, query)

    def _delete_tree(self, handler, server, query, body):
        self._deletion(handler, "tree", {"server_id": server}, query)

    def _list_branches(self, handler, server, query, body):
        handler.send(200, {"branches": self.branches})

    def _tree(self, handler, server, query, body):
        keys = (
            "id parent_id name description status hidden safety branch_id branch "
            "size_bytes partial created_at"
        ).split()
        nodes = [
            {key: one[key] for key in keys}
            | {"consistency": one["consistency"]["reached"], "disk_count": 1}
            for one in self.snapshots
        ]
        current = [one["id"] for one in self.snapshots if one["current"]]
        tree = {
            "server_id": server,
            "server_name": "web-01",
            "tree_generation": 12,
            "current_snapshot_id": current[0] if current else None,
            "current_branch_id": uid(50),
            "operation_id": None,
            "nodes": nodes,
            "branches": self.branches,
        }
        handler.send(200, {"tree": tree})

    def _server(self, handler, wanted, query, body):
        handler.send(
            200,
            {
                "server": {
                    "id": wanted,
                    "name": "web-01",
                    "project_id": PROJECT,
                    "tree_generation": 12,
                    "current_snapshot_id": uid(11),
                    "current_branch_id": uid(50),
                    "current_branch": "main",
                    "snapshot_count": 2,
                    "operation_id": None,
                }
            },
        )

    def _get_branch(self, handler, wanted, query, body):
        handler.send(200, {"branch": self._one(self.branches, wanted)})

    def _patch_branch(self, handler, wanted, query, body):
        self._one(self.branches, wanted).update(body["branch"])
        self._get_branch(handler, wanted, query, body)

    def _restore_branch(self, handler, wanted, query, body):
        if body.get("dry_run"):
            return handler.send(200, {"plan": self.plan})
        one = self._one(self.branches, wanted)
        return handler.send(202, {"branch": {**one, "operation_id": OPERATION}})

    def _list_operations(self, handler, query, body):
        past = self.past if query.get("status") == "succeeded" else self.course[:1]
        handler.send(200, {"operations": past})

    def _list_engines(self, handler, query, body):
        engine = {"id": uid(70), "host": "controller-1", "operations": 2}
        handler.send(200, {"engines": [engine | {"started_at": "2026-11-01T02:00:00Z"}]})

    def _get_operation(self, handler, wanted, query, body):
        look = self.course.pop(0) if len(self.course) > 1 else self.course[0]
        handler.send(200, {"operation": look})

    def _cancel(self, handler, wanted, query, body):
        if body is not None:  # as the service
            return handler.fail(400, "This request takes no body: what it says would have no effect.")
        handler.send(202, {"operation": {**self.course[0], "cancel_requested": True}})

    def _one(self, among, wanted):
        return next((one for one in among if one["id"] == wanted), None)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("x-openstack-request-id", REQUEST_ID)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, message):
        self.send(
            status,
            {
                "errors": [
                    {
                        "request_id": REQUEST_ID,
                        "code": "server-snapshot.trouble",
                        "status": status,
                        "title": "Trouble",
                        "detail": message,
                        "links": [],
                    }
                ],
                "error": {"code": status, "title": "Trouble", "message": message},
            },
        )
