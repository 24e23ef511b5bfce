"""Many calls, whose futures are taken one after the other as they end, or in their order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import called
import pytest

from workflow import Outcome, WorkflowExecutor

Make = Callable[..., WorkflowExecutor]


def test_as_completed_yields_what_ends_first_first(executor: WorkflowExecutor, tmp_path: Path) -> None:
    last = tmp_path / "last"

    def wait_for(name: str) -> str:
        while name and not last.exists():
            time.sleep(0.002)
        return name

    taken = []
    for future in executor.as_completed(wait_for, ["slow", ""]):
        taken.append((future.result(), future.args))
        last.touch()
    assert taken == [("", ("",)), ("slow", ("slow",))]


def test_as_submitted_keeps_the_order_and_goes_on_behind_a_failure(executor: WorkflowExecutor) -> None:
    futures = list(executor.as_submitted(divmod, [7, 7, 7], [2, 0, 7]))
    assert [future.outcome for future in futures] == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED]
    assert [future.args for future in futures] == [(7, 2), (7, 0), (7, 7)]


@pytest.mark.parametrize("in_order", [False, True])
def test_no_more_is_under_way_than_the_buffer_holds(executor: WorkflowExecutor, *, in_order: bool) -> None:
    read = 0

    def numbers() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    stream = executor.as_submitted if in_order else executor.as_completed
    for taken, future in enumerate(stream(called.identity, numbers(), buffersize=3), 1):
        assert future.done()
        assert read <= taken + 2
        if taken == 20:
            break


def test_leaving_the_loop_ends_the_rest(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    for future in executor.as_completed(called.hang_if, ["", str(tmp_path / "hangs"), ""]):
        assert future.result() == ""
        break
    assert executor.submit(called.identity, 1).result() == 1


@pytest.mark.parametrize("buffersize", [None, 1, 4])
@pytest.mark.parametrize("in_order", [False, True])
def test_an_async_for_takes_them_while_the_loop_goes_on(buffersize: int | None, *, in_order: bool) -> None:
    async def main() -> tuple[list[int], int]:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        async with WorkflowExecutor(2, timeout=30) as executor:
            stream = executor.as_submitted if in_order else executor.as_completed
            results = [future.result() async for future in stream(called.identity, range(30), buffersize=buffersize)]
        turning.cancel()
        return results, turns

    results, turns = asyncio.run(main())
    assert (results if in_order else sorted(results)) == list(range(30))
    assert turns > 1


def test_an_async_block_that_is_cancelled_ends_everything(tmp_path: Path) -> None:
    """That nothing is left is looked at after every test."""

    async def main() -> None:
        async with WorkflowExecutor(1) as executor:
            async for _future in executor.as_completed(called.mark_and_hang, [str(tmp_path / "hangs")]):
                raise AssertionError

    async def cancel() -> None:
        task = asyncio.create_task(main())
        while not (tmp_path / "hangs").exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_a_second_loop_over_the_same_calls_is_refused(executor: WorkflowExecutor) -> None:
    """It would wait for ever for what the first one was given."""

    async def both() -> list[object]:
        outcomes = executor.as_completed(called.identity, range(20), buffersize=2)

        async def count() -> int:
            return len([future.result() async for future in outcomes])

        return list(await asyncio.gather(count(), count(), return_exceptions=True))

    first, second = asyncio.run(both())
    assert first == 20
    assert isinstance(second, RuntimeError)
    outcomes = executor.as_submitted(called.identity, range(3))
    assert len(list(outcomes)) == 3
    with pytest.raises(RuntimeError, match="iterated already"):
        next(iter(outcomes))
