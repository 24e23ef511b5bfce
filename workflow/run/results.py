"""How tasks ended that later tasks refer to: kept only while somebody may still want it.

A result arrives as bytes and stays bytes, unless some task refers to it; then it is read as far as that is safe (see
``plain``).  The instances of a matrix share what they refer to in the plan, so they are counted as one user of it,
which leaves with the last of them: a thousand that take a thousand results are not a million steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from workflow.outcome import Outcome
from workflow.plan.plan import Ended, PlannedTask
from workflow.run.plain import read_plain


class HasResult(Protocol):
    """What is needed of a Handle."""

    def pickled_result(self) -> bytes:
        """What it returned, as it arrived."""


class KeptResults:
    """How the tasks ended that other tasks refer to."""

    def __init__(self, tasks: Sequence[PlannedTask]) -> None:
        groups = {id(task.uses_results): task.uses_results for task in tasks}
        self._waiting = Counter(id(task.uses_results) for task in tasks)  # of each group
        self._users = Counter(used for group in groups.values() for used in group)  # of each id, in groups
        self._ended: dict[str, Ended] = {}

    def take(self, task: PlannedTask, outcome: Outcome, handle: HasResult | None) -> None:
        """Take in how a task ended, with its result if it has one, if somebody refers to it."""
        if not self._users[task.id]:
            return
        if handle is None or not outcome.is_success:
            self._ended[task.id] = Ended(task.matrix, outcome.value, None)
        else:
            self._ended[task.id] = Ended(task.matrix, outcome.value, read_plain(handle.pickled_result()))

    def wanted(self, task: PlannedTask) -> bool:
        """Whether somebody refers to its result, or a hook of its own takes it."""
        return task.on_success is not None or bool(self._users[task.id])

    def taken(self, task: PlannedTask) -> bool:
        """Whether somebody refers to its result."""
        return bool(self._users[task.id])

    @property
    def ended(self) -> Mapping[str, Ended]:
        """How the tasks ended that are still referred to, by id."""
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
