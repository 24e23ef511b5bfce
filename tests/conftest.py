"""What holds for every test: it leaves nothing behind.

After each test nothing may be left of it: no process (also one that got another parent or session), no descriptor,
no thread that would keep Python from ending, nothing in shared memory, nothing in the folder for temporary files.
Things that are about to go get a moment for it; the moment costs nothing where nothing is left.

Processes are found in two ways.  Descendants are found by their parents; those that have lost their parent carry a
mark in their environment.  Only one that has lost both, by way of a cleared environment, is not seen.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

MARK = "WORKFLOW_TEST_MARK"
PATIENCE_S = 3.0
SHARED_MEMORY = Path("/dev/shm")
OPENED_ONCE = ("/dev/urandom", "/dev/null")
"""What Python or a library opens at first use and keeps."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot hold while coverage is measured in every process: it takes memory, and needs its files."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        for item in items:
            if item.get_closest_marker("unmeasured"):
                item.add_marker(pytest.mark.skip(reason="coverage is measured"))


@pytest.fixture(autouse=True)
def nothing_left(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail a test that leaves a process, descriptor, thread, shared memory or temporary file behind."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv(MARK, mark)
    tmp_path_factory.getbasetemp()  # made now, for it lasts longer than this test's folder
    folder = Path(tempfile.mkdtemp(prefix="wft-"))  # a short name: a Unix socket's path has room for 107 bytes
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    processes, descriptors, threads, shared = _children(), _descriptors(), set(threading.enumerate()), _shared()

    yield

    def left() -> list[str]:
        return [
            *(f"process {text}" for pid, text in {**_children(), **_marked(mark)}.items() if pid not in processes),
            *(f"descriptor {fd} of {target}" for fd, target in _descriptors().items() if descriptors.get(fd) != target),
            *(f"thread {thread.name}" for thread in threading.enumerate() if _holds(thread) and thread not in threads),
            *(f"shared memory {path}" for path in sorted(_shared() - shared) if not _is_a_strangers(path, mark)),
            *(f"temporary file {path}" for path in sorted(folder.rglob("*"))),
        ]

    remains = _after_a_moment(left)
    for pid in _marked(mark):
        psutil.Process(pid).kill()
    shutil.rmtree(folder, ignore_errors=True)
    if remains:
        pytest.fail(f"{request.node.name} left behind:\n  " + "\n  ".join(remains), pytrace=False)


def _after_a_moment(left: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    remains = left()
    if remains:
        gc.collect()  # what only waits to be collected is not a leak
    while remains and time.monotonic() < deadline:
        time.sleep(0.02)
        remains = left()
    return remains


def _children() -> dict[int, str]:
    return {child.pid: _describe(child) for child in psutil.Process().children(recursive=True)}


def _marked(mark: str) -> dict[int, str]:
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = _describe(psutil.Process(int(entry.name)))
            except (OSError, psutil.NoSuchProcess):
                continue  # it has ended meanwhile, or it is somebody else's
    return found


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.ZombieProcess:
        return f"{process.pid} (zombie): ended, and nobody waited for it"
    except psutil.NoSuchProcess:
        return f"{process.pid} (ended)"


def _descriptors() -> dict[int, str]:
    found = {}
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # the one that listed the folder
        if target not in OPENED_ONCE:
            found[int(entry.name)] = target
    return found


def _holds(thread: threading.Thread) -> bool:
    return thread.is_alive() and not thread.daemon


_NAMED_AFTER = re.compile(r"workflow-.*,(\d+),\d+,\d+,[0-9a-f]+|workflow-test-leak-(\d+)")
"""A folder that belongs to a program, and what the tests of these tests leave: both with a pid."""


def _shared() -> set[Path]:
    return set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else set()


def _is_a_strangers(path: Path, mark: str) -> bool:
    """Whether a process that has nothing to do with this test uses that piece of shared memory: it may come and go.

    By its name, where that says whose it is.  Else by its inode, for a named semaphore is mapped under the name that it
    was made with, which is not the one it got.
    """
    ours = {os.getpid(), *_children(), *_marked(mark)}
    owner = _NAMED_AFTER.fullmatch(path.name)
    if owner is not None:
        pid = int(owner[1] or owner[2])
        return pid not in ours and (owner[2] is not None or psutil.pid_exists(pid))
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    inode = f" {os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x} {status.st_ino} "
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        try:
            maps = Path(f"/proc/{process.pid}/maps").read_text()
        except OSError:
            continue
        if inode in maps:
            return True
    return False
