"""``running.json``: what runs at this moment, for whoever looks at the run from outside.

Where a task's output stands before the task has ended is known to the engine alone, so the run says it: the whole file
is replaced, at most twice a second, and not at all in a run that takes less than that.  After a run that was killed it
still says what ran then.  A disk that cannot take it is no reason to end a run: then nobody can look, and that is all.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workflow.outcome import LogRange
from workflow.report.regular import read_regular
from workflow.report.standing import RunningTask
from workflow.report.writing import write_whole

NAME = "running.json"
EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class RunningNow:
    """A task in the middle of an attempt, as the run told it last."""

    id: str
    attempt: int
    started_at: float
    """Seconds since the epoch."""
    pid: int
    file: str | None
    """Where its output goes; None while that is not to be read by others, since it may hold secrets."""
    offset: int
    size: int
    """Bytes so far."""


class RunningFile:
    """What a run writes of it."""

    def __init__(self, folder: Path, now: float) -> None:
        self._path = folder / NAME
        self._next = now + EVERY_S
        self._there = False

    def say(self, running: Iterable[tuple[RunningTask, int, LogRange | None]], now: float) -> None:
        """Tell what runs, each with its process and with file, offset and size of its output; cheap to call often."""
        if now < self._next:
            return
        self._next = now + EVERY_S
        tasks = [
            {
                "id": task.id,
                "attempt": task.attempt,
                "started_at": task.started_at,
                "pid": pid,
                "log": log and _range(log),
            }
            for task, pid, log in running
        ]
        with contextlib.suppress(OSError):
            write_whole(self._path, [json.dumps(tasks)], lasting=False, private=True)
            self._there = True

    def remove(self) -> None:
        """The run is over."""
        if self._there:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _range(log: LogRange) -> tuple[str, int, int]:
    return log.file, log.offset, log.size


def read_running(folder: Path) -> list[RunningNow]:
    """What a run told last; empty where it told nothing, or nothing that can be read."""
    try:
        found = []
        for task in json.loads(read_regular(folder / NAME)):
            file, offset, size = task["log"] or (None, 0, 0)
            number, pid, started_at = int(task["attempt"]), int(task["pid"]), float(task["started_at"])
            name = None if file is None else str(file)
            found.append(RunningNow(str(task["id"]), number, started_at, pid, name, int(offset), int(size)))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    return found
