"""What the scheduler knows about one worker."""

from __future__ import annotations

from workflow.scheduler.events import Task, Ticket

OPEN = "open"  # it may be sent tasks
RECALLING = "recalling"  # it is asked to refuse what it has not begun; nothing is sent until it was heard
STUCK = "stuck"  # it was recalled in the middle of a task; nothing is sent until that task ends
KILLING = "killing"  # its task's end is ordered, and its own with it
RETIRING = "retiring"  # it was told to leave


class Seat:
    """One worker: what it was sent and has not answered, in order, and whether it may be sent more."""

    __slots__ = ("alone", "bytes", "progressed_at", "ready", "room", "state", "tasks", "used", "worker")

    def __init__(self, worker: int, now: float, *, ready: bool, room: int) -> None:
        self.worker = worker
        self.tasks: dict[Ticket, Task] = {}
        self.bytes = 0
        """Sum of the sizes of ``tasks``."""
        self.room = room
        """Attempts it may still be sent before it is renewed."""
        self.progressed_at = now
        """When it last answered, or was sent something while it had nothing."""
        self.state = OPEN
        self.ready = ready
        """Whether it gave a sign of life."""
        self.used = ready
        """Whether it was ever sent a task; one that was taken over may have been."""
        self.alone = False
        """Whether it was sent an isolated task: it gets no other, and leaves when that has ended."""

    def hold(self, task: Task) -> None:
        """This is the one task that stands here: it is being run."""
        self.tasks[task.number << 16 | task.attempt] = task
        self.bytes += task.size
