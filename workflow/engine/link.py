"""The dispatcher's end of a worker: the channels to it, and what is on its way there."""

from __future__ import annotations

from collections import deque

from workflow.engine import scoreboard
from workflow.engine.answers import Answers
from workflow.engine.channel import packet_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from workflow import messages


class Link:
    """One worker, as the dispatcher knows it."""

    __slots__ = ("answers", "base", "died", "open", "outbox", "pid", "sentenced", "tasks", "worker", "writing")

    def __init__(self, worker: int, slot: int, pid: int, tasks: int, answers: int) -> None:
        self.worker = worker
        self.base = slot * scoreboard.WORDS
        self.pid = pid
        self.tasks = packet_from(tasks)
        self.answers = Answers(answers)
        self.tasks.setblocking(False)
        self.outbox: deque[list[bytes]] = deque()
        """Batches that did not fit into the channel."""
        self.sentenced: tuple[int, int, bytes] | None = None
        """Ticket, status and frame of an attempt that ended while it was being killed."""
        self.died: messages.WorkerDied | None = None
        self.open = True
        self.writing = False
