"""The folder of one experiment: gone after it, and after a harness that was killed, by the next one.

Whoever makes one notes in it who that is: the boot and the namespace in which its pid means something, the pid, and
the start time, for a pid is given away again.  Only a folder whose owner is provably dead is removed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workflow.harness.census import start_of

_PREFIX = "wf-chaos-"
_OWNER = "owner"
_LONGEST = 4096


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder for one experiment, gone after it.  The first also removes what dead harnesses have left."""
    _remove_once(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        (folder / _OWNER).write_text(_words(os.getpid()), encoding="ascii")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_forsaken(where: str) -> list[str]:
    """Remove the folders there of this user whose owner is dead, and answer their paths."""
    removed = []
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_ours(entry.path) and _is_forsaken(entry.path):
                _remove(entry.path)
                removed.append(entry.path)
    return sorted(removed)


_remove_once = functools.cache(remove_forsaken)


def _is_ours(folder: str) -> bool:
    """A folder, of this user; root gives some of its own away."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and os.geteuid() in (status.st_uid, 0)


def _is_forsaken(folder: str) -> bool:
    words = _read(os.path.join(folder, _OWNER)).split()
    if len(words) != 4 or not words[2].isdecimal():
        return False  # made in this moment, or by somebody else
    here, now = _words(os.getpid()).split(), _words(int(words[2])).split()
    return words[:2] == here[:2] and words[3] != now[3]


def _words(pid: int) -> str:
    """Boot, namespace, pid and start time; what cannot be found out, or is not there, is a dash."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = namespace = f"unknown-{os.getpid()}"  # is nobody else's, so nothing is concluded
    return f"{boot} {namespace} {pid} {start_of(pid) or '-'}\n"


def _read(path: str) -> str:
    """The text of a regular file; nothing for anything else, which might never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, _LONGEST).decode("ascii", "replace") if regular else ""
    finally:
        os.close(descriptor)


def _remove(folder: str) -> None:
    """Its owner's name goes last: what cannot be removed now is for the next harness."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != _OWNER:
                os.unlink(entry.path)
        if os.listdir(folder) == [_OWNER]:
            shutil.rmtree(folder)
