"""What ``Admission`` is told: facts, as participles.  Tasks are named by their place in the plan."""

from __future__ import annotations

from typing import NamedTuple

from workflow.outcome import Outcome


class TaskBegan(NamedTuple):
    """An attempt of a task that was pushed began.  Need not be told of a task that uses no tokens."""

    task: int
    at: float
    """On the clock of all other times here."""
    attempt: int = 1


class RetryDue(NamedTuple):
    """A task that uses tokens is to be tried again, and the pause before that is over."""

    task: int


class TaskEnded(NamedTuple):
    """A task that was pushed has its outcome."""

    task: int
    outcome: Outcome


class RunTimedOut(NamedTuple):
    """The run reached its own time limit."""

    limit_s: float


class Interrupted(NamedTuple):
    """INT, TERM or HUP arrived."""

    signal: int


class Broken(NamedTuple):
    """The engine, or the disk that the run is recorded on, cannot go on."""

    reason: str


class TimePassed(NamedTuple):
    """It is as late as ``wake_at`` said."""


Fact = TaskBegan | RetryDue | TaskEnded | TimePassed | RunTimedOut | Interrupted | Broken
