"""Servers for tests that use many snapshots and volumes under Cinder's default quotas: a fresh one when the next act would not fit."""
from proof import Trail, captured

QUOTA = 10  # Cinder's default, of volumes and of snapshots


class Victim:
    """A running server of a project of its own, with a node `base` to go back to."""

    def __init__(self, cloud, client_of, volumes):
        self.project = cloud.project()
        self.client_of = client_of
        self.server = self.project.server(volumes=volumes)
        self.server.lasting = True
        self.own_volumes = self.server.attachments()
        self.base, self.base_trails = None, None

    @property
    def client(self):
        return self.client_of(self.project.owner)

    def capture_base(self):
        self.base = self.client.capture(self.server, 'base', consistency='crash', pause_limit_ms=60_000)
        self.base_trails: list[Trail] = captured(self.server)
        return self

    def deletable(self):
        """A node that nothing stands on: it goes wholly."""
        return self.client.capture(self.server, 'to be deleted', consistency='none')

    def has_room(self):
        usage, each = self.project.usage(), len(self.own_volumes)
        return usage['volumes'][0] + each <= QUOTA and usage['snapshots'][0] + 2 * each <= QUOTA

    def retire(self):
        """Its guest takes no more of the machine."""
        self.server.stop()


class Victims:
    def __init__(self, cloud, client_of, volumes=1):
        self.cloud, self.client_of, self.volumes, self.now = cloud, client_of, volumes, None

    def next(self):
        """The one at hand while its quota lasts; Ratoon must be running."""
        if self.now is None or not self.now.has_room():
            self.retire()
            self.now = Victim(self.cloud, self.client_of, self.volumes).capture_base()
        return self.now

    def retire(self):
        if self.now:
            self.now.retire()
            self.now = None
