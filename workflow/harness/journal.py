"""What happened inside a run, told by those it happened to: the harness's own account, beside the run's.

One line of JSON for each thing, each written by one ``write`` to a file opened for appending, so that whoever is
killed in the next instant has said it and lines of different processes do not mix.
"""

from __future__ import annotations

import json
import os
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
ERROR = "error"
"""What an ``error_callback`` was given; the detail is its type."""
TIDIED = "tidied"
"""A task that was being ended has cleaned up."""
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


class Reader:
    """Reads what was noted, a piece at a time while the run goes on."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _FILE)
        self._offset = 0
        self.entries: list[Entry] = []

    def news(self) -> list[Entry]:
        """What was noted since the last time."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        news = [Entry(*json.loads(line)) for line in whole.splitlines()]
        self.entries += news
        return news
