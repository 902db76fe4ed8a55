"""What projects have of snapshots. Pure: servers in, sums out."""

from dataclasses import dataclass


@dataclass
class Usage:
    """A project's. `id` is what Horizon's tables call a row by."""

    id: str
    name: str
    servers: int = 0
    snapshot_count: int = 0
    snapshot_size_bytes: int = 0
    reclaim_pending_bytes: int = 0


def of_projects(servers):
    """One for each project, the largest first."""
    projects = {}
    for server in servers:
        usage = projects.setdefault(server.project_id, Usage(server.project_id, server.project_name))
        usage.servers += 1
        for sum_of in ("snapshot_count", "snapshot_size_bytes", "reclaim_pending_bytes"):
            setattr(usage, sum_of, getattr(usage, sum_of) + (getattr(server, sum_of) or 0))
    return sorted(projects.values(), key=lambda usage: (-usage.snapshot_size_bytes, usage.name))
