"""The instances of one task of the file: what they share, and what is filled in for each.

A task was checked once, when it was loaded; its instances differ only in the values that hold a reference to the
matrix.  So each task is cut into what all its instances share and what must be filled in, and only the second is
done for an instance, when somebody asks for it.

What is wrong in one instance only must be known before anything runs.  So each is looked at once, and forgotten
again; but only where something can be wrong: a whole number or a text without NUL that goes into an argument, a
command or a path is right whichever it is, and of those nobody looks at a million.
"""

# ruff: noqa: D102  what the methods of a group do is told in ``Group``

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from workflow.plan.expand import Rows, comparable
from workflow.plan.graph import Edge
from workflow.plan.plan import Kind, Need, PlannedTask
from workflow.plan.tasks import NOTHING_TAKEN, Group, Ids, Listed, Whole
from workflow.spec import checks, values
from workflow.spec.condition import Answers, Senseless
from workflow.spec.pipeline import Pipeline, TaskSpec
from workflow.spec.reference import Reference, Template, as_text, describe, follow, resolve_some
from workflow.spec.values import Refused


class Instances(Whole):
    """The instances of a matrix."""

    def __init__(self, maker: Maker, rows: Rows, skipped: bytearray | None) -> None:
        """``skipped`` says of each whether it is; None is that none is."""
        self.name = rows.name
        self.rows = rows
        self.shared = maker.shared
        self._maker = maker
        self._skipped = skipped
        self.skipped = sum(skipped) if skipped is not None else 0
        self._tied: Mapping[int, tuple[Need, ...]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[PlannedTask]:
        for number, (id_, matrix) in enumerate(self.rows):
            yield self._task(number, id_, matrix)

    def make(self, number: int) -> PlannedTask:
        return self._task(number, *self.rows[number])

    def id(self, number: int) -> str:
        return self.rows.id(number)

    def ids(self) -> Iterator[str]:
        return self.rows.ids()

    def find(self, id_: str) -> int | None:
        return self.rows.find(id_)

    def is_skipped(self, number: int) -> bool:
        return self._skipped is not None and bool(self._skipped[number])

    def alike(self, field: str) -> bool:
        if field in ("needs", "uses_results"):
            return not self._tied and not self._maker.needs.paired
        if field == "skipped":
            return self.skipped in (0, len(self))
        return field in self.shared or len(self) == 1

    def tie(self, needs: Mapping[int, tuple[Need, ...]]) -> None:
        self._tied = needs

    @property
    def examples(self) -> Iterable[PlannedTask]:
        return (self.make(self.counting.numbers[0]),) if self.skipped < len(self) else ()

    def needs(self) -> Iterator[tuple[Need, ...]]:
        for number, (id_, matrix) in enumerate(self.rows):
            yield self._needs(number, id_, matrix, skipped=self.is_skipped(number))[0]

    def needs_of_any(self) -> Iterable[tuple[Need, ...]]:
        yield from (task.needs for task in self.examples)  # ``match`` pairs each with others of the same tasks
        yield from (needs for number, needs in self._tied.items() if not self.is_skipped(number))

    def views(self) -> Iterator[PlannedTask]:
        view = SimpleNamespace(**self.shared)
        known = view.__dict__
        alike = self.alike("needs") and self.alike("skipped")
        for number, (id_, matrix) in enumerate(self.rows):
            if not (alike and number):
                known["skipped"] = skipped = self.is_skipped(number)
                known["needs"], known["uses_results"] = self._needs(number, id_, matrix, skipped=skipped)
            known.update(self._maker.filled(id_, matrix))
            known["id"], known["matrix"] = id_, matrix
            yield cast("PlannedTask", view)

    def _task(self, number: int, id_: str, matrix: Mapping[str, object]) -> PlannedTask:
        skipped = self.is_skipped(number)
        return self._maker.task(id_, matrix, self._needs(number, id_, matrix, skipped=skipped), skipped=skipped)

    def _needs(
        self, number: int, id_: str, matrix: Mapping[str, object], *, skipped: bool
    ) -> tuple[tuple[Need, ...], frozenset[str]]:
        if skipped:
            return _NOTHING_NEEDED
        needs, used = self._maker.needs.of(id_, matrix)
        return ((*needs, *self._tied[number]) if number in self._tied else needs), used


def planned(name: str, maker: Maker, rows: Rows | None) -> tuple[Whole, list[BadInstance]]:
    """The instances of a task, and what is wrong in one of them: of each key of the file, the first thing."""
    bad: list[BadInstance] = []
    if rows is None:
        while True:
            try:
                skipped = maker.skips(None)
                needs = maker.needs.of(name, None) if not skipped else _NOTHING_NEEDED
                return Listed(name, [maker.task(name, None, needs, skipped=skipped)]), bad
            except BadInstance as error:
                bad.append(error)
                maker.pass_over(error.path)
    flags = None if maker.answers is None else bytearray(len(rows))
    unsure = maker.unsure(rows)
    for number, (id_, matrix) in enumerate(rows):
        while maker.answers is not None or unsure or maker.needs.paired:
            try:
                skipped = maker.skips(matrix)
                if skipped and flags is not None:
                    flags[number] = 1
                elif maker.needs.paired:
                    maker.needs.of(id_, matrix)
                maker.filled(id_, matrix, unsure)
                break
            except BadInstance as error:
                error.headline = f"for {id_}: {error.headline}"
                bad.append(error)
                maker.pass_over(error.path)  # what is wrong with it in other instances is likely to be the same
                unsure = maker.unsure(rows)
        else:
            break  # there is nothing that could be wrong
    return Instances(maker, rows, flags), bad


def has_axes(group: Group, axes: Sequence[str]) -> bool:
    """Whether there are instances with these axes; that there are not has been told where it is written."""
    return isinstance(group, Instances) and len(group) > 0 and all(axis in group.rows.names for axis in axes)


def _matched(group: Instances, axes: tuple[str, ...]) -> dict[tuple[object, ...], tuple[Ids, Ids]]:
    """For each combination of values of these axes, the ids that count and all of them."""
    found: dict[tuple[object, ...], array[int]] = {}
    for number, (_, matrix) in enumerate(group.rows):
        key = tuple(comparable(matrix[axis]) for axis in axes)
        if key in found:
            found[key].append(number)
        else:
            found[key] = array("I", (number,))
    matched = {}
    for key, numbers in found.items():
        counting = (
            array("I", (number for number in numbers if not group.is_skipped(number))) if group.skipped else numbers
        )
        every = Ids(group, numbers)
        matched[key] = (every if len(counting) in (0, len(numbers)) else Ids(group, counting), every)
    return matched


class Needs:
    """What the instances of one task need: mostly all the same, with ``match`` each its own."""

    def __init__(self, spec: TaskSpec, edges: Mapping[str, Edge], instances: Mapping[str, Group]) -> None:
        self._needs: list[Need] = []
        self._matched: dict[str, tuple[tuple[str, ...], dict[tuple[object, ...], Need]]] = {}
        for name, edge in edges.items():
            if edge.orders_only:
                continue
            needed = instances.get(name) or Listed(name, ())
            if edge.match and isinstance(needed, Instances) and has_axes(needed, edge.match):
                groups = {
                    key: Need(name, counting, every, edge.status, matched=True)
                    for key, (counting, every) in _matched(needed, edge.match).items()
                }
                self._matched[name] = (edge.match, groups)
            self._needs.append(Need(name, needed.counting, needed.every, edge.status))
        self._referred = {each.path[0] for _, each in spec.references if each.namespace == "tasks"}
        self._by_values: dict[tuple[object, ...], tuple[tuple[Need, ...], frozenset[str]]] = {}

    @property
    def paired(self) -> bool:
        """Whether instances differ in what they need."""
        return bool(self._matched)

    @cached_property
    def _same(self) -> tuple[tuple[Need, ...], frozenset[str]]:
        return tuple(self._needs), self._used(self._needs)

    def of(self, id_: str, matrix: Mapping[str, object] | None) -> tuple[tuple[Need, ...], frozenset[str]]:
        """The needs of one instance, and the ids among them whose ends it refers to."""
        if not self._matched or matrix is None:
            return self._same
        keys = tuple(tuple(comparable(matrix[axis]) for axis in axes) for axes, _ in self._matched.values())
        known = self._by_values.get(keys)
        if known is None:
            own = dict(zip(self._matched, keys, strict=True))
            needs = []
            for need in self._needs:
                if need.name not in own:
                    needs.append(need)
                    continue
                axes, groups = self._matched[need.name]
                matched = groups.get(own[need.name])
                if matched is None:
                    values_ = ", ".join(f"{axis} = {describe(matrix[axis])}" for axis in axes)
                    headline = f"{need.name} has no instance with {values_}"
                    raise BadInstance(
                        ("needs",), headline, f"match pairs {need.name} with {id_} by these axes", "no-match"
                    )
                needs.append(matched)
            known = self._by_values[keys] = (tuple(needs), self._used(needs))
        return known

    def match_nothing(self) -> None:
        """From here on: there is an instance without its match."""
        self._matched = {}

    def _used(self, needs: Sequence[Need]) -> frozenset[str]:
        return frozenset(id_ for need in needs if need.name in self._referred for id_ in need.every)


class BadInstance(Exception):
    """A value that is wrong in one instance."""

    def __init__(
        self,
        path: tuple[str | int, ...],
        headline: str,
        help_: str | None,
        code: str = "bad-value",
        needle: str | None = None,
    ) -> None:
        super().__init__(headline)
        self.needle = needle
        self.path = path
        self.code = code
        self.headline = headline
        self.help = help_


_CHECKS: dict[str, Callable[[object], object]] = {
    "timeout": values.limit_s,
    "grace": values.grace_s,
    "callback_timeout": values.limit_s,
    "isolate": values.flag,
    "allow_failure": values.flag,
    "cwd": values.some_text,
    "doc": values.plain_text,
    "module": values.model_path,
    "call": values.function_path,
    "deadline": values.limit_s,
    "warn_after": values.limit_s,
    "memory": values.memory_bytes,
    "priority": checks.priority,
    "seed": checks.seed,
}
_TEXTS = ("cmd", "tags", "env", "shell", "inputs", "outputs")
_FIELDS = {
    "args": "args",
    "kwargs": "kwargs",
    "timeout": "timeout_s",
    "grace": "grace_s",
    "callback_timeout": "callback_timeout_s",
    "env": "env",
    "cwd": "cwd",
    "isolate": "isolate",
    "allow_failure": "allow_failure",
    "tags": "tags",
    "doc": "doc",
    "success": "on_success",
    "failure": "on_failure",
    "deadline": "deadline_s",
    "warn_after": "warn_after_s",
    "priority": "priority",
    "memory": "memory_bytes",
    "seed": "seed",
    "inputs": "inputs",
    "outputs": "outputs",
}
"""Of a key of the file, the field of a planned task."""
_ID, _MATRIX, _NEEDS, _USED, _SKIPPED = map(
    PlannedTask._fields.index, ("id", "matrix", "needs", "uses_results", "skipped")
)
_NOTHING_NEEDED: tuple[tuple[Need, ...], frozenset[str]] = ((), NOTHING_TAKEN)


class Maker:
    """Makes the instances of one task."""

    def __init__(self, pipeline: Pipeline, spec: TaskSpec, needs: Needs) -> None:
        table, document = spec.table, pipeline.document
        self.needs = needs
        root = document.folder
        homes = {
            key: relative(document.home(pipeline.place(spec.name, key)), root) for key in ("cwd", "inputs", "outputs")
        }
        kind = cast(Kind, table.kind)
        on = table.on
        fields: dict[str, object] = {
            kind: getattr(table, kind),
            "args": table.args,
            "kwargs": table.kwargs,
            "timeout": table.timeout,
            "grace": table.grace,
            "callback_timeout": table.callback_timeout,
            "env": table.env,
            "cwd": table.cwd,
            "isolate": table.isolate,
            "allow_failure": table.allow_failure,
            "tags": table.tags,
            "doc": table.doc,
            "success": on.success if on else None,
            "failure": on.failure if on else None,
            "deadline": table.deadline,
            "warn_after": table.warn_after,
            "priority": table.priority,
            "memory": table.memory,
            "seed": table.seed,
            "inputs": table.inputs,
            "outputs": table.outputs,
        }
        self._filled = {key: value for key, value in fields.items() if _waits(value)}
        self._fills = {key: _filling(value, spec.name) for key, value in self._filled.items()}
        self._checks = {key: check for key in self._filled if (check := _checking(key, homes.get(key))) is not None}
        self._names = {**_FIELDS, kind: "target"}
        self.shared: dict[str, Any] = {
            "name": spec.name,
            "kind": kind,
            "base": homes["cwd"],
            "retries": table.retries,
            "uses": table.uses,
            "condition": table.if_.text if table.if_ else None,
        }
        """Fields that all instances have alike."""
        for key, value in fields.items():
            if key not in self._filled:
                self.shared[self._names[key]] = _located(value, homes[key]) if key in homes else value
        if table.cwd is None:
            self.shared["cwd"] = relative(document.home(("tasks", spec.name)), root)
        self.answers = Answers(table.if_, spec.asked.__getitem__) if table.if_ else None

    def task(
        self,
        id_: str,
        matrix: Mapping[str, object] | None,
        needs: tuple[tuple[Need, ...], frozenset[str]],
        *,
        skipped: bool,
    ) -> PlannedTask:
        """An instance.  Raises BadInstance."""
        fields, own = self._pattern
        fields = [*fields]
        for place, key, fill in own:
            fields[place] = self._fill(key, fill, id_, matrix or {})
        fields[_ID], fields[_MATRIX], fields[_SKIPPED] = id_, matrix, skipped
        fields[_NEEDS], fields[_USED] = needs
        return PlannedTask._make(fields)

    @cached_property
    def _pattern(self) -> tuple[list[Any], list[tuple[int, str, Filling]]]:
        """The fields of an instance in their order, those that all have alike filled in; the places of the others."""
        fields = [self.shared.get(name) for name in PlannedTask._fields]
        own = [(PlannedTask._fields.index(self._names[key]), key, self._fills[key]) for key in self._filled]
        return fields, own

    def filled(
        self, id_: str, matrix: Mapping[str, object] | None, keys: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """The fields that are the instance's own; of these keys of the file, or of all.  Raises BadInstance."""
        return {
            self._names[key]: self._fill(key, self._fills[key], id_, matrix or {})
            for key in (self._filled if keys is None else keys)
        }

    def unsure(self, rows: Rows) -> list[str]:
        """The keys of the file whose values may be wrong in one instance and right in another."""
        plain = {axis for at, axis in enumerate(rows.names) if _without_nul(rows, at)}
        return [key for key, value in self._filled.items() if not _sure(key, value, rows.names, plain)]

    def pass_over(self, path: tuple[str | int, ...]) -> None:
        """Look no further at a key that was found to be wrong in an instance."""
        if path == ("if",):
            self.answers = None
        elif path == ("needs",):
            self.needs.match_nothing()
        else:
            key = str(path[-1])
            self.shared[self._names[key]] = self._filled.pop(key)
            self.__dict__.pop("_pattern", None)

    def skips(self, matrix: Mapping[str, object] | None) -> bool:
        """Whether an instance does not run.  Raises BadInstance."""
        if self.answers is None:
            return False
        try:
            return not self.answers.of(matrix or {})
        except Senseless as error:
            raise BadInstance(("if",), error.headline, error.help, "bad-condition", error.text) from None
        except LookupError as error:
            raise BadInstance(("if",), str(error.args[0]), None, "bad-condition") from None

    def _fill(self, key: str, fill: Filling, id_: str, matrix: Mapping[str, object]) -> object:
        try:
            filled = fill(id_, matrix)
            check = self._checks.get(key)
            return filled if check is None else check(filled)
        except Refused as error:
            raise BadInstance(_path(key), error.headline, error.help, error.code) from None
        except LookupError as error:
            raise BadInstance(_path(key), str(error.args[0]), None) from None


def _checking(key: str, home: str | None) -> Callable[[object], object] | None:
    """What looks at a value that was filled in, and answers it as the plan has it; ``home`` is for paths."""
    if key in ("success", "failure"):
        return values.function_path
    right = _checked if key in _TEXTS else _CHECKS.get(key)
    if right is None:
        return None

    def check(value: object) -> object:
        value = value if isinstance(value, Template) else right(value)
        return value if home is None else _located(value, home)

    return check


def _located(value: object, home: str) -> object:
    """A path, or several, as the plan has them; what waits until the run, and what is no path, stays as it is."""
    if isinstance(value, tuple):
        return tuple(_located(each, home) for each in value)
    return located(value, home) if isinstance(value, str) else value


def _path(key: str) -> tuple[str, ...]:
    return ("on", key) if key in ("success", "failure") else (key,)


def _without_nul(rows: Rows, at: int) -> bool:
    """Whether no value of an axis is a text that holds one."""
    axis: Sequence[object] = rows.axes[at] if rows.axes else ()
    listed = () if isinstance(axis, range) else axis
    return not any(isinstance(each, str) and "\0" in each for each in (*listed, *(row[at] for row in rows.included)))


def _sure(key: str, value: object, axes: Sequence[str], plain: Container[str]) -> bool:
    """Whether a value is right whatever the matrix says."""
    if isinstance(value, dict):
        return all(_sure(key, each, axes, plain) for each in value.values())
    if isinstance(value, (list, tuple)):
        return all(_sure(key, each, axes, plain) for each in value)
    if not isinstance(value, Template):
        return True
    asked = [each.path for each in value.references if each.namespace == "matrix"]
    if not all(len(path) == 1 and path[0] in axes for path in asked):
        return False
    if key in ("args", "kwargs"):
        return True
    is_text = value.mode != "value" or len(value.parts) > 1
    return key in (*_TEXTS, "doc") and is_text and all(path[0] in plain for path in asked)


def _checked(value: object) -> object:
    """The value, where there is nothing in it that a process cannot be given; templates wait for compile."""
    several = tuple(value.values()) if isinstance(value, dict) else value
    for each in several if isinstance(several, tuple) else (several,):
        if not isinstance(each, Template) and each is not None:
            values.plain_text(each)
    return value


def _of_instance(reference: Reference) -> bool:
    """Whether the plan knows its value: of the matrix, and of the task itself all but the number of its attempt."""
    return reference.namespace == "matrix" or (reference.namespace == "task" and reference.path != ("attempt",))


def _waits(value: object) -> bool:
    """Whether a value holds a reference whose value is the instance's own."""
    if isinstance(value, Template):
        return any(_of_instance(reference) for reference in value.references)
    if isinstance(value, dict):
        return any(_waits(each) for each in value.values())
    return isinstance(value, (list, tuple)) and any(_waits(each) for each in value)


Filling = Callable[[str, Mapping[str, object]], object]
"""Of the id and the matrix of an instance, a value with what they say filled in.  Raises LookupError."""


def _filling(value: object, name: str) -> Filling:
    """What fills in a value of the task with this name: made once, and called for each instance."""
    if not _waits(value):
        return lambda _id, _matrix: value
    if isinstance(value, Template):
        if not all(isinstance(part, str) or _of_instance(part) for part in value.parts):
            return lambda id_, matrix: resolve_some(value, _of_instance, lambda part: _looking(part, name)(id_, matrix))
        parts = [part if isinstance(part, str) else _looking(part, name) for part in value.parts]
        (first, *more), mode = parts, value.mode
        if mode == "value" and not more and not isinstance(first, str):
            return first
        return lambda id_, matrix: "".join(
            [part if isinstance(part, str) else as_text(part(id_, matrix), mode) for part in parts]
        )
    if isinstance(value, dict):
        named = [(key, _filling(each, name)) for key, each in value.items()]
        return lambda id_, matrix: {key: fill(id_, matrix) for key, fill in named}
    assert isinstance(value, (list, tuple))
    fills = [_filling(each, name) for each in value]
    if isinstance(value, tuple):
        return lambda id_, matrix: tuple([fill(id_, matrix) for fill in fills])
    return lambda id_, matrix: [fill(id_, matrix) for fill in fills]


def _looking(reference: Reference, name: str) -> Filling:
    """What looks up a reference that ``_of_instance`` knows."""
    if reference.namespace != "matrix":
        return (lambda id_, _matrix: id_) if reference.path == ("id",) else (lambda _id, _matrix: name)
    axis, *further = path = reference.path

    def look(_id: str, matrix: Mapping[str, object]) -> object:
        return matrix[axis] if axis in matrix and not further else follow(matrix, path, "matrix")

    return look


def relative(folder: Path, root: Path) -> str:
    """A folder as the plan has it: relative to the root, with ``/``."""
    return os.path.relpath(folder, root).replace(os.sep, "/")


def located(written: str, home: str) -> str:
    """A path that is relative to ``home`` (as ``relative``) as the plan has it; one that ends in ``/`` still does."""
    if os.path.isabs(written):
        return written
    path = os.path.normpath(written if home == "." else os.path.join(home, written)).replace(os.sep, "/")
    return path + "/" if written.endswith("/") and not path.endswith("/") else path
