"""Why each task of a plan would run, be cached or be skipped, as far as that is known before anything has run.

What a task returns or writes is known only once it has run, so whatever takes a result of a task that will run, or
reads what it makes, counts as a task that will run too; it may still turn out to be cached, if that came out as before.
Secrets are not read for a look at a plan: parts of a key that hold one are taken to be as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workflow.plan.compile import MissingResult, Surroundings
from workflow.plan.key import Parts, key_of
from workflow.plan.plan import Deferred, Ended, Plan, PlannedTask
from workflow.run.cache import RESULTS, Keys, find, keyed, read_result
from workflow.run.content import Contents
from workflow.run.database import Unusable
from workflow.run.inputs import Inputs
from workflow.run.ledger import Ledger, Made
from workflow.run.plain import Opaque, read_plain
from workflow.run.stored import LARGE_BYTES
from workflow.spec.reference import Template

Action = Literal["run", "cached", "skip"]


@dataclass(frozen=True, slots=True)
class Why:
    """What a run would do with one task."""

    id: str
    action: Action
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What may not be as it was meant."""


def explain(plan: Plan, state_dir: Path) -> tuple[list[Why], str | None]:
    """The tasks in the order of the plan; and why nothing is known of earlier runs, where that is so."""
    try:
        ledger, problem = Ledger(state_dir, create=False), None
    except Unusable as error:
        ledger, problem = None, None if not (state_dir / "runs.db").exists() else str(error)
    look = _Look(plan, ledger, state_dir / RESULTS)
    told = [look.at(task) for task in plan.tasks]
    if ledger is not None:
        ledger.close()
    return told, problem or look.problem


class _Look:
    def __init__(self, plan: Plan, ledger: Ledger | None, kept: Path) -> None:
        self._ledger = ledger
        self.problem: str | None = None
        """Why the database cannot be used after all; then everything runs."""
        self._kept = kept
        self._root = str(plan.root)
        self._contents = Contents()
        self._inputs = Inputs(plan)
        around = Surroundings(self._root, "", "", 0, dict.fromkeys(plan.settings.secrets, ""))
        self._keys = Keys(around, plan.settings.seed, b"", self._contents)
        self._wanted = keyed(plan.tasks)
        self._taken = frozenset(id_ for group in {task.uses_results for task in plan.tasks} for id_ in group)
        self._action: dict[str, Action] = {}
        self._ended: dict[str, Ended] = {}

    def at(self, task: PlannedTask) -> Why:
        action, reasons = self._decide(task)
        self._action[task.id] = action
        if action == "skip":
            self._ended[task.id] = Ended(task.matrix, "skipped", None)
        empty = self._inputs.empty(task) if action != "skip" else []
        return Why(task.id, action, tuple(reasons), tuple(f"nothing matches its input {glob!r}" for glob in empty))

    def _decide(self, task: PlannedTask) -> tuple[Action, list[str]]:
        if task.skipped:
            return "skip", [f"its `if` is false: {task.condition}"]
        for need in task.needs:
            if need.status == "success" and need.ids and (gone := self._first(need.ids, "skip")):
                return "skip", [f"it needs {gone}, which is skipped"]
            if need.status == "failure" and all(self._action[id_] != "run" for id_ in need.ids):
                return "skip", [f"it needs a failure of {need.name}, and there is none"]
        problem = self._inputs.problem(task)
        if problem is not None:
            return "run", [problem, "it fails if that is still so when it may start"]
        waits = [need for need in task.needs if self._first(need.every, "run")]
        taken = [need for need in waits if not need.by_files and not task.uses_results.isdisjoint(need.every)]
        reasons = [f"{self._first(need.every, 'run')} will run, and it takes its result" for need in taken]
        reasons += [
            f"{self._first(need.ids, 'run')} will run, and makes an input of it" for need in waits if need.by_files
        ]
        if not task.outputs:
            if task.id in self._wanted and not reasons:
                self._parts(task)
            return "run", ["it has no outputs: always runs"]
        if reasons:
            return "run", reasons
        parts = self._parts(task)
        if parts is None:
            return "run", ["its key cannot be made: an input cannot be read, or an argument cannot be compared"]
        if self._ledger is None:
            return "run", ["it has not been run yet"]
        made, reasons = self._find(self._ledger, task, parts)
        if made is None:
            of_run = [f"{reference} in it is another in each run" for reference in _of_run(task)]
            return "run", of_run or reasons
        if task.id in self._taken and made.result is not None:
            kept = read_result(self._kept, made.result)
            if kept is None:
                return "run", ["its result is taken by others, and was not kept"]
            result = read_plain(kept.pickled) if len(kept.pickled) <= LARGE_BYTES else _Large(kept.pickled)
            self._ended[task.id] = Ended(task.matrix, "cached", result)
        elif task.id in self._taken:
            self._ended[task.id] = Ended(task.matrix, "cached", None)
        return "cached", [f"run {made.run} has made it"]

    def _first(self, ids: tuple[str, ...], action: Action) -> str | None:
        return next((id_ for id_ in ids if self._action[id_] == action), None)

    def _parts(self, task: PlannedTask) -> Parts | None:
        try:
            return self._keys.parts(task, self._keys.filled(task, self._ended))
        except MissingResult:
            return None

    def _find(self, ledger: Ledger, task: PlannedTask, parts: Parts) -> tuple[Made | None, list[str]]:
        kept = self._kept if task.id in self._taken else None
        try:
            rows = ledger.made(self._root, task.id)
            secret = _with_secrets(task)
            for row in rows if secret else ():
                same = {part: row.parts[part] for part in secret if part in row.parts}
                if key_of({**parts, **same}) == row.key:
                    parts = {**parts, **same}
                    break
            else:
                if rows and secret:
                    parts = {**parts, **{part: rows[0].parts.get(part, "") for part in secret}}
            self._keys.settle(task, parts)
            return find(ledger, self._contents, self._root, task, parts, kept, write=False)
        except Unusable as error:
            self._ledger, self.problem = None, str(error)
            return None, ["what is known of it cannot be read"]


class _Large(Deferred):
    """A result that a run would have in a file: it goes into keys as its bytes there, and so it does here."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    @property
    def problem(self) -> str | None:
        return None

    def whole(self) -> object:
        return Opaque(self._pickled, "large result")

    def read(self) -> object:
        return read_plain(self._pickled)


def _with_secrets(task: PlannedTask) -> list[str]:
    """The parts of its key that hold a secret."""
    places: Mapping[str, object] = {"args": task.args, "kwargs": task.kwargs, "env": task.env}
    return [part for part, value in places.items() if any(each == "secrets" for each, _ in _references(value))]


def _of_run(task: PlannedTask) -> list[str]:
    places = [task.target, task.args, task.kwargs, task.env, task.cwd]
    return sorted({text for value in places for namespace, text in _references(value) if namespace == "run"})


def _references(value: object) -> list[tuple[str, str]]:
    if isinstance(value, Template):
        return [(reference.namespace, str(reference)) for reference in value.references]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [found for each in value for found in _references(each)] if isinstance(value, (list, tuple)) else []
