"""The tasks of a plan, which are not made before somebody asks for one.

A ``Plan`` holds a million tasks as what one task of the file says of all its instances, and the axes of its matrix.
``Tasks`` looks like a tuple of ``PlannedTask`` and is none: a task is made when it is asked for, and those that were
asked for lately are remembered, since a task that is moved is asked for several times.  So

- whoever walks all tasks makes all of them, one after the other, and holds one: that takes long, and no memory;
- whoever wants to know something of all of them asks its ``groups`` first: what is ``alike`` in them needs no walk.
  ``differing`` is for that;
- identity says nothing: the same task asked for twice may be two equal ones.  What they share is the same object.

A list of all tasks was the other choice.  It is simpler, and takes 1 kB a task, and 40 s for a million that nobody
has looked at.
"""

# ruff: noqa: D102  what the methods of a group do is told in ``Group``

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain, groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Any, overload

from workflow.plan.plan import Need, PlannedTask

RECENT_MAX = 8192
"""Tasks that are remembered: those which an engine has at once, and as many that have just ended."""


NOTHING_TAKEN: frozenset[str] = frozenset()
"""The results that a task takes which is skipped."""


class Group(Sequence[PlannedTask]):
    """The instances of one task of the file, in the order of its matrix."""

    name: str
    skipped: int
    """How many of them are."""
    shared: Mapping[str, Any] = MappingProxyType({})
    """Fields of the planned tasks that are the same in each of them, as far as that is known without a look at them;
    not those that say what they need."""

    @abstractmethod
    def id(self, number: int) -> str:
        """The id of one of them."""

    @abstractmethod
    def ids(self) -> Iterator[str]:
        """Those of all of them."""

    @abstractmethod
    def find(self, id_: str) -> int | None:
        """Which of them has this id."""

    @abstractmethod
    def is_skipped(self, number: int) -> bool:
        """Whether the condition of one of them is false."""

    @abstractmethod
    def make(self, number: int) -> PlannedTask:
        """One of them."""

    @abstractmethod
    def alike(self, field: str) -> bool:
        """Whether a field of the planned tasks is known to be the same in each of them.

        Of ``needs`` and ``uses_results`` in each that is not skipped; those that are have none.
        """

    def views(self) -> Iterator[PlannedTask]:
        """All of them, to be looked at and not to be kept: what one is changes when the next is asked for."""
        return iter(self)

    def needs(self) -> Iterator[tuple[Need, ...]]:
        """What each of them needs, which is nothing where it is skipped."""
        return (() if task.skipped else task.needs for task in self)

    def needs_of_any(self) -> Iterable[tuple[Need, ...]]:
        """Needs in which all is that any of them needs, by name and status: few, where that is known without a walk."""
        return self.needs()

    @property
    def examples(self) -> Iterable[PlannedTask]:
        """Those that are not skipped, but of those that refer to the same things only one."""
        return (task for task in self if not task.skipped)

    @overload
    def __getitem__(self, index: int) -> PlannedTask: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PlannedTask]: ...
    def __getitem__(self, index: int | slice) -> PlannedTask | Sequence[PlannedTask]:
        if isinstance(index, slice):
            return tuple(self.make(number) for number in range(len(self))[index])
        return self.make(range(len(self))[index])

    @cached_property
    def every(self) -> Ids:
        """The ids of all of them."""
        return Ids(self, range(len(self)))

    @cached_property
    def counting(self) -> Ids:
        """The same without those that are skipped, unless all are."""
        if not 0 < self.skipped < len(self):
            return self.every
        return Ids(self, array("I", (number for number in range(len(self)) if not self.is_skipped(number))))


class Whole(Group):
    """A group with all instances that the file says there are."""

    @abstractmethod
    def tie(self, needs: Mapping[int, tuple[Need, ...]]) -> None:
        """Give some of them further needs: only while a plan is made."""


class Listed(Whole):
    """Tasks that are all in memory."""

    def __init__(self, name: str, tasks: Iterable[PlannedTask]) -> None:
        self.name = name
        self._tasks = tuple(tasks)
        self.skipped = sum(task.skipped for task in self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[PlannedTask]:
        return iter(self._tasks)

    def make(self, number: int) -> PlannedTask:
        return self._tasks[number]

    def id(self, number: int) -> str:
        return self._tasks[number].id

    def ids(self) -> Iterator[str]:
        return (task.id for task in self._tasks)

    def is_skipped(self, number: int) -> bool:
        return self._tasks[number].skipped

    def alike(self, field: str) -> bool:  # noqa: ARG002  to find out takes longer than to look at each
        return len(self._tasks) == 1

    def find(self, id_: str) -> int | None:
        return self._places.get(id_)

    def tie(self, needs: Mapping[int, tuple[Need, ...]]) -> None:
        self._tasks = tuple(
            task._replace(needs=(*task.needs, *needs[number])) if number in needs else task
            for number, task in enumerate(self._tasks)
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {task.id: number for number, task in enumerate(self._tasks)}


class Part(Group):
    """Some of a group."""

    def __init__(self, whole: Group, numbers: Sequence[int]) -> None:
        """``numbers`` rise."""
        self._whole = whole
        self.shared = whole.shared
        self._numbers = numbers
        self.name = whole.name
        self.skipped = sum(map(whole.is_skipped, numbers)) if whole.skipped else 0

    def __len__(self) -> int:
        return len(self._numbers)

    def make(self, number: int) -> PlannedTask:
        return self._whole.make(self._numbers[number])

    def id(self, number: int) -> str:
        return self._whole.id(self._numbers[number])

    def ids(self) -> Iterator[str]:
        return map(self._whole.id, self._numbers)

    def is_skipped(self, number: int) -> bool:
        return self._whole.is_skipped(self._numbers[number])

    def alike(self, field: str) -> bool:
        return self._whole.alike(field)

    def needs_of_any(self) -> Iterable[tuple[Need, ...]]:
        return self._whole.needs_of_any() if self.skipped < len(self) else ()

    def find(self, id_: str) -> int | None:
        number = self._whole.find(id_)
        return None if number is None else _place(self._numbers, number)


class Ids(Sequence[str]):
    """The ids of some of a group, which are made when somebody looks at them."""

    __slots__ = ("group", "numbers")

    def __init__(self, group: Group, numbers: Sequence[int]) -> None:
        """``numbers`` rise."""
        self.group = group
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return tuple(map(self.group.id, self.numbers[index]))
        return self.group.id(self.numbers[index])

    def __iter__(self) -> Iterator[str]:
        return self.group.ids() if len(self.numbers) == len(self.group) else map(self.group.id, self.numbers)

    def __contains__(self, id_: object) -> bool:
        number = self.group.find(id_) if isinstance(id_, str) else None
        return number is not None and _place(self.numbers, number) is not None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (tuple, Ids)):
            return len(self) == len(other) and all(map(str.__eq__, self, other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def _place(numbers: Sequence[int], number: int) -> int | None:
    """Where a number stands among some that rise."""
    place = bisect_left(numbers, number)
    return place if place < len(numbers) and numbers[place] == number else None


class Tasks(Sequence[PlannedTask]):
    """All tasks of a plan."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = tuple(group for group in groups if len(group))
        self.starts: list[int] = []
        """Of each group, the place of its first task."""
        self._len = 0
        for group in self.groups:
            self.starts.append(self._len)
            self._len += len(group)
        self._recent = lru_cache(RECENT_MAX)(self._make)

    @classmethod
    def of(cls, tasks: Sequence[PlannedTask]) -> Tasks:
        """The same as ``Tasks``."""
        if isinstance(tasks, Tasks):
            return tasks
        return cls(Listed(name, group) for name, group in groupby(tasks, attrgetter("name")))

    def __len__(self) -> int:
        return self._len

    @overload
    def __getitem__(self, index: int) -> PlannedTask: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PlannedTask]: ...
    def __getitem__(self, index: int | slice) -> PlannedTask | Sequence[PlannedTask]:
        if isinstance(index, slice):
            return tuple(map(self._make, range(self._len)[index]))
        return self._recent(index if 0 <= index < self._len else range(self._len)[index])

    def __iter__(self) -> Iterator[PlannedTask]:
        for group in self.groups:
            yield from group

    def __reversed__(self) -> Iterator[PlannedTask]:
        return map(self._make, reversed(range(self._len)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (tuple, Tasks)):
            return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # of what it holds, little can be

    def __repr__(self) -> str:
        return f"<{self._len} tasks of {', '.join(group.name for group in self.groups)}>"

    def where(self, number: int) -> tuple[Group, int]:
        """The group of a task, and its place there."""
        at = bisect_right(self.starts, number) - 1
        return self.groups[at], number - self.starts[at]

    def ids(self) -> Iterator[str]:
        """The ids of all."""
        for group in self.groups:
            yield from group.ids()

    def id(self, number: int) -> str:
        """The id of one."""
        group, place = self.where(number)
        return group.id(place)

    def value(self, number: int, field: str) -> Any:
        """A field of one, which is made only where its group has not all the same."""
        shared = self.groups[bisect_right(self.starts, number) - 1].shared
        return shared[field] if field in shared else getattr(self[number], field)

    @property
    def names(self) -> Counter[str]:
        """How many instances each task of the file has, in the order of the plan."""
        names: Counter[str] = Counter()
        for group in self.groups:
            names[group.name] += len(group)
        return names

    def differing(self, *fields: str) -> Iterator[PlannedTask]:
        """One task of each group whose tasks have the same in all these fields, and all tasks of the others.

        Of a group of which some are skipped, and so need nothing, it is one of those that are not.
        """
        for group in self.groups:
            if all(map(group.alike, fields)):
                yield group[group.counting.numbers[0]]
            else:
                yield from group

    def examples(self) -> Iterator[PlannedTask]:
        """One task at least of all those that are not skipped and refer to the same things."""
        return chain.from_iterable(group.examples for group in self.groups)

    def having(self, field: str) -> Iterator[tuple[int, PlannedTask]]:
        """All tasks in which there is something in this field, with their places."""
        for start, group in zip(self.starts, self.groups, strict=True):
            if not group.alike(field) or getattr(group[0], field):
                yield from ((number, task) for number, task in enumerate(group, start) if getattr(task, field))

    def taken(self) -> Iterator[tuple[frozenset[str], int]]:
        """What tasks take the results of, and how many of them take just that."""
        for group in self.groups:
            if group.alike("uses_results") and len(group) > group.skipped:
                yield next(iter(group.examples)).uses_results, len(group) - group.skipped
                if group.skipped:
                    yield NOTHING_TAKEN, group.skipped
            else:
                yield from ((task.uses_results, 1) for task in group.views())

    def numbers(self, ids: Sequence[str]) -> Sequence[int]:
        """The places of these ids."""
        if isinstance(ids, Ids):
            start = self._start_of.get(id(ids.group))
            if start is not None:
                if isinstance(ids.numbers, range):
                    return range(ids.numbers.start + start, ids.numbers.stop + start, ids.numbers.step)
                return array("I", (number + start for number in ids.numbers))
        return [self.number(each) for each in ids]

    def number(self, id_: str) -> int:
        """The place of an id.  Raises KeyError."""
        for start, group in self._named.get(id_.partition("@")[0], ()):
            found = group.find(id_)
            if found is not None:
                return start + found
        raise KeyError(id_)

    def is_skipped(self, number: int) -> bool:
        """Whether the condition of one is false."""
        group, place = self.where(number)
        return group.is_skipped(place)

    @cached_property
    def _start_of(self) -> dict[int, int]:
        return {id(group): start for group, start in zip(self.groups, self.starts, strict=True)}

    @cached_property
    def _named(self) -> dict[str, list[tuple[int, Group]]]:
        named: dict[str, list[tuple[int, Group]]] = {}
        for start, group in zip(self.starts, self.groups, strict=True):
            named.setdefault(group.name, []).append((start, group))
        return named

    def _make(self, number: int) -> PlannedTask:
        group, place = self.where(number)
        return group.make(place)
