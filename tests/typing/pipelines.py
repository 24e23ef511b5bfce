"""Pipelines, reports and errors, as a program uses them: checked by mypy and pyright, strictly, and never run.

A line that has to be refused carries an ignore for just that; where it were accepted, the ignore would be unused, and
an error itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from workflow import (
    CallbackRecord,
    EngineError,
    ErrorRecord,
    EventStream,
    ExecutorBroken,
    InvalidPipeline,
    MemoryLimitExceeded,
    Mistake,
    Model,
    Outcome,
    OutputMissing,
    Pipeline,
    Report,
    TaskCancelled,
    TaskCrashed,
    TaskError,
    TaskFailed,
    TaskTimeout,
    WorkflowError,
)

if TYPE_CHECKING:
    from workflow.report.models import Attempt as AttemptFacts
    from workflow.report.models import Event, Task


def area(width: int, height: float = 1.0, *, unit: str = "m") -> float:
    """A function to submit."""
    return width * height * len(unit)


class Demo(Model):
    """A task."""

    def runnable(self, *args: Any) -> str:
        """In a worker."""
        return str(args)


def use_pipelines() -> None:
    """``Pipeline`` knows the keys of the file, ``Report`` and events what they hold."""
    loaded = Pipeline.load("pipeline.toml", profile="ci", variables={"x": 1}, sets=["pipeline.pool=2"])
    made = Pipeline("feeds", root=Path(), pool=4, timeout="1h", vars={"x": 1}, defaults={"timeout": "9s"})
    made.task("fetch", call=area, args=["${matrix.w}"], matrix={"w": [1, 2]}, retries={"max": 2}, if_="vars.x == 1")
    made.task("demo", module=Demo, needs=["fetch"], outputs=["out/"]).task("list", cmd=["ls"], allow_failure=True)
    read = Pipeline.from_dict({"tasks": {"a": {"cmd": ["true"]}}}, root=".")
    assert_type(read.ids, tuple[str, ...])
    assert_type(made.to_toml(), str)
    report = loaded.run(jobs=2, select="fetch@*", reports=[Path("out.html")], console="quiet", on_event=print)
    assert_type(report, Report)
    assert_type(report.exit_code, int)
    assert_type(report.outcome("fetch@1"), Outcome)
    assert_type(report.counts[Outcome.SUCCEEDED], int)
    assert_type(report.log("fetch@1"), str)
    for task in report:
        show(task)
    for task in report.failed:
        show(task)
    with made.stream(seed=1) as events:
        assert_type(events, EventStream)
        for event in events:
            follow(event)
        assert_type(events.report, Report)
    made.task("a", timeot="9s")  # type: ignore[call-arg]
    made.run(job=2)  # type: ignore[call-arg]
    Pipeline("x", pol=2)  # type: ignore[call-arg]


def show(task: Task) -> None:
    """A task of a report."""
    assert_type(task.outcome, Outcome)
    assert_type(task.attempts, tuple[AttemptFacts, ...])


def follow(event: Event) -> None:
    """The name of an event says which fields it has."""
    if event.event == "task_finished":
        assert_type(event.outcome, Outcome)
        assert_type(event.task, str)
    elif event.event == "run_finished":
        assert_type(event.exit_code, int)
        assert_type(event.task, None)


def use_errors(error: BaseException) -> None:
    """Each has its place among those of Python, and its story."""
    if isinstance(error, TaskError):
        assert_type(error.task_id, str | None)
    if isinstance(error, TaskTimeout):
        waited: TimeoutError = error
        print(waited)
    if isinstance(error, (TaskCrashed, TaskCancelled, TaskFailed, MemoryLimitExceeded, OutputMissing)):
        print(error)
    if isinstance(error, InvalidPipeline):
        assert_type(error.mistakes, tuple[Mistake, ...])
    broken: tuple[type[EngineError], type[WorkflowError]] = (ExecutorBroken, EngineError)
    print(broken, ErrorRecord("ValueError", "x"), CallbackRecord)
