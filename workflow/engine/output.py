"""Where what a task prints goes.

Captured output goes to one append-only file per worker slot, at the level of descriptors 1 and 2, so that prints of
C code and of child processes are in it; an attempt's part is a range of bytes, which costs 0.5 µs a task where a
file of its own would cost 10 to 25.  When an attempt left processes behind, what they still write belongs to it, so
the next attempt gets a new file.  What is not captured goes where the program's own output goes, line by line.

A task could put a link to another of its user's files in the place of a log, by mistake or not: what is no plain file
with this one name is left alone, and the next number is taken.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from workflow.engine import scoreboard, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_NO_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})
_TRIES = 1000


def log_file_name(number: int) -> str:
    """Name of the file with this number, ``slot << 16 | generation``; slot 0 is the dispatcher's callbacks."""
    slot, generation = number >> 16, number & 0xFFFF
    return f"worker-{slot}.{generation}.log" if slot else f"callbacks.{generation}.log"


def open_log(path: str, flags: int) -> int | None:
    """Open a log, and nothing that stands in its place: None then."""
    try:
        # Not to wait for whoever opens the other end of a pipe.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        os.set_blocking(descriptor, True)
        return descriptor
    os.close(descriptor)
    return None


class Output:
    """Descriptors 1 and 2 of a process that runs other people's code."""

    __slots__ = ("_base", "_descriptor", "_end", "_file", "_folder", "_stderr", "_stdout", "_words")

    def __init__(self, folder: str | None, slot: int, words: memoryview) -> None:
        self._folder = folder
        self._words = words
        self._base = slot * scoreboard.WORDS
        self._file = slot << 16
        self._descriptor = -1
        self._end = 0
        self._stdout, self._stderr = sys.stdout, sys.stderr

    @property
    def captured(self) -> bool:
        """Whether there is a log."""
        return self._folder is not None

    def open(self) -> None:
        """Point standard input at nothing, and output at the log or, line by line, where it went already."""
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        for descriptor in (1, 2):
            try:
                os.fstat(descriptor)
            except OSError:
                os.dup2(nothing, descriptor)  # the program was started with it closed
        if nothing > 2:
            os.close(nothing)
        if self._folder is not None:
            self._open_log()
        system.unbuffer_c_streams()
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            stream = getattr(sys, name)
            if stream is None:
                stream = open(descriptor, "w", closefd=False)  # noqa: SIM115
                setattr(sys, name, stream)
            # Line by line, also where Python was told not to buffer: print() writes a line and its end separately, and
            # what another process prints could come between.
            stream.reconfigure(line_buffering=True, write_through=False)
            if self._folder is not None:
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        self._stdout, self._stderr = sys.stdout, sys.stderr

    def flush(self) -> None:
        """Write out what Python still holds.  The user's code, when that put something else in the streams' place.

        Where nothing is captured our own streams are left to ``flush_idle``: they hold no whole line, and nobody asks
        what was whose.
        """
        replaced = sys.stdout is not self._stdout or sys.stderr is not self._stderr
        if replaced:
            _flush(sys.stdout, sys.stderr)
        if replaced or self._descriptor >= 0:
            self.flush_idle()

    def flush_idle(self) -> None:
        """Write out what our own streams still hold."""
        _flush(self._stdout, self._stderr)

    def take(self) -> tuple[int, int, int]:
        """Offset, size and file of what was written since the last call; size 0 when nothing was."""
        if self._descriptor < 0:
            return 0, 0, 0
        start, self._end = self._end, os.lseek(self._descriptor, 0, os.SEEK_END)
        if start == self._end:
            return 0, 0, 0
        self._words[self._base + scoreboard.LOG_START] = self._end
        return start, min(self._end - start, 0xFFFFFFFF), self._file

    def renew(self) -> None:
        """Begin a new file; whoever holds the old one goes on writing there."""
        if self._descriptor >= 0:
            self._count_up()
            self._open_log()

    def _count_up(self) -> None:
        self._file = (self._file & ~0xFFFF) | ((self._file + 1) & 0xFFFF)

    def _open_log(self) -> None:
        path = ""
        for _ in range(_TRIES):
            path = os.path.join(self._folder or "", log_file_name(self._file))
            descriptor = open_log(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            if descriptor is not None:
                break
            self._count_up()
        else:
            raise FileExistsError(errno.EEXIST, "something else stands in the place of each log", path)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._end = os.lseek(descriptor, 0, os.SEEK_END)
        self._words[self._base + scoreboard.LOG_FILE] = self._file
        self._words[self._base + scoreboard.LOG_START] = self._end


def _flush(*streams: TextIO) -> None:
    try:
        for stream in streams:
            stream.flush()
    except Exception:  # noqa: BLE001, S110  # a task closed or replaced it: it is that task's mark on its process
        pass
