"""A process that runs operations; for administrators."""

from openstack import resource

from ratoonclient.v1 import _base


class Engine(_base.Resource):
    resources_key = "engines"
    base_path = "/engines"

    allow_list = True

    host = resource.Body("host")
    started_at = resource.Body("started_at")
    #: how many it has taken and not finished
    operations = resource.Body("operations", type=int)
