"""How tasks ended that later tasks refer to: kept only while somebody may still want it.

A result arrives as bytes and stays bytes, unless some task refers to it; then it is read as far as that is safe (see
``plain``), or put into a file when it is large (see ``stored``).  The instances of a matrix share what they refer to
in the plan, so they are counted as one user of it, which leaves with the last of them: a thousand that take a thousand
results are not a million steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, Union

from workflow.outcome import Outcome
from workflow.plan.plan import Deferred, Ended, PlannedTask
from workflow.plan.tasks import Tasks
from workflow.run.plain import read_plain
from workflow.run.stored import LARGE_BYTES, LostResult, Stored, store


class HasResult(Protocol):
    """What is needed of a Handle."""

    def pickled_result(self) -> bytes:
        """What it returned, as it arrived."""


Durable = Union[bytes, Stored, None]
"""A result as it is written down beside the end of its task: as it arrived, or in its file."""


def taken_by_others(tasks: Sequence[PlannedTask]) -> frozenset[str]:
    """The ids of tasks whose results others refer to."""
    groups = {id(used): used for used, _ in Tasks.of(tasks).taken()}
    return frozenset().union(*groups.values())


class KeptResults:
    """How the tasks ended that other tasks refer to."""

    def __init__(self, tasks: Sequence[PlannedTask], folder: str, also: frozenset[str] = frozenset()) -> None:
        """``folder`` is where large ones are stored; it is made when there is one.

        The results of ``also`` are wanted later, by tasks that are not among these.
        """
        self._referred = taken_by_others(tasks) | also
        self._folder = folder
        groups: dict[int, frozenset[str]] = {}
        self._waiting: Counter[int] = Counter()  # of each group
        for used, count in Tasks.of(tasks).taken():
            groups[id(used)] = used
            self._waiting[id(used)] += count
        self._users = Counter(used for group in groups.values() for used in group)  # of each id, in groups
        self._ended: dict[str, Ended] = {}
        self._arrived: dict[str, bytes | Stored] = {}  # of tasks whose end has not been taken in

    def take(self, task: PlannedTask, outcome: Outcome, handle: HasResult | None) -> Durable:
        """Take in how a task ended, with its result if it has one, if somebody refers to it.

        Answers the result, to be written down: whoever has not taken it by the time this run is killed takes it in
        the run that completes it, and so may a task that was skipped here.
        """
        if task.id not in self._referred:
            return None
        if handle is None or not outcome.is_success:
            if task.id in self._users:
                self._ended[task.id] = Ended(task.matrix, outcome.value, None)
            return None
        durable = self._arrived.pop(task.id, None)
        if durable is None:
            durable = self._durable(task.id, handle.pickled_result())
        self.carry(task, outcome, durable)
        return None if isinstance(durable, Stored) and durable.problem is not None else durable

    def carry(self, task: PlannedTask, outcome: Outcome, durable: Durable) -> None:
        """Take in a success whose result has been written down."""
        if task.id in self._users and durable is not None:
            result = _Kept(durable) if isinstance(durable, Stored) else read_plain(durable)
            self._ended[task.id] = Ended(task.matrix, outcome.value, result)

    def arrived(self, id_: str, handle: HasResult) -> None:
        """Store a large result as soon as it is there: to be called on the thread that receives it, before ``take``.

        So results do not gather in memory when they come faster than a disk takes them: nothing more is received.
        """
        if id_ in self._referred:
            pickled = handle.pickled_result()
            if len(pickled) > LARGE_BYTES:
                self._arrived[id_] = self._durable(id_, pickled)

    def _durable(self, id_: str, pickled: bytes) -> bytes | Stored:
        return store(id_, self._folder, pickled) if len(pickled) > LARGE_BYTES else pickled

    @property
    def taken(self) -> bool:
        """Whether anybody refers to any result."""
        return bool(self._referred)

    def wanted(self, task: PlannedTask) -> bool:
        """Whether somebody refers to its result, or a hook of its own takes it."""
        return task.on_success is not None or task.id in self._referred

    def is_taken(self, task: PlannedTask) -> bool:
        """Whether somebody refers to its result."""
        return task.id in self._referred

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


class _Kept(Deferred):
    """A large result, in its file."""

    __slots__ = ("_stored",)

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    @property
    def problem(self) -> str | None:
        return self._stored.problem

    def whole(self) -> object:
        return self._stored

    def read(self) -> object:
        try:
            return read_plain(self._stored.pickled())
        except LostResult as error:
            raise LookupError(str(error)) from None
