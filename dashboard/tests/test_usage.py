"""What projects have of snapshots."""

from types import SimpleNamespace

from ratoon_dashboard.trees import usage


def server(project, snapshots, size, pending=0):
    return SimpleNamespace(
        project_id=project,
        project_name=project.upper(),
        snapshot_count=snapshots,
        snapshot_size_bytes=size,
        reclaim_pending_bytes=pending,
    )


def test_a_project_has_the_sum_of_its_servers_and_the_largest_comes_first():
    found = usage.of_projects([server("a", 1, 10), server("b", 2, 70, 5), server("a", 3, 30)])
    assert found == [
        usage.Usage("b", "B", 1, 2, 70, 5),
        usage.Usage("a", "A", 2, 4, 40, 0),
    ]


def test_without_servers_there_is_none():
    assert usage.of_projects([]) == []
