"""What an attempt and its worker tell each other beside arguments and result.

A Model returns one thing, its result.  A command also has an exit code, or a signal that ended it, and processor
time of its own, all of which belong into the report.  The worker calls ``notes.reset()`` before each attempt and
reads ``notes`` after it, whether ``runnable`` returned or raised; only ``workflow.tasks`` writes on it.

The other way there is one word, ``Terminated``.
"""

from __future__ import annotations


class Terminated(BaseException):
    """Raised in a task that is being ended.  Whatever the task does with it, its outcome stands.

    It means that every process of the task was sent SIGTERM, and that SIGKILL follows after the task's grace.
    """


class AttemptNotes:
    """What is not known stays None."""

    __slots__ = ("cpu_s", "exit_code", "left", "peak_rss_bytes", "signal")

    left: int
    """Processes that the attempt left behind, and that were killed."""
    exit_code: int | None
    """Of the command, 0 included."""
    signal: str | None
    """Name of the signal that ended the command."""
    peak_rss_bytes: int | None
    """Largest resident size of one process of the command."""
    cpu_s: float | None
    """Processor time of the command and of the processes it waited for."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A clean slip."""
        self.left = 0
        self.exit_code = None
        self.signal = None
        self.peak_rss_bytes = None
        self.cpu_s = None


notes = AttemptNotes()
"""The one of this process."""
