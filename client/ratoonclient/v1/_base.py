"""What the four resources share: the microversion they speak and their actions.

openstacksdk changed the signature of its own microversion lookup between the
versions we support, so actions ask for it here and not there.
"""

from openstack import exceptions
from openstack import resource
from openstack import utils

MICROVERSION = "1.0"


class Resource(resource.Resource):
    _max_microversion = MICROVERSION

    def _post(self, session, url, body):
        """POST an action and take the resource's new state from the answer."""
        self._translate_response(post(session, url, body))
        return self


class Deletable(Resource):
    """What goes by an operation: the answer is the resource, on its way out."""

    def remove(self, session, query):
        self._translate_response(_delete(session, self._own_url, query))
        return self

    def plan_remove(self, session, query):
        return delete_for_plan(session, self._own_url, query)

    @property
    def _own_url(self):
        return f"{self.base_path}/{self.id}"


class Restorable(Deletable):
    """What a server can be taken back to."""

    def restore(self, session, body):
        return self._post(session, self._restore_url, body)

    def plan_restore(self, session, body):
        return post_for_plan(session, self._restore_url, body)

    @property
    def _restore_url(self):
        return f"{self.base_path}/{self.id}/restore"


def post(session, url, body):
    response = session.post(url, json=body, microversion=microversion(session))
    exceptions.raise_from_response(response)
    return response


def post_for_plan(session, url, body):
    """Ask what an action would do; nothing is done and the plan is a plain dict."""
    return post(session, url, {**body, "dry_run": True}).json()["plan"]


def delete(session, url, query):
    """DELETE and return what the service says of the thing that goes."""
    return _delete(session, url, query).json()


def delete_for_plan(session, url, query):
    """Ask what a deletion would do; nothing is done and the plan is a plain dict."""
    return delete(session, url, {**query, "dry_run": "true"})["plan"]


def delete_query(subtree=False, tree_generation=None):
    query = {"subtree": "true"} if subtree else {}
    if tree_generation is not None:
        query["tree_generation"] = str(tree_generation)
    return query


def _delete(session, url, query):
    response = session.delete(url, params=query, microversion=microversion(session))
    exceptions.raise_from_response(response)
    return response


def microversion(session):
    return session.default_microversion or utils.maximum_supported_microversion(
        session, MICROVERSION
    )


def restore_body(disks, branch_name, safety_snapshot, tree_generation):
    """The body of a restore, the same for a snapshot and for a branch."""
    restore = {"safety_snapshot": safety_snapshot}
    if disks:
        restore["disks"] = list(disks)
    if branch_name:
        restore["branch_name"] = branch_name
    body = {"restore": restore}
    if tree_generation is not None:
        body["tree_generation"] = tree_generation
    return body
