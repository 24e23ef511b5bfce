"""What happened inside a run, told by those it happened to: the harness's own account, beside the run's.

One line of JSON for each thing, each written by one ``write`` to a file opened for appending, so that whoever is
killed in the next instant has said it and lines of different processes do not mix.

The file is open to the tasks, as everything of their user's is, so one may write anything into it.  What is no line of
ours is kept as such, and judged: see ``Spoilt``.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from typing import NamedTuple

from workflow.failpoints import FOLDER_VARIABLE

BEGAN = "began"
"""An attempt reached the code of its task."""
ENDED = "ended"
"""It returned; the detail is a digest of the result."""
FIRED = "fired"
"""A fault is about to strike; the detail is its kind."""
CALLBACK = "callback"
"""A callback was begun; the detail is ``callback`` or ``error_callback``."""
GIVEN = "given"
"""What a ``callback`` was given; the detail is a digest of it."""
GIVEN_ERROR = "given error"
"""What an ``error_callback`` was given; the detail is what ``given.GivenError`` holds."""
UNTIDY = "untidy"
"""A task has something to clean up from now on."""
TIDIED = "tidied"
"""One that was being ended has cleaned up."""
STOPPING = "stopping"
"""A program is about to stop its engine."""
STOPPED = "stopped"
"""It has."""

_FILE = "journal"


class Entry(NamedTuple):
    """One thing that happened."""

    at_s: float
    """Monotonic."""
    pid: int
    what: str
    task: str
    attempt: int
    detail: str = ""


def note(what: str, task: str, attempt: int, detail: str = "") -> None:
    """Write it down, in the folder that the environment names; nowhere when it names none."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        line = json.dumps((time.monotonic(), os.getpid(), what, task, attempt, detail)) + "\n"
        descriptor = os.open(os.path.join(folder, _FILE), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


class Spoilt(NamedTuple):
    """Something in the journal that nobody of ours has written, or a part of it that is gone."""

    after: int
    """Entries that stood before it."""
    what: str
    """For people."""


class Reader:
    """Reads what was noted, a piece at a time while the run goes on."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _FILE)
        self._offset = 0
        self.entries: list[Entry] = []
        self.spoilt: list[Spoilt] = []

    def news(self) -> list[Entry]:
        """What was noted since the last time, or the first part of it if that is very much."""
        known = len(self.entries)
        data = self._read()
        end = data.rfind(b"\n") + 1
        if len(data) - end > _LONGEST:
            end = len(data)
        self._take(data[:end])
        return self.entries[known:]

    def rest(self) -> list[Entry]:
        """All that is left to read, now that nobody writes any more: a last line without an end is none of ours."""
        known = len(self.entries)
        for _ in range(_BLOCKS_MAX):
            before = self._offset
            self.news()
            if self._offset == before:
                self._take(self._read())
                break
        else:
            self._spoil(f"it is longer than {self._offset} bytes")
        return self.entries[known:]

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < self._offset:
                    self._spoil("it was cut off")
                    self._offset = size
                file.seek(self._offset)
                return file.read(_BLOCK)
        except FileNotFoundError:
            if self._offset:
                self._spoil("it was deleted")
                self._offset = 0
        except OSError as error:
            self._spoil(f"it cannot be read: {error.strerror}")
        return b""

    def _take(self, data: bytes) -> None:
        self._offset += len(data)
        for line in data.split(b"\n"):
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        entry = _parsed(line)
        rubbish = b"" if entry is not None else line
        if rubbish and (behind := _last_in(line)) is not None:
            entry, rubbish = behind
        if rubbish:
            self._spoil(f"it has {len(rubbish)} bytes that nobody of ours wrote: {rubbish[:_SHOWN]!r}")
        if entry is not None:
            self.entries.append(entry)

    def _spoil(self, what: str) -> None:
        one = Spoilt(len(self.entries), what)
        if len(self.spoilt) < _SPOILT_MAX and one not in self.spoilt[-1:]:
            self.spoilt.append(one)


_SHOWN = 60
_SPOILT_MAX = 100
"""More of them tell nothing new."""
_LONGEST = 1 << 20
"""No line of ours is so long."""
_BLOCK = 1 << 22
_BLOCKS_MAX = 64
"""What is read at a look, and how often that at the end: a flood of rubbish must not hold up the harness for long."""
_TRIES = 20
_BEGINNING = re.compile(rb"\[\d")


def _parsed(line: bytes) -> Entry | None:
    """The entry that a line is; None when it is none."""
    try:
        entry = Entry(*json.loads(line))
    except (TypeError, ValueError, RecursionError):
        return None
    moment, numbers, texts = entry.at_s, (entry.pid, entry.attempt), (entry.what, entry.task, entry.detail)
    right = (
        type(moment) is float and math.isfinite(moment)
        and all(type(number) is int and abs(number) < 1 << 63 for number in numbers)
        and all(type(text) is str for text in texts)
    )  # fmt: skip
    return entry if right else None


def _last_in(line: bytes) -> tuple[Entry, bytes] | None:
    """The entry at the end of a line, behind what somebody wrote there without an end of line; and that."""
    for match in list(_BEGINNING.finditer(line[-_LONGEST:]))[-_TRIES:]:
        entry = _parsed(line[-_LONGEST:][match.start() :])
        if entry is not None:
            start = max(0, len(line) - _LONGEST) + match.start()
            return entry, line[:start]
    return None
