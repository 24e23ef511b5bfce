"""The errors of this package travel."""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
from concurrent.futures.process import BrokenProcessPool

import pytest

from workflow import (
    EngineError,
    ExecutorBroken,
    MemoryLimitExceeded,
    OutputMissing,
    TaskCancelled,
    TaskCrashed,
    TaskError,
    TaskFailed,
    TaskTimeout,
)

ENDINGS = [TaskError, TaskFailed, TaskTimeout, TaskCrashed, TaskCancelled, MemoryLimitExceeded]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ENDINGS)
def test_how_a_task_ended_travels_with_its_whole_story(kind: type[TaskError], protocol: int) -> None:
    error = kind("it ended", task_id="a@1", stack="where", signal="SIGSEGV", exit_code=3)
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == "it ended"
        assert (other.task_id, other.stack, other.signal, other.exit_code) == ("a@1", "where", "SIGSEGV", 3)
        assert (other.args, vars(other)) == (error.args, vars(error))


@pytest.mark.parametrize("kind", [EngineError, ExecutorBroken, OutputMissing])
def test_the_others_travel_too(kind: type[Exception]) -> None:
    other = pickle.loads(pickle.dumps(kind("it broke")))
    assert (type(other), str(other)) == (kind, "it broke")


def test_each_is_what_the_standard_library_would_raise() -> None:
    """So that what was written for it needs no change."""
    assert issubclass(TaskTimeout, TimeoutError)
    assert issubclass(TaskTimeout, concurrent.futures.TimeoutError)
    assert issubclass(TaskCrashed, BrokenProcessPool)
    assert issubclass(TaskCancelled, concurrent.futures.CancelledError)
    assert issubclass(MemoryLimitExceeded, MemoryError)
