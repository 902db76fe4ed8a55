from django.utils.translation import gettext_lazy as _

import horizon

from ratoon_dashboard import api


class ServerSnapshots(horizon.Panel):
    name = _("Snapshot Trees")
    slug = "server_snapshots"
    permissions = (f"openstack.services.{api.SERVICE_TYPE}",)
    policy_rules = ((api.SERVICE_TYPE, "server-snapshot:snapshot:get"),)
