PANEL = "server_snapshots"
PANEL_DASHBOARD = "project"
PANEL_GROUP = "compute"
ADD_PANEL = "ratoon_dashboard.snapshots.panel.ServerSnapshots"
ADD_INSTALLED_APPS = ["ratoon_dashboard"]
EXTRA_TABS = {
    "openstack_dashboard.dashboards.project.instances.tabs.InstanceDetailTabs": (
        "ratoon_dashboard.snapshots.tabs.TreeTab",
    ),
}
