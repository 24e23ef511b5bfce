"""How tasks ended that later tasks refer to: kept only while somebody may still want it.

A result arrives as bytes and stays bytes, unless some task refers to it.  It is unpickled here, in the parent, and
what that raises is the failure of the tasks that refer to it, not of the one that returned it.  The instances of a
matrix share what they refer to in the plan, so they are counted as one user of it, which leaves with the last of them:
a thousand that take a thousand results are not a million steps.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from workflow.errors import WorkflowError
from workflow.outcome import Outcome
from workflow.plan.plan import Ended, PlannedTask


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
        groups = {id(task.uses_results): task.uses_results for task in tasks}
        self._waiting = Counter(id(task.uses_results) for task in tasks)  # of each group
        self._users = Counter(used for group in groups.values() for used in group)  # of each id, in groups
        self._ended: dict[str, Ended] = {}
        self._unreadable: dict[str, str] = {}
        self._path = list(path)

    def take(self, task: PlannedTask, outcome: Outcome, handle: HasResult | None) -> None:
        """Take in how a task ended, with its result if it has one, if somebody refers to it."""
        if not self._users[task.id]:
            return
        if handle is None or not outcome.is_success:
            self._ended[task.id] = Ended(task.matrix, outcome.value, None)
            return
        with _importing_from(self._path):
            try:
                self._ended[task.id] = Ended(task.matrix, outcome.value, handle.result())
            except BaseException as error:  # noqa: BLE001  unpickling runs the user's code: it may raise anything
                text = f"the result of {task.id} cannot be read: {type(error).__name__}: {error}"
                self._unreadable[task.id] = text

    def wanted(self, task: PlannedTask) -> bool:
        """Whether somebody refers to its result, or a hook of its own takes it."""
        return task.on_success is not None or bool(self._users[task.id])

    def of(self, task: PlannedTask) -> Mapping[str, Ended]:
        """Answer how the tasks ended that this one refers to, by id.  Raises UnreadableResult."""
        for used, text in self._unreadable.items():  # mostly none
            if used in task.uses_results:
                raise UnreadableResult(text)
        return self._ended

    def release(self, task: PlannedTask) -> None:
        """Forget what only this task still referred to."""
        self._waiting[id(task.uses_results)] -= 1
        if self._waiting[id(task.uses_results)]:
            return
        for used in task.uses_results:
            self._users[used] -= 1
            if not self._users[used]:
                del self._users[used]
                self._ended.pop(used, None)
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
