"""Which of many failures are told: those that are alike once, and where not all have room, the most different ones.

Ten thousand tasks that need the same server fail in the same way, and among them is one that crashed.  Whoever looks at
the first twenty sees twenty times the same.  So every place that tells a person of failures asks here, and they agree:

- Up to ``LISTED_MAX`` failures are told one by one.
- When there are more, the instances of a task that say the same are one entry, with the ids of the others.  If that
  leaves too many, those are one entry as well that differ in values only: quoted text, and words with digits in them.
- When an output has room for fewer entries than there are, half of it is for those that come first; the other half
  goes to kinds that are not told yet, from coarse (how it ended, then with which exception) to fine.

To merge further, across exceptions or tasks, would leave a line that is true of everything and says nothing; so more
entries than there is room for are left out and counted instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from workflow.outcome import Outcome

LISTED_MAX = 20
"""Failures that are told one by one, however alike they are."""
_VALUES = re.compile(r"""'[^']*'|"[^"]*"|\b[^\W\d]*\d\w*""")
_COMPARED_MAX = 300
"""Characters of what a failure says that are looked at for values."""
T = TypeVar("T")


class Kind(NamedTuple):
    """All by which failures are told apart, but their ids."""

    name: str
    """Of the task; its instances share it."""
    outcome: Outcome
    error: str | None
    """The type of the exception."""
    said: str | None
    """The line that tells what went wrong."""
    allowed: bool
    """Whether the task was allowed to fail."""


@dataclass(frozen=True, slots=True)
class Failure(Generic[T]):
    """A task that went wrong, and may stand for others."""

    task: T
    id: str
    kind: Kind
    skipped: int
    """How many tasks were skipped because of it, and of those it stands for."""
    like: tuple[str, ...] = ()
    """The ids of those it stands for."""

    @property
    def allowed(self) -> bool:
        """Whether the task was allowed to fail."""
        return self.kind.allowed


def entries(failures: Iterable[Failure[T]]) -> list[Failure[T]]:
    """Answer them, those that are alike as one.

    Those that hindered most come first, what was allowed to fail last; then those that stand for most.
    """
    found = list(failures)
    for key in (_exactly, _but_for_values):
        if len(found) > LISTED_MAX:
            found = _merged(found, key)
    return sorted(found, key=lambda each: (-each.skipped, each.allowed, -len(each.like)))  # then as in the plan


def told(found: Sequence[Failure[T]], most: int) -> tuple[list[Failure[T]], list[Failure[T]]]:
    """Answer the entries for which there is room, and those that are left, each in their order."""
    if len(found) <= most:
        return list(found), []
    chosen = set(range(most // 2))
    for key in _KINDS:
        known = {key(found[place].kind) for place in chosen}
        for place, failure in enumerate(found):
            if len(chosen) < most and key(failure.kind) not in known:
                known.add(key(failure.kind))
                chosen.add(place)
    for place in range(len(found)):
        if len(chosen) < most:
            chosen.add(place)
    return [found[at] for at in sorted(chosen)], [each for at, each in enumerate(found) if at not in chosen]


class Novelty:
    """Of failures that come one after the other: whether one is among the first so many, or shows something new.

    Bounded in all: of each way to see kinds, from coarse to fine, only so many are new.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._first = 0
        self._known: list[set[Hashable]] = [set() for _ in _KINDS]

    def of(self, kind: Kind) -> bool:
        """Take in a failure, and answer it."""
        new = self._first < self._most
        self._first += new
        for key, known in zip(_KINDS, self._known, strict=True):
            if len(known) < self._most and (look := key(kind)) not in known:
                known.add(look)
                new = True
        return new


def _merged(failures: Sequence[Failure[T]], key: Callable[[Kind], Hashable]) -> list[Failure[T]]:
    groups: dict[Hashable, list[Failure[T]]] = {}
    for failure in failures:
        groups.setdefault(key(failure.kind), []).append(failure)
    return [_together(group) if len(group) > 1 else group[0] for group in groups.values()]


def _together(group: Sequence[Failure[T]]) -> Failure[T]:
    first, *others = group
    like = [*first.like, *(id_ for other in others for id_ in (other.id, *other.like))]
    return replace(first, like=tuple(like), skipped=first.skipped + sum(other.skipped for other in others))


def _exactly(kind: Kind) -> Hashable:
    return kind


def _but_for_values(kind: Kind) -> Hashable:
    return kind._replace(said=kind.said and _VALUES.sub("…", kind.said[:_COMPARED_MAX]))


_KINDS: tuple[Callable[[Kind], Hashable], ...] = (
    lambda kind: kind.outcome,
    lambda kind: (kind.outcome, kind.error),
    lambda kind: (kind.outcome, kind.error, kind.name),
    _but_for_values,
)
"""Ways to see of which kind a failure is, from coarse to fine."""
