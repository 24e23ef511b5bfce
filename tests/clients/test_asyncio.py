from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest
import steps

from workflow import TaskCrashed, TaskTimeout, WorkflowExecutor


def test_a_loop_awaits_calls(executor: WorkflowExecutor) -> None:
    """Results, exceptions and crashes arrive where they are awaited; the neighbours are as without."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, steps.die, number) for number in range(6)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [each for each in ended if not isinstance(each, Exception)] == [0, 1, 2, 4, 5]
        assert isinstance(ended[3], TaskCrashed)
        with pytest.raises(ValueError, match="3 is not liked"):
            await loop.run_in_executor(executor, steps.refuse, 3)
        short = executor.with_options(timeout=0.5)
        with pytest.raises(TaskTimeout):
            await loop.run_in_executor(short, steps.hang, 3)

    asyncio.run(main())


def test_as_the_loop_s_own_executor(executor: WorkflowExecutor) -> None:
    """``asyncio.to_thread`` and ``run_in_executor(None, ...)`` use what the loop was given, in other processes."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(executor, steps.where, n) for n in range(4))))

    assert os.getpid() not in asyncio.run(main())


@pytest.mark.parametrize("way", ["cancel", "wait_for"])
def test_who_stops_awaiting_ends_the_call(executor: WorkflowExecutor, tmp_path: Path, way: str) -> None:
    """Its process is gone, and the executor takes the next call."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(executor, steps.hang_in_sight, str(tmp_path))
        while not (tmp_path / "began").exists():  # noqa: ASYNC110  # the call is in another process
            await asyncio.sleep(0.01)
        if way == "cancel":
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
        else:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(future, 0.1)

    asyncio.run(main())
    process = int((tmp_path / "began").read_text())
    assert executor.submit(steps.square, 3).result(30) == 9
    executor.shutdown()
    assert not psutil.pid_exists(process)


def test_a_limit_around_a_block_ends_what_it_awaits(executor: WorkflowExecutor) -> None:
    """``asyncio.timeout``, which is there from 3.11 on."""
    limit = getattr(asyncio, "timeout", None)
    if limit is None:
        pytest.skip("asyncio.timeout is there from Python 3.11 on")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with limit(1):
            await loop.run_in_executor(executor, steps.hang, 3)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert executor.submit(steps.square, 3).result(30) == 9
