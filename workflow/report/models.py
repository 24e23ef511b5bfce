"""The forms of ``report.json``, ``manifest.json`` and of a line of ``events.jsonl``, as pydantic models.

They are the contract: the JSON Schemas are generated from them, and readers may validate with them.  What writes
the files builds plain dictionaries (``json_report``, ``manifest``, ``events``), and tests hold what it writes against
these models: a run then needs neither pydantic's import for its reports nor a model for each of a million events.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workflow.outcome import Outcome

Status = Literal["succeeded", "failed", "timed_out", "interrupted", "broken"]
ReportStatus = Literal["succeeded", "failed", "timed_out", "interrupted", "broken", "killed"]
CallbackOutcome = Literal["succeeded", "failed", "timed_out", "crashed"]


class Record(BaseModel):
    """Base of all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Error(Record):
    """What went wrong, as text."""

    type: str
    """Name of the exception's class, with its module unless it is a built-in."""
    message: str
    """The text of the exception."""
    traceback: str | None
    """As Python prints it, with causes, groups and notes; null where nothing was raised."""
    stack: str | None
    """Where a task that was killed or crashed was, in every thread of it."""


class AttemptFacts(Record):
    """What is known of one try of a task, wherever it is told."""

    outcome: Outcome
    """How the attempt ended."""
    started_at: datetime
    """When a worker began it."""
    duration_s: Annotated[float, Field(ge=0)]
    """Seconds from its start to its end."""
    pid: int | None
    """Process id of the worker."""
    exit_code: int | None
    """Of a command, or of a process that left by itself."""
    signal: str | None
    """Name of the signal that ended the process, such as SIGSEGV."""
    left: Annotated[int, Field(ge=0)]
    """Processes that it left behind; they were killed."""
    peak_rss_bytes: int | None
    """Largest memory; may be null for attempts under 0.5 s."""
    cpu_s: float | None
    """Processor time, user and system; may be null for attempts under 0.5 s."""
    error: Error | None
    """What went wrong."""


class Attempt(AttemptFacts):
    """One try of a task."""

    number: Annotated[int, Field(ge=1)]
    """Counts from 1."""


class Callback(Record):
    """What became of the one callback of a task."""

    name: str
    """`callback`, `error_callback`, or the `pkg.mod:function` of a hook."""
    outcome: CallbackOutcome
    """How the callback ended; it changes nothing about the task's outcome."""
    error: Error | None
    """What went wrong."""


class Task(Record):
    """One task of the run."""

    id: str
    """`name`, or `name@a-b` for an instance of a matrix."""
    name: str
    """As the pipeline file calls it."""
    matrix: dict[str, Any] | None
    """Value of each axis; null for a task without a matrix."""
    outcome: Outcome
    """The one way in which it ended."""
    reason: str | None
    """Why it ended so, where its error does not say it: which upstream a skipped task was skipped for, and so on."""
    flaky: bool
    """Whether it succeeded, but not at the first attempt."""
    carried_from: str | None
    """Run whose result was taken over; null when the task is this run's own."""
    duration_s: Annotated[float, Field(ge=0)] | None
    """Seconds from the start of the first attempt to the end of the last; null when it never began."""
    attempts: tuple[Attempt, ...]
    """In order; empty when it never began."""
    callback: Callback | None
    """Null when it has none, or was owed none."""
    log: str | None
    """Path relative to the run folder, with `#offset+size` when several tasks share the file; null: nothing written."""


class Run(Record):
    """The run as a whole."""

    id: str
    """Begins with a digit; ids sort by time."""
    name: str | None
    """Name of the pipeline."""
    file: str
    """Absolute path of the pipeline file."""
    plan_hash: str
    """Hash of what was to be run; equal plans have equal hashes."""
    status: ReportStatus
    """In a word, what the exit code says.  A run that was killed writes no report: one that is made of it later says
    `killed`, and lists the tasks that had begun."""
    exit_code: int
    """Of the command that ran it; 137 where it was killed."""
    started_at: datetime
    """When it began."""
    finished_at: datetime
    """When its last task and callback had ended."""
    duration_s: Annotated[float, Field(ge=0)]
    """Seconds between the two, by a clock that nobody sets."""
    engine: Literal["local"]
    """What ran the tasks."""
    pool: int
    """Number of workers."""
    host: str
    """Name of the machine."""
    python: str
    """Version of Python."""
    version: str
    """Version of workflow."""
    git: str | None
    """Commit that was checked out where the pipeline file lies."""
    argv: tuple[str, ...]
    """The command line."""
    seed: int
    """Seed of the run: `workflow run --seed` with it seeds every task as this run did."""


class Report(Record):
    """The whole account of one run: report.json."""

    format: Literal[1]
    """Version of this format."""
    run: Run
    """The run as a whole."""
    counts: dict[Outcome, int]
    """How many tasks ended in each way."""
    tasks: tuple[Task, ...]
    """Every task that was planned, in the order of the plan."""


class TaskModule(Record):
    """What is behind a module that a task names."""

    file: str | None = None
    """Of one that lies beside the pipeline, its file."""
    hash: str | None = None
    """SHA-256 of that file."""
    distribution: str | None = None
    """Of any other, what it was installed with, as far as that is known without an import."""
    version: str | None = None
    """Of the distribution."""


class EngineSettings(Record):
    """How tasks were run."""

    name: Literal["local"]
    """What ran them."""
    pool: Annotated[int, Field(ge=1)]
    """Number of workers."""
    pool_written: int | Literal["cpus"]
    """The same, as the file says it."""
    timeout_s: float | None
    """Limit for the whole run."""
    halt: Literal["never", "soon", "now"]
    """What is done when max_failures is reached."""
    max_failures: int | None
    """A count; a percentage is already one here."""
    max_log_bytes: int | None
    """Log kept of each task."""
    max_result_bytes: int | None
    """Largest result."""
    max_tasks_per_child: int | None
    """Attempts before a worker is renewed."""
    path: tuple[str, ...]
    """Folders put on sys.path, relative to that of the file."""
    preload: tuple[str, ...]
    """Modules imported before workers are forked."""


class PythonFacts(Record):
    """The interpreter."""

    version: str
    """Such as 3.12.1."""
    implementation: str
    """Such as cpython."""
    executable: str
    """Its path."""


class PlatformFacts(Record):
    """The machine's system."""

    system: str
    """Such as Linux."""
    release: str
    """Of its kernel."""
    machine: str
    """Such as x86_64."""


class Manifest(Record):
    """What a run was made of, written before anything runs: manifest.json."""

    format: Literal[1]
    """Version of this format."""
    run: str
    """Id of the run."""
    started_at: datetime
    """When it began."""
    name: str | None
    """Name of the pipeline."""
    file: str
    """Absolute path of the pipeline file, or of the saved plan that is run."""
    sources: dict[str, str]
    """Every file it was read from, the main one first, with the SHA-256 of its content."""
    resolved: dict[str, Any] | None
    """The file as included files, profile, templates, --set and variables make it; matrices are not expanded, results
    and secrets are the references that they are.  Null for a saved plan."""
    resolved_hash: str | None
    """SHA-256 of it."""
    plan_hash: str
    """Hash of what is run; equal plans have equal hashes."""
    tasks: Annotated[int, Field(ge=0)]
    """How many are planned."""
    argv: tuple[str, ...]
    """The command line."""
    seed: int
    """Seed of the run."""
    engine: EngineSettings
    """How tasks are run."""
    git: str | None
    """Commit that is checked out where the pipeline file lies."""
    version: str
    """Version of workflow."""
    python: PythonFacts
    """The interpreter."""
    platform: PlatformFacts
    """The machine's system."""
    host: str
    """Name of the machine."""
    distributions: dict[str, str]
    """Every distribution that is installed, by its normal name, with its version."""
    modules: dict[str, TaskModule]
    """What is behind each module that a task names."""
    environment: tuple[str, ...]
    """Names of the variables of the environment; never their values."""


class _Event(Record):
    v: Literal[1]
    """Version of this format."""
    time: datetime
    """When it happened; lines are in the order in which the parent heard of it."""
    run: str
    """Id of the run."""


class _RunEvent(_Event):
    task: None
    """Null: it is about the run."""


class _TaskEvent(_Event):
    task: str
    """Id of the task."""


class RunStarted(_RunEvent):
    """The first line."""

    event: Literal["run_started"]
    name: str | None
    """Name of the pipeline."""
    file: str
    """Absolute path of the pipeline file."""
    plan_hash: str
    """Hash of what is to be run."""
    pool: int
    """Number of workers."""
    tasks: int
    """How many tasks are planned; so many task_finished follow."""
    pid: int
    """Process id of the command."""
    seed: int
    """Seed of the run: `workflow run --seed` with it seeds every task as this run did."""


class TaskStarted(_TaskEvent):
    """A worker began an attempt."""

    event: Literal["task_started"]
    attempt: int
    """Counts from 1."""
    pid: int | None
    """Process id of the worker."""


class TaskSlow(_TaskEvent):
    """An attempt goes on for longer than its warn_after; nothing is done about it.  Once for each attempt."""

    event: Literal["task_slow"]
    attempt: int
    """Counts from 1."""
    warn_after_s: float
    """Seconds after which it was to be told."""


class AttemptFinished(_TaskEvent, AttemptFacts):
    """An attempt ended."""

    event: Literal["attempt_finished"]
    attempt: int
    """Counts from 1."""


class TaskFinished(_TaskEvent):
    """A task has its outcome: exactly one for every task, skipped ones included."""

    event: Literal["task_finished"]
    outcome: Outcome
    """The one way in which it ended."""
    reason: str | None
    """Why it ended so, where its error does not say it."""
    flaky: bool
    """Whether it succeeded, but not at the first attempt."""
    duration_s: float | None
    """Seconds from the start of the first attempt to the end of the last."""
    attempts: int
    """How many there were."""
    log: str | None
    """As in the report."""


class CallbackFinished(_TaskEvent):
    """A callback ended."""

    event: Literal["callback_finished"]
    name: str
    """`callback`, `error_callback`, or the `pkg.mod:function` of a hook."""
    outcome: CallbackOutcome
    """How the callback ended."""
    error: Error | None
    """What went wrong."""


class RunFinished(_RunEvent):
    """The last line."""

    event: Literal["run_finished"]
    status: Status
    """In a word, what the exit code says."""
    exit_code: int
    """Of the command."""
    duration_s: float
    """Seconds since its start."""
    counts: dict[Outcome, int]
    """How many tasks ended in each way."""
    reason: str | None
    """Why it ended before all tasks had run; null when it did not."""


Event = Annotated[
    RunStarted | TaskStarted | TaskSlow | AttemptFinished | TaskFinished | CallbackFinished | RunFinished,
    Field(discriminator="event"),
]
"""One line of events.jsonl."""
