"""The ``matrix`` of a task, checked but not expanded: how many instances there are is the plan's to find out.

The rules, chosen to be said in a sentence each.  The instances are all combinations of the axes' values, the last
axis changing fastest.  ``exclude`` removes the combinations that match all the axes it gives, and one that matches
none is a mistake.  ``include`` adds further instances, each giving every axis; it never extends existing ones, as
GitHub's does, since nobody remembers when.  Without axes, the keys of the first ``include`` are the axes.  An axis
without values is a mistake: a batch of nothing that reports success is the worst of answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from workflow.diagnostics.mistake import Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.reference import describe
from workflow.spec.values import NAME, Refused, encodable, json_value, task_name

LARGEST = 1_000_000
"""Instances of one task; more is a mistake in a number, and would take minutes to plan."""


@dataclass(frozen=True, slots=True)
class Values:
    """An axis that lists its values."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """``{range = [first, end, step]}``: the end is not among the values."""

    numbers: range


@dataclass(frozen=True, slots=True)
class Glob:
    """``{glob = "photos/*.jpg"}``: the files that match when the plan is made."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Lines:
    """``{lines = "urls.txt"}``: the lines of a file when the plan is made; empty ones do not count."""

    file: str


@dataclass(frozen=True, slots=True)
class Like:
    """``{like = "fetch"}``: the values that the axis of this name has in the instances of another task."""

    task: str


Axis = Union[Values, Range, Glob, Lines, Like]
_FORMS = ("range", "glob", "lines", "like")


@dataclass(frozen=True, slots=True)
class Matrix:
    """The axes in the order of the file, and what is added to and taken from their combinations."""

    axes: dict[str, Axis]
    include: tuple[dict[str, object], ...] = ()
    exclude: tuple[dict[str, object], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The axes, in the order in which they stand in an id."""
        return tuple(self.axes) if self.axes else tuple(self.include[0])


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong inside a value."""

    headline: str
    help: str | None
    below: Place
    at_key: bool = False


class Findings(Exception):
    """Everything wrong inside one value."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(findings)
        self.findings = findings


def read_matrix(value: object) -> Matrix:
    """Check what the file says.  Raises Findings."""
    if not isinstance(value, dict):
        message = f"must be a table of axes, not {describe(value)}"
        raise Findings([Finding(message, 'such as matrix = {size = ["small", "large"]}', ())])
    findings: list[Finding] = []
    axes: dict[str, Axis] = {}
    for name, written in value.items():
        if name in ("include", "exclude"):
            continue
        if not NAME.fullmatch(name):
            message = "the name of an axis is made of letters, digits, '_' and '-', and begins with a letter or '_'"
            findings.append(Finding(message, None, (name,), at_key=True))
        try:
            axes[name] = _axis(written)
        except Refused as error:
            findings.append(Finding(error.headline, error.help, (name, *error.below)))
    broken = bool(findings)
    include = _tables(value, "include", findings)
    exclude = _tables(value, "exclude", findings)
    if not broken:
        names = tuple(axes) or (tuple(include[0]) if include else ())
        if not names and not findings:
            findings.append(Finding("has no axis", 'such as matrix = {size = ["small", "large"]}', ()))
        if names:
            _check_tables(names, include, exclude, findings)
            if not axes:
                _check_included_names(include, findings)
                if exclude:
                    findings.append(Finding("there are no axes to exclude from", None, ("exclude",), at_key=True))
    if findings:
        raise Findings(findings)
    return Matrix(axes, include, exclude)


def _axis(written: object) -> Axis:
    if isinstance(written, list):
        if not written:
            raise Refused("an axis needs at least one value", "an empty axis would make the task disappear")
        encodable(json_value(written))
        return Values(tuple(written))
    if isinstance(written, dict):
        if len(written) == 1 and "range" in written:
            return Range(_range(written["range"]))
        if len(written) == 1 and "glob" in written:
            return Glob(_pattern(written["glob"]))
        if len(written) == 1 and "lines" in written:
            return Lines(_file(written["lines"]))
        if len(written) == 1 and "like" in written:
            return Like(_task(written["like"]))
        unknown = [key for key in written if key not in _FORMS]
        if unknown:
            near = did_you_mean(unknown[0], _FORMS)
            known = 'an axis is a list, {range = […]}, {glob = "…"}, {lines = "…"} or {like = "…"}'
            raise Refused(f"an axis has no {unknown[0]!r}" + (f", {near}" if near else ""), known)
    forms = 'such as ["a", "b"], {range = [0, 10]}, {glob = "photos/*.jpg"} or {lines = "urls.txt"}'
    raise Refused(f"an axis is a list, or a table of one of {', '.join(_FORMS)}, not {describe(written)}", forms)


def _range(written: object) -> range:
    whole = isinstance(written, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in written)
    if not isinstance(written, list) or not whole or len(written) not in (2, 3):
        raise Refused(
            "a range is [first, end] or [first, end, step] in whole numbers", "the end is left out", ("range",)
        )
    if len(written) == 3 and written[2] == 0:
        raise Refused("the step of a range cannot be 0", None, ("range", 2))
    numbers = range(*written)
    # len() itself overflows on the largest ones.
    count = max(0, -((numbers.start - numbers.stop) // numbers.step))
    if count == 0:
        shown = ", ".join(str(each) for each in written)
        raise Refused(f"the range [{shown}] is empty", "the end is left out: [0, 3] is 0, 1, 2", ("range",))
    if count > LARGEST:
        raise Refused(f"the range has more than {LARGEST:,} values", None, ("range",))
    return numbers


def _pattern(written: object) -> str:
    if not isinstance(written, str) or not written or "\0" in written:
        raise Refused(
            f"a glob is a pattern of file names, not {describe(written)}", 'such as "photos/*.jpg"', ("glob",)
        )
    return written


def _file(written: object) -> str:
    if not isinstance(written, str) or not written or "\0" in written:
        raise Refused(f"must be the path of a file, not {describe(written)}", 'such as "urls.txt"', ("lines",))
    return written


def _task(written: object) -> str:
    try:
        return task_name(written)
    except Refused as error:
        raise Refused(error.headline, error.help, ("like",)) from None


def _tables(value: dict[str, object], key: str, findings: list[Finding]) -> tuple[dict[str, object], ...]:
    written = value.get(key, [])
    if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
        findings.append(Finding("must be a list of tables", f'such as {key} = [{{size = "small"}}]', (key,)))
        return ()
    good: list[dict[str, object]] = []
    for number, table in enumerate(written):
        try:
            encodable(json_value(table))
        except Refused as error:
            findings.append(Finding(error.headline, error.help, (key, number, *error.below)))
            continue
        if not table:
            findings.append(Finding("gives no axis", None, (key, number)))
        good.append(table)
    return tuple(good)


def _check_tables(
    names: tuple[str, ...],
    include: tuple[dict[str, object], ...],
    exclude: tuple[dict[str, object], ...],
    findings: list[Finding],
) -> None:
    for key, tables in (("include", include), ("exclude", exclude)):
        for number, table in enumerate(tables):
            for name in table:
                if name not in names:
                    near = did_you_mean(name, names)
                    message = "there is no such axis" + (f", {near}" if near else "")
                    help_ = f"the axes are {', '.join(names)}"
                    findings.append(Finding(message, help_, (key, number, name), at_key=True))
            missing = [name for name in names if name not in table]
            if key == "include" and table and missing:
                help_ = "an included instance gives every axis"
                findings.append(Finding(f"gives no {', '.join(map(repr, missing))}", help_, (key, number)))


def _check_included_names(include: tuple[dict[str, object], ...], findings: list[Finding]) -> None:
    for name in include[0]:
        if not NAME.fullmatch(name):
            message = "the name of an axis is made of letters, digits, '_' and '-', and begins with a letter or '_'"
            findings.append(Finding(message, None, ("include", 0, name), at_key=True))
