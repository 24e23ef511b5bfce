from __future__ import annotations

import gc

import pytest
import steps

from workflow import WorkflowExecutor

MEGABYTE = 1_000_000


def test_a_hundred_megabytes_each_way(executor: WorkflowExecutor) -> None:
    """The worker, and the program, hold what they get once: it lies in what the other one wrote."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100 * MEGABYTE // 8, dtype=numpy.float64)
    before = executor.submit(steps.largest_memory).result()
    total, peak = executor.submit(steps.add_up, array).result()
    assert total == array.sum()
    mine = steps.largest_memory()
    result = executor.submit(steps.count_up, array.size).result()
    assert (result == array).all()
    result[0] = 1  # it may be written to
    assert peak - before < 160 * MEGABYTE
    assert steps.largest_memory() - mine < 160 * MEGABYTE
    del result
    gc.collect()


def test_a_data_frame_in_chunks(executor: WorkflowExecutor) -> None:
    """What its rows come to, as without."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"shop": ["a", "b"] * 500, "price": range(1000)})
    chunks = [frame.iloc[start : start + 100] for start in range(0, 1000, 100)]
    sums = pandas.concat(executor.map(steps.sums_by_shop, chunks, buffersize=3)).groupby(level=0).sum()
    assert sums.to_dict() == frame.groupby("shop")["price"].sum().to_dict()


def test_a_report_is_a_data_frame(tmp_path: object) -> None:
    """A row for each task, by its id."""
    pytest.importorskip("pandas")
    from workflow import Pipeline

    pipeline = Pipeline(root=str(tmp_path)).task("say", cmd=["echo", "${matrix.n}"], matrix={"n": [1, 2]})
    table = pipeline.task("wrong", cmd=["false"]).run().to_pandas()
    assert list(table.index) == ["say@1", "say@2", "wrong"]
    assert list(table.loc[["say@1", "say@2"], "matrix.n"]) == [1, 2]
    assert list(table["outcome"]) == ["succeeded", "succeeded", "failed"]
    assert table.loc["wrong", "exit_code"] == 1
