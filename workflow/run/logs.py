"""What tasks printed: from the files that workers share to a log for each task, and to a person who looks on.

The engine writes the output of all tasks of a worker into one file, because a file for each of a million tasks would
cost more than the tasks.  Up to 10,000 tasks the ranges are copied to ``logs/<id>.log`` as they end and the shared
files go at the end of the run; above that they stay, and a task's log is a file with ``#offset+size``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from workflow.outcome import Attempt, LogRange

OWN_LOG_MAX = 10_000
"""Tasks up to which each gets a log file of its own."""
TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_CHUNK = 1024 * 1024


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
        ranges = [(attempt.number, attempt.log) for attempt in attempts if attempt.log is not None]
        if not ranges:
            return None
        if not self._own:
            return self._shared_part(ranges[-1][1])
        target = self._folder / f"{task}.log"
        limit = None if self._max_bytes is None else self._max_bytes // len(ranges)
        with open(target, "wb", opener=_private) as file:
            ends_line = True
            for number, part in ranges:
                if len(attempts) > 1:
                    file.write(f"{'' if ends_line else chr(10)}--- attempt {number} ---\n".encode("ascii"))
                for piece in _kept(part, limit):
                    file.write(piece)
                    ends_line = piece.endswith(b"\n")
        return f"logs/{target.name}"

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


class Streams:
    """Output of tasks while they run, cut into lines; for each attempt it knows how far it has read."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, int], int] = {}
        self._rest: dict[tuple[str, int], bytes] = {}

    def news(self, task: str, attempt: int, part: LogRange) -> Iterator[list[str]]:
        """Answer the whole lines that have come since the last call, in bounded portions."""
        key = (task, attempt)
        done = self._read.get(key, 0)
        while done < part.size:
            data = b"".join(_read(part.file, part.offset + done, min(part.size - done, _CHUNK)))
            if not data:
                break
            done += len(data)
            self._read[key] = done
            # What the engine has cut out of a flood reads as zeros.
            whole, newline, rest = (self._rest.pop(key, b"") + data.replace(b"\0", b"")).rpartition(b"\n")
            if rest:
                self._rest[key] = rest
            if newline:
                yield whole.decode("utf-8", "replace").split("\n")

    def last(self, task: str, attempts: Iterable[Attempt]) -> Iterator[list[str]]:
        """Answer what has not been answered of attempts that have ended, and forget them."""
        for attempt in attempts:
            if attempt.log is not None:
                yield from self.news(task, attempt.number, attempt.log)
            key = (task, attempt.number)
            self._read.pop(key, None)
            rest = self._rest.pop(key, None)
            if rest:
                yield [rest.decode("utf-8", "replace")]


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
