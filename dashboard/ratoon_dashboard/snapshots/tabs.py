from django.utils.translation import gettext_lazy as _

from horizon import tabs
from openstack import exceptions as sdk_exceptions

from ratoon_dashboard import api
from ratoon_dashboard.snapshots import views


class TreeTab(tabs.Tab):
    """The tree of a server on its own page."""

    name = _("Snapshot Tree")
    slug = "snapshot_tree"
    template_name = "server_snapshots/_tree.html"
    preload = False
    permissions = (f"openstack.services.{api.SERVICE_TYPE}",)
    policy_rules = ((api.SERVICE_TYPE, "server-snapshot:snapshot:get"),)

    def get_context_data(self, request):
        instance = self.tab_group.kwargs["instance_id"]
        try:
            return views.picture(request, instance)
        except sdk_exceptions.NotFoundException:
            return views.picture_of(request, instance, {})  # the instance is there; the service has not met it yet
        except Exception as error:
            api.handle(request, error)
            return {"failed": True}
