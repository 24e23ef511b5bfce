"""The ends of logs, from the run's folder, for reports."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(r"(?P<file>.+)#(?P<offset>\d+)\+(?P<size>\d+)$")
_READ_MAX = 1024 * 1024
_ERROR = b"--- error ---\n"
_CALLBACK = b"\n--- callback ---\n"


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of a log."""

    text: str
    cut: bool
    """Whether there is more before them."""


def output_tail(folder: Path, log: str | None, *, failed: bool, lines: int, max_bytes: int) -> Tail | None:
    """What a task printed at last; None where there is nothing.

    The account of the error, which stands behind the output of an attempt that failed, is left out: reports show it
    beside.  ``log`` is as in ``report.json``, and is only followed inside of the folder.
    """
    data, cut = _end(folder, log)
    if failed:
        at = data.rfind(_ERROR)
        if at > 0 and data[at - 1 : at] != b"\n":
            at = -1  # in the middle of a line
        if at >= 0:
            _, callback, said = data[at:].partition(_CALLBACK)  # which comes behind it, and is output again
            data = data[:at] + callback[1:] + said
    if len(data) > max_bytes:
        data, cut = data[-max_bytes:], True
        data = data.partition(b"\n")[2] or data
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").lstrip("\0")
    if not text.strip():
        return None
    rows = text.split("\n")
    if len(rows) > lines:
        rows, cut = rows[-lines:], True
    return Tail("\n".join(rows), cut)


def _end(folder: Path, log: str | None) -> tuple[bytes, bool]:
    part = log_range(folder, log)
    if part is None:
        return b"", False
    descriptor, first, last = part
    try:
        start = max(first, last - _READ_MAX)
        data = os.pread(descriptor, max(0, last - start), start)
    except (OSError, OverflowError):
        return b"", False
    finally:
        os.close(descriptor)
    return data, start > first


def _open_below(folder: Path, name: str) -> int | None:
    """Open a file of the folder; None where that cannot be, or a link stands on the way, which may lead out of it."""
    steps = name.split("/")
    if not {"", ".", ".."}.isdisjoint(steps):
        return None
    descriptor: int | None = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        for step in steps:
            above = descriptor
            descriptor = None
            try:
                descriptor = os.open(step, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
            finally:
                os.close(above)
    except (OSError, ValueError):  # it was removed, or it is a name that no file can have
        return None
    return descriptor


def log_range(folder: Path, log: str | None) -> tuple[int, int, int] | None:
    """An open file, and where a log begins and ends in it; None where there is none, or it is outside of the folder."""
    if log is None:
        return None
    part = _PART.match(log)
    name = part["file"] if part else log
    descriptor = _open_below(folder, name)
    if descriptor is None:
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        return None
    first = int(part["offset"]) if part else 0
    return descriptor, first, min(found.st_size, first + int(part["size"])) if part else found.st_size
