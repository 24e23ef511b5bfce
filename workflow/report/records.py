"""What the parent knows about a run and its tasks, as every report is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.plan.plan import Json
from workflow.report.alike import Kind


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, as it is known from its start."""

    id: str
    name: str | None
    file: str
    """Absolute."""
    plan_hash: str
    started_at: float
    """Seconds since the epoch."""
    engine: str
    pool: int
    host: str
    pid: int
    python: str
    version: str
    git: str | None
    """Commit that is checked out where the file lies."""
    argv: tuple[str, ...]
    tasks: int
    """How many are planned."""
    seed: int
    """What the seeds of its tasks come from."""
    folder: str
    """Absolute; where its logs and reports are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended."""

    exit_code: int
    status: str
    """``succeeded``, ``failed``, ``timed_out``, ``interrupted`` or ``broken``."""
    reason: str | None
    """Why it ended before all tasks had run; None when it did not."""
    finished_at: float
    duration_s: float


@dataclass(slots=True)
class TaskRecord:
    """One task that has ended.  Its callback may still run: only ``callback`` is set later."""

    id: str
    name: str
    matrix: Mapping[str, Json] | None
    outcome: Outcome
    reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    callback: CallbackRecord | None = None
    log: str | None = None
    """Relative to the run folder."""
    allow_failure: bool = False
    carried_from: str | None = None
    """The run that ran it, when it was another."""
    cause: str | None = None
    """Of a skipped task: id of the task whose failure is the root of it."""
    tail: tuple[str, ...] = field(default=(), repr=False)
    """The last lines of the log of a task that failed, until they have been shown."""

    @property
    def flaky(self) -> bool:
        """Whether it succeeded, but not at once."""
        return len(self.attempts) > 1 and self.outcome is Outcome.SUCCEEDED

    @property
    def duration_s(self) -> float | None:
        """From the start of the first attempt to the end of the last; None when there was none."""
        attempts = self.attempts
        if not attempts:
            return None
        last = attempts[-1]
        return max(0.0, last.started_at + last.duration_s - attempts[0].started_at)

    @property
    def headline(self) -> str | None:
        """What went wrong, in one line."""
        error = self.attempts[-1].error if self.attempts else None
        if error is not None and self.reason is None:
            return headline(error)
        return self.reason

    @property
    def kind(self) -> Kind:
        """Of a task that went wrong: in which way, as far as failures are told apart."""
        error = self.attempts[-1].error if self.attempts else None
        return Kind(self.name, self.outcome, None if error is None else error.type, self.headline, self.allow_failure)


def headline(error: ErrorRecord) -> str:
    """Answer an error in one line.  The names of our own classes would only repeat the outcome."""
    first = error.message.strip().partition("\n")[0]
    if not first:
        return error.type
    return first if error.type.startswith("workflow.") or error.type in _OURS else f"{error.type}: {first}"


_OURS = {"TaskTimeout", "TaskCrashed", "TaskCancelled", "TaskFailed", "MemoryLimitExceeded"}


def count(records: Mapping[int, TaskRecord]) -> dict[Outcome, int]:
    """Answer how many tasks ended in each way, all ways named."""
    counts = dict.fromkeys(Outcome, 0)
    for record in records.values():
        counts[record.outcome] += 1
    return counts


def iso(epoch_s: float) -> str:
    """Answer a time as reports and events write it: UTC, with microseconds and offset."""
    global _last, _second  # noqa: PLW0603  memos, replaced as a whole
    last, text = _last
    if epoch_s == last:
        return text
    second, whole = _second
    micros = round((epoch_s - second) * 1_000_000)  # half to even, as datetime does
    if 0 <= micros < 1_000_000 and epoch_s >= second:
        text = f"{whole}.{micros:06d}+00:00"
    else:
        text = datetime.fromtimestamp(epoch_s, timezone.utc).isoformat(timespec="microseconds")
        if epoch_s >= 0:
            _second = int(epoch_s), datetime.fromtimestamp(int(epoch_s), timezone.utc).isoformat()[:19]
    _last = epoch_s, text
    return text


_last: tuple[float | None, str] = None, ""
"""The last time that was asked for: what an event says of an attempt, the report says again."""
_second = 1 << 62, ""
"""The last second, as it is written: a run asks some times for each task, and mostly for it."""
