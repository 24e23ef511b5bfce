"""The folder of one experiment: gone after it, and after a harness that was killed, by the next one.

Its name says who made it: where a pid means something (a boot and a namespace), the pid, and the start time, for a pid
is given away again.  So it is known from the first moment, and nothing of it lies among what the experiment looks at.
Only a folder whose maker is provably dead is removed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from workflow.harness.census import start_of

_PREFIX = "wf-chaos-"
_NAME = re.compile(r"wf-chaos-([0-9a-f]{6})-([0-9]{1,9})-([0-9]+)-[^-]+")


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder for one experiment, gone after it.  The first also removes what dead harnesses have left."""
    _remove_once(tempfile.gettempdir())
    here, start = _here(), start_of(os.getpid())
    maker = "" if here is None or start is None else f"{here}-{os.getpid()}-{start}-"
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX + maker))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_forsaken(where: str) -> list[str]:
    """Remove the folders there of this user whose maker is dead, and answer their paths."""
    here = _here()
    found = []
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        found = [entry.path for entry in entries if _is_forsaken(entry.name, here) and _is_ours(entry.path)]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(found)


_remove_once = functools.cache(remove_forsaken)


def _is_forsaken(name: str, here: str | None) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and match[1] == here and start_of(int(match[2])) != int(match[3])


def _is_ours(folder: str) -> bool:
    """A folder, of this user; root gives some of its own away."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and os.geteuid() in (status.st_uid, 0)


def _here() -> str | None:
    """This boot and this namespace of pids, in a few digits; None where that cannot be found out."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return sha256(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:6]
    except OSError:
        return None
