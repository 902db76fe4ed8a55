"""Horizon's own settings for tests, with this plugin enabled as an operator would."""

from horizon.utils import secret_key  # noqa: F401  (settings of some versions need it loaded)
from openstack_dashboard.test.settings import *  # noqa: F403

import openstack_dashboard.enabled
from openstack_dashboard.utils import settings as settings_utils

import ratoon_dashboard.enabled

INSTALLED_APPS = [app for app in INSTALLED_APPS if "dashboards" not in app]  # noqa: F405
HORIZON_CONFIG.pop("dashboards", None)  # noqa: F405
HORIZON_CONFIG.pop("default_dashboard", None)  # noqa: F405
settings_utils.update_dashboards(
    [openstack_dashboard.enabled, ratoon_dashboard.enabled],
    HORIZON_CONFIG,  # noqa: F405
    INSTALLED_APPS,
)
