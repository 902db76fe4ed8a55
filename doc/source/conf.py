project = "Ratoon"
copyright = "the Ratoon authors"  # noqa: A001
extensions = ["openstackdocstheme", "cliff.sphinxext"]
autoprogram_cliff_application = "openstack"
html_theme = "openstackdocs"
html_theme_options = {"display_badge": False, "sidebar_mode": "toctree"}
# Not a project of opendev.org: no links to its repositories and bug tracker.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = "0.1"
