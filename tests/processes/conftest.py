"""Pools whose tasks are the victims."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from workflow import EngineError, Handle, InfoTask, MultiProcess

VICTIMS = Path(__file__).parent / "victims"

Push = Callable[..., Handle]


def task(name: str, *args: Any, timeout: float | None = 30.0, **options: Any) -> InfoTask:
    """A task of the victims."""
    return InfoTask(f"victims.{name}", timeout, *args, **options)


@pytest.fixture(autouse=True)
def _victims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(VICTIMS))


@pytest.fixture
def make_pool() -> Iterator[Callable[..., MultiProcess]]:
    """Make started pools; whatever a failing test leaves of them is ended."""
    made: list[MultiProcess] = []

    def make(pool: int = 2, **options: Any) -> MultiProcess:
        mp = MultiProcess(pool, **options)
        mp.start()
        made.append(mp)
        return mp

    yield make
    for mp in made:
        mp.cancel_all("the test is over", 0.0)
        with contextlib.suppress(EngineError):
            mp.stop(5.0)


@pytest.fixture
def pool(make_pool: Callable[..., MultiProcess]) -> MultiProcess:
    """A pool of 2."""
    return make_pool(2)


@pytest.fixture
def push(pool: MultiProcess) -> Push:
    """Push a victim to the pool of 2."""

    def push_task(name: str, *args: Any, **options: Any) -> Handle:
        return pool.push(task(name, *args, **options))

    return push_task


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[str]]:
    """Run a program of the user's in a process of its own, in a folder; its Popen."""

    def run(folder: Path, *arguments: str, prefix: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(VICTIMS), *sys.path])}
        return subprocess.Popen(
            [*prefix, sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return run


@pytest.fixture
def somebody() -> Callable[[Path], list[str]]:
    """A prefix that runs a command as a user who has no other process, and may read what root may, in a folder.

    Root is not limited in the number of processes, the tests' Python may lie where only root can read, and other
    tests that run at the same time have processes too.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("only root can become a user who has no other process")
    uid = 60_000 + os.getpid() % 5_000
    rights = "-all,+dac_read_search"
    who = [setpriv, "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--inh-caps", rights]

    def prefix(folder: Path) -> list[str]:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)
        os.chmod(os.environ["TMPDIR"], 0o777)
        return [*who, "--ambient-caps", "+dac_read_search", "--bounding-set", rights]

    return prefix


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something to become true; fail when it has not after 20 s."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "waited for 20 s"
            time.sleep(0.002)

    return wait


@pytest.fixture
def pids_in() -> Callable[[Path], list[int]]:
    """The process ids that a victim noted."""

    def read(path: Path) -> list[int]:
        return [int(word) for word in path.read_text().split()] if path.exists() else []

    return read
