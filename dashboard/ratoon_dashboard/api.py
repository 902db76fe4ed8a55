"""The only door to the service: the SDK's proxy, with the token of the page's user."""

from keystoneauth1 import session
from keystoneauth1 import token_endpoint
from openstack import connection

from django.conf import settings
from horizon.utils.memoized import memoized
from openstack_dashboard.api import base

from ratoonclient.v1 import _proxy

SERVICE_TYPE = "server-snapshot"
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
