"""What tasks printed: from the files that workers share to a log for each task, and to a person who looks on.

The engine writes the output of all tasks of a worker into one file, because a file for each of a million tasks would
cost more than the tasks.  Up to 10,000 tasks the ranges are copied to ``logs/<id>.log`` as they end and the shared
files go at the end of the run; above that they stay, and a task's log is a file with ``#offset+size``.  Behind the
output of an attempt that failed stands its error, with traceback and stacks, so that every failure has a log; above
10,000 tasks these, with the output, are together in one more file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workflow.outcome import Attempt, LogRange
from workflow.report.whereabouts import account

OWN_LOG_MAX = 10_000
"""Tasks up to which each gets a log file of its own."""
FAILURES = "failures.log"
"""Where failures are kept above that: no worker's file has this name."""
TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_CHUNK = 1024 * 1024
_LOOK_BYTES = 4 * _CHUNK
_LINE_MAX = 8 * _CHUNK
"""Bytes of a line that is shown."""
_HOLE = 4096
"""So many zeros on end are a hole, and nothing that a task wrote."""
_ZEROS = bytes(_HOLE)


class Logs:
    """The logs of one run."""

    def __init__(self, folder: Path, *, tasks: int, max_bytes: int | None) -> None:
        """``folder`` is there already.  ``max_bytes`` is kept of each task's output, head and tail."""
        self._folder = folder
        self._own = tasks <= OWN_LOG_MAX
        self._max_bytes = max_bytes
        self.shared = folder / ".workers" if self._own else folder
        """Where the engine shall put the files that workers share."""

    def prepare(self) -> None:
        """Make the folder for the shared files.  Raises OSError."""
        self.shared.mkdir(mode=0o700, exist_ok=True)

    def keep(self, task: str, attempts: Sequence[Attempt]) -> str | None:
        """Keep what the attempts printed, and answer where, relative to the run folder; None if that is nothing.

        Raises OSError when the log cannot be written.
        """
        told = [attempt for attempt in attempts if attempt.log is not None or _failed(attempt)]
        if not told:
            return None
        if self._own:
            target = self._folder / f"{task}.log"
            with open(target, "wb", opener=_private) as file:
                file.writelines(self._pieces(told, numbered=len(attempts) > 1))
            return f"logs/{target.name}"
        if not any(_failed(attempt) for attempt in told):
            last = told[-1].log
            return None if last is None else self._shared_part(last)
        target = self._folder / FAILURES
        with open(target, "ab", opener=_private) as file:
            start = file.seek(0, os.SEEK_END)
            file.writelines(self._pieces(told, numbered=len(attempts) > 1))
            return f"logs/{target.name}#{start}+{file.tell() - start}"

    def keep_reason(self, task: str, reason: str) -> str:
        """Keep why a task failed that no worker ever had, and answer where.  Raises OSError."""
        own = self._own
        target = self._folder / (f"{task}.log" if own else FAILURES)
        data = f"--- error ---\n{reason}\n".encode("utf-8", "backslashreplace")
        with open(target, "wb" if own else "ab", opener=_private) as file:
            start = file.seek(0, os.SEEK_END)
            file.write(data)
        return f"logs/{target.name}" + ("" if own else f"#{start}+{len(data)}")

    def _pieces(self, attempts: Sequence[Attempt], *, numbered: bool) -> Iterator[bytes]:
        limit = None if self._max_bytes is None else self._max_bytes // len(attempts)
        ends_line = True
        for attempt in attempts:
            if numbered:
                yield f"{'' if ends_line else chr(10)}--- attempt {attempt.number} ---\n".encode("ascii")
                ends_line = True
            if attempt.log is not None:
                for piece in _kept(attempt.log, limit):
                    yield piece
                    ends_line = piece.endswith(b"\n")
            if attempt.error is not None and _failed(attempt):
                yield b"--- error ---\n" if ends_line else b"\n--- error ---\n"
                yield account(attempt.error).encode("utf-8", "backslashreplace")
                ends_line = True

    def keep_callback(self, task: str, part: LogRange, log: str | None) -> str:
        """Keep what a callback printed, behind what its task printed in ``log``, and answer where.

        Raises OSError when the log cannot be written.
        """
        if not self._own:
            return log or self._shared_part(part)
        target = self._folder / f"{task}.log"
        ends_line = log is None or _ends_line(target)
        with open(target, "ab", opener=_private) as file:
            file.write(b"--- callback ---\n" if ends_line else b"\n--- callback ---\n")
            file.writelines(_kept(part, self._max_bytes))
        return f"logs/{target.name}"

    def _shared_part(self, part: LogRange) -> str:
        return f"{os.path.relpath(part.file, self._folder.parent)}#{part.offset}+{part.size}"

    def remove_shared(self) -> None:
        """Remove the shared files, if every task has its own."""
        if self._own:
            shutil.rmtree(self.shared, ignore_errors=True)


def tail(attempts: Sequence[Attempt], lines: int = TAIL_LINES) -> tuple[str, ...]:
    """Answer the last lines of the last attempt's output."""
    part = attempts[-1].log if attempts else None
    if part is None:
        return ()
    size = min(part.size, _TAIL_BYTES)
    data = b"".join(_read(part.file, part.offset + part.size - size, size)).lstrip(b"\0")
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
    return tuple(text.split("\n")[-lines:]) if text else ()


class Cut(NamedTuple):
    """Output that is not shown, where it would have stood."""

    size: int
    """Bytes."""


class Streams:
    """Output of tasks while they run, as whole lines; for each attempt it knows how far it has read.

    While a task floods, the engine punches holes into the middle of its output, which read as zeros, and of one that
    has ended only so much is still shown as its log keeps.  Either is a ``Cut``; a line that lost a part of itself to
    it is counted as cut, and not shown.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._read: dict[tuple[str, int], _Reading] = {}

    def news(self, task: str, attempt: int, part: LogRange, most: int | None = None) -> Iterator[list[str] | Cut]:
        """Answer what has come since the last call, in bounded portions; at most about ``most`` bytes of it."""
        reading = self._read.setdefault((task, attempt), _Reading())
        end = part.size if most is None else min(part.size, reading.done + most)
        while reading.done < end:
            size = min(end - reading.done, _LOOK_BYTES)
            data = b"".join(_read(part.file, part.offset + reading.done, size))
            if not data:
                break
            yield from reading.take(data, part, last=reading.done + len(data) >= part.size)

    def behind(self, task: str, attempt: int, part: LogRange) -> bool:
        """Whether there is more to be read now."""
        return self._read[task, attempt].done < part.size

    def last(self, task: str, attempts: Iterable[Attempt]) -> Iterator[list[str] | Cut]:
        """Answer what has not been answered of attempts that have ended, and forget them."""
        for attempt in attempts:
            key = (task, attempt.number)
            if attempt.log is not None:
                reading = self._read.setdefault(key, _Reading())
                size = attempt.log.size
                if self._max_bytes is not None and size - reading.done > self._max_bytes:
                    yield from self.news(task, attempt.number, attempt.log, self._max_bytes // 2)
                    reading.skip(size - self._max_bytes // 2 - reading.done)
                yield from self.news(task, attempt.number, attempt.log)
            if key in self._read:
                yield from self._read.pop(key).end()


class _Reading:
    """How far one attempt's output was read."""

    __slots__ = ("_cut", "_rest", "done")

    def __init__(self) -> None:
        self.done = 0
        self._cut = 0  # bytes, since the last whole line; above 0, the line being read has no beginning
        self._rest = b""

    def skip(self, size: int) -> None:
        """Pass over what is next."""
        self._cut += size + len(self._rest)
        self._rest = b""
        self.done += size

    def take(self, data: bytes, part: LogRange, *, last: bool) -> Iterator[list[str] | Cut]:
        """Take in what was read next; ``last`` if nothing is known to follow it."""
        zeros = len(data) - len(data.lstrip(b"\0"))
        if zeros and (zeros >= _HOLE or self._cut or _is_hole(part, self.done)):
            self.skip(zeros)
            data = data[zeros:]
        hole = data.find(_ZEROS)
        if hole >= 0:
            data = data[:hole]  # what follows is read again, and begins with the hole
        elif not last and data.endswith(b"\0"):
            data = data.rstrip(b"\0") or data  # perhaps the beginning of a hole
        self.done += len(data)
        if self._cut:
            line, newline, data = data.partition(b"\n")
            self._cut += len(line) + len(newline)
            if not newline:
                return
            yield from self.end()
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if newline:
            yield whole.decode("utf-8", "replace").split("\n")
        if len(self._rest) > _LINE_MAX:
            self.skip(0)

    def end(self) -> Iterator[list[str] | Cut]:
        """Answer what was cut, or the line that has no end."""
        cut, self._cut = self._cut, 0
        rest, self._rest = self._rest, b""
        if cut:
            yield Cut(cut)
        if rest:
            yield [rest.decode("utf-8", "replace")]


def _is_hole(part: LogRange, done: int) -> bool:
    """Whether the zeros that begin here belong to a hole that was made across what has been read already."""
    size = min(done, _HOLE)
    return size > 0 and not b"".join(_read(part.file, part.offset + done - size, size)).strip(b"\0")


def _failed(attempt: Attempt) -> bool:
    return attempt.error is not None and (attempt.outcome.is_failure or attempt.error.stack is not None)


def _kept(part: LogRange, limit: int | None) -> Iterator[bytes]:
    if limit is None or part.size <= limit:
        yield from _read(part.file, part.offset, part.size)
        return
    head_size = limit // 2
    tail_size = limit - head_size
    # The engine cuts floods as they come, which leaves zeros in the middle; they count as cut.
    head = b"".join(_read(part.file, part.offset, head_size)).rstrip(b"\0")
    last = b"".join(_read(part.file, part.offset + part.size - tail_size, tail_size)).lstrip(b"\0")
    yield head
    if head and not head.endswith(b"\n"):
        yield b"\n"
    yield f"… {part.size - len(head) - len(last)} bytes cut …\n".encode()
    yield last


def _read(path: str, offset: int, size: int) -> Iterator[bytes]:
    """Answer a part of a file in chunks; less than asked for, if the file is shorter or gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while size > 0:
            data = os.pread(descriptor, min(size, _CHUNK), offset)
            if not data:
                return
            offset += len(data)
            size -= len(data)
            yield data
    finally:
        os.close(descriptor)


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
