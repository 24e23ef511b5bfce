"""The tasks that stand beside a victim, and have to come out as if it were not there."""

from __future__ import annotations

import os
import time

from workflow.harness import journal
from workflow.model import Model

RESUMED_VARIABLE = "WORKFLOW_CHAOS_RESUMED"
"""In the environment of a run that finishes another: what was to hurt or to hold up that one need not any more."""


def value_of(number: int) -> list[int]:
    """What the neighbour of that number returns."""
    return [number, number * number, -number]


def take(_argument: object) -> None:
    """Take the result, or the error, of a plain function: a hook that does nothing."""


class Neighbour(Model):
    """Works for a while and returns something that can be foretold; its callbacks do nothing."""

    def runnable(self, number: int, seconds: float = 0.0) -> list[int]:
        """Answer ``value_of(number)``, after so many seconds; there is nothing to wait for when the run is resumed."""
        if seconds and RESUMED_VARIABLE not in os.environ:
            time.sleep(seconds)
        return value_of(number)

    def callback(self, result: object) -> None:
        """Take the result."""

    def error_callback(self, error: BaseException) -> None:
        """Take the error."""


class Tidy(Neighbour):
    """Works for long, and cleans up when it is ended, which takes a while as well."""

    def runnable(self, number: int, seconds: float = 0.0) -> list[int]:
        """Answer as any neighbour, if it ever gets that far."""
        task, attempt = os.environ["WORKFLOW_TASK_ID"], int(os.environ["WORKFLOW_ATTEMPT"])
        try:
            journal.note(journal.UNTIDY, task, attempt)
            return super().runnable(number, seconds)
        finally:
            time.sleep(0.1)
            journal.note(journal.TIDIED, task, attempt)


class Raising(Neighbour):
    """Raises."""

    def runnable(self, number: int, seconds: float = 0.0) -> list[int]:
        """Raise, after so many seconds."""
        raise ValueError(super().runnable(number, seconds))


class Bulky(Neighbour):
    """Returns 50 MB."""

    def runnable(self, number: int, seconds: float = 0.0) -> list[int]:
        """Answer what nobody can write in an instant."""
        return [*super().runnable(number, seconds), bytes(50_000_000)]  # type: ignore[list-item]


class Chatty(Neighbour):
    """Logs while it works, as its parent does."""

    def runnable(self, number: int, seconds: float = 0.0) -> list[int]:
        """Answer as any neighbour."""
        import logging

        with open(os.devnull, "w") as nowhere:
            logger = logging.getLogger("chatty")
            logger.propagate = False
            handler = logging.StreamHandler(nowhere)
            logger.addHandler(handler)
            for _ in range(100):
                logger.warning("working on %d", number)
            logger.removeHandler(handler)
        return super().runnable(number, seconds)
