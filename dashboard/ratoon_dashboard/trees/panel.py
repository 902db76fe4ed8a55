from django.utils.translation import gettext_lazy as _

import horizon

from ratoon_dashboard import api


class AllTrees(horizon.Panel):
    """The trees of all projects: which of them need care, and what is going on."""

    name = _("Snapshot Trees")
    slug = "server_snapshots"
    permissions = (f"openstack.services.{api.SERVICE_TYPE}", "openstack.roles.admin")
    policy_rules = ((api.SERVICE_TYPE, "server-snapshot:all_projects"),)
