"""Files that are read whole: only regular ones, and only so much.

A pipe would keep us waiting for whoever writes it, and a device may have no end; neither is what somebody meant.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST = 64 * 2**20
"""Bytes of a file that somebody wrote."""
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Unfit(OSError):
    """A file that is not to be read; says why, as the end of a sentence about it."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, without waiting.  Raises Unfit for what is none, and OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise Unfit(f"is {kind(os.stat(path).st_mode)}, not a regular file") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise Unfit(f"is {kind(mode)}, not a regular file")


def read_regular(path: Path, most: int = MOST) -> bytes:
    """Read a regular file whole.  Raises Unfit for what is none or larger, and OSError."""
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Unfit(f"is larger than {most // 2**20} MiB")
    return data


def kind(mode: int) -> str:
    """What is no regular file and no folder."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
