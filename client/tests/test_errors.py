"""What the service refuses, as the commands say it: each error that callers meet, from what the service's own tests have kept.

The user guide shows them: RATOON_KEEP=1 writes its file anew, to be read.
"""

import json
import os
import pathlib
import textwrap

import pytest
from bodies import FRESH, REQUEST_ID

ROOT = pathlib.Path(__file__).parents[2]
ERRORS = json.loads((ROOT / "tests/api/errors.json").read_text())
KEPT = ROOT / "doc/source/user/errors.txt"


def said(snap, cloud, error):
    cloud.errors["GET", f"/snap/v1/snapshots/{FRESH}"] = (
        error["status"],
        error["message"],
    )
    ran = snap("show", FRESH)
    assert (ran.code, ran.out) == (1, "")
    return ran.err


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error["when"])
def test_an_error_reads_well(snap, cloud, error):
    words = said(snap, cloud, error)
    assert words == f"{error['message']} (HTTP {error['status']}, {REQUEST_ID})\n"


def test_the_guide_has_them_all(snap, cloud):
    found = ""
    for error in ERRORS:
        words = said(snap, cloud, error).replace(REQUEST_ID, "req-…")
        code = error["code"].removeprefix("server-snapshot.")
        told = textwrap.fill(
            words,
            76,
            initial_indent="    ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
        found += f"{error['when']}: {code}\n{told}\n\n"
    if os.environ.get("RATOON_KEEP"):
        KEPT.write_text(found)
    assert KEPT.read_text() == found
