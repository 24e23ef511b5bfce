"""What a worker does before its first call, and for how long it lives."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import called
import pytest

from workflow import EngineError, ExecutorBroken, WorkflowExecutor

Make = Callable[..., WorkflowExecutor]
Program = Callable[..., subprocess.CompletedProcess[str]]


def test_the_initializer_is_called_once_in_each_worker_before_its_first_call(make_executor: Make) -> None:
    executor = make_executor(1, initializer=called.initialize, initargs=("a", 1), max_tasks_per_child=2)
    seen = [executor.submit(called.initialized).result() for _ in range(4)]
    assert [arguments for _pid, arguments in seen] == [[("a", 1)]] * 4
    assert len({pid for pid, _arguments in seen}) == 2


def test_a_worker_that_replaces_one_that_crashed_is_initialized_too(make_executor: Make) -> None:
    executor = make_executor(1, initializer=called.initialize, initargs=("b",))
    executor.submit(os.abort).exception()
    assert executor.submit(called.initialized).result()[1] == [("b",)]


def test_what_the_initializer_of_a_script_sets_is_seen_by_its_functions(program: Program) -> None:
    """They travel by value, so each would have globals of its own."""
    done = program("""
        import functools
        from workflow import WorkflowExecutor
        model, cache, unrelated = None, {}, 1
        def initialize(value):
            global model
            model = value
            cache["key"] = value + 1
        def work(number):
            return model, cache["key"], unrelated, number
        class Worker:
            def work(self, number):
                return model, number
        with WorkflowExecutor(1, initializer=initialize, initargs=(5,)) as executor:
            unrelated = 2
            print(executor.submit(work, 0).result())
            print(*executor.map(work, range(2), chunksize=2))
            print(executor.submit(functools.partial(work, 3)).result())
            print(executor.submit(Worker().work, 4).result())
    """)
    assert done.stdout.splitlines() == ["(5, 6, 2, 0)", "(5, 6, 2, 0) (5, 6, 2, 1)", "(5, 6, 2, 3)", "(5, 4)"]


@pytest.mark.parametrize("how", ["raise", "sys.exit", "os._exit", "abort", "segv", "libc"])
def test_an_initializer_that_fails_in_every_worker_breaks_the_executor(make_executor: Make, how: str) -> None:
    """With a reason, and as what code for the standard expects: nobody waits for ever."""
    executor = make_executor(2, initializer=called.die, initargs=(how,))
    error = executor.submit(called.identity, 1).exception()
    assert isinstance(error, ExecutorBroken)
    assert isinstance(error, BrokenProcessPool)
    assert isinstance(error, EngineError)
    told = {"raise": "ValueError: on purpose", "os._exit": "exit code 7", "libc": "exit code 7", "sys.exit": "exit"}
    assert told.get(how, "by SIG") in str(error)
    if how == "raise":
        assert "in die" in str(error)
    with pytest.raises(ExecutorBroken):
        executor.submit(called.identity, 1)
    with pytest.raises(ExecutorBroken):
        list(executor.map(called.identity, [1]))


def test_an_initializer_that_fails_once_is_not_the_end(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1, initializer=called.fail_first, initargs=(str(tmp_path / "first"),))
    assert executor.submit(called.identity, 1).result() == 1


def test_an_initializer_that_hangs_is_given_up_when_calls_have_a_limit(
    make_executor: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow.executor.INITIALIZER_S", 0.2)
    executor = make_executor(1, timeout=0.1, initializer=time.sleep, initargs=(600,))
    error = executor.submit(called.identity, 1).exception()
    assert isinstance(error, ExecutorBroken)
    assert "its initializer had not returned in time" in str(error)


def test_an_initializer_that_hangs_does_not_keep_the_executor_from_ending(make_executor: Make) -> None:
    executor = make_executor(1, timeout=None, initializer=time.sleep, initargs=(600,))
    future = executor.submit(called.identity, 1)
    assert future.cancel()
    executor.shutdown()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_context_of_multiprocessing_is_accepted(make_executor: Make, method: str) -> None:
    executor = make_executor(1, mp_context=multiprocessing.get_context(method))
    assert executor.submit(called.identity, 1).result() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mp_context": "fork"}, "mp_context must be a context of multiprocessing"),
        ({"initializer": 3}, "initializer must be a callable, not 3"),
        ({"initargs": "one"}, "initargs must be a tuple of arguments, such as .*, not 'one'"),
        ({"initargs": None}, "initargs must be a tuple of arguments, such as .*, not None"),
        ({"max_tasks_per_child": 1.5}, "max_tasks_per_child must be a whole number"),
        (
            {"timeout": "30s"},
            "number of seconds or None, not '30s'; write it as a number: timeout=30$",
        ),
        ({"memory": "1GB"}, "memory must be a whole number of bytes, such as .*, not '1GB'"),
        ({"name": 3}, "^name must be text, not 3"),
    ],
)
def test_what_cannot_be_meant_is_a_type_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        WorkflowExecutor(1, **options)
