"""What runs in the workers and in the callbacks, the same for every pool; each notes what it does for the judge."""

from __future__ import annotations

import os
import time

from workflow import Model
from workflow.harness import journal
from workflow.harness.neighbours import value_of
from workflow.harness.victims import ACTS

CALLBACK_VARIABLE = "PROMISES_CALLBACK"
"""Of the environment: the kind that strikes in the callbacks of victims."""


def neighbour(name: str, number: int, seconds: float) -> list[int]:
    journal.note(journal.BEGAN, name, 1)
    time.sleep(seconds)
    return value_of(number)


def victim(name: str, seconds: float, kind: str | None, _charge: object = None) -> object:
    """Strikes after some seconds, so that its neighbours are running too.

    That it is over is noted when Python code sees it: a pool may end a task and keep the process.
    """
    journal.note(journal.BEGAN, name, 1)
    try:
        time.sleep(seconds)
        if kind is None:
            return name
        journal.note(journal.FIRED, name, 1, kind)
        return ACTS[kind]()
    finally:
        journal.note(journal.ENDED, name, 1)


def called(name: str, _result: object) -> None:
    """The callback of every task, after success and after failure."""
    journal.note(journal.CALLBACK, name, 1)
    kind = os.environ.get(CALLBACK_VARIABLE)
    if kind and name.startswith("victim"):
        journal.note(journal.FIRED, name, 1, kind)
        ACTS[kind]()


def called_by_hook(result: object, *, task: str) -> None:
    """The same, as a hook of ours."""
    called(task, result)


class Neighbour(Model):
    """``neighbour`` as a Model."""

    def runnable(self, name: str, number: int, seconds: float) -> list[int]:
        return neighbour(name, number, seconds)


class Victim(Model):
    """``victim`` as a Model."""

    def runnable(self, name: str, seconds: float, kind: str | None, charge: object = None) -> object:
        return victim(name, seconds, kind, charge)
