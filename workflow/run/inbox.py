"""What the conductor hears, beside the facts of signals: from the engine's reader thread, in one queue."""

from __future__ import annotations

from typing import NamedTuple

from workflow.run.engine import EngineHandle


class Ended(NamedTuple):
    """A pushed task has its outcome."""

    handle: EngineHandle


class StacksAsked(NamedTuple):
    """SIGQUIT arrived: somebody wants to know where the running tasks are."""


class Settled(NamedTuple):
    """A pushed task has ended and owes nothing more: its callback, if it has one, has ended too."""

    handle: EngineHandle
