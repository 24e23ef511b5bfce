"""The instances of a matrix, in the order of its axes.  The rules are told in ``spec/matrix``.

They are not listed, but counted: what is kept are the axes, which combinations of them ``exclude`` has left, and what
``include`` has added.  An instance is made of its number when somebody asks for it.  A million instances of a range
take no memory then, and nobody waits for them who wants one; the price is that each is made again for each who asks.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from workflow.plan.ids import escaped, instance_id, joined_id
from workflow.spec.matrix import LARGEST, Axis, Finding, Findings, Glob, Like, Lines, Matrix, Range
from workflow.spec.reading import Unfit, read_regular
from workflow.spec.reference import as_text

Instance = tuple[str, Mapping[str, object]]
_MOST_OF_LINES = 256 * 2**20
"""Bytes of a file of lines: as many as there may be instances, and each as long as an address on the web."""


def expand(name: str, matrix: Matrix, folder: Path, axis_of: Callable[[str, str], Sequence[object]]) -> Rows:
    """All instances; ``axis_of`` answers the values of an axis of another task, for ``like``.

    Raises Findings, their places being inside ``matrix``.
    """
    axes = {axis: _values(axis, written, folder, axis_of) for axis, written in matrix.axes.items()}
    names = matrix.names
    count = math.prod(len(values) for values in axes.values()) if axes else 0
    if count > LARGEST:
        raise Findings([Finding(f"has {count:,} instances, more than {LARGEST:,}", None, ())])
    kept: Sequence[int] | None = None
    if matrix.exclude:
        kept = _not_excluded(axes, matrix.exclude)
    included = tuple(tuple(table[axis] for axis in names) for table in matrix.include)
    rows = Rows(name, names, tuple(axes.values()), kept, included)
    if not len(rows):
        raise Findings([Finding("has no instance left, all are excluded", None, ("exclude",), at_key=True)])
    double = rows.double()
    if double is not None:
        raise Findings([_double(rows.id(double), double - rows.crossed)])
    return rows


class Rows(Sequence[Instance]):
    """Ids and values of the instances of one matrix."""

    def __init__(
        self,
        name: str,
        names: tuple[str, ...],
        axes: tuple[Sequence[object], ...],
        kept: Sequence[int] | None,
        included: tuple[tuple[object, ...], ...],
    ) -> None:
        """``kept`` are the numbers of the combinations that count, rising; None is all."""
        self.name = name
        self.names = names
        self.axes = axes
        """The values of each, of which the instances are combined; empty if all are included."""
        self.included = included
        self._kept = kept
        self.crossed = (math.prod(map(len, axes)) if axes else 0) if kept is None else len(kept)
        """How many are combinations of the axes: the first ones."""
        # What stands in an id for a value; that of a number is as quickly made as it is looked up.
        self._texts = [None if isinstance(axis, range) else [escaped(as_text(each)) for each in axis] for axis in axes]
        self._places: list[dict[str, int] | None] = [None] * len(axes)
        self._added: dict[str, int] | None = None
        self._cut: dict[str, int] | None = None

    @property
    def whole(self) -> bool:
        """Whether the instances are all combinations of the axes and nothing else."""
        return self._kept is None and not self.included

    def __len__(self) -> int:
        return self.crossed + len(self.included)

    def __getitem__(self, number: int) -> Instance:  # type: ignore[override]
        if number >= self.crossed:
            row = self.included[number - self.crossed]
            return instance_id(self.name, row), dict(zip(self.names, row, strict=True))
        if len(self.axes) == 1:  # as most are: without the lists
            place = number if self._kept is None else self._kept[number]
            value, texts = self.axes[0][place], self._texts[0]
            text = escaped(str(value)) if texts is None else texts[place]
            return joined_id(self.name, text), {self.names[0]: value}
        places = self._at(number)
        values = [axis[place] for axis, place in zip(self.axes, places, strict=True)]
        return self._id(places), dict(zip(self.names, values, strict=True))

    def id(self, number: int) -> str:
        """The id of one instance."""
        if number >= self.crossed:
            return instance_id(self.name, self.included[number - self.crossed])
        return self._id(self._at(number))

    def __iter__(self) -> Iterator[Instance]:
        for id_, row in self._combined():
            yield id_, dict(zip(self.names, row, strict=True))

    def ids(self) -> Iterator[str]:
        """The ids of all instances."""
        for id_, _ in self._combined():
            yield id_

    def values_of(self, axis: str) -> Sequence[object]:
        """The values of an axis, each once, in the order of the instances."""
        at = self.names.index(axis)
        if self.whole:
            return self.axes[at]
        seen: dict[object, object] = {}
        for _, row in self._combined():
            seen.setdefault(comparable(row[at]), row[at])
        return tuple(seen.values())

    def find(self, id_: str) -> int | None:
        """The number of the instance with this id."""
        if "~" in id_:  # cut off, so that nothing can be read from it
            if self._cut is None:
                self._cut = {each: number for number, each in enumerate(self.ids()) if "~" in each}
            return self._cut.get(id_)
        if self._added is None:
            added = enumerate(self.included, self.crossed)
            self._added = {instance_id(self.name, row): number for number, row in added}
        name, mark, rest = id_.partition("@")
        parts = rest.split("-")
        if id_ in self._added or name != self.name or not mark or len(parts) != len(self.axes):
            return self._added.get(id_)
        number = 0
        for at, (axis, part) in enumerate(zip(self.axes, parts, strict=True)):
            place = self._place(at, part)
            if place is None:
                return None
            number = number * len(axis) + place
        if self._kept is None:
            return number
        found = bisect_left(self._kept, number)
        return found if found < len(self._kept) and self._kept[found] == number else None

    def double(self) -> int | None:
        """The first instance whose id another one before it has."""
        seen: set[str] = set()
        # An id is the same only where all its parts are.
        if all(texts is None or len(set(texts)) == len(texts) for texts in self._texts):
            combined = Rows(self.name, self.names, self.axes, self._kept, ())
            for number, row in enumerate(self.included, self.crossed):
                id_ = instance_id(self.name, row)
                if id_ in seen or combined.find(id_) is not None:
                    return number
                seen.add(id_)
            return None
        for number, id_ in enumerate(self.ids()):
            if id_ in seen:
                return number
            seen.add(id_)
        return None

    def _place(self, at: int, part: str) -> int | None:
        """Where in an axis a value is, by its text in an id."""
        axis, texts = self.axes[at], self._texts[at]
        if texts is None:
            value = _number(part)
            return axis.index(value) if value is not None and value in axis else None
        places = self._places[at]
        if places is None:
            places = self._places[at] = {text: place for place, text in enumerate(texts)}
        return places.get(part)

    def _at(self, number: int) -> list[int]:
        """The places in the axes of the values of one combination."""
        if self._kept is not None:
            number = self._kept[number]
        if len(self.axes) == 1:
            return [number]
        places = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis))
            places.append(place)
        return places[::-1]

    def _id(self, places: Sequence[int]) -> str:
        parts = [
            escaped(str(axis[place])) if texts is None else texts[place]
            for axis, texts, place in zip(self.axes, self._texts, places, strict=True)
        ]
        return joined_id(self.name, "-".join(parts))

    def _combined(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        """Ids and values, one after the other: that is quicker than to ask for each number."""
        name = self.name
        pairs = [
            ((value, escaped(str(value))) for value in axis) if texts is None else zip(axis, texts, strict=True)
            for axis, texts in zip(self.axes, self._texts, strict=True)
        ]
        if len(pairs) == 1 and self._kept is None:  # maybe a million values, which itertools.product would gather
            for value, text in pairs[0]:
                yield joined_id(name, text), (value,)
        elif pairs:
            combinations = itertools.product(*pairs)
            for combination in combinations if self._kept is None else _picked(combinations, self._kept):
                id_ = joined_id(name, "-".join([text for _, text in combination]))
                yield id_, tuple([value for value, _ in combination])
        for row in self.included:
            yield instance_id(name, row), row


_Pairs = tuple[tuple[object, str], ...]


def _picked(combinations: Iterator[_Pairs], numbers: Sequence[int]) -> Iterator[_Pairs]:
    last = -1
    for number in numbers:
        yield next(itertools.islice(combinations, number - last - 1, None))
        last = number


_WHOLE = re.compile(r"(?:%2D)?[0-9]{1,20}")


def _number(part: str) -> int | None:
    """The whole number that has this text in an id."""
    if not _WHOLE.fullmatch(part):
        return None
    value = int(part.replace("%2D", "-"))
    return value if escaped(str(value)) == part else None


def _values(
    axis: str, written: Axis, folder: Path, axis_of: Callable[[str, str], Sequence[object]]
) -> Sequence[object]:
    if isinstance(written, Range):
        return written.numbers
    if isinstance(written, Glob):
        return _matches(axis, written.pattern, folder)
    if isinstance(written, Lines):
        return _lines(axis, written.file, folder)
    if isinstance(written, Like):
        values = axis_of(written.task, axis)
        if not values:
            raise Findings([])  # the other task has a mistake, which is told there: nothing here is wrong
        return values
    return written.values


def _lines(axis: str, written: str, folder: Path) -> list[str]:
    """The lines of a file without their ends, those that hold nothing but blanks left out."""
    place = (axis, "lines")
    try:
        text = read_regular(folder / written, _MOST_OF_LINES).decode("utf-8-sig")
    except FileNotFoundError:
        help_ = f"it is relative to the folder of the file, {folder}"
        raise Findings([Finding(f"there is no file {written!r}", help_, place)]) from None
    except UnicodeDecodeError:
        raise Findings([Finding(f"{written!r} is not UTF-8", "save the file as UTF-8", place)]) from None
    except Unfit as error:
        raise Findings([Finding(f"{written!r} {error}", None, place)]) from None
    except OSError as error:
        raise Findings([Finding(f"{written!r} cannot be read: {error.strerror or error}", None, place)]) from None
    if "\0" in text:
        raise Findings([Finding(f"{written!r} holds a NUL character, it is no text", None, place)])
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise Findings([Finding(f"{written!r} has no lines", "an empty axis would make the task disappear", place)])
    return lines


def _matches(axis: str, pattern: str, folder: Path) -> list[str]:
    """What matches, as the pattern is written: relative to the folder, with ``/``, sorted by bytes."""
    from glob import glob

    found = glob(pattern, root_dir=folder, recursive=True)
    if not found:
        help_ = f"it is relative to the folder of the file, {folder}"
        raise Findings([Finding(f"no file matches {pattern!r}", help_, (axis, "glob"))])
    names = [each.replace(os.sep, "/") for each in found]
    for each in names:
        try:
            each.encode()
        except UnicodeEncodeError:
            message = f"matches a file whose name is not UTF-8: {os.fsencode(each)!r}"
            raise Findings([Finding(message, "rename it, or write a pattern without it", (axis, "glob"))]) from None
    return sorted(set(names), key=str.encode)


def _not_excluded(axes: Mapping[str, Sequence[object]], exclude: tuple[dict[str, object], ...]) -> Sequence[int]:
    """The numbers of the combinations that are left."""
    gone = bytearray(math.prod(map(len, axes.values())) if axes else 0)
    findings: list[Finding] = []
    for number, table in enumerate(exclude):
        places: list[Sequence[int]] = []
        for axis, values in axes.items():
            wanted = comparable(table[axis]) if axis in table else None
            at = [place for place, value in enumerate(values) if comparable(value) == wanted]
            places.append(at if axis in table else range(len(values)))
        news = 0
        for combination in itertools.product(*places):
            at_ = 0
            for place, values in zip(combination, axes.values(), strict=True):
                at_ = at_ * len(values) + place
            news += not gone[at_]
            gone[at_] = 1
        if not news:
            findings.append(Finding("excludes nothing: no instance has these values", None, ("exclude", number)))
    if findings:
        raise Findings(findings)
    return array("I", itertools.compress(range(len(gone)), (not each for each in gone)))


def comparable(value: object) -> object:
    """What to compare a value by: true and 1 are equal in Python, and are not in TOML."""
    return (type(value), value) if isinstance(value, (bool, int, float, str)) else repr(value)


def _double(id_: str, number_included: int) -> Finding:
    if number_included >= 0:
        return Finding(f"the instance {id_} is there already", None, ("include", number_included))
    return Finding(
        f"has the instance {id_} twice", 'an axis lists each value once; 1 and "1" look the same in an id', ()
    )
