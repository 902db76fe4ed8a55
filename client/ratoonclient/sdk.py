"""Teaches an openstacksdk connection the service `server-snapshot`.

    conn = openstack.connect(cloud="mycloud")
    ratoonclient.sdk.register(conn)
    for snapshot in conn.server_snapshot.snapshots(server_id=...):
        ...

The endpoint is the catalog's, of type `server-snapshot`, as the unversioned
root; which URL serves version 1 is read from the root's version document.
"""

from openstack import service_description

from ratoonclient.v1 import _proxy

SERVICE_TYPE = "server-snapshot"


class ServerSnapshotService(service_description.ServiceDescription):
    supported_versions = {"1": _proxy.Proxy}


def register(conn):
    """Add `conn.server_snapshot`; harmless when it is there already."""
    conn.add_service(ServerSnapshotService(SERVICE_TYPE))
    return conn
