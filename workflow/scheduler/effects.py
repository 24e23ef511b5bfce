"""What the scheduler orders: imperatives.  The dispatcher does them in the order given, and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

from workflow.scheduler.events import Task, Ticket


class Run(NamedTuple):
    """Send these tasks to a worker, to run one after the other."""

    worker: int
    tasks: Sequence[Task]


class Recall(NamedTuple):
    """Have the worker refuse what it has not begun, and tell ``Recalled``.

    Stands at the end of its turn's effects, so ``Recalled`` may be told, and done, in the middle of doing them.
    """

    worker: int


class Kill(NamedTuple):
    """End the running attempt as cancelled: SIGTERM, its grace, SIGKILL.  ``WorkerExited`` or ``Answered`` follows."""

    worker: int
    ticket: Ticket


class Retire(NamedTuple):
    """The worker gets nothing more; let it end.  ``WorkerExited`` follows."""

    worker: int


class Spawn(NamedTuple):
    """Start so many workers.  ``WorkerStarted`` or ``SpawnFailed`` follows for each."""

    count: int  # type: ignore[assignment]  # hides tuple's method, which nobody wants of an order


class Settle(NamedTuple):
    """Announce an ending that no worker announced.

    ``ticket`` has attempt 0 when it is no attempt that ends: the task was queued, or waited for its next one;
    ``worker`` is None then.  ``outcome`` is ``crashed``, ``timed_out`` (of no attempt: its deadline is over),
    ``memory_exceeded`` or ``cancelled``.  ``final`` is false when another attempt follows.
    """

    ticket: Ticket
    outcome: str
    final: bool
    worker: int | None


class Retry(NamedTuple):
    """An answered attempt of this ``Answered`` event was not the task's last: announce it as such.

    After a take-over the parent may have been told before, and then passes over it: it knows of a later attempt.
    """

    ticket: Ticket


class Ask(NamedTuple):
    """The pause before this attempt is over, and it is held: ask the parent to let it go.  ``LetGo`` follows.

    After a take-over the parent may have been asked before.
    """

    ticket: Ticket


class Discard(NamedTuple):
    """An answer of this ``Answered`` event is not to be announced: it was before, or the attempt is another's."""

    ticket: Ticket


class Fail(NamedTuple):
    """The pool cannot go on, for this reason.  Nothing more is ordered after it."""

    reason: str


Effect = Union[Run, Recall, Kill, Retire, Spawn, Settle, Retry, Ask, Discard, Fail]
