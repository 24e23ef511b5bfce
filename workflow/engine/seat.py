"""A worker process as the warden knows it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from workflow import messages


class Sentence:
    """An attempt that is being ended."""

    __slots__ = ("since", "stack_size", "state", "ticket", "used")

    def __init__(self, ticket: int, state: int, since: float, used: int = 0) -> None:
        self.ticket = ticket
        self.state = state
        """The state word that the attempt had; it still runs as long as the word is this."""
        self.since = since
        self.used = used
        """Bytes of memory, where they were too many."""
        self.stack_size = -1
        """Of what was written of its stacks when they were looked at last."""


class Seat:
    """One worker process, from its fork until the dispatcher has dealt with its death."""

    __slots__ = ("answers", "died", "pid", "punched", "sentence", "slot", "tasks", "worker")

    def __init__(self, worker: int, slot: int, pid: int, tasks: int, answers: int) -> None:
        self.worker = worker
        self.slot = slot
        self.pid = pid
        """0 while the template has not forked it."""
        self.tasks = tasks
        self.answers = answers
        self.sentence: Sentence | None = None
        self.died: messages.WorkerDied | None = None
        """What there is to tell about its death, until the dispatcher has dealt with it."""
        self.punched = (-1, 0)
        """Where the log range begins of which the middle was given back, and where the rest of that begins."""
