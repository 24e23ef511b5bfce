"""A ``Pipeline`` to a ``Plan``: order the tasks, expand their matrices, fill in what the matrix says.

A task was checked once, when it was loaded; its instances differ only in the values that hold a reference to the
matrix.  So each task is cut into what all its instances share and what must be filled in, and only the second is
done for each instance: a matrix of a hundred thousand is planned in about a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import cast

from workflow.diagnostics.mistake import Mistake
from workflow.plan.expand import expand
from workflow.plan.graph import Edges, order, read_edges
from workflow.plan.plan import Halt, Json, Kind, Need, Plan, PlannedTask, Settings, Value
from workflow.plan.printing import plan_hash
from workflow.spec import values
from workflow.spec.load import NO_VARIABLES, check_document
from workflow.spec.matrix import Findings
from workflow.spec.pipeline import Pipeline, TaskSpec, raise_mistakes
from workflow.spec.reference import Reference, Template, follow, resolve_some
from workflow.spec.source import read_source
from workflow.spec.values import Refused


def build_plan(pipeline: Pipeline) -> Plan:
    """The plan of a pipeline.  Raises InvalidPipeline where its tasks do not fit together."""
    plan, mistakes = _planned(pipeline)
    raise_mistakes(pipeline.source, mistakes)
    return plan


def load_plan(path: Path, variables: Mapping[str, str] = NO_VARIABLES) -> Plan:
    """Load a file and plan it.  Raises InvalidPipeline with the mistakes of both."""
    source = read_source(path)
    pipeline, mistakes = check_document(source, variables)
    plan, more = _planned(pipeline)
    raise_mistakes(source, [*mistakes, *more])
    return plan


def count_failures(written: int | str | None, tasks: int) -> int | None:
    """``max_failures`` as a count: a percentage of all planned tasks, rounded up."""
    if isinstance(written, str):
        return max(1, ceil(Fraction(written[:-1]) * tasks / 100))
    return written


def _planned(pipeline: Pipeline) -> tuple[Plan, list[Mistake]]:
    edges, mistakes = read_edges(pipeline)
    ordered, cycles = order(edges)
    mistakes += cycles
    instances: dict[str, list[PlannedTask]] = {}
    ids: dict[str, tuple[str, ...]] = {}
    # In the order of the file where there are cycles: every task's own mistakes are still found.
    for name in ordered if not cycles else pipeline.tasks:
        planned, wrong = _instances(pipeline, pipeline.tasks[name], edges, ids)
        instances[name] = planned
        ids[name] = tuple(task.id for task in planned)
        mistakes += wrong
    tasks = tuple(task for name in ordered for task in instances[name])
    settings = _settings(pipeline, len(tasks))
    table = pipeline.settings
    plan = Plan(pipeline.source.file, table.name, table.doc, settings, tasks, "")
    return (plan if mistakes else replace(plan, hash=plan_hash(plan))), mistakes


def _settings(pipeline: Pipeline, tasks: int) -> Settings:
    table, folder = pipeline.settings, pipeline.source.folder
    halt: Halt = table.halt or ("never" if table.max_failures is None else "soon")
    written = table.max_failures if table.max_failures is not None else (None if halt == "never" else 1)
    return Settings(
        pool=table.pool,
        timeout_s=table.timeout,
        halt=halt,
        max_failures=count_failures(written, tasks),
        max_failures_written=written,
        path=(str(folder), *(_absolute(folder, each) for each in table.path)),
        path_written=table.path,
        preload=table.preload,
        max_log_bytes=table.max_log,
        max_result_bytes=table.max_result,
    )


def _absolute(folder: Path, written: str) -> str:
    return os.path.normpath(os.path.join(folder, written))


def _instances(
    pipeline: Pipeline, spec: TaskSpec, edges: Edges, ids: Mapping[str, tuple[str, ...]]
) -> tuple[list[PlannedTask], list[Mistake]]:
    table, name = spec.table, spec.name
    expanded: list[tuple[str, Mapping[str, object] | None]] = [(name, None)]
    if table.matrix is not None:
        try:
            expanded = list(expand(name, table.matrix, pipeline.source.folder))
        except Findings as error:
            return [], [
                Mistake(
                    "bad-matrix",
                    pipeline.place(name, "matrix", *each.below),
                    each.headline,
                    each.help,
                    at_key=each.at_key,
                )
                for each in error.findings
            ]
    # One tuple for all instances: a thousand that need a thousand are not a million names in memory.
    needs = tuple(Need(needed, ids.get(needed, ()), edge.status) for needed, edge in edges[name].items())
    used = {reference.path[0] for _, reference in spec.references if reference.namespace == "tasks"}
    uses = frozenset(each for needed in used for each in ids.get(needed, ()))
    make = _Maker(spec, pipeline.source.folder, needs, uses)
    tasks: list[PlannedTask] = []
    for id_, matrix in expanded:
        try:
            tasks.append(make.task(id_, matrix))
        except _BadInstance as error:
            place = pipeline.place(name, *error.path)
            return tasks, [Mistake(error.code, place, f"for {id_}: {error.headline}", error.help)]
    return tasks, []


class _BadInstance(Exception):
    """A value that is wrong in one instance."""

    def __init__(self, path: tuple[str | int, ...], headline: str, help_: str | None, code: str = "bad-value") -> None:
        super().__init__(headline)
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
}


class _Maker:
    """Makes the instances of one task."""

    def __init__(self, spec: TaskSpec, folder: Path, needs: tuple[Need, ...], uses: frozenset[str]) -> None:
        table = spec.table
        self._folder = folder
        kind = cast(Kind, table.kind)
        self._key = kind
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
        }
        self._filled = [key for key, value in fields.items() if _waits(value)]
        self._fields = fields
        self._shared = None if "cwd" in self._filled else self._cwd(cast("str | None", table.cwd))
        self._same = (spec.name, kind, needs, uses)

    def task(self, id_: str, matrix: Mapping[str, object] | None) -> PlannedTask:
        fields = self._fields
        if self._filled and matrix is not None:
            fields = dict(fields)
            for key in self._filled:
                fields[key] = self._fill(key, fields[key], matrix)
        name, kind, needs, uses = self._same
        cwd = cast("str | None", fields["cwd"])
        return PlannedTask(
            id=id_,
            name=name,
            matrix=cast("Mapping[str, Json] | None", matrix),
            kind=kind,
            target=cast("str | Template | tuple[str | Template, ...]", fields[self._key]),
            args=cast("tuple[Value, ...]", fields["args"]),
            kwargs=cast("Mapping[str, Value]", fields["kwargs"]),
            needs=needs,
            uses_results=uses,
            timeout_s=cast("float | None", fields["timeout"]),
            grace_s=cast(float, fields["grace"]),
            callback_timeout_s=cast("float | None", fields["callback_timeout"]),
            env=cast("Mapping[str, str | Template | None]", fields["env"]),
            cwd=self._shared or self._cwd(cwd),
            cwd_written=cwd,
            on_success=cast("str | None", fields["success"]),
            on_failure=cast("str | None", fields["failure"]),
            isolate=cast(bool, fields["isolate"]),
            allow_failure=cast(bool, fields["allow_failure"]),
            tags=cast("tuple[str, ...]", fields["tags"]),
            doc=cast("str | None", fields["doc"]),
        )

    def _cwd(self, written: str | None) -> str:
        return str(self._folder) if written is None else _absolute(self._folder, written)

    def _fill(self, key: str, value: object, matrix: Mapping[str, object]) -> object:
        path = ("on", key) if key in ("success", "failure") else (key,)

        def lookup(reference: Reference) -> object:
            return follow(matrix, reference.path, "matrix")

        try:
            filled = _filled(value, lookup)
            if key in ("success", "failure"):
                return values.function_path(filled)
            if key in ("cmd", "tags", "env", "shell"):
                _check_texts(filled)
            return _CHECKS[key](filled) if key in _CHECKS else filled
        except Refused as error:
            raise _BadInstance(path, error.headline, error.help, error.code) from None
        except LookupError as error:
            raise _BadInstance(path, str(error.args[0]), None) from None


def _check_texts(value: object) -> None:
    """Nothing that a process cannot be given; templates wait for compile."""
    if isinstance(value, dict):
        value = tuple(value.values())
    for each in value if isinstance(value, tuple) else (value,):
        if not isinstance(each, Template) and each is not None:
            values.plain_text(each)


def _waits(value: object) -> bool:
    """Whether a value holds a reference to the matrix."""
    if isinstance(value, Template):
        return any(reference.namespace == "matrix" for reference in value.references)
    if isinstance(value, dict):
        return any(_waits(each) for each in value.values())
    return isinstance(value, (list, tuple)) and any(_waits(each) for each in value)


def _filled(value: object, lookup: Callable[[Reference], object]) -> object:
    if isinstance(value, Template):
        return resolve_some(value, "matrix", lookup)
    if isinstance(value, dict):
        return {key: _filled(each, lookup) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_filled(each, lookup) for each in value)
    if isinstance(value, list):
        return [_filled(each, lookup) for each in value]
    return value
