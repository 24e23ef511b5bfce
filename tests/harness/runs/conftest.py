"""Real runs: no process of any of them outlives its test.

A run has an environment of its own, without the mark that the other tests look for; it has the harness's, in which
the pid of this process stands.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow.failpoints import HARNESS_VARIABLE


@pytest.fixture(autouse=True)
def no_run_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which a process of a run is there."""
    yield
    left = dict(_of_runs())
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if left:
        pytest.fail(f"{request.node.name} left behind: {left}", pytrace=False)


def _of_runs() -> Iterator[tuple[int, str]]:
    mark = f"{HARNESS_VARIABLE}={os.getpid()}-".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if any(each.startswith(mark) for each in environ.read_bytes().split(b"\0")):
                yield int(environ.parent.name), (environ.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended meanwhile, or it is somebody else's
