"""A plan in words."""

import bodies

from ratoonclient.osc import plan


def test_restore():
    assert "\n".join(plan.lines(bodies.PLAN)) == (
        """\
Plan of a restore; nothing has been done.

  server           is stopped meanwhile
  branch           branch-2 (new)
  safety snapshot  taken first, so that the present state can be come back to
  needs of quota   1 volume, 2 volume snapshots, 3 GiB
  data copied      0 B
  tree generation  12

Disks:
  /dev/vda  system    3.0 GiB  clone  its content changed since
  /dev/vdb  volume  100.0 GiB  keep   attached after the snapshot

Left out:
  vdc: is shared with other servers

Will be lost:
  what is in memory

Not brought back:
  the flavor m1.large

Warnings:
  the guest agent does not answer

Steps:
  1. stop the server
  2. put the disks in place"""
    )


def test_a_deletion_says_what_comes_back():
    lines = plan.lines({"kind": "snapshot_delete", "bytes_copied": 0, "bytes_freed": 3 << 30})
    assert "  data freed   about 3.0 GiB" in lines


def test_the_least_a_plan_may_be():
    lines = plan.lines({"kind": "snapshot_create", "downtime": False})
    assert lines == [
        "Plan of a snapshot; nothing has been done.",
        "",
        "  server          is not stopped",
        "  needs of quota  nothing",
        "  data copied     0 B",
    ]
