"""A batch to be hurt: a pipeline file written from a few values, and what it has to come to.

Every batch has victims, each named after the kind of fault that strikes it, and neighbours, whose results are known
beforehand.  The file is a real one, and it is run by the real command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workflow.harness.blows import Blow
from workflow.harness.evidence import Expected, ExpectedTask, struck_by
from workflow.harness.experiment import Run
from workflow.harness.faulty import Strike, digest_of
from workflow.harness.injection import Injected
from workflow.harness.kinds import KINDS, Kind
from workflow.harness.neighbours import value_of

MODEL = "workflow.harness.neighbours.Neighbour"
HOOK = "workflow.harness.neighbours:take"
_MODULE = f"module = {json.dumps(MODEL)}"
_CALL = f"""call = "workflow.harness.neighbours:value_of"
on = {{ success = "{HOOK}", failure = "{HOOK}" }}"""
PLENTY_S = 30.0
CALLED: frozenset[str | None] = frozenset({"succeeded"})
"""A callback that was called, and did what it should."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is in the file."""

    kinds: Sequence[str] = ()
    """One victim for each, whose id is the kind's with ``_`` for ``.``; the second of a kind has ``_2`` behind it."""
    calls: Sequence[str] = ()
    """The same for victims that are plain functions with hooks; ``call_`` stands before their ids."""
    neighbours: int = 20
    neighbour_s: float = 0.005
    """How long each works."""
    pool: int = 2
    timeout_s: float = 0.8
    """Limit of each victim that reaches it; the others have more than they need, on a slow machine too."""
    grace_s: float = 0.4
    callback_timeout_s: float = 0.8
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields of ``ExpectedTask`` in which single victims differ from what their kind says, by id; a limit or grace
    among them stands in the file too."""
    lines: Mapping[str, str] = field(default_factory=dict)
    """More TOML of single victims, by id."""
    victims_first: bool = True
    settings: Mapping[str, object] = field(default_factory=dict)
    """More keys of [pipeline]."""
    first: str = ""
    """More TOML, in front of these tasks."""
    extra: str = ""
    """More TOML, at the end."""
    extra_tasks: Mapping[str, ExpectedTask] = field(default_factory=dict)
    """What the tasks in both have to come to."""
    extra_injected: Mapping[str, Injected] = field(default_factory=dict)
    """What is done to them."""

    @property
    def victims(self) -> dict[str, Kind]:
        """The victims, by id."""
        found: dict[str, Kind] = {}
        for prefix, name in (*(("", kind) for kind in self.kinds), *(("call_", kind) for kind in self.calls)):
            base = id_ = prefix + name.replace(".", "_")
            again = 1
            while id_ in found:
                again += 1
                id_ = f"{base}_{again}"
            found[id_] = KINDS[name]
        return found

    def write(self, folder: Path) -> Path:
        """Write the file."""
        settings = {"pool": self.pool, **self.settings}
        victims = "".join(
            f"[tasks.{id_}]\n{_CALL if id_.startswith('call_') else _MODULE}\nargs = [0]\n"
            f"timeout = {expected.timeout_s}\ngrace = {expected.grace_s}\n"
            f"callback_timeout = {self._callback_limit_s(self.victims[id_])}\n{self.lines.get(id_, '')}\n\n"
            for id_, expected in self._expected_victims().items()
        )
        neighbours = (
            f'[tasks.good]\nmodule = {json.dumps(MODEL)}\nargs = ["${{matrix.n}}", {self.neighbour_s}]\n'
            f"matrix = {{ n = {{ range = [0, {self.neighbours}] }} }}\n\n"
            if self.neighbours
            else ""
        )
        first, second = (victims, neighbours) if self.victims_first else (neighbours, victims)
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        file = folder / "pipeline.toml"
        file.write_text(f"[pipeline]\n{lines}\n{self.first}{first}{second}{self.extra}", encoding="utf-8")
        return file

    def run(self, folder: Path, blows: Sequence[Blow] = (), point: str | None = None) -> Run:
        """Write the file, and how it is run."""
        injected = {id_: Injected((Strike(kind.id, None),)) for id_, kind in self.victims.items()}
        injected.update(self.extra_injected)
        return Run((str(self.write(folder)),), injected=injected, blows=blows, point=point)

    def expected(self, **more: object) -> Expected:
        """What it has to come to, if nothing is done to it from outside."""
        tasks = self._expected_victims()
        for number in range(self.neighbours):
            tasks[f"good@{number}"] = ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(number)))
        tasks.update(self.extra_tasks)
        failing = any("succeeded" not in task.outcomes for task in tasks.values())
        return replace(
            Expected(
                tasks,
                frozenset({1 if failing else 0}),
                longest_s=self._longest_s(),
                succeeding=frozenset(tasks) - self.extra_tasks.keys(),
            ),
            **more,  # type: ignore[arg-type]
        )

    def _expected_victims(self) -> dict[str, ExpectedTask]:
        return {id_: replace(self._of_victim(kind), **self.changes.get(id_, {})) for id_, kind in self.victims.items()}

    def _of_victim(self, kind: Kind) -> ExpectedTask:
        comparable = kind.outcome == "succeeded" and not kind.tasks < KINDS["hang.sleep"].tasks
        return struck_by(
            kind,
            timeout_s=self._limit_s(kind),
            grace_s=self.grace_s,
            digest=digest_of(value_of(0)) if comparable else None,
        )

    def _limit_s(self, kind: Kind) -> float:
        return self.timeout_s if kind.hangs else PLENTY_S

    def _callback_limit_s(self, kind: Kind) -> float:
        return self.callback_timeout_s if kind.callback == "timed_out" else PLENTY_S

    def _longest_s(self) -> float:
        """The sum of all limits, and time for a slow machine."""
        victims = self._expected_victims().values()
        limits = sum(each.timeout_s + each.grace_s for each in victims if each.timeout_s and each.timeout_s < PLENTY_S)
        limits += (self.callback_timeout_s + 1) * len(self.victims)
        return 20 + limits + self.neighbours * (self.neighbour_s + 0.01)
