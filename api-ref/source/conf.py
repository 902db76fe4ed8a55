project = "Ratoon"
copyright = "the Ratoon authors"  # noqa: A001
extensions = ["openstackdocstheme", "os_api_ref"]
html_theme = "openstackdocs"
html_theme_options = {"display_badge": False, "sidebar_mode": "toc"}
# Not a project of opendev.org: no links to its repositories and bug tracker.
openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = release = "1.0"
os_api_ref_min_microversion = "1.0"
os_api_ref_max_microversion = "1.0"
