"""Results that later tasks take: kept only while somebody may still want them.

A result arrives as bytes and stays bytes, unless some task refers to it.  It is unpickled here, in the parent, and
what that raises is the failure of the tasks that refer to it, not of the one that returned it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from workflow.errors import WorkflowError
from workflow.outcome import Outcome
from workflow.plan.plan import PlannedTask


class HasResult(Protocol):
    """What is needed of a Handle."""

    def result(self) -> object:
        """What it returned; unpickles."""


class UnreadableResult(WorkflowError):
    """The result of a task that this one refers to cannot be unpickled in the parent."""


class KeptResults:
    """How the tasks ended that other tasks refer to."""

    def __init__(self, tasks: Sequence[PlannedTask], path: Sequence[str]) -> None:
        """``path`` is where the modules of the tasks are found, which results may need."""
        self._users = Counter(used for task in tasks for used in task.uses_results)
        self._results: dict[str, object] = {}
        self._unreadable: dict[str, str] = {}
        self._path = list(path)

    def take(self, task: PlannedTask, outcome: Outcome, handle: HasResult | None) -> None:
        """Take in how a task ended, with its result if it has one and somebody refers to it."""
        if not self._users[task.id] or handle is None or not outcome.is_success:
            return
        with _importing_from(self._path):
            try:
                self._results[task.id] = handle.result()
            except BaseException as error:  # noqa: BLE001  unpickling runs the user's code: it may raise anything
                text = f"the result of {task.id} cannot be read: {type(error).__name__}: {error}"
                self._unreadable[task.id] = text

    def of(self, task: PlannedTask) -> Mapping[str, object]:
        """Answer the results a task refers to, by id.  Raises UnreadableResult."""
        for used in task.uses_results:
            if used in self._unreadable:
                raise UnreadableResult(self._unreadable[used])
        return self._results

    def release(self, task: PlannedTask) -> None:
        """Forget what only this task still referred to."""
        for used in task.uses_results:
            self._users[used] -= 1
            if not self._users[used]:
                del self._users[used]
                self._results.pop(used, None)
                self._unreadable.pop(used, None)


@contextmanager
def _importing_from(path: list[str]) -> Iterator[None]:
    # For the moment only: a user's module must not stand in for one of ours that is imported later.
    before = sys.path
    sys.path = [*path, *before]
    try:
        yield
    finally:
        sys.path = before
