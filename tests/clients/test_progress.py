from __future__ import annotations

import io
from concurrent.futures import as_completed
from typing import Any

import pytest
import steps

from workflow import TaskCrashed, WorkflowExecutor

tqdm = pytest.importorskip("tqdm")


def test_a_bar_around_what_comes_in_order_or_as_it_ends(executor: WorkflowExecutor) -> None:
    """Nothing is needed for it."""
    shown = io.StringIO()
    results = list(tqdm.tqdm(executor.map(steps.square, range(20)), total=20, file=shown))
    assert results == [number * number for number in range(20)]
    futures = [executor.submit(steps.square, number) for number in range(20)]
    ended = [future.result() for future in tqdm.tqdm(as_completed(futures), total=20, file=shown)]
    assert sorted(ended) == results
    assert "20/20" in shown.getvalue()


class WithoutLock(WorkflowExecutor):
    """tqdm gives its pools an initializer, for bars in workers; the lock in it cannot be pickled."""

    def __init__(
        self, max_workers: int | None = None, initializer: Any = None, initargs: Any = (), **options: Any
    ) -> None:
        del initializer, initargs
        super().__init__(max_workers, **options)


@pytest.mark.parametrize("chunksize", [1, 7])
def test_process_map_runs_on_it(monkeypatch: pytest.MonkeyPatch, chunksize: int) -> None:
    """It makes its pool by name, and has its own ``submit`` put into it; a crash is the one call's."""
    concurrent = pytest.importorskip("tqdm.contrib.concurrent")
    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", WithoutLock)
    shown = io.StringIO()
    options = {"max_workers": 2, "chunksize": chunksize, "file": shown}
    assert concurrent.process_map(steps.square, range(20), **options) == [n * n for n in range(20)]
    with pytest.raises(TaskCrashed, match="SIGKILL"):
        concurrent.process_map(steps.die, range(5), **options)
