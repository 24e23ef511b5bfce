"""The whole public surface, as a program uses it: checked by mypy and pyright, strictly, and never run.

A line that has to be refused carries an ignore for just that; where it were accepted, the ignore would be unused, and
an error itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, Future, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from workflow import (
    Attempt,
    CallbackRecord,
    EngineError,
    ErrorRecord,
    EventStream,
    ExecutorBroken,
    Handle,
    InfoTask,
    InvalidPipeline,
    MemoryLimitExceeded,
    Mistake,
    Model,
    MultiProcess,
    Outcome,
    OutputMissing,
    Pipeline,
    Report,
    RetryPolicy,
    TaskCancelled,
    TaskCrashed,
    TaskError,
    TaskFailed,
    TaskFuture,
    TaskTimeout,
    WorkflowError,
    WorkflowExecutor,
)

if TYPE_CHECKING:
    from workflow.report.models import Attempt as AttemptFacts
    from workflow.report.models import Event, Task


def area(width: int, height: float = 1.0, *, unit: str = "m") -> float:
    """A function to submit."""
    return width * height * len(unit)


def start(level: int, name: str) -> None:
    """An initializer."""
    print(level, name)


class Demo(Model):
    """A task and its callbacks."""

    def runnable(self, *args: Any) -> str:
        """In a worker."""
        return str(args)

    def callback(self, result: str) -> None:
        """After success."""
        print(result)

    def error_callback(self, error: BaseException) -> None:
        """After anything else."""
        print(error)


def use_the_engine() -> None:
    """``MultiProcess``, ``InfoTask`` and what they answer."""
    task = InfoTask("demo.Demo", 1.0, {"x": 1}, id="a", retries=RetryPolicy(max=2), memory=1 << 30, env={"A": None})
    pool = MultiProcess(5, max_pending=100)
    pool.start()
    handle = pool.push(task)
    assert_type(handle.outcome, Outcome | None)
    assert_type(handle.attempts, tuple[Attempt, ...])
    assert_type(handle.callback, CallbackRecord | None)
    assert_type(handle.cancel(), bool)
    future: Future[Any] = handle
    print(future)
    pool.stop(timeout=5)
    with MultiProcess() as another:
        handles: list[Handle[Any]] = [another.push(InfoTask("demo.Demo", None))]
    for ended in as_completed(handles):
        print(ended.result(timeout=1))
    InfoTask("demo.Demo", "soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def use_the_executor() -> None:
    """``submit`` knows the arguments and the result of what it is given."""
    executor = WorkflowExecutor(2, get_context("spawn"), start, (1, "x"), max_tasks_per_child=9, timeout=60, memory=9)
    with executor as same:
        assert_type(same, WorkflowExecutor)
    future = executor.submit(area, 2, height=3.0, unit="m")
    assert_type(future, TaskFuture[float])
    assert_type(future.result(), float)
    assert_type(future.outcome, Outcome | None)
    assert_type(executor.submit(lambda: "x"), TaskFuture[str])
    assert_type(executor.with_options(timeout=5, retries=2), WorkflowExecutor)
    assert_type(executor.map(area, [1, 2], [1.0, 2.0], timeout=9, chunksize=2, buffersize=4), Iterator[float])
    plain: Executor = executor
    print(plain.submit(area, 1))
    executor.shutdown(wait=True, cancel_futures=True)

    executor.submit(area, "2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    executor.submit(area)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    executor.submit(area, 2, depth=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    text: str = executor.submit(area, 2).result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(text)
    WorkflowExecutor(timeot=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def use_asyncio(executor: WorkflowExecutor) -> float:
    """A loop knows the result too."""
    loop = asyncio.get_running_loop()
    awaited = await loop.run_in_executor(executor, area, 2, 3.0)
    assert_type(awaited, float)
    return await asyncio.wrap_future(executor.submit(area, 2))


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
    made.task("a", timeot="9s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    made.run(job=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Pipeline("x", pol=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


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
