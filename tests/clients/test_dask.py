from __future__ import annotations

import os

import pytest
import steps

from workflow import TaskCrashed, WorkflowExecutor

dask = pytest.importorskip("dask")


def test_a_graph_is_computed_by_the_workers(executor: WorkflowExecutor) -> None:
    """What depends on what is dask's; where it runs is ours."""
    parts = [dask.delayed(steps.square)(number) for number in range(20)]
    assert dask.delayed(sum)(parts).compute(scheduler=executor) == sum(number * number for number in range(20))
    assert os.getpid() not in dask.compute(*(dask.delayed(steps.where)(n) for n in range(4)), scheduler=executor)


def test_functions_of_no_module_are_taken(executor: WorkflowExecutor) -> None:
    """As in a notebook."""
    offset = 3
    assert dask.delayed(lambda number: number + offset)(4).compute(scheduler=executor) == 7


def test_an_error_and_a_crash_are_raised_and_the_executor_goes_on(executor: WorkflowExecutor) -> None:
    """One graph after another, on one executor."""
    with pytest.raises(ValueError, match="3 is not liked"):
        dask.compute(*(dask.delayed(steps.refuse)(number) for number in range(5)), scheduler=executor)
    with pytest.raises(TaskCrashed, match="SIGKILL"):
        dask.compute(*(dask.delayed(steps.die)(number) for number in range(5)), scheduler=executor)
    assert dask.delayed(steps.square)(5).compute(scheduler=executor) == 25


def test_arrays_and_data_frames_are_computed(executor: WorkflowExecutor) -> None:
    """In chunks."""
    pytest.importorskip("numpy")
    array = pytest.importorskip("dask.array")
    assert array.ones((400, 400), chunks=100).sum().compute(scheduler=executor) == 160_000
