"""The tasks that stand beside a victim, and have to come out as if it were not there."""

from __future__ import annotations

import time

from workflow.model import Model


def value_of(number: int) -> list[int]:
    """What the neighbour of that number returns."""
    return [number, number * number, -number]


def take(_argument: object) -> None:
    """Take the result, or the error, of a plain function: a hook that does nothing."""


class Neighbour(Model):
    """Works for a while and returns something that can be foretold; its callbacks do nothing."""

    def runnable(self, number: int, seconds: float = 0.0) -> list[int]:
        """Answer ``value_of(number)``, after so many seconds."""
        if seconds:
            time.sleep(seconds)
        return value_of(number)

    def callback(self, result: object) -> None:
        """Take the result."""

    def error_callback(self, error: BaseException) -> None:
        """Take the error."""
