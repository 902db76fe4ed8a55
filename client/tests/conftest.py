"""`cloud` is a fake cloud; `openstack(...)` runs the real shell against it."""

import contextlib
import io
import json
import logging
import os
from dataclasses import dataclass

import fake_cloud
import pytest
from openstackclient import shell
from osc_lib import clientmanager


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def cloud():
    cloud = fake_cloud.Cloud()
    yield cloud
    cloud.close()


@pytest.fixture
def openstack(cloud, monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("OS_"):
            monkeypatch.delenv(name)
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    # The shell keeps its clients for as long as the process lives; each test
    # has a cloud of its own.
    for kept in vars(clientmanager.ClientManager).values():
        if hasattr(kept, "_handle"):
            monkeypatch.setattr(kept, "_handle", None)

    def run(*argv, answer=None, terminal=False):
        """`answer` is typed at a terminal; without it stdin is none."""
        stream = Terminal if terminal else io.StringIO
        out, err = stream(), stream()
        stdin = io.StringIO() if answer is None else Terminal(answer)
        monkeypatch.setattr("sys.stdin", stdin)
        root = logging.getLogger()
        handlers = list(root.handlers)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = shell.main(list(argv))
        finally:
            root.handlers[:] = handlers
        return Ran(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def snap(openstack):
    def run(*argv, **how):
        return openstack("server", "snapshot", *argv, **how)

    return run
