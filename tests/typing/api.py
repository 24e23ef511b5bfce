"""Everything public that the type checkers must see exactly; checked by mypy, never run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
from collections.abc import Iterator
from multiprocessing.context import BaseContext

from typing_extensions import assert_never, assert_type

from workflow import (
    Attempt,
    ExecutorBroken,
    Handle,
    InfoTask,
    Model,
    MultiProcess,
    Outcome,
    Outcomes,
    RetryPolicy,
    TaskCancelled,
    TaskCrashed,
    TaskFuture,
    TaskTimeout,
    WorkflowExecutor,
)
from workflow.executor import CallOptions


class Demo(Model):
    def runnable(self, number: int) -> int:
        return number

    def callback(self, result: int) -> None:
        print(result)


def engine() -> None:
    with MultiProcess(2, max_pending=10) as mp:
        handle = mp.push(InfoTask("demo.Demo", 1.5, 3, retries=RetryPolicy(max=2), env={"A": None}))
        assert_type(handle, Handle)
        assert_type(handle.outcome, Outcome | None)
        assert_type(handle.attempts, tuple[Attempt, ...])


def keyed(first: int, /, second: str, *, third: float = 0.0) -> list[str]:
    return [second] * first if third else []


def initialize(path: str, level: int) -> None:
    print(path, level)


def executor() -> None:
    context = multiprocessing.get_context("spawn")
    with WorkflowExecutor(
        2, context, initialize, ("a", 1), max_tasks_per_child=9, timeout=5, retries=1, env={"A": "b"}
    ) as pool:
        future = pool.submit(keyed, 1, "a", third=2.0)
        assert_type(future, TaskFuture[list[str]])
        assert_type(future.result(), list[str])
        assert_type(future.outcome, Outcome | None)
        pool.submit(keyed, "1", "a")  # type: ignore[arg-type]
        pool.submit(keyed, 1, "a", fourth=1)  # type: ignore[call-arg]
        pool.submit(keyed, 1)  # type: ignore[call-arg]
        of_standard: concurrent.futures.Future[list[str]] = future
        wrong: concurrent.futures.Future[int] = future  # type: ignore[assignment]
        print(of_standard, wrong)
        assert_type(pool.map(str.upper, ["a"], timeout=1, chunksize=2, buffersize=3), Iterator[str])
        view = pool.with_options(timeout=None, name="slow")
        assert_type(view, WorkflowExecutor)
        options(pool, context)
        assert_type(view.as_completed(len, ["a"], buffersize=2), Outcomes[int])
        for each in view.as_submitted(len, ["a"]):
            assert_type(each, TaskFuture[int])
        for done in concurrent.futures.as_completed([future]):
            assert_type(done, concurrent.futures.Future[list[str]])
        take_any_executor(pool)


def options(pool: WorkflowExecutor, context: BaseContext) -> None:
    WorkflowExecutor(mp_context=context, timeout=1.5, retries=RetryPolicy(max=1), grace=0, memory=1 << 30, priority=-1)
    WorkflowExecutor(None, None, None, (), max_tasks_per_child=None, timeout=None, memory=None, env=None, name=None)
    WorkflowExecutor(timeuot=1)  # type: ignore[arg-type]
    WorkflowExecutor(timeout="30s")  # type: ignore[arg-type]
    WorkflowExecutor(retries=1.5)  # type: ignore[arg-type]
    WorkflowExecutor(memory="1GB")  # type: ignore[arg-type]
    WorkflowExecutor(env={"A": 1})  # type: ignore[dict-item]
    WorkflowExecutor(max_tasks_per_child="9")  # type: ignore[arg-type]
    pool.with_options(timeout=1, retries=2, grace=0.5, memory=1 << 30, priority=1, env={"A": None}, name="a")
    pool.with_options(timeout=None, retries=RetryPolicy(max=1), memory=None, env=None, name=None)
    pool.with_options(timeuot=1)  # type: ignore[call-arg]
    pool.with_options(max_workers=1)  # type: ignore[call-arg]
    pool.with_options(timeout="30s")  # type: ignore[arg-type]
    pool.with_options(retries="2")  # type: ignore[arg-type]
    pool.with_options(grace=None)  # type: ignore[arg-type]
    pool.with_options(memory=1.5)  # type: ignore[arg-type]
    pool.with_options(priority=None)  # type: ignore[arg-type]
    pool.with_options(env={"A": 1})  # type: ignore[dict-item]
    pool.with_options(name=1)  # type: ignore[arg-type]
    few: CallOptions = {"timeout": 1, "name": "a"}
    assert_type(pool.with_options(**few), WorkflowExecutor)


def take_any_executor(pool: concurrent.futures.Executor) -> None:
    print(pool.submit(pow, 2, 3).result())


async def streams() -> None:
    async with WorkflowExecutor() as pool:
        async for future in pool.as_completed(len, ["a"]):
            assert_type(future.result(), int)
        assert_type(await asyncio.get_running_loop().run_in_executor(pool, len, "a"), int)


def endings(error: TaskCrashed | TaskTimeout | TaskCancelled | ExecutorBroken) -> str:
    match error:
        case TaskCrashed():
            return error.signal or str(error.exit_code)
        case TaskTimeout():
            return error.stack or ""
        case TaskCancelled() | ExecutorBroken():
            return str(error)
        case _:
            assert_never(error)
