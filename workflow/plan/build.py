"""A ``Pipeline`` to a ``Plan``: order the tasks, expand their matrices, and find what does not fit together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from workflow.diagnostics.mistake import Mistake
from workflow.plan.expand import Rows, expand
from workflow.plan.files import Clash, Makers, canonical, edges_of, implied_needs
from workflow.plan.graph import Edge, Edges, order, read_edges
from workflow.plan.instances import Instances, Maker, Needs, has_axes, located, planned, relative
from workflow.plan.kept import Facts, environ_facts, file_fact, glob_fact
from workflow.plan.plan import (
    Halt,
    Plan,
    PlannedTask,
    SecretSource,
    Settings,
    TokenLimit,
    count_failures,
)
from workflow.plan.printing import plan_hash
from workflow.plan.resolved import resolved
from workflow.plan.tasks import Group, Listed, Tasks, Whole
from workflow.spec.checks import SecretTable
from workflow.spec.condition import Answers
from workflow.spec.document import read_document
from workflow.spec.load import check_document
from workflow.spec.matrix import Findings, Glob, Like, Lines
from workflow.spec.pipeline import Pipeline, TaskSpec, raise_mistakes


def build_plan(pipeline: Pipeline) -> Plan:
    """The plan of a pipeline.  Raises InvalidPipeline where its tasks do not fit together."""
    plan, mistakes = _planned(pipeline)
    raise_mistakes(pipeline.document, mistakes)
    return hashed_plan(plan)


def load_plan(
    path: Path,
    variables: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    sets: Sequence[str] = (),
    hashed: bool = True,
) -> Plan:
    """Load a file and plan it.  Raises InvalidPipeline with the mistakes of both.

    Without ``hashed`` the plan has no hash, for which every task has to be looked at.
    """
    return _loaded(path, variables, profile, sets, want_facts=False, hashed=hashed)[0]


def load_plan_and_facts(
    path: Path,
    variables: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    sets: Sequence[str] = (),
    hashed: bool = True,
) -> tuple[Plan, Facts | None]:
    """The same, with what the plan was made from, and in it the file as everything together makes it."""
    return _loaded(path, variables, profile, sets, want_facts=True, hashed=hashed)


def _loaded(
    path: Path,
    variables: Mapping[str, str] | None,
    profile: str | None,
    sets: Sequence[str],
    *,
    want_facts: bool,
    hashed: bool,
) -> tuple[Plan, Facts | None]:
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
    return hashed_plan(plan) if hashed else plan, facts


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
    instances: dict[str, Whole] = {}
    for name in ordered:
        instances[name], wrong = _instances(pipeline, pipeline.tasks[name], edges, instances)
        mistakes += wrong
    tasks = Tasks(instances[name] for name in ordered)
    if any(spec.table.outputs for spec in pipeline.tasks.values()):
        tasks, wrong = _tied_by_files(pipeline, tasks, instances, edges)
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
    return plan, mistakes


def hashed_plan(plan: Plan) -> Plan:
    """The same plan with its hash."""
    return replace(plan, hash=plan_hash(plan))


def _tied_by_files(
    pipeline: Pipeline, tasks: Tasks, instances: Mapping[str, Whole], edges: Edges
) -> tuple[Tasks, list[Mistake]]:
    """The same tasks with what their inputs make them need, in an order in which that comes first too."""
    makers = Makers(tasks, str(pipeline.document.folder))
    mistakes = [_clash_mistake(pipeline, tasks, clash) for clash in makers.clashes]
    implied = implied_needs(tasks, makers)
    own: set[str] = set()
    for _, task in tasks.having("inputs"):
        if task.outputs and task.name not in own and (wrong := _reads_itself(pipeline, task)):
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
        for start, group in zip(tasks.starts, tasks.groups, strict=True):
            ties = {number - start: implied[number] for number in range(start, start + len(group)) if number in implied}
            if ties:
                instances[group.name].tie(ties)
        position = {name: number for number, name in enumerate(ordered)}
        tasks = Tasks(sorted(tasks.groups, key=lambda group: position[group.name]))
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


def _settings(pipeline: Pipeline, tasks: int) -> Settings:
    table, document = pipeline.settings, pipeline.document
    halt: Halt = table.halt or ("never" if table.max_failures is None else "soon")
    written = table.max_failures if table.max_failures is not None else (None if halt == "never" else 1)
    homes = [relative(home, document.folder) for home in document.homes]
    folders = [
        located(each, relative(document.home(("pipeline", "path", number)), document.folder))
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
    home = relative(document.home(("secrets", name)), document.folder)
    value = secret.value
    if secret.source == "file" and isinstance(value, str):
        value = located(value, home)
    return SecretSource(secret.source, value, home)


def _instances(
    pipeline: Pipeline, spec: TaskSpec, edges: Edges, instances: Mapping[str, Group]
) -> tuple[Whole, list[Mistake]]:
    table, name = spec.table, spec.name
    mistakes: list[Mistake] = []
    rows = _rows(pipeline, spec, instances, mistakes)
    if rows is None and (table.matrix or "matrix" in spec.refused) and _asks_matrix(spec):
        return Listed(name, ()), mistakes
    maker = Maker(pipeline, spec, Needs(spec, edges[name], instances))
    group, bad = planned(name, maker, rows)
    for each in bad:
        place = pipeline.place(name, *each.path)
        mistakes.append(Mistake(each.code, place, each.headline, each.help, needle=each.needle))
    return group, mistakes + _pointless(pipeline, maker.answers, group)


def _rows(pipeline: Pipeline, spec: TaskSpec, instances: Mapping[str, Group], mistakes: list[Mistake]) -> Rows | None:
    """The instances of a matrix; None where there is no matrix, or something is wrong with it."""
    matrix, name = spec.table.matrix, spec.name
    if matrix is None:
        return None
    for axis, written in matrix.axes.items():
        if isinstance(written, Like) and not (written.task in instances and has_axes(instances[written.task], (axis,))):
            return None  # there is no such axis, or there are mistakes in its task: both are told there

    def axis_of(task: str, axis: str) -> Sequence[object]:
        group = instances[task]
        return group.rows.values_of(axis) if isinstance(group, Instances) else ()

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


def _pointless(pipeline: Pipeline, answers: Answers | None, group: Group) -> list[Mistake]:
    """What is wrong with an ``if`` after it was asked for every instance."""
    if answers is None:
        return []
    place = pipeline.place(group.name, "if")
    if answers.pointless:
        return [Mistake("bad-condition", place, e.headline, e.help, needle=e.text) for e in answers.pointless]
    if answers.constant and group.skipped == len(group):
        what = "the task" if isinstance(group, Listed) else "every instance"
        headline = f"is false for {what}, whatever vars and the environment are"
        return [Mistake("unreachable-if", place, headline, "it asks neither: leave the task out, or ask vars or env")]
    return []
