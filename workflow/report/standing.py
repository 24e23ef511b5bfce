"""How a run stands at one moment, and when it may be over.

The time that is left is estimated from what tasks of the same name took, those that run counted from their start: the
sum of what is still to be done, shared by the workers.  It knows nothing of who waits for whom, so a run that narrows
to one long chain takes longer than it says; and it says nothing before a first task has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from workflow.outcome import Outcome
from workflow.report.records import TaskRecord

COLOURS = {
    Outcome.SUCCEEDED: "green",
    Outcome.CACHED: "green",
    Outcome.SKIPPED: "yellow",
    Outcome.CANCELLED: "yellow",
}
"""Of outcomes, as they are shown; the others are red."""
OUTCOME_WIDTH = max(len(outcome.value) for outcome in Outcome)
"""Of the column of outcomes, where tasks have a line each."""


class RunningTask(NamedTuple):
    """A task in the middle of an attempt."""

    id: str
    attempt: int
    started_at: float
    """Seconds since the epoch."""
    name: str = ""
    slow: bool = False
    """Whether it takes longer than its ``warn_after``."""


class Standing(NamedTuple):
    """What there is to show."""

    done: int
    total: int
    counts: Mapping[Outcome, int]
    running: Sequence[RunningTask]
    """The longest first."""
    epoch_s: float
    """Now."""
    left_s: float | None
    """Seconds until the end, as far as can be said."""
    ending: str | None
    """Why nothing more is started."""


class Pace:
    """What the tasks of each name take."""

    def __init__(self, tasks: Mapping[str, int], pool: int) -> None:
        """``tasks`` is how many there are of each name."""
        self._waiting = Counter(tasks)
        self._pool = max(1, pool)
        self._took_s: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()

    def ended(self, records: Iterable[TaskRecord]) -> None:
        """Take in tasks that have ended."""
        for record in records:
            self._waiting[record.name] -= 1
            took_s = record.duration_s
            if took_s is not None:
                self._ended[record.name] += 1
                self._took_s[record.name] += took_s  # type: ignore[assignment]  # it counts seconds

    def left_s(self, running: Iterable[RunningTask], epoch_s: float) -> float | None:
        """Seconds until everything has ended; None while nothing is known."""
        ended = sum(self._ended.values())
        if not ended:
            return None
        typical_s = sum(self._took_s.values()) / ended
        each_s = {name: self._took_s[name] / self._ended[name] for name in self._ended}
        work_s = sum(count * each_s.get(name, typical_s) for name, count in self._waiting.items() if count > 0)
        longest_s = 0.0
        for task in running:
            usual_s, since_s = each_s.get(task.name, typical_s), max(0.0, epoch_s - task.started_at)
            work_s -= min(since_s, usual_s)
            longest_s = max(longest_s, usual_s - since_s)
        return max(work_s / self._pool, longest_s, 0.0)
