"""What the conductor hears, beside the facts of signals: from the engine's threads and the cache's, in one queue."""

from __future__ import annotations

from typing import NamedTuple

from workflow.run.engine import EngineHandle


class Ended(NamedTuple):
    """A pushed task has its outcome."""

    handle: EngineHandle


class Held(NamedTuple):
    """A task that uses tokens is to be tried again when it is let go."""

    handle: EngineHandle


class StacksAsked(NamedTuple):
    """SIGQUIT arrived: somebody wants to know where the running tasks are."""


class Woken(NamedTuple):
    """A signal arrived that ends the run; ``Signals`` knows which."""


class Settled(NamedTuple):
    """A pushed task has ended and owes nothing more: its callback, if it has one, has ended too."""

    handle: EngineHandle


class KeptResult(NamedTuple):
    """The result of a task that an earlier run has made."""

    pickled: bytes

    def pickled_result(self) -> bytes:
        """As a handle answers it."""
        return self.pickled


class Judged(NamedTuple):
    """Whether a task that may start need not run."""

    task: int
    """Its place in the plan."""
    by: str | None
    """The run that has made it; None where it has to run."""
    result: KeptResult | None


class Noted(NamedTuple):
    """What a task has made is written down for later runs, or cannot be."""
