"""What tasks printed: from the files that workers share to a log for each task, and to a person who looks on.

The engine writes the output of all tasks of a worker into one file, because a file for each of a million tasks would
cost more than the tasks.  Up to 10,000 tasks the ranges are copied to ``logs/<id>.log`` as they end and the shared
files go at the end of the run; above that they stay, and a task's log is a file with ``#offset+size``.  Behind the
output of an attempt that failed stands its error, with traceback and stacks, so that every failure has a log; above
10,000 tasks these, with the output, are together in one more file.

In a run with secrets the shared files are in memory, and what is kept of them is masked on its way to a disk: then
above 10,000 tasks all output is together in that one more file.  The memory is given back as tasks end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workflow.engine.system import punch_hole
from workflow.outcome import Attempt, LogRange
from workflow.report.whereabouts import account
from workflow.run.mask import NO_MASK, Mask, MaskedStream

OWN_LOG_MAX = 10_000
"""Tasks up to which each gets a log file of its own."""
FAILURES = "failures.log"
"""Where failures are kept above that: no worker's file has this name."""
OUTPUT = "output.log"
"""Where everything is kept above that, when it is masked."""
SHARED = frozenset({FAILURES, OUTPUT})
TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_CHUNK = 1024 * 1024
_LOOK_BYTES = 4 * _CHUNK
_LINE_MAX = 8 * _CHUNK
"""Bytes of a line that is shown."""
_HOLE = 4096
"""So many zeros on end are a hole, and nothing that a task wrote."""
_ZEROS = bytes(_HOLE)
_PAGE = 4096
_WAITING_MAX = 10_000
_NO_LOG = "what is there is not a log"


class Logs:
    """The logs of one run."""

    def __init__(
        self, folder: Path, *, tasks: int, max_bytes: int | None, mask: Mask = NO_MASK, memory: Path | None = None
    ) -> None:
        """``folder`` is there already.  ``max_bytes`` is kept of each task's output, head and tail.

        What is to be masked must not be shared on a disk: ``memory`` is where it is then.
        """
        assert not mask or memory is not None, "secrets would be written to a disk"
        self._folder = folder
        self._own = tasks <= OWN_LOG_MAX
        self._max_bytes = max_bytes
        self._mask = mask
        self._memory = memory
        self._together = OUTPUT if memory is not None else FAILURES
        self._memories: dict[str, _Memory] = {}  # by file
        self.shared = memory or (folder / ".workers" if self._own else folder)
        """Where the engine shall put the files that workers share."""

    def prepare(self) -> None:
        """Make the folder for the shared files.  Raises OSError."""
        self.shared.mkdir(mode=0o700, exist_ok=True)

    def keep(self, task: str, attempts: Sequence[Attempt]) -> str | None:
        """Keep what the attempts printed, and answer where, relative to the run folder; None if that is nothing.

        Raises OSError when the log cannot be written.
        """
        told = [each for each in attempts if each.log is not None or (each.error is not None and _failed(each))]
        if not told:
            return None
        if self._own:
            target = self._folder / f"{task}.log"
            with open(target, "wb", opener=_private) as file:
                file.writelines(self._pieces(told, numbered=len(attempts) > 1))
            return f"logs/{target.name}"
        if self._memory is None and not any(_failed(attempt) for attempt in told):
            last = told[-1].log
            return None if last is None else self._shared_part(last)
        target = self._folder / self._together
        with open(target, "ab", opener=_private) as file:
            start = file.seek(0, os.SEEK_END)
            file.writelines(self._pieces(told, numbered=len(attempts) > 1))
            return f"logs/{target.name}#{start}+{file.tell() - start}"

    def keep_reason(self, task: str, reason: str) -> str:
        """Keep why a task failed that no worker ever had, and answer where.  Raises OSError."""
        own = self._own
        target = self._folder / (f"{task}.log" if own else self._together)
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
                for piece in _kept(attempt.log, limit, self._mask):
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
            return self._keep_behind(part, log) if self._memory is not None else log or self._shared_part(part)
        target = self._folder / f"{task}.log"
        ends_line = log is None or _ends_line(target)
        with open(target, "ab", opener=_private) as file:
            file.write(b"--- callback ---\n" if ends_line else b"\n--- callback ---\n")
            file.writelines(_kept(part, self._max_bytes, self._mask))
        return f"logs/{target.name}"

    def _keep_behind(self, part: LogRange, log: str | None) -> str:
        """Keep it behind a copy of the task's log, which is a part of a file that others have been added to."""
        target = self._folder / self._together
        old = b""
        if log is not None:
            offset, _, size = log.rpartition("#")[2].partition("+")
            old = b"".join(_read(str(target), int(offset), int(size)))
        with open(target, "ab", opener=_private) as file:
            start = file.seek(0, os.SEEK_END)
            file.write(old + (b"" if not old or old.endswith(b"\n") else b"\n") + b"--- callback ---\n")
            file.writelines(_kept(part, self._max_bytes, self._mask))
            return f"logs/{target.name}#{start}+{file.tell() - start}"

    def _shared_part(self, part: LogRange) -> str:
        return f"{os.path.relpath(part.file, self._folder.parent)}#{part.offset}+{part.size}"

    def let_go(self, part: LogRange | None) -> None:
        """Give back the memory of what nobody will read any more.  Does nothing for what is on a disk."""
        if self._memory is not None and part is not None:
            self._memories.setdefault(part.file, _Memory(part.file)).let_go(part.offset, part.size)

    def remove_shared(self) -> None:
        """Remove the shared files, if every task has its own."""
        if self._own and self._memory is None:
            shutil.rmtree(self.shared, ignore_errors=True)


class _Memory:
    """How much of a shared file in memory has been given back.

    Most ranges are smaller than a page, which is what can be given back; so what lies side by side is gathered.
    """

    __slots__ = ("_begin", "_end", "_path", "_waiting")

    def __init__(self, path: str) -> None:
        self._path = path
        self._begin = self._end = 0  # nobody reads what is between them
        self._waiting: dict[int, int] = {}  # sizes of ranges behind it, by offset

    def let_go(self, offset: int, size: int) -> None:
        """Nobody reads this range any more."""
        self._waiting[offset] = size
        if len(self._waiting) > _WAITING_MAX:  # what is before them is still wanted: it is left out
            self._give_back()
            self._begin = self._end = min(self._waiting)
        while self._end in self._waiting:
            self._end += self._waiting.pop(self._end)
        if self._end - self._begin >= _CHUNK:
            self._give_back()
        elif size >= _CHUNK:
            self._punch(offset, size)

    def _give_back(self) -> None:
        end = self._end - self._end % _PAGE
        if end > self._begin:
            self._punch(self._begin, end - self._begin)
            self._begin = end

    def _punch(self, offset: int, size: int) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            punch_hole(descriptor, offset, size)
            os.close(descriptor)


def tail(attempts: Sequence[Attempt], lines: int = TAIL_LINES, mask: Mask = NO_MASK) -> tuple[str, ...]:
    """Answer the last lines of the last attempt's output."""
    part = attempts[-1].log if attempts else None
    if part is None:
        return ()
    size = min(part.size, _TAIL_BYTES)
    data = b"".join(_read(part.file, part.offset + part.size - size, size)).lstrip(b"\0")
    data = mask.data(data, cut_before=len(data) < part.size, broken_off=True)
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

    def __init__(self, max_bytes: int | None = None, mask: Mask = NO_MASK) -> None:
        self._max_bytes = max_bytes
        self._mask = mask
        self._read: dict[tuple[str, int], _Reading] = {}

    def news(self, task: str, attempt: int, part: LogRange, most: int | None = None) -> Iterator[list[str] | Cut]:
        """Answer what has come since the last call, in bounded portions; at most about ``most`` bytes of it."""
        reading = self._reading((task, attempt))
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
                reading = self._reading(key)
                size = attempt.log.size
                if self._max_bytes is not None and size - reading.done > self._max_bytes:
                    yield from self.news(task, attempt.number, attempt.log, self._max_bytes // 2)
                    reading.skip(size - self._max_bytes // 2 - reading.done)
                yield from self.news(task, attempt.number, attempt.log)
            if key in self._read:
                yield from self._read.pop(key).finish()

    def _reading(self, key: tuple[str, int]) -> _Reading:
        reading = self._read.get(key)
        if reading is None:
            reading = self._read[key] = _Reading(self._mask.stream() if self._mask else None)
        return reading


class _Reading:
    """How far one attempt's output was read."""

    __slots__ = ("_cut", "_masked", "_rest", "done")

    def __init__(self, masked: MaskedStream | None = None) -> None:
        self.done = 0
        self._masked = masked
        self._cut = 0  # bytes, since the last whole line; above 0, the line being read has no beginning
        self._rest = b""

    def skip(self, size: int) -> None:
        """Pass over what is next."""
        self._cut += size + len(self._rest)
        self._rest = b""
        self.done += size
        if size and self._masked is not None:
            self._cut += len(self._masked.end(cut=True))

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
        if self._masked is not None:
            data = self._masked.feed(data)
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

    def finish(self) -> Iterator[list[str] | Cut]:
        """The same, when nothing follows."""
        if self._masked is not None:
            held = self._masked.end(broken_off=True)
            if self._cut:
                self._cut += len(held)
            else:
                self._rest += held
        yield from self.end()


def _is_hole(part: LogRange, done: int) -> bool:
    """Whether the zeros that begin here belong to a hole that was made across what has been read already."""
    size = min(done, _HOLE)
    return size > 0 and not b"".join(_read(part.file, part.offset + done - size, size)).strip(b"\0")


def _failed(attempt: Attempt) -> bool:
    return attempt.error is not None and (attempt.outcome.is_failure or attempt.error.stack is not None)


def _kept(part: LogRange, limit: int | None, mask: Mask = NO_MASK) -> Iterator[bytes]:
    if limit is None or part.size <= limit:
        pieces = _read(part.file, part.offset, part.size)
        yield from _masked(pieces, mask.stream()) if mask else pieces
        return
    head_size = limit // 2
    tail_size = limit - head_size
    # The engine cuts floods as they come, which leaves zeros in the middle; they count as cut.
    head = b"".join(_read(part.file, part.offset, head_size)).rstrip(b"\0")
    last = b"".join(_read(part.file, part.offset + part.size - tail_size, tail_size)).lstrip(b"\0")
    cut = part.size - len(head) - len(last)
    head = mask.data(head, cut_behind=True)
    yield head
    if head and not head.endswith(b"\n"):
        yield b"\n"
    yield f"… {cut} bytes cut …\n".encode()
    yield mask.data(last, cut_before=True, broken_off=True)


def _masked(pieces: Iterable[bytes], stream: MaskedStream) -> Iterator[bytes]:
    for piece in pieces:
        masked = stream.feed(piece)
        if masked:
            yield masked
    rest = stream.end(broken_off=True)
    if rest:
        yield rest


def _read(path: str, offset: int, size: int) -> Iterator[bytes]:
    """Answer a part of a file in chunks; less than asked for, if the file is shorter or gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while size > 0 and stat.S_ISREG(os.fstat(descriptor).st_mode):
            data = os.pread(descriptor, min(size, _CHUNK), offset)
            if not data:
                return
            offset += len(data)
            size -= len(data)
            yield data
    finally:
        os.close(descriptor)


def _ends_line(path: Path) -> bool:
    """Whether the last byte of a log is a newline; also where there is none."""
    with open(path, "ab+", opener=_private) as file:
        size = file.seek(0, os.SEEK_END)
        return size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"


def _private(path: str, flags: int) -> int:
    """Open a log to write it.  Raises OSError for what a task may have put in its place, instead of waiting or harm."""
    try:
        descriptor = os.open(path, (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):  # a pipe that nobody reads, a link
            raise OSError(errno.EEXIST, _NO_LOG, path) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EEXIST, _NO_LOG, path)
    if flags & os.O_TRUNC:
        os.ftruncate(descriptor, 0)
    return descriptor
