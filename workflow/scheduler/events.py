"""What the scheduler is told: facts, as participles.

Tuples, not frozen dataclasses: the dispatcher makes some of them for every batch of tasks, a named tuple costs a
quarter of a frozen dataclass to make, and importing ``dataclasses`` would cost each start of a pool 6 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Union

from workflow.info_task import RetryPolicy

Ticket = int
"""One attempt of one task: ``number << 16 | attempt``, attempts counting from 1."""


class Deadline(NamedTuple):
    """The limit over all attempts of a task and the waits between them."""

    limit_s: float
    until: float | None = None
    """When it is over; None while it is not known when the first attempt began."""


class Task(NamedTuple):
    """A task as the scheduler knows it: enough to decide, and a payload it never looks into."""

    number: int
    """Unique in the life of the engine, growing."""
    payload: Any
    attempt: int = 1
    """The attempt to begin with; above 1 when an earlier dispatcher saw the ones before."""
    priority: int = 0
    retries: RetryPolicy | None = None
    """None is no retry."""
    isolate: bool = False
    size: int = 0
    """Bytes it takes in a worker's channel."""
    deadline: Deadline | None = None
    """Of one that may be tried again; for a single attempt it is no more than another time limit."""


class Pushed(NamedTuple):
    """Tasks arrived from the parent."""

    tasks: Sequence[Task]


class CancelAsked(NamedTuple):
    """The parent wants a task ended, wherever it is."""

    number: int


class LetGo(NamedTuple):
    """The parent lets a retry that is ``held`` begin: this attempt of this task.

    May be told before the scheduler asked for it (``Ask``), by a parent that an earlier one had asked, and again.
    """

    number: int
    attempt: int


class CancelAllAsked(NamedTuple):
    """The parent wants every task ended that has not ended, and none tried again."""


class WorkerStarted(NamedTuple):
    """A worker was forked; it can be sent tasks."""

    worker: int


class WorkerReady(NamedTuple):
    """A worker gave its first sign of life."""

    worker: int


class WorkerAdopted(NamedTuple):
    """A worker of an earlier dispatcher was taken over, after everything sent to it and not begun was refused.

    Told after the whole snapshot was ``Pushed``, once for each living worker, never for one whose death an earlier
    dispatcher was told: that is told again, as ``WorkerExited``.  Its ``Answered``, told before or after,
    hold what it had answered before ``running`` was read.
    """

    worker: int
    running: Ticket | None


class Adopted(NamedTuple):
    """The snapshot and every worker of an earlier dispatcher have been told: what nobody runs may be run."""


class Answered(NamedTuple):
    """A worker's attempts ended, in this order, with ``succeeded``, ``failed`` or ``crashed``.

    ``crashed`` is a command that was killed by a signal: its worker lives on.  ``began`` says of those that did not
    succeed when they began.
    """

    worker: int
    answers: Sequence[tuple[Ticket, str]]
    began: Mapping[Ticket, float] = MappingProxyType({})


class Recalled(NamedTuple):
    """A worker will not begin anything it was sent so far; ``running`` is what it is in the middle of.

    Told after every answer the worker gave before ``running`` was read: what is then unanswered was not begun.
    """

    worker: int
    running: Ticket | None


class WorkerExited(NamedTuple):
    """A worker is dead, its tree with it, and all its answers have been told.

    ``running`` is the attempt it was in the middle of, if any; ``sentence`` says as what that attempt had been
    killed on purpose (``timed_out``, ``memory_exceeded``, ``cancelled``), None when it died by itself; ``began`` when
    it began.
    """

    worker: int
    running: Ticket | None
    sentence: str | None
    how: str = ""
    """For people, to be added to what is said of it."""
    began: float | None = None


class SpawnFailed(NamedTuple):
    """A worker could not be started."""

    reason: str


class Woke(NamedTuple):
    """Nothing but time has passed."""


Event = Union[
    Pushed,
    CancelAsked,
    LetGo,
    CancelAllAsked,
    WorkerStarted,
    WorkerReady,
    WorkerAdopted,
    Adopted,
    Answered,
    Recalled,
    WorkerExited,
    SpawnFailed,
    Woke,
]
