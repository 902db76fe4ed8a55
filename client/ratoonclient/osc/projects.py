"""--all-projects and --project, for administrators."""

from ratoonclient.osc import find


def add_options(parser):
    parser.add_argument(
        "--all-projects",
        action="store_true",
        help="Of all projects (admin only)",
    )
    parser.add_argument(
        "--project",
        metavar="<project>",
        help="Only of this project, name or ID (admin only)",
    )
    parser.add_argument(
        "--project-domain",
        metavar="<domain>",
        help="Domain of that project, in case its name is not unique",
    )


def query(conn, parsed_args):
    query = {}
    if parsed_args.project:
        query["project_id"] = find.project_id(
            conn, parsed_args.project, parsed_args.project_domain
        )
    if parsed_args.all_projects or parsed_args.project:
        query["all_projects"] = "true"
    return query
