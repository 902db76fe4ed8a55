"""Plugs the `server snapshot` commands into `openstack`."""

from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions
from osc_lib import utils

from ratoonclient import sdk

DEFAULT_API_VERSION = "1"
API_VERSION_OPTION = "os_server_snapshot_api_version"
API_NAME = "server_snapshot"
API_VERSIONS = {"1": "ratoonclient.v1._proxy.Proxy"}


def make_client(instance):
    """The proxy of the shell's own connection."""
    conn = sdk.register(instance.sdk_connection)
    try:
        return conn.server_snapshot
    except sdk_exceptions.NotSupported as error:
        # openstacksdk has looked for the root's version document in vain.
        raise exceptions.CommandError(
            "the server-snapshot service of region "
            f"{conn.config.get_region_name() or '(none)'} is in the catalog but does "
            "not answer there with the versions it has; try again, or ask the "
            "cloud's operator"
        ) from error


def build_option_parser(parser):
    parser.add_argument(
        "--os-server-snapshot-api-version",
        metavar="<server-snapshot-api-version>",
        default=utils.env("OS_SERVER_SNAPSHOT_API_VERSION"),
        help=f"Server snapshot API version, default={DEFAULT_API_VERSION} "
        "(Env: OS_SERVER_SNAPSHOT_API_VERSION)",
    )
    return parser
