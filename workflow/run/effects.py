"""What ``Admission`` orders: imperatives.  The conductor does them in the order given, and decides nothing."""

from __future__ import annotations

from typing import NamedTuple

from workflow.outcome import Outcome


class Push(NamedTuple):
    """Give the task to the engine.  ``TaskEnded`` follows."""

    task: int


class Retry(NamedTuple):
    """Let the next attempt of a task begin, of which ``RetryDue`` told."""

    task: int


class Conclude(NamedTuple):
    """Record the ending of a task that was never pushed.  No ``TaskEnded`` follows."""

    task: int
    outcome: Outcome
    """``skipped`` or ``cancelled``."""
    reason: str
    cause: int | None
    """The task whose failure is the root of it, if there is one."""


class CancelQueued(NamedTuple):
    """Have the engine drop every pushed task that has not begun; what runs goes on."""

    reason: str


class CancelAll(NamedTuple):
    """Have the engine end every task that has not ended."""

    reason: str
    grace_s: float | None
    """None is each task's own."""


Effect = Push | Retry | Conclude | CancelQueued | CancelAll
