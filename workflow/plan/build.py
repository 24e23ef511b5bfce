"""A ``Pipeline`` to a ``Plan``: order the tasks, expand their matrices, fill in what the matrix says.

A task was checked once, when it was loaded; its instances differ only in the values that hold a reference to the
matrix.  So each task is cut into what all its instances share and what must be filled in, and only the second is
done for each instance: a matrix of a hundred thousand is planned in about a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from workflow.diagnostics.mistake import Mistake
from workflow.plan.expand import comparable, expand
from workflow.plan.files import Clash, Makers, canonical, edges_of, implied_needs
from workflow.plan.graph import Edge, Edges, order, read_edges
from workflow.plan.kept import Facts, environ_facts, file_fact, glob_fact
from workflow.plan.plan import (
    Halt,
    Json,
    Kind,
    Need,
    Plan,
    PlannedTask,
    SecretSource,
    Settings,
    TokenLimit,
    count_failures,
)
from workflow.plan.printing import plan_hash
from workflow.plan.resolved import resolved
from workflow.spec import checks, values
from workflow.spec.checks import SecretTable
from workflow.spec.condition import Answers, Senseless
from workflow.spec.document import read_document
from workflow.spec.load import check_document
from workflow.spec.matrix import Findings, Glob, Like, Lines
from workflow.spec.pipeline import Pipeline, TaskSpec, raise_mistakes
from workflow.spec.reference import Reference, Template, describe, follow, resolve_some
from workflow.spec.values import Refused


def build_plan(pipeline: Pipeline) -> Plan:
    """The plan of a pipeline.  Raises InvalidPipeline where its tasks do not fit together."""
    plan, mistakes = _planned(pipeline)
    raise_mistakes(pipeline.document, mistakes)
    return plan


def load_plan(
    path: Path,
    variables: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    sets: Sequence[str] = (),
) -> Plan:
    """Load a file and plan it.  Raises InvalidPipeline with the mistakes of both."""
    return load_plan_and_facts(path, variables, profile=profile, sets=sets, want_facts=False)[0]


def load_plan_and_facts(
    path: Path,
    variables: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    sets: Sequence[str] = (),
    want_facts: bool = True,
) -> tuple[Plan, Facts | None]:
    """The same, with what the plan was made from, and in it the file as everything together makes it."""
    document, mistakes = read_document(path, profile=profile, sets=sets)
    pipeline, more = check_document(document, variables or {})
    # Before the plan is made: what changes in between makes it one that does not count, and never one that lies.
    facts = _facts(pipeline) if want_facts else None
    plan, even_more = _planned(pipeline)
    raise_mistakes(document, [*mistakes, *more, *even_more])
    if want_facts:
        texts = {str(source.file): sha256(source.text.encode()).hexdigest() for source in document.sources}
        sources = texts if facts is None else {file: str(fact[0]) for file, fact in facts.files.items()}
        plan = replace(plan, resolved=resolved(pipeline, sources))
    return plan, facts


def _facts(pipeline: Pipeline) -> Facts | None:
    """What was looked at so far, and what the axes will look at; None where it is not as it was any more."""
    document = pipeline.document
    files: dict[str, Sequence[object]] = {}
    for source in document.sources:
        fact = file_fact(str(source.file))
        texts = (source.text.encode(), b"\xef\xbb\xbf" + source.text.encode())  # a mark before it is passed over
        if fact is None or fact[0] not in [sha256(each).hexdigest() for each in texts]:
            return None
        files[str(source.file)] = fact
    globs = list(document.globs)
    lists: dict[str, Sequence[object]] = {}
    for name, spec in pipeline.tasks.items():
        home = document.home(pipeline.place(name, "matrix"))
        for axis in spec.table.matrix.axes.values() if spec.table.matrix else ():
            if isinstance(axis, Glob):
                globs.append(glob_fact(home, axis.pattern))
            elif isinstance(axis, Lines):
                path_ = str(home / axis.file)
                lists[path_] = file_fact(path_) or ()
    return Facts(files, lists, globs, environ_facts(pipeline.environ, os.environ))


def _planned(pipeline: Pipeline) -> tuple[Plan, list[Mistake]]:
    edges, mistakes = read_edges(pipeline)
    ordered, cycles = order(edges)
    if cycles:  # in the order of the file: every task's own mistakes are still found
        ordered = list(pipeline.tasks)
    instances: dict[str, Instances] = {}
    for name in ordered:
        planned, wrong = _instances(pipeline, pipeline.tasks[name], edges, instances)
        instances[name] = Instances(planned)
        mistakes += wrong
    tasks = tuple(task for name in ordered for task in instances[name].tasks)
    if any(spec.table.outputs for spec in pipeline.tasks.values()):
        tasks, wrong = _tied_by_files(pipeline, tasks, edges)
        mistakes += wrong
    else:
        mistakes += cycles
    settings = _settings(pipeline, len(tasks))
    table, document = pipeline.settings, pipeline.document
    plan = Plan(
        document.file,
        document.folder,
        table.name,
        table.doc,
        settings,
        tasks,
        dict(sorted(pipeline.environ.items())),
        "",
    )
    return (plan if mistakes else replace(plan, hash=plan_hash(plan))), mistakes


def _tied_by_files(
    pipeline: Pipeline, tasks: tuple[PlannedTask, ...], edges: Edges
) -> tuple[tuple[PlannedTask, ...], list[Mistake]]:
    """The same tasks with what their inputs make them need, in an order in which that comes first too."""
    makers = Makers(tasks, str(pipeline.document.folder))
    mistakes = [_clash_mistake(pipeline, tasks, clash) for clash in makers.clashes]
    implied = implied_needs(tasks, makers)
    own: set[str] = set()
    for task in tasks:
        if task.inputs and task.outputs and task.name not in own and (wrong := _reads_itself(pipeline, task)):
            own.add(task.name)
            mistakes.append(wrong)
    for (name, needed), number in edges_of(tasks, implied).items():
        at, file, maker = _read_file(tasks, number, needed, makers)
        place = pipeline.place(name, "inputs", at)
        if needed == name:
            headline = f"for {tasks[number].id}: its input {file!r} is made by {maker}"
            help_ = "instances of one task do not wait for each other: make it in a task of its own"
            mistakes.append(Mistake("cycle", place, headline, help_))
            continue
        known = edges[name].get(needed)
        if known is None or known.orders_only:
            edges[name][needed] = Edge("success", place, None, file=file)
    ordered, cycles = order(edges)
    mistakes += cycles
    if not mistakes and implied:
        tied = [
            replace(task, needs=(*task.needs, *implied[number])) if number in implied else task
            for number, task in enumerate(tasks)
        ]
        position = {name: number for number, name in enumerate(ordered)}
        tasks = tuple(sorted(tied, key=lambda task: position[task.name]))  # instances stay in the order of the matrix
    return tasks, mistakes


def _read_file(tasks: Sequence[PlannedTask], number: int, needed: str, makers: Makers) -> tuple[int, str, str]:
    """Which input of an instance a task makes: its place, the path, and the id of the maker."""
    for at, file in enumerate(tasks[number].inputs):
        for maker in makers.of(file):
            if tasks[maker].name == needed and maker != number:
                return at, file, tasks[maker].id
    raise AssertionError(needed)


def _reads_itself(pipeline: Pipeline, task: PlannedTask) -> Mistake | None:
    root = str(pipeline.document.folder)
    made = {canonical(written, root) for written in task.outputs}
    for at, file in enumerate(task.inputs):
        if canonical(file, root) in made:
            headline = f"for {task.id}: " if task.matrix is not None else ""
            headline += f"{file!r} is an output of the task itself"
            help_ = "what a task changes in place is no input of it"
            return Mistake("cycle", pipeline.place(task.name, "inputs", at), headline, help_)
    return None


def _clash_mistake(pipeline: Pipeline, tasks: Sequence[PlannedTask], clash: Clash) -> Mistake:
    first, second = clash
    one, other = tasks[first.task], tasks[second.task]
    mine, its = other.outputs[second.number], one.outputs[first.number]
    place = pipeline.place(other.name, "outputs", second.number)
    if first.path == second.path:
        headline = f"{mine!r} is an output of {one.id} and of {other.id}"
    else:
        headline = f"{mine!r} of {other.id} and {its!r} of {one.id} are the same output, or one lies in the other"
    help_ = None
    if one.name == other.name and other.matrix:
        help_ = f"each instance needs an output of its own: write ${{matrix.{next(iter(other.matrix))}}} into it"
    return Mistake("output-twice", place, headline, help_)


class Instances:
    """The planned instances of one task, as those that need it see them."""

    def __init__(self, tasks: Sequence[PlannedTask]) -> None:
        self.tasks = tasks
        self.every = tuple(task.id for task in tasks)
        ids = tuple(task.id for task in tasks if not task.skipped)
        self.ids = ids if ids and len(ids) < len(self.every) else self.every
        """Those that count."""

    def has(self, axes: tuple[str, ...]) -> bool:
        """Whether there are instances with these axes; that there are not has been told where it is written."""
        first = self.tasks[0].matrix if self.tasks else None
        return first is not None and all(axis in first for axis in axes)

    def values(self, axis: str) -> tuple[object, ...]:
        """The values of an axis, each once, in matrix order."""
        seen: dict[object, object] = {}
        for task in self.tasks:
            assert task.matrix is not None
            value = task.matrix[axis]
            seen.setdefault(comparable(value), value)
        return tuple(seen.values())

    def matched(self, axes: tuple[str, ...]) -> dict[tuple[object, ...], tuple[list[str], list[str]]]:
        """For each combination of values of these axes, the ids that count and all of them."""
        found: dict[tuple[object, ...], tuple[list[str], list[str]]] = {}
        for task in self.tasks:
            assert task.matrix is not None
            key = tuple(comparable(task.matrix[axis]) for axis in axes)
            counting, every = found.setdefault(key, ([], []))
            every.append(task.id)
            if not task.skipped:
                counting.append(task.id)
        return found


def _settings(pipeline: Pipeline, tasks: int) -> Settings:
    table, document = pipeline.settings, pipeline.document
    halt: Halt = table.halt or ("never" if table.max_failures is None else "soon")
    written = table.max_failures if table.max_failures is not None else (None if halt == "never" else 1)
    homes = [relative(home, document.folder) for home in document.homes]
    folders = [
        located(each, document.home(("pipeline", "path", number)), document.folder)
        for number, each in enumerate(table.path)
    ]
    return Settings(
        pool=table.pool,
        timeout_s=table.timeout,
        halt=halt,
        max_failures=count_failures(written, tasks),
        max_failures_written=written,
        path=tuple(dict.fromkeys([*homes, *folders])),
        preload=table.preload,
        max_log_bytes=table.max_log,
        max_result_bytes=table.max_result,
        max_tasks_per_child=table.max_tasks_per_child,
        seed=table.seed,
        limits={name: TokenLimit(limit.tokens, limit.per_s) for name, limit in pipeline.limits.items()},
        secrets={name: _secret(pipeline, name, secret) for name, secret in pipeline.secrets.items()},
    )


def _secret(pipeline: Pipeline, name: str, secret: SecretTable) -> SecretSource:
    document = pipeline.document
    home = document.home(("secrets", name))
    value = secret.value
    if secret.source == "file" and isinstance(value, str):
        value = located(value, home, document.folder)
    return SecretSource(secret.source, value, relative(home, document.folder))


def relative(folder: Path, root: Path) -> str:
    """A folder as the plan has it: relative to the root, with ``/``."""
    return os.path.relpath(folder, root).replace(os.sep, "/")


def located(written: str, home: Path, root: Path) -> str:
    """A path that is relative to ``home`` as the plan has it; one that ends in ``/`` still does."""
    if os.path.isabs(written):
        return written
    base = relative(home, root)
    path = os.path.normpath(written if base == "." else os.path.join(base, written)).replace(os.sep, "/")
    return path + "/" if written.endswith("/") and not path.endswith("/") else path


def _instances(
    pipeline: Pipeline, spec: TaskSpec, edges: Edges, instances: Mapping[str, Instances]
) -> tuple[list[PlannedTask], list[Mistake]]:
    table, name = spec.table, spec.name
    expanded: Iterable[tuple[str, Mapping[str, object] | None]] = [(name, None)]
    mistakes: list[Mistake] = []
    axes = _axes(pipeline, spec, instances, mistakes)
    if axes is not None:
        expanded = axes
    elif (table.matrix or "matrix" in spec.refused) and _asks_matrix(spec):
        return [], mistakes
    make = _Maker(pipeline, spec, Needs(spec, edges[name], instances))
    tasks: list[PlannedTask] = []
    for id_, matrix in expanded:
        while True:
            try:
                tasks.append(make.task(id_, matrix))
            except _BadInstance as error:
                place = pipeline.place(name, *error.path)
                headline = error.headline if matrix is None else f"for {id_}: {error.headline}"
                mistakes.append(Mistake(error.code, place, headline, error.help, needle=error.needle))
                make.pass_over(error.path)  # what is wrong with it in other instances is likely to be the same
            else:
                break
    return tasks, mistakes + _pointless(pipeline, name, make.answers, tasks)


def _axes(
    pipeline: Pipeline, spec: TaskSpec, instances: Mapping[str, Instances], mistakes: list[Mistake]
) -> Iterable[tuple[str, Mapping[str, object]]] | None:
    """The instances of a matrix; None where there is no matrix, or something is wrong with it."""
    matrix, name = spec.table.matrix, spec.name
    if matrix is None:
        return None
    for axis, written in matrix.axes.items():
        if isinstance(written, Like) and not (written.task in instances and instances[written.task].has((axis,))):
            return None  # there is no such axis, or there are mistakes in its task: both are told there

    def axis_of(task: str, axis: str) -> tuple[object, ...]:
        return instances[task].values(axis)

    try:
        return expand(name, matrix, pipeline.document.home(pipeline.place(name, "matrix")), axis_of)
    except Findings as error:
        for each in error.findings:
            place = pipeline.place(name, "matrix", *each.below)
            mistakes.append(Mistake("bad-matrix", place, each.headline, each.help, at_key=each.at_key))
        return None


def _asks_matrix(spec: TaskSpec) -> bool:
    """Whether nothing can be said of the task without its matrix."""
    asked = spec.table.if_.names if spec.table.if_ else ()
    return any(each.namespace == "matrix" for _, each in spec.references) or any(
        name.namespace == "matrix" for name in asked
    )


def _pointless(pipeline: Pipeline, name: str, answers: Answers | None, tasks: Sequence[PlannedTask]) -> list[Mistake]:
    """What is wrong with an ``if`` after it was asked for every instance."""
    if answers is None:
        return []
    place = pipeline.place(name, "if")
    if answers.pointless:
        return [Mistake("bad-condition", place, e.headline, e.help, needle=e.text) for e in answers.pointless]
    if answers.constant and all(task.skipped for task in tasks):
        what = "the task" if tasks[0].matrix is None else "every instance"
        headline = f"is false for {what}, whatever vars and the environment are"
        return [Mistake("unreachable-if", place, headline, "it asks neither: leave the task out, or ask vars or env")]
    return []


class Needs:
    """What the instances of one task need: mostly all the same, with ``match`` each its own."""

    def __init__(self, spec: TaskSpec, edges: Mapping[str, Edge], instances: Mapping[str, Instances]) -> None:
        # One tuple for all instances: a thousand that need a thousand are not a million names in memory.
        self._needs: list[Need] = []
        self._matched: dict[str, tuple[tuple[str, ...], dict[tuple[object, ...], Need]]] = {}
        nobody = Instances(())
        for name, edge in edges.items():
            if edge.orders_only:
                continue
            needed = instances.get(name, nobody)
            if edge.match and needed.has(edge.match):
                found = needed.matched(edge.match)
                groups = {
                    key: Need(name, tuple(counting or every), tuple(every), edge.status, matched=True)
                    for key, (counting, every) in found.items()
                }
                self._matched[name] = (edge.match, groups)
            self._needs.append(Need(name, needed.ids, needed.every, edge.status))
        self._referred = {each.path[0] for _, each in spec.references if each.namespace == "tasks"}
        self._same = (tuple(self._needs), self._used(self._needs))
        self._by_values: dict[tuple[object, ...], tuple[tuple[Need, ...], frozenset[str]]] = {}

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
                    raise _BadInstance(
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


class _BadInstance(Exception):
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
_NOTHING: frozenset[str] = frozenset()


class _Maker:
    """Makes the instances of one task."""

    def __init__(self, pipeline: Pipeline, spec: TaskSpec, needs: Needs) -> None:
        table, document = spec.table, pipeline.document
        self._needs = needs
        self._name = spec.name
        self._root = document.folder
        home = document.home(("tasks", spec.name))
        homes = {key: document.home(pipeline.place(spec.name, key)) for key in ("cwd", "inputs", "outputs")}
        self._homes = homes
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
        self._names = {**_FIELDS, kind: "target"}
        # What all instances share, made once: of a hundred thousand each is then little more than its own values.
        self._shared: dict[str, Any] = {
            "name": spec.name,
            "kind": kind,
            "base": relative(homes["cwd"], self._root),
            "retries": table.retries,
            "uses": table.uses,
            "condition": table.if_.text if table.if_ else None,
        }
        for key, value in fields.items():
            self._shared[self._names[key]] = value if key in self._filled else self._located(key, value)
        if table.cwd is None:
            self._shared["cwd"] = relative(home, self._root)
        self.answers = Answers(table.if_, spec.asked.__getitem__) if table.if_ else None

    def task(self, id_: str, matrix: Mapping[str, object] | None) -> PlannedTask:
        skipped = self._skipped(matrix)
        # What does not run needs nothing, and takes no results.
        needs, used = ((), _NOTHING) if skipped else self._needs.of(id_, matrix)
        made = self._shared
        if self._filled:
            made = dict(made)
            for key, value in self._filled.items():
                made[self._names[key]] = self._located(key, self._fill(key, value, id_, matrix or {}))
        return PlannedTask(
            id=id_,
            matrix=cast("Mapping[str, Json] | None", matrix),
            needs=needs,
            uses_results=used,
            skipped=skipped,
            **made,
        )

    def pass_over(self, path: tuple[str | int, ...]) -> None:
        """Look no further at a key that was found to be wrong in an instance."""
        if path == ("if",):
            self.answers = None
        elif path == ("needs",):
            self._needs.match_nothing()
        else:
            del self._filled[str(path[-1])]

    def _skipped(self, matrix: Mapping[str, object] | None) -> bool:
        if self.answers is None:
            return False
        try:
            return not self.answers.of(matrix or {})
        except Senseless as error:
            raise _BadInstance(("if",), error.headline, error.help, "bad-condition", error.text) from None
        except LookupError as error:
            raise _BadInstance(("if",), str(error.args[0]), None, "bad-condition") from None

    def _located(self, key: str, value: object) -> object:
        """A path, or several, as the plan has them; what waits until the run, and what is no path, stays as it is."""
        if key not in self._homes:
            return value
        if isinstance(value, tuple):
            return tuple(self._located(key, each) for each in value)
        return located(value, self._homes[key], self._root) if isinstance(value, str) else value

    def _fill(self, key: str, value: object, id_: str, matrix: Mapping[str, object]) -> object:
        path = ("on", key) if key in ("success", "failure") else (key,)

        def lookup(reference: Reference) -> object:
            if reference.namespace == "matrix":
                return follow(matrix, reference.path, "matrix")
            return id_ if reference.path == ("id",) else self._name

        try:
            filled = _filled(value, lookup)
            if key in ("success", "failure"):
                return values.function_path(filled)
            if key in _TEXTS:
                _check_texts(filled)
            return _CHECKS[key](filled) if key in _CHECKS and not isinstance(filled, Template) else filled
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


def _filled(value: object, lookup: Callable[[Reference], object]) -> object:
    if isinstance(value, Template):
        return resolve_some(value, _of_instance, lookup)
    if isinstance(value, dict):
        return {key: _filled(each, lookup) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_filled(each, lookup) for each in value)
    if isinstance(value, list):
        return [_filled(each, lookup) for each in value]
    return value
