"""What the conductor hears, beside the facts of signals: from the engine's threads and the cache's, in one queue."""

from __future__ import annotations

from typing import NamedTuple

from workflow.plan.key import Parts
from workflow.run.engine import EngineHandle
from workflow.run.resume import Carried


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


class Cached(NamedTuple):
    """An earlier run has made what a task would make."""

    by: str
    """Its id."""
    result: KeptResult | None
    """None where nobody takes it."""


class Answer(NamedTuple):
    """What is known of a task that may start."""

    parts: Parts | None
    """Of its key; None where it has none that could be compared."""
    found: Carried | Cached | None = None
    """Why it need not run; None where it has to."""
    again: tuple[str, ...] = ()
    """Why it runs again, where the run completes another."""


class Judged(NamedTuple):
    """An answer for which files had to be read."""

    task: int
    """Its place in the plan."""
    answer: Answer


class Noted(NamedTuple):
    """What a task has made is written down for later runs, or cannot be."""
