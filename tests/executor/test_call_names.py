"""The error of a call says which function it was of."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import called
import pytest

from workflow import TaskCancelled, TaskCrashed, TaskTimeout, WorkflowExecutor
from workflow.engine.call_names import name_in

Make = Callable[..., WorkflowExecutor]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (called.die, "called.die"),
        (functools.partial(called.die), "called.die"),
        (lambda _how: os._exit(3), "<lambda>"),
    ],
)
@pytest.mark.parametrize("chunksize", [1, 2])
def test_a_crash_names_the_function(
    executor: WorkflowExecutor, function: Callable[[str], None], name: str, chunksize: int
) -> None:
    with pytest.raises(TaskCrashed, match=r"^task 1 \(\S+\): its process") as raised:
        list(executor.map(function, ["os._exit"], chunksize=chunksize))
    assert str(raised.value).startswith("task 1 (") and f"{name}): " in str(raised.value)
    assert raised.value.task_id == "1"


@pytest.mark.parametrize("size", [8_000, 4_000_000])
def test_so_it_does_behind_arguments_that_are_not_kept(executor: WorkflowExecutor, size: int) -> None:
    with pytest.raises(TaskCrashed, match=r"^task 1 \(called\.die_with\): its process"):
        executor.submit(functools.partial(called.die_with), bytes(size)).result()
    with pytest.raises(TaskCrashed, match=r"^task 2 \(called\.die_with\): its process"):
        list(executor.map(called.die_with, [bytes(size)] * 2, chunksize=2))


def test_so_do_a_limit_a_cancellation_and_a_wait_that_is_too_short(make_executor: Make) -> None:
    executor = make_executor(1, timeout=0.2)
    with pytest.raises(TaskTimeout, match=r"^task 1 \(time\.sleep\): killed at its limit"):
        executor.submit(time.sleep, 600).result()
    patient = executor.with_options(timeout=60)
    future = patient.submit(time.sleep, 600)
    with pytest.raises(concurrent.futures.TimeoutError, match=r"task 2 \(time\.sleep\) has not ended"):
        future.result(0.01)
    future.cancel()
    with pytest.raises(TaskCancelled, match=r"^task 2 \(time\.sleep\) was cancelled"):
        future.result()


def test_a_name_that_was_given_is_enough(make_executor: Make) -> None:
    with pytest.raises(TaskCrashed, match="^task lookup: its process"):
        make_executor(1, name="lookup").submit(called.die, "os._exit").result()


@pytest.mark.parametrize("call", [([1].append, (), {}), (called.AtPickle, (), {})])
def test_what_stands_in_the_bytes_is_read_and_not_run(call: Any) -> None:
    """A method is of an object that stands before its name: it is not guessed.  Nor is what was cut off."""
    packed = pickle.dumps(call, 5)
    assert name_in(packed) == (None if call[0] is not called.AtPickle else "called.AtPickle")
    assert name_in(packed[:20]) is None
    assert name_in(b"") is None
