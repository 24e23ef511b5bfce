"""A planned task to the ``InfoTask`` that runs: the last place that knows a task was once a table of a file.

What the results of other tasks say is filled in here, when they are known.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from glob import escape, has_magic
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from workflow.attempt_text import AttemptText
from workflow.errors import WorkflowError
from workflow.info_task import InfoTask, RetryPolicy
from workflow.outcome import Outcome
from workflow.plan.key import Filled
from workflow.plan.plan import Deferred, Ended, PlannedTask
from workflow.spec.reference import Reference, Template, as_text, describe, follow, resolve_some


class MissingResult(WorkflowError):
    """A task cannot be made, because a result is not what its reference expects.

    Raised when the task may start and not before: only then is the result known.  The task never began; the fault
    is between the task that returned the value and the file that refers into it.
    """

    def __init__(self, task: str, reference: str, reason: str) -> None:
        super().__init__(task, reference, reason)
        self.task = task
        self.reference = reference
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.task} cannot start: {self.reference}: {self.reason}"


class Surroundings(NamedTuple):
    """What a task can refer to of the run it is part of."""

    root: str
    """Absolute; what relative paths of the plan are relative to."""
    run_id: str
    run_dir: str
    """Absolute."""
    seed: int
    """Of the run, from 0 to 2³²-1."""
    secrets: Mapping[str, str] = MappingProxyType({})


def compile_task(
    task: PlannedTask, results: Mapping[str, Ended], around: Surroundings, *, keep_output: bool = True
) -> InfoTask:
    """The task as it is pushed; ``results`` says of each of ``task.uses_results``, by id, how it ended.

    Without ``keep_output``, what a command prints goes to its log alone, as it comes, and its result is None: for
    commands whose result nobody takes.

    Raises MissingResult where a reference finds nothing, or finds what cannot become text where text is needed.
    """
    pattern = _patterns.get(task.name)
    if pattern is not None and pattern.fits(task, around.root, keep_output):
        made = pattern.instance(task, around.seed)
        if made is not None:
            return made
    made = _compiled(task, results, around, keep_output)
    if not isinstance(task.cwd, Template) and _is_filled(task.env.values()):
        if len(_patterns) >= _PATTERNS_MAX:
            _patterns.clear()
        _patterns[task.name] = _Pattern(task, made, around.root, keep_output)
    return made


def _compiled(task: PlannedTask, results: Mapping[str, Ended], around: Surroundings, keep_output: bool) -> InfoTask:
    target: object = task.target
    args: object = task.args
    kwargs: object = task.kwargs
    env: object = task.env
    fill = _Filler(task, results, around)
    target, args, kwargs, env = fill(target), fill(args), fill(kwargs), fill(env)
    cwd = task.cwd if isinstance(task.cwd, str) else os.path.join(task.base, str(fill(task.cwd)))
    module, arguments, keywords = _what_runs(task.kind, target, args, kwargs)
    seed = task.seed if task.seed is not None else derived_seed(around.seed, task.id)
    if task.kind in ("cmd", "shell"):
        if not keep_output:
            keywords = {"keep": False}
        env = {**_table(env), "WORKFLOW_SEED": str(seed)}
    try:
        return InfoTask(
            module,
            task.timeout_s,
            *arguments,
            kwargs=keywords or None,
            id=task.id,
            grace=task.grace_s,
            callback_timeout=task.callback_timeout_s,
            env=env or None,
            cwd=os.path.normpath(os.path.join(around.root, cwd)),
            retries=_retries(task, around.seed),
            deadline=task.deadline_s,
            seed=None if task.kind in ("cmd", "shell") else seed,
            outputs=tuple(_path(around.root, each) for each in task.outputs) or None,
            memory=task.memory_bytes,
            priority=task.priority,
            isolate=task.isolate,
            on_success=task.on_success,
            on_failure=task.on_failure,
        )
    except (TypeError, ValueError) as error:  # only results are not checked before: a NUL for the environment
        raise MissingResult(task.id, _first_reference(task), str(error)) from None


class _Pattern:
    """What became of one instance of a task, and of which the others are made that differ only in what they run.

    To compile each of a hundred thousand instances from the beginning takes longer than to run them: the same limits
    are checked and the same folder is found each time.  So an instance is compared with one that was compiled, in
    everything that is not its own, and is made like that one when all is the same and nothing in it waits for a result.
    """

    __slots__ = ("_common", "_env", "_keep_output", "_keywords", "_made", "_root")

    def __init__(self, task: PlannedTask, made: InfoTask, root: str, keep_output: bool) -> None:
        self._common = _COMMON(task)
        self._made = made
        self._env = made.env
        self._keywords = made.kwargs is not None
        self._root = root
        self._keep_output = keep_output

    def fits(self, task: PlannedTask, root: str, keep_output: bool) -> bool:
        """Whether an instance, but for what it runs, is as the one that was compiled."""
        return self._common == _COMMON(task) and self._keep_output == keep_output and self._root == root

    def instance(self, task: PlannedTask, run_seed: int) -> InfoTask | None:
        """The task as it is pushed; None where it has to be compiled from the beginning."""
        seed = task.seed if task.seed is not None else derived_seed(run_seed, task.id)
        retries = _retries(task, run_seed)
        if task.kind in ("cmd", "shell"):
            if not _is_filled((task.target,)):
                return None
            _, arguments, _ = _what_runs(task.kind, task.target, (), {})
            env = {**(self._env or {}), "WORKFLOW_SEED": str(seed)}
            return self._made.like(arguments, id=task.id, seed=None, env=env, retries=retries)
        if not _is_filled(task.args) or (task.kwargs and not _is_filled(task.kwargs.values())):
            return None
        module, arguments, keywords = _what_runs(task.kind, task.target, task.args, task.kwargs)
        if keywords or module != self._made.module or self._keywords:
            return None
        return self._made.like(arguments, id=task.id, seed=seed, env=self._env, retries=retries)


_COMMON = attrgetter(
    "kind",
    "timeout_s",
    "grace_s",
    "callback_timeout_s",
    "env",
    "cwd",
    "deadline_s",
    "outputs",
    "memory_bytes",
    "priority",
    "isolate",
    "on_success",
    "on_failure",
)
"""All that ``_compiled`` looks at, but for what is an instance's own."""
_NO_RETRIES = RetryPolicy()
_NO_RETRIES_HELD = RetryPolicy(held=True)
_PATTERNS_MAX = 1000
_patterns: dict[str, _Pattern] = {}
"""By the task's name.  A memo: what it says is compared with each instance, whoever's it is."""
_PLAIN = frozenset({str, int, float, bool, type(None)})


def _is_filled(values: Iterable[object]) -> bool:
    """Whether none of them waits for a result, or for the run."""
    for value in values:
        if type(value) in _PLAIN:
            continue
        if isinstance(value, Mapping):
            value = value.values()  # noqa: PLW2901  what is in it
        elif not isinstance(value, (list, tuple)):
            return False
        if not _is_filled(value):
            return False
    return True


def filled(task: PlannedTask, results: Mapping[str, Ended], around: Surroundings) -> Filled:
    """What ``compile_task`` makes a task of, for its key.  Raises MissingResult."""
    fill = _Filler(task, results, around, for_key=True)
    env = {name: fill(value) for name, value in task.env.items()}
    cwd = task.cwd if isinstance(task.cwd, str) else os.path.join(task.base, str(fill(task.cwd)))
    return Filled(fill(task.target), fill(task.args), fill(task.kwargs), env, os.path.normpath(cwd))


def derived_seed(run: int, task: str) -> int:
    """The seed of a task that has none of its own: the first four bytes of a SHA-256, so the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{run}:{task}".encode()).digest()[:4], "big")


def _retries(task: PlannedTask, run_seed: int) -> RetryPolicy:
    """With jitter from the run's seed and the task's id; its own seed may be that of all instances of a matrix.

    Where tokens are used, who gives them out is asked before each attempt.
    """
    if not task.retries.max:
        return _NO_RETRIES_HELD if task.uses else _NO_RETRIES
    return task.retries._replace(seed=derived_seed(run_seed, f"{task.id}:retries"), held=bool(task.uses))


def _path(root: str, path: str) -> str:
    """Absolute; only what the file says is a pattern, not the folder in which that lies."""
    return os.path.join(escape(root) if has_magic(path) else root, path)


def _table(value: object) -> dict[str, object]:
    return dict(value) if type(value) is dict or isinstance(value, Mapping) else {}


def _what_runs(
    kind: str, target: object, args: object, kwargs: object
) -> tuple[str, tuple[object, ...], dict[str, object]]:
    if kind == "cmd":
        return "workflow.tasks.Command", (list(target) if isinstance(target, tuple) else [target],), {}
    if kind == "shell":
        return "workflow.tasks.Shell", (target,), {}
    positional = tuple(args) if isinstance(args, (tuple, list)) else ()
    keywords = _table(kwargs)
    if kind == "module":
        return str(target), positional, keywords
    return "workflow.tasks.Call", (target, list(positional), keywords), {}


_ATTEMPT = Reference("task", ("attempt",))


def _is_known(reference: Reference) -> bool:
    """When a task is made; the number of its attempt comes later."""
    return reference != _ATTEMPT


def _for_each_attempt(value: object) -> object:
    if not isinstance(value, Template):
        return value
    if value.mode == "value" and value.parts == (_ATTEMPT,):
        return AttemptText((None,))
    # A text that is the number alone would be taken for the number itself.
    parts = ("", *value.parts) if len(value.parts) == 1 else value.parts
    return AttemptText(tuple(part if isinstance(part, str) else None for part in parts))


class _Filler:
    """Puts what became of other tasks in the place of references."""

    def __init__(
        self, task: PlannedTask, results: Mapping[str, Ended], around: Surroundings, *, for_key: bool = False
    ) -> None:
        self._task = task.id
        self._for_key = for_key
        self._needs = {need.name: need for need in task.needs if not need.by_files}
        self._results = results
        self._around = around

    def __call__(self, value: object) -> object:
        if isinstance(value, Template):
            return self._text(value)
        if isinstance(value, tuple):
            return tuple(self(each) for each in value)
        if isinstance(value, list):
            return [self(each) for each in value]
        if isinstance(value, Mapping):
            return {key: self(each) for key, each in value.items()}
        return value

    def _text(self, template: Template) -> object:
        last = template.references[0]
        alone = template.mode == "value" and len(template.parts) == 1

        def lookup(reference: Reference) -> object:
            nonlocal last
            last = reference
            try:
                return _handed_on(self._value(reference), read=not alone)
            except LookupError as error:
                raise MissingResult(self._task, str(reference), str(error.args[0])) from None

        try:
            text = _for_each_attempt(resolve_some(template, _is_known, lookup))
        except (TypeError, ValueError, RecursionError):
            raise MissingResult(self._task, str(last), self._not_text(last)) from None
        if template.mode != "value" and isinstance(text, str) and "\0" in text:
            raise MissingResult(
                self._task, str(last), "the result holds a NUL character, which no process can be given"
            )
        return text

    def _value(self, reference: Reference) -> object:
        if reference.namespace == "run":
            return self._around.run_id if reference.path == ("id",) else self._around.run_dir
        if reference.namespace == "secrets":
            return self._around.secrets[reference.path[0]]
        name, part, *path = reference.path
        value: object
        if part == "result":
            value = self._one(reference)
        elif part == "results":
            value = [ended.result for _, ended in self._all(reference) if _succeeded(ended)]
        else:
            value = [_item(id_, ended, for_key=self._for_key) for id_, ended in self._all(reference)]
        walked = "the result" if part == "result" else f"{name}.{part}"
        for step in path:
            value = follow(_handed_on(value, read=True) if isinstance(value, Deferred) else value, (step,), walked)
            walked += f".{step}"
        return value

    def _one(self, reference: Reference) -> object:
        name = reference.path[0]
        need = self._needs.get(name)
        # Of a matrix it is the one instance that ``match`` paired: the plan has made sure that there is one.
        id_ = need.every[0] if need is not None and need.matched else name
        ended = self._results.get(id_)
        if ended is None:
            raise MissingResult(self._task, str(reference), f"the result of {id_!r} is not there")
        if not _succeeded(ended):
            raise MissingResult(self._task, str(reference), f"{id_} has no result, it ended as {ended.outcome}")
        return ended.result

    def _all(self, reference: Reference) -> list[tuple[str, Ended]]:
        """Every instance of a task, in matrix order."""
        found = []
        need = self._needs.get(reference.path[0])
        for id_ in need.every if need is not None else ():
            if id_ not in self._results:
                raise MissingResult(self._task, str(reference), f"how {id_!r} ended is not known")
            found.append((id_, self._results[id_]))
        return found

    def _not_text(self, reference: Reference) -> str:
        """Which result has no form as text: among many, the first."""
        part, path = reference.path[1], reference.path[2:]
        if part != "result" and not path:
            for id_, ended in self._all(reference):
                try:
                    as_text(_handed_on(ended.result, read=True))
                except (TypeError, ValueError, RecursionError):
                    shown = describe(_handed_on(ended.result, read=True))
                    return f"the result of {id_} is {shown}, which has no form as text"
        whole = "the result" if part == "result" else ".".join(reference.path)
        return f"{whole} is {describe(_handed_on(self._value(reference), read=True))}, which has no form as text"


def _handed_on(value: object, *, read: bool) -> object:
    """A value of a reference with what stands for large results: ``read``, or as the worker gets it.

    Raises LookupError with a sentence.
    """
    if isinstance(value, list):  # maybe results, or items
        return [_one_handed_on(each, read=read) for each in value]
    return _one_handed_on(value, read=read)


def _one_handed_on(value: object, *, read: bool) -> object:
    if isinstance(value, Deferred):
        if value.problem is not None:
            raise LookupError(value.problem)
        return value.read() if read else value.whole()
    if isinstance(value, dict) and isinstance(value.get("result"), Deferred):
        return {**value, "result": _one_handed_on(value["result"], read=read)}
    return value


def _succeeded(ended: Ended) -> bool:
    return Outcome(ended.outcome).is_success


def _item(id_: str, ended: Ended, *, for_key: bool) -> dict[str, object]:
    # Cached is as good as succeeded: were they two things in a key, who takes items would run once more for nothing.
    outcome = Outcome.SUCCEEDED.value if for_key and ended.outcome == Outcome.CACHED.value else ended.outcome
    return {
        "id": id_,
        "matrix": None if ended.matrix is None else dict(ended.matrix),
        "outcome": outcome,
        "result": ended.result if _succeeded(ended) else None,
    }


def _first_reference(task: PlannedTask) -> str:
    names = [need.name for need in task.needs if not task.uses_results.isdisjoint(need.ids)]
    return f"results of {', '.join(names)}"
