"""From what the user typed, a name or an id, to the one thing meant.

An id is taken as it is and costs no lookup: so a tree can still be reached
when its server is gone from the compute service. A name must be the name of
one thing only; if not, the candidates are listed with their ids.
"""

import uuid

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions

from ratoonclient.osc import text


def server_id(conn, name_or_id):
    if _is_id(name_or_id):
        return name_or_id
    try:
        server = conn.compute.find_server(name_or_id, ignore_missing=True)
    except sdk_exceptions.DuplicateResource:
        servers = conn.compute.servers(details=False, name=name_or_id)
        same = [server for server in servers if server.name == name_or_id]
        raise _ambiguous("server", name_or_id, [(s.id, "") for s in same]) from None
    if server is None:
        raise exceptions.CommandError(f"no server has the name '{name_or_id}'")
    return server.id


def snapshot(conn, client, name_or_id, server=None):
    """The snapshot; `server`, by name or id, narrows where a name is looked for."""
    if _is_id(name_or_id):
        return client.get_snapshot(name_or_id)
    query = {"name": name_or_id}
    if server:
        query["server_id"] = server_id(conn, server)
    found = [one for one in client.snapshots(**query) if one.name == name_or_id]
    if not found:
        where = f" of server '{server}'" if server else ""
        raise exceptions.CommandError(f"no snapshot{where} has the name '{name_or_id}'")
    if len(found) > 1:
        candidates = [
            (
                one.id,
                f"of server {one.server_name or one.server_id}, "
                f"{text.minute(one.created_at)}",
            )
            for one in found
        ]
        hint = "" if server else "; --server narrows the search"
        raise _ambiguous("snapshot", name_or_id, candidates, hint)
    return found[0]


def branch(client, server, name_or_id):
    branches = list(client.branches(server))
    for one in branches:
        if name_or_id == one.id:
            return one
    found = [one for one in branches if one.name == name_or_id]
    if not found:
        names = ", ".join(one.name for one in branches) or "none"
        raise exceptions.CommandError(
            f"the server has no branch '{name_or_id}'; its branches: {names}"
        )
    if len(found) > 1:
        raise _ambiguous("branch", name_or_id, [(one.id, "") for one in found])
    return found[0]


def branch_id(client, server, name_or_id):
    """A branch's id; `server` is the id of the one whose branches are meant."""
    if _is_id(name_or_id):
        return name_or_id
    if server is None:
        raise exceptions.CommandError(
            f"which server's branch is '{name_or_id}'? --server tells, or the branch's id"
        )
    return branch(client, server, name_or_id).id


def project_id(conn, name_or_id, domain=None):
    """A project's id; taken as it is where the user may not look projects up."""
    query = {}
    try:
        if domain:
            found = conn.identity.find_domain(domain, ignore_missing=True)
            query["domain_id"] = found.id if found else domain
        project = conn.identity.find_project(name_or_id, ignore_missing=True, **query)
    except sdk_exceptions.DuplicateResource:
        raise exceptions.CommandError(
            f"several projects have the name '{name_or_id}'; --project-domain "
            "or the project's id tells which"
        ) from None
    except sdk_exceptions.HttpException as error:
        if error.status_code == 403:
            return name_or_id
        raise
    if project is None:
        raise exceptions.CommandError(f"no project has the name or id '{name_or_id}'")
    return project.id


def _is_id(name_or_id):
    try:
        return str(uuid.UUID(name_or_id)) == name_or_id.lower()
    except ValueError:
        return False


def _ambiguous(noun, name, candidates, hint=""):
    lines = [
        f"{len(candidates)} {noun}{'es' if noun.endswith('ch') else 's'} "
        f"have the name '{name}', give the id of one{hint}:"
    ]
    lines += [f"  {one}  {facts}".rstrip() for one, facts in candidates]
    return exceptions.CommandError("\n".join(lines))
