"""The only door to the service: the SDK's proxy, with the token of the page's user."""

from keystoneauth1 import exceptions as ks_exceptions
from keystoneauth1 import session
from keystoneauth1 import token_endpoint
from openstack import connection
from openstack import exceptions as sdk_exceptions

from django.conf import settings
from horizon import exceptions
from horizon import messages
from horizon.utils.memoized import memoized
from openstack_dashboard import policy
from openstack_dashboard.api import base

from ratoonclient.v1 import _proxy

SERVICE_TYPE = "server-snapshot"
#: What pages offer, by the rule that allows it.
ACTS = {
    "create": "snapshot:create",
    "restore": "snapshot:restore",
    "edit": "snapshot:update",
    "delete": "snapshot:delete",
    "rename_branch": "branch:update",
    "delete_branch": "branch:delete",
    "delete_tree": "tree:delete",
    "cancel": "operation:cancel",
    "engines": "engine:get",
}
#: A page waits no longer for the service than its reader would.
TIMEOUT_SECONDS = 30


@memoized
def client(request):
    """The proxy, one a request. Raises Horizon's ServiceCatalogException where the service is not in the catalog."""
    endpoint = f"{base.url_for(request, SERVICE_TYPE).rstrip('/')}/v1"
    verify = False if settings.OPENSTACK_SSL_NO_VERIFY else settings.OPENSTACK_SSL_CACERT or True
    auth = token_endpoint.Token(endpoint, request.user.token.id)
    its_session = session.Session(auth=auth, verify=verify, timeout=TIMEOUT_SECONDS, app_name="horizon")
    proxy = _proxy.Proxy(
        its_session,
        service_type=SERVICE_TYPE,
        endpoint_override=endpoint,
        default_microversion=_proxy._base.MICROVERSION,
    )
    proxy._connection = connection.Connection(session=its_session)  # as openstacksdk does for its own services
    return proxy


def words(error):
    """What the service says of a failure, for people, with the id by which its log is found."""
    message = getattr(error, "details", None) or getattr(error, "message", None) or str(error)
    request_id = getattr(error, "request_id", None)
    return f"{message} ({request_id})" if request_id else message


def refused(error):
    """Whether it is the service's answer, or that it gives none; not that the session is over, which is Horizon's to tell."""
    return failed(error) and status(error) != 401


def failed(error):
    return isinstance(error, (sdk_exceptions.SDKException, ks_exceptions.ClientException))


def status(error):
    return getattr(error, "status_code", None) or getattr(error, "http_status", None)


def handle(request, error, redirect=None):
    """Tells what has failed. Horizon's own function takes every error of an SDK for a refused login since 27."""
    if not refused(error):
        exceptions.handle(request, words(error), redirect=redirect)
        return
    messages.error(request, words(error))
    if redirect:
        raise exceptions.Http302(redirect)


def may(request):
    """Which acts the rules allow to the page's user."""
    return {act: policy.check(((SERVICE_TYPE, f"{SERVICE_TYPE}:{rule}"),), request) for act, rule in ACTS.items()}
