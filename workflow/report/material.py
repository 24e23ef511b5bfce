"""What reports for people and other programs are made of: the dictionary that ``report.json`` holds, and the logs.

A report can be made when its run ends or any time later from what the run left, so there is one form for both: the
shape of ``report.json`` (``models.py`` says what each field means), the run's folder for the ends of logs, and what
``graph.json`` keeps of the plan.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypedDict, cast

from workflow.outcome import ErrorRecord, Outcome
from workflow.report.alike import Failure, Kind, entries
from workflow.report.graph import GRAPH, Graph, read_graph
from workflow.report.records import RunRecord, TaskRecord, Verdict, count, headline
from workflow.report.regular import read_regular
from workflow.report.shapes import FORMAT, run_shape, task_shape


class ErrorPart(TypedDict):
    """What went wrong."""

    type: str
    message: str
    traceback: str | None
    stack: str | None


class AttemptPart(TypedDict):
    """One try of a task."""

    number: int
    outcome: str
    started_at: str
    duration_s: float
    pid: int | None
    exit_code: int | None
    signal: str | None
    left: int
    peak_rss_bytes: int | None
    cpu_s: float | None
    error: ErrorPart | None


class CallbackPart(TypedDict):
    """What became of a callback."""

    name: str
    outcome: str
    error: ErrorPart | None


class TaskPart(TypedDict):
    """A task."""

    id: str
    name: str
    matrix: dict[str, object] | None
    outcome: str
    reason: str | None
    flaky: bool
    carried_from: str | None
    duration_s: float | None
    attempts: list[AttemptPart]
    callback: CallbackPart | None
    log: str | None


class RunPart(TypedDict):
    """The run as a whole."""

    id: str
    name: str | None
    file: str
    plan_hash: str
    status: str
    exit_code: int
    started_at: str
    finished_at: str
    duration_s: float
    engine: str
    pool: int
    host: str
    python: str
    version: str
    git: str | None
    argv: list[str]
    seed: int


class Document(TypedDict):
    """``report.json``."""

    format: int
    run: RunPart
    counts: dict[str, int]
    tasks: list[TaskPart]


@dataclass(frozen=True)  # without slots, for what is kept of it
class Material:
    """One run, as a report is made of it."""

    document: Document
    folder: Path
    """Of the run."""
    graph: Graph | None = field(default=None)
    """None where nothing was kept of it."""

    @cached_property
    def failures(self) -> list[Failure[TaskPart]]:
        """What went wrong, as it is told: see ``alike``."""
        tasks = self.document["tasks"]
        return self.entries((task for task in tasks if Outcome(task["outcome"]).is_failure), Counter(_roots(tasks)))

    def entries(self, failed: Iterable[TaskPart], roots: Mapping[str, int]) -> list[Failure[TaskPart]]:
        """Tasks that went wrong as they are told; ``roots`` is how many were skipped because of each, by id."""
        return entries(Failure(task, task["id"], self._kind(task), roots.get(task["id"], 0)) for task in failed)

    def _kind(self, task: TaskPart) -> Kind:
        error = error_of(task)
        type_ = None if error is None else error["type"]
        return Kind(task["name"], Outcome(task["outcome"]), type_, headline_of(task), self.allowed(task))

    @property
    def ending(self) -> str | None:
        """Why the run ended before all tasks had run, which those that it did not run say."""
        tasks = self.document["tasks"]
        return next((task["reason"] for task in tasks if task["outcome"] == Outcome.CANCELLED and task["reason"]), None)

    def allowed(self, task: TaskPart) -> bool:
        """Whether the task was allowed to fail."""
        if self.graph is None:
            return self.document["run"]["exit_code"] == 0
        found = self._allowed.get(task["name"], False)
        return found if isinstance(found, bool) else task["id"] in found

    @cached_property
    def _allowed(self) -> dict[str, bool | frozenset[str]]:
        allowed = {name: part["allow_failure"] for name, part in (self.graph or {}).items()}
        return {name: each if isinstance(each, bool) else frozenset(each) for name, each in allowed.items()}


def material_of(
    run: RunRecord, verdict: Verdict, records: Mapping[int, TaskRecord], graph: Graph, folder: Path
) -> Material:
    """The material of a run that has just ended."""
    document = {
        "format": FORMAT,
        "run": run_shape(run, verdict),
        "counts": {outcome.value: number for outcome, number in count(records).items()},
        "tasks": [task_shape(records[number]) for number in sorted(records)],
    }
    return Material(cast(Document, document), folder, graph)


class Unreadable(Exception):
    """What a run left cannot be read; the message says why."""


def read_material(place: Path, absent: str | None = None) -> Material:
    """The material of a run from its folder, or of ``report.json``.

    Raises Unreadable; ``absent`` is what that says where there is no report.
    """
    from pydantic import ValidationError

    from workflow.report.models import Report

    path = place if place.is_file() else place / "report.json"
    folder = path.parent
    try:
        data = read_regular(path)
    except FileNotFoundError:
        message = absent or f"the run {folder.name} has no report: it goes on, or it was killed"
        raise Unreadable(message) from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        Report.model_validate_json(data, strict=True)
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        first = str(error).partition("\n")[0]
        if isinstance(error, ValidationError):
            wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
            first = ": ".join([*[".".join(map(str, wrong["loc"]))][: len(wrong["loc"])], wrong["msg"]])
        raise Unreadable(f"{path} is not a report that this version of workflow reads: {first}") from error
    return Material(document, folder, read_graph(folder / GRAPH))


def error_of(task: TaskPart) -> ErrorPart | None:
    """What went wrong at last."""
    return task["attempts"][-1]["error"] if task["attempts"] else None


def headline_of(task: TaskPart) -> str | None:
    """What went wrong, in one line."""
    error = error_of(task)
    if error is not None and task["reason"] is None:
        return headline(ErrorRecord(**error))
    return task["reason"]


def title_of(document: Document) -> str:
    """What people call the run."""
    run = document["run"]
    return run["name"] or Path(run["file"]).name


def _roots(tasks: Iterable[TaskPart]) -> list[str]:
    """The same for all skipped ones among them."""
    skipped = (task for task in tasks if task["outcome"] == Outcome.SKIPPED)
    return [root for task in skipped if (root := root_of(task)) is not None]


def root_of(task: TaskPart) -> str | None:
    """Of a skipped task the failure that is the root of it, as far as its reason says it."""
    found = _NEEDS.match(task["reason"] or "")
    return None if found is None else found["root"]


_NEEDS = re.compile(
    r"it needs (?:.+, which was skipped because )?(?P<root>.+?),?"
    r" (?:which )?(?:failed|timed out|crashed|exceeded its memory)$"
)
