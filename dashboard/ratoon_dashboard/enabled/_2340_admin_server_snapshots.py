PANEL = "server_snapshots"
PANEL_DASHBOARD = "admin"
PANEL_GROUP = "compute"
ADD_PANEL = "ratoon_dashboard.trees.panel.AllTrees"
