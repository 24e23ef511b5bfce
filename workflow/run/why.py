"""Why each task of a plan would run, be cached or be skipped, as far as that is known before anything has run.

What a task returns or writes is known only once it has run, so whatever takes a result of a task that will run, or
reads what it makes, counts as a task that will run too; it may still turn out to be cached, if that came out as before.
Secrets are not read for a look at a plan: parts of a key that hold one are taken to be as they were, and it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workflow.plan.compile import MissingResult, Surroundings
from workflow.plan.key import Parts, key_of
from workflow.plan.plan import Deferred, Ended, Plan, PlannedTask
from workflow.run.cache import RESULTS, Keys, find, is_forced, outputs_gone, read_result
from workflow.run.content import Contents
from workflow.run.database import NAME, Unusable
from workflow.run.inputs import Inputs
from workflow.run.ledger import KnownRun, Ledger, Made
from workflow.run.plain import Opaque, read_plain
from workflow.run.results import taken_by_others
from workflow.run.resume import CannotResume, Carried, Earlier, Resume, earlier_of, seed_of, stored_there
from workflow.run.stored import LARGE_BYTES, LostResult
from workflow.spec.reference import Template

Action = Literal["run", "cached", "carry", "skip"]


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
        ledger, problem = None, None if not (state_dir / NAME).exists() else str(error)
    look = _Look(plan, ledger, state_dir / RESULTS)
    told = [look.at(place, task) for place, task in enumerate(plan.tasks)]
    if ledger is not None:
        ledger.close()
    return told, problem or look.problem


def explain_resume(
    plan: Plan, state_dir: Path, resume: Resume, *, force: str | None, seed: int | None
) -> tuple[KnownRun, list[Why]]:
    """The run that would be completed, and what would become of each task.  Raises CannotResume, Unusable."""
    if not (state_dir / NAME).exists():
        raise CannotResume(f"there is no {state_dir / NAME}, so no run to resume: run it without --resume")
    with closing(Ledger(state_dir, create=False)) as ledger:
        earlier = earlier_of(ledger, plan.file, plan.root, len(plan.tasks), resume)
        look = _Look(plan, ledger, state_dir / RESULTS, earlier, force, seed)
        told = [look.at(place, task) for place, task in enumerate(plan.tasks)]
        if look.problem is not None:
            raise Unusable(look.problem)
        return earlier.run, told


class _Look:
    def __init__(
        self,
        plan: Plan,
        ledger: Ledger | None,
        kept: Path,
        earlier: Earlier | None = None,
        force: str | None = None,
        seed: int | None = None,
    ) -> None:
        self._ledger = ledger
        self.problem: str | None = None
        """Why the database cannot be used after all; then everything runs."""
        self._kept = kept
        self._earlier = earlier
        self._force = force
        self._root = str(plan.root)
        self._contents = Contents()
        self._inputs = Inputs(plan)
        self._taken = taken_by_others(plan.tasks)
        around = Surroundings(self._root, "", "", 0, dict.fromkeys(plan.settings.secrets, ""))
        chosen, seed_from = seed_of(seed, plan.settings, earlier)
        run_seed = None if seed_from == "drawn" else chosen
        self._keys = Keys(around, run_seed, b"", self._contents, self._taken)
        self._action: dict[str, Action] = {}
        self._ended: dict[str, Ended] = {}
        self._if_same: dict[str, list[str]] = {}
        """The secrets that have to be what they were, of tasks that depend on some and need not run."""

    def at(self, place: int, task: PlannedTask) -> Why:
        action, reasons = self._decide(place, task)
        self._action[task.id] = action
        if action == "skip":
            self._ended[task.id] = Ended(task.matrix, "skipped", None)
        empty = self._inputs.empty(task) if action != "skip" else []
        return Why(task.id, action, tuple(reasons), tuple(f"nothing matches its input {glob!r}" for glob in empty))

    def _decide(self, place: int, task: PlannedTask) -> tuple[Action, list[str]]:
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
        # What has outputs may turn out to be cached, once that is known.
        unless = "; cached if that is what it was" if task.outputs else ""
        reasons = [f"{self._first(need.every, 'run')} will run, and it takes its result{unless}" for need in taken]
        reasons += [
            f"{self._first(need.ids, 'run')} will run, and makes an input of it{unless}"
            for need in waits
            if need.by_files
        ]
        again: list[str] = []
        if self._earlier is not None and not reasons:
            again = self._carry(self._earlier, place, task)
            if not again:
                return "carry", ["it succeeded there", *self._ifs(task)]
        if task.outputs and is_forced(task, self._force):
            return "run", ["--force"]
        if not task.outputs and (again or self._earlier is not None):
            return "run", again or reasons
        if not task.outputs:
            if task.id in self._taken and not reasons:
                self._parts(task)
            return "run", ["it has no outputs: always runs"]
        if reasons:
            return "run", reasons
        parts = self._parts(task)
        if parts is None:
            return "run", ["its key cannot be made: an input cannot be read, or an argument cannot be compared"]
        if self._ledger is None:
            return "run", ["it has not succeeded yet"]
        made, reasons = self._find(self._ledger, task, parts)
        if made is None:
            of_run = [f"{reference} in it is another in each run" for reference in _of_run(task)]
            return "run", of_run or again or reasons
        if task.id in self._taken and made.result is not None:
            kept = read_result(self._kept, made.result)
            if kept is None:
                return "run", ["its result is taken by others, and was not kept"]
            result = read_plain(kept.pickled) if len(kept.pickled) <= LARGE_BYTES else _Large(kept.pickled)
            self._ended[task.id] = Ended(task.matrix, "cached", result)
        elif task.id in self._taken:
            self._ended[task.id] = Ended(task.matrix, "cached", None)
        return "cached", [f"run {made.run} has made it", *self._ifs(task)]

    def _ifs(self, task: PlannedTask) -> list[str]:
        """What has to hold of secrets, its own and of those whose results or files it takes, so it need not run."""
        secrets = set(_secrets(task))
        if self._if_same:
            made = [id_ for need in task.needs if need.by_files for id_ in need.every]
            secrets.update(*(self._if_same.get(id_, ()) for id_ in (*task.uses_results, *made)))
        if secrets:
            self._if_same[task.id] = sorted(secrets)
        return [f"if {reference} is what it was then" for reference in sorted(secrets)]

    def _carry(self, earlier: Earlier, place: int, task: PlannedTask) -> list[str]:
        """Why it would run again; nothing when it would be carried over, and then its result is known."""
        if is_forced(task, self._force):
            return ["--force"]
        try:
            parts = self._parts(task)
            if parts is not None and (secret := _with_secrets(task)):
                there = earlier.parts(place, task.id)
                parts = {**parts, **{part: there[part] for part in secret if part in there}}
                self._keys.settle(task, parts)
            found = earlier.find(place, task.id, parts, None if parts is None else key_of(parts), None)
            if not isinstance(found, Carried):
                return found
            assert self._ledger is not None
            gone = outputs_gone(self._ledger, self._contents, self._root, task, parts or {}, found.row.outputs)
            return gone or (self._take(task, found) if task.id in self._taken else [])
        except Unusable as error:
            self.problem = str(error)
            return ["what is known of it cannot be read"]

    def _take(self, task: PlannedTask, found: Carried) -> list[str]:
        result: object
        if found.row.result is not None:
            result = read_plain(found.row.result)
        elif found.row.stored is None:
            return ["its result is taken by others, and was not kept"]
        else:
            stored = stored_there(found.row, found.folder)
            try:
                result = None if stored is None else _Large(stored.pickled())
            except LostResult:
                result = None
            if result is None:
                return ["its result, which others take, is gone or damaged"]
        self._ended[task.id] = Ended(task.matrix, "succeeded", result)
        return []

    def _first(self, ids: Sequence[str], action: Action) -> str | None:
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


def _secrets(task: PlannedTask) -> list[str]:
    places = [task.args, task.kwargs, task.env]
    return sorted({text for value in places for namespace, text in _references(value) if namespace == "secrets"})


def _of_run(task: PlannedTask) -> list[str]:
    places = [task.target, task.args, task.kwargs, task.env, task.cwd]
    return sorted({text for value in places for namespace, text in _references(value) if namespace == "run"})


def _references(value: object) -> list[tuple[str, str]]:
    if isinstance(value, Template):
        return [(reference.namespace, str(reference)) for reference in value.references]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [found for each in value for found in _references(each)] if isinstance(value, (list, tuple)) else []
