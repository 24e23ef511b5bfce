"""A folder that is on no disk, for output that must not get there before it was masked.

It lies on a memory file system (tmpfs), is its owner's alone, and is gone with the program: when that ends, and also
when it is killed with everything that guards it.  For that a process of its own waits (the cleaner), which knows
nothing but the folder: the guardian would not do, for it ends before the program has read the last output.  It imports
nothing then: on a machine that is short of memory, reading a module from the disk may take seconds.  Should the
cleaner be killed in the same instant, the next run or ``workflow doctor`` finds the folder by its name, which is the
mark of the program it belongs to (see ``marks``).

What is in memory may be swapped to a disk by the kernel, as any memory of any process: that is for an encrypted swap to
prevent.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow.engine import marks
from workflow.engine.survivor import start_survivor
from workflow.errors import WorkflowError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_PREFIX = "workflow-"
_KINDS = frozenset({"tmpfs", "ramfs"})
_PATIENCE_S = 5.0

_CLEANER = """\
import os, _signal, sys, time

def remove(path):
    try:
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(path)
    except OSError: pass  # workers that are being ended may still make files: it is tried again

for number in (1, 2, 3, 15): _signal.signal(number, _signal.SIG_IGN)
try:
    with open("/proc/self/comm", "w") as file: file.write("wf-cleaner")
except OSError: pass
os.read(0, 1)  # until the program ends, in whatever way
folder, end = sys.argv[1], time.monotonic() + 30
while os.path.lexists(folder) and time.monotonic() < end:
    remove(folder)
    time.sleep(0.02)
"""


class NoMemoryFolder(WorkflowError):
    """There is no place for output that is on no disk.  The machine's fault; says what was tried."""


class MemoryFolder:
    """The folder, for as long as the context lasts.  Entering it raises NoMemoryFolder."""

    def __init__(self) -> None:
        self.path = ""
        """Absolute."""

    def __enter__(self) -> Self:
        mark = marks.new_mark()
        if mark is None or not hasattr(os, "memfd_create"):
            raise NoMemoryFolder("only Linux, with its own /proc, has places that are surely on no disk")
        self.path = _make(mark)
        try:
            self._cleaner, self._alive = start_survivor(_CLEANER, self.path)
        except OSError as error:
            os.rmdir(self.path)
            raise NoMemoryFolder(f"{self.path} would not be removed: no process can be started: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._alive)
        try:
            self._cleaner.wait(_PATIENCE_S)  # it removes what we could not
        except subprocess.TimeoutExpired:
            self._cleaner.kill()
            self._cleaner.wait()

    def free_bytes(self) -> int:
        """What still fits into it."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


def remove_leftovers() -> None:
    """Remove the folders of programs that are gone."""
    here = marks.where()
    if here is None:
        return
    for folder in _places():
        try:
            names = [name for name in os.listdir(folder) if name.startswith(_PREFIX)]
        except OSError:
            continue
        for name in names:
            mark = _mark_in(name)
            path = os.path.join(folder, name)
            if mark is not None and mark.here == here and _is_ours(path) and marks.is_gone(mark):
                shutil.rmtree(path, ignore_errors=True)


def _make(mark: marks.Mark) -> str:
    tried = []
    for folder in _places():
        kind = _file_system(folder)
        if kind not in _KINDS:
            tried.append(f"{folder} is {kind or 'not there'}")
            continue
        # What is random is for a name that nobody can have taken before: anybody may write there.
        path = os.path.join(folder, f"{_PREFIX}{mark.text().replace('/', ',')},{secrets.token_hex(4)}")
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            tried.append(f"{folder}: {error.strerror or errno.errorcode.get(error.errno or 0, 'unknown')}")
        else:
            return path
    raise NoMemoryFolder(f"there is no folder in memory (tmpfs) to be written to: {', '.join(tried)}")


def _places() -> Iterator[str]:
    seen = set()
    for folder in ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR"), "/run/shm", tempfile.gettempdir()):  # noqa: S108
        if folder and os.path.isabs(folder) and folder not in seen:
            seen.add(folder)
            yield folder


def _file_system(folder: str) -> str | None:
    """The kind of file system that a folder is on; None when it is not there, or that is not told."""
    try:
        device = os.stat(folder).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}".encode()
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                words = line.split()
                if words[2] == wanted:
                    return words[words.index(b"-") + 1].decode()
    except (OSError, ValueError, IndexError):
        pass
    return None


def _mark_in(name: str) -> marks.Mark | None:
    text, _, _random = name[len(_PREFIX) :].rpartition(",")
    return marks.parse(text.replace(",", "/"))


def _is_ours(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
