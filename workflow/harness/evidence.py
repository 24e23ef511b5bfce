"""What is known of one run under faults, when it is over, and what had been expected of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from workflow.harness.census import Sample, Sighting
from workflow.harness.journal import Entry, Spoilt
from workflow.harness.kinds import Kind

OUTCOMES = frozenset(
    {"succeeded", "failed", "timed_out", "crashed", "memory_exceeded", "cancelled", "skipped", "cached"}
)
NOT_EXPECTED: frozenset[str | None] = frozenset({None})


class Struck(NamedTuple):
    """Something that was done to the run from outside."""

    at_s: float
    """Monotonic."""
    role: str
    """Of the process that was hit; ``group`` for the whole process group of the run."""
    pid: int
    signal: str


class Second(NamedTuple):
    """What came of a run behind the one that was hurt."""

    exit_code: int | None
    """None: it did not end in time."""
    report: Mapping[str, Any] | None
    stderr: str


class Recorded(NamedTuple):
    """What the database says of a run."""

    exit_code: int | None
    """None: it has not been told how it ended."""
    outcomes: Mapping[str, str]
    """Of each task that has ended, by id."""


class Resumed(NamedTuple):
    """What came of ``workflow run --resume`` of the run that was hurt, with nothing that hurts it."""

    exit_code: int | None
    """None: it did not end in time."""
    run: str
    """Id of the run that was resumed."""
    report: Mapping[str, Any] | None
    journal: Sequence[Entry]
    stderr: str


@dataclass(frozen=True, slots=True)
class ExpectedTask:
    """What one task has to come to."""

    outcomes: frozenset[str] = frozenset({"succeeded"})
    """It is one of these."""
    callback: frozenset[str | None] | None = None
    """Outcome of its callback, None in it for no callback; None altogether: any, so long as there was at most one."""
    faults: tuple[str, ...] = ()
    """Kinds that must have fired."""
    timeout_s: float | None = None
    grace_s: float = 5.0
    attempts: int | None = None
    attempts_more: int = 0
    """So many more are as good: what blows from outside may have cost it."""
    retries: int = 0
    """How often it is tried again, whatever ends an attempt."""
    needs: tuple[str, ...] = ()
    """Ids of the tasks whose success it waits for."""
    allow_failure: bool = False
    """Whether the exit code does not count it."""
    signal: str | None = None
    exit_code: int | None = None
    error: str | None = None
    says: str = ""
    stack: str = ""
    traceback: str = ""
    left: int | None = None
    digest: str | None = None
    """Of its result without the fault; None: not compared."""
    callback_error: str | None = None
    """Type of the error that its callback is told to have ended with."""


def struck_by(kind: Kind, **more: object) -> ExpectedTask:
    """What a task has to come to that this kind of fault strikes, at its last attempt and as the only one.

    ``more`` are fields that the kind says nothing of, or in which the task differs from what it says.
    """
    said: dict[str, object] = {
        "outcomes": frozenset({kind.outcome}),
        "callback": frozenset({kind.callback or "succeeded"}),
        "callback_error": kind.callback_error,
        "faults": (kind.id,),
        "attempts": 1,
        "signal": kind.signal,
        "exit_code": kind.exit_code,
        "error": kind.error,
        "says": kind.says,
        "stack": kind.stack,
        "traceback": kind.traceback,
        "left": kind.left or None,
    }
    return ExpectedTask(**{**said, **more})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run has to come to."""

    tasks: Mapping[str, ExpectedTask]
    """By id; every task of the run."""
    exit_codes: frozenset[int] = frozenset({0})
    longest_s: float = 60.0
    """By when it must have ended by itself."""
    report: bool = True
    """Whether it lives to write one."""
    says: str = ""
    """Part of what it tells on stderr."""
    gone_s: float = 2.0
    """How long after its own end (or that of the parent, if that was killed) its processes may take."""
    tracebacks: int = 0
    """How many it may show on stderr: those of a program of its own."""
    once: bool = True
    """Whether no attempt may have begun twice."""
    succeeding: frozenset[str] = frozenset()
    """Tasks that succeed when nothing hurts them, as when the run is resumed."""
    takes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Ids of the tasks whose ends are part of a task's key, by its id."""
    reading: frozenset[str] = frozenset()
    """Tasks with files in their keys, which those that run again may change."""
    unsteady: frozenset[str] = frozenset()
    """Tasks whose result may have another digest once it has travelled: what their callbacks get is not compared."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came of it."""

    exit_code: int | None
    """None: it did not end in time and was killed; negative: the signal that killed it."""
    began_s: float
    ended_s: float
    """Of the run's own process, monotonic."""
    stdout: str
    stderr: str
    report: Mapping[str, Any] | None
    events: Sequence[Mapping[str, Any]] | None
    journal: Sequence[Entry]
    sightings: Sequence[Sighting]
    left: Sequence[str]
    """What was still there when everything should have been gone, for people."""
    struck: Sequence[Struck] = ()
    missed: Sequence[str] = ()
    """What should have been done to the run from outside and could not be."""
    point: str | None = None
    """What struck at a point of the engine, when something did."""
    stacks: str = ""
    """Of every process, if the run hung."""
    samples: Sequence[Sample] = ()
    """What the engine's processes held, look by look."""
    spoilt: Sequence[Spoilt] = ()
    """What the journal has, or had, that is not ours: it may lack what was noted."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """The end of what tasks printed, by id: first of those that did not succeed, then of others, and not of too many.

    A story quotes them, for the folder that it names is gone by then."""
    second: Second | None = None
    """Of the run behind it, where there was one."""
    recorded: Recorded | None = None
    """None where it cannot be read, or knows nothing of the run."""
    resumed: Resumed | None = None
    """Of the same run, finished; None where there was nothing to resume."""
    program: bool = False
    """Whether it was a program of its own: then ``report`` is its account, and there are no events."""
    tasks: Mapping[str, Mapping[str, Any]] = field(init=False)
    """Of the report, by id."""

    def __post_init__(self) -> None:
        tasks = () if self.report is None else self.report["tasks"]
        object.__setattr__(self, "tasks", {task["id"]: task for task in tasks})
