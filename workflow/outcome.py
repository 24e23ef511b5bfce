"""How a task ended: its outcome, its attempts, its callback.

These records are what the parent hands to whoever asks (a ``Handle``, a report): frozen, picklable, made only when
somebody looks, never on the way of a task.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple


class Outcome(str, enum.Enum):
    """The one way in which a task ended.  The values are what reports and events say."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It raised an exception, or its command ended with a non-zero exit code."""
    TIMED_OUT = "timed_out"
    """It was killed at its time limit."""
    CRASHED = "crashed"
    """Its process died under it: by a signal, or by an exit that was not the task's return."""
    MEMORY_EXCEEDED = "memory_exceeded"
    """It was killed at its memory limit."""
    CANCELLED = "cancelled"
    """It was ended, queued or running, because somebody asked for it or because the run ended."""
    SKIPPED = "skipped"
    """It never began, because what it needs did not end as it needs it."""
    CACHED = "cached"
    """It did not run, because the outputs of an earlier run still hold."""

    @property
    def is_failure(self) -> bool:
        """Whether the task itself went wrong (a cancelled or skipped one did not)."""
        return self in _FAILURES

    @property
    def is_success(self) -> bool:
        """Whether what needs this task may start."""
        return self in _SUCCESSES

    def __str__(self) -> str:
        return self.value

    # That of the text it is equal to; and Enum's own is a call into Python, wherever something is counted by outcome.
    __hash__ = str.__hash__


_FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.MEMORY_EXCEEDED})
_SUCCESSES = frozenset({Outcome.SUCCEEDED, Outcome.CACHED})


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """What went wrong, as text: it arrives whatever the exception was made of."""

    type: str
    """Name of the exception's class, with its module unless it is a built-in."""
    message: str
    traceback: str | None = None
    """The traceback as Python prints it, causes, groups and notes included; None where nothing was raised."""
    stack: str | None = None
    """Where a task that was killed or crashed was, in every thread of it, as faulthandler prints it."""


@dataclass(frozen=True, slots=True)
class LogRange:
    """Where the output of one attempt stands: a part of a file that other tasks share."""

    file: str
    """Absolute path."""
    offset: int
    """Bytes."""
    size: int
    """Bytes; above 0."""


class Attempt(NamedTuple):
    """One try of a task.  A tuple, because every task of a run has one: it is made in one step."""

    number: int
    """Counts from 1."""
    outcome: Outcome
    started_at: float
    """Seconds since the epoch."""
    duration_s: float
    pid: int | None
    """The worker's; None when it never reached one."""
    exit_code: int | None = None
    """Of a command, or of a process that left by itself."""
    signal: str | None = None
    """Name of the signal that ended the process, such as ``SIGSEGV``."""
    left: int = 0
    """Processes the attempt left behind; they were killed."""
    peak_rss_bytes: int | None = None
    """None for attempts under 0.5 s."""
    cpu_s: float | None = None
    """Processor time, user and system; None for attempts under 0.5 s."""
    error: ErrorRecord | None = None
    log: LogRange | None = None
    """None when it wrote nothing, or when output is not captured."""


@dataclass(frozen=True, slots=True)
class CallbackRecord:
    """What became of the one callback of a task."""

    name: str
    """``callback``, ``error_callback``, or the ``"pkg.mod:function"`` of a hook."""
    outcome: Outcome
    """``succeeded``, ``failed``, ``timed_out`` or ``crashed``."""
    error: ErrorRecord | None = None
    log: LogRange | None = None
    """None when it printed nothing, or when output is not captured."""
