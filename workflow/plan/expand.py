"""The instances of a matrix, in the order of its axes.  The rules are told in ``spec/matrix``."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from workflow.plan.ids import escaped, instance_id, joined_id
from workflow.spec.matrix import LARGEST, Axis, Finding, Findings, Glob, Like, Lines, Matrix, Range
from workflow.spec.reading import Unfit, read_regular
from workflow.spec.reference import as_text

Instance = tuple[str, Mapping[str, object]]
_MOST_OF_LINES = 256 * 2**20
"""Bytes of a file of lines: as many as there may be instances, and each as long as an address on the web."""


def expand(
    name: str, matrix: Matrix, folder: Path, axis_of: Callable[[str, str], tuple[object, ...]]
) -> Iterable[Instance]:
    """Ids and values of all instances; ``axis_of`` answers the values of an axis of another task, for ``like``.

    Raises Findings, their places being inside ``matrix``; at once, though the instances are made one by one.
    """
    axes = {axis: _values(axis, written, folder, axis_of) for axis, written in matrix.axes.items()}
    names = matrix.names
    count = math.prod(len(values) for values in axes.values()) if axes else 0
    if count > LARGEST:
        raise Findings([Finding(f"has {count:,} instances, more than {LARGEST:,}", None, ())])
    if axes and not matrix.exclude and not matrix.include:
        texts = [[escaped(as_text(value)) for value in values] for values in axes.values()]
        # Ids are the same only where all their parts are.
        if all(len(set(each)) == len(each) for each in texts):
            pairs = [zip(values, each, strict=True) for values, each in zip(axes.values(), texts, strict=True)]
            return _combined(name, names, pairs)
    rows = list(itertools.product(*axes.values())) if axes else []
    if matrix.exclude:
        rows = _without_excluded(rows, names, matrix.exclude)
    rows += [tuple(table[axis] for axis in names) for table in matrix.include]
    if not rows:
        raise Findings([Finding("has no instance left, all are excluded", None, ("exclude",), at_key=True)])
    instances: dict[str, Mapping[str, object]] = {}
    for number, row in enumerate(rows):
        id_ = instance_id(name, row)
        if id_ in instances:
            raise Findings([_double(id_, number - (len(rows) - len(matrix.include)))])
        instances[id_] = dict(zip(names, row, strict=True))
    return instances.items()


def _combined(name: str, names: tuple[str, ...], pairs: Sequence[Iterable[tuple[object, str]]]) -> Iterator[Instance]:
    """All combinations of values, each with its text in an id."""
    if len(names) == 1:  # maybe a million values, which itertools.product would gather first
        (axis,) = names
        for value, text in pairs[0]:
            yield joined_id(name, text), {axis: value}
        return
    for combination in itertools.product(*pairs):
        id_ = joined_id(name, "-".join([text for _, text in combination]))
        yield id_, dict(zip(names, [value for value, _ in combination], strict=True))


def _values(axis: str, written: Axis, folder: Path, axis_of: Callable[[str, str], tuple[object, ...]]) -> list[object]:
    if isinstance(written, Range):
        return list(written.numbers)
    if isinstance(written, Glob):
        return list(_matches(axis, written.pattern, folder))
    if isinstance(written, Lines):
        return list(_lines(axis, written.file, folder))
    if isinstance(written, Like):
        values = list(axis_of(written.task, axis))
        if not values:
            raise Findings([])  # the other task has a mistake, which is told there: nothing here is wrong
        return values
    return list(written.values)


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


def _without_excluded(
    rows: list[tuple[object, ...]], names: tuple[str, ...], exclude: tuple[dict[str, object], ...]
) -> list[tuple[object, ...]]:
    position = {axis: number for number, axis in enumerate(names)}
    findings: list[Finding] = []
    for number, table in enumerate(exclude):
        wanted = [(position[axis], comparable(value)) for axis, value in table.items()]
        kept = [row for row in rows if not all(comparable(row[at]) == value for at, value in wanted)]
        if len(kept) == len(rows):
            findings.append(Finding("excludes nothing: no instance has these values", None, ("exclude", number)))
        rows = kept
    if findings:
        raise Findings(findings)
    return rows


def comparable(value: object) -> object:
    """What to compare a value by: true and 1 are equal in Python, and are not in TOML."""
    return (type(value), value) if isinstance(value, (bool, int, float, str)) else repr(value)


def _double(id_: str, number_included: int) -> Finding:
    if number_included >= 0:
        return Finding(f"the instance {id_} is there already", None, ("include", number_included))
    return Finding(
        f"has the instance {id_} twice", 'an axis lists each value once; 1 and "1" look the same in an id', ()
    )
