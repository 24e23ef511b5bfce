"""Whatever dies while a call or its result travels, it dies alone.

Two of the four ways lead through the process that has the executor: a call is pickled by the thread that submits it,
and a result is unpickled by whoever asks for it.  What raises there is that future's exception; what ends a process
natively ends the one it is in, as it would without an executor, and then nothing of the pool may be left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import called
import pytest

from workflow import Outcome, TaskCrashed, WorkflowExecutor

Make = Callable[..., WorkflowExecutor]
Program = Callable[..., subprocess.CompletedProcess[str]]

RAISES = {"raise": ValueError, "sys.exit": SystemExit}
DIES = {"libc": 7, "segv": -signal.SIGSEGV, "abort": -signal.SIGABRT, "os._exit": 7}


def assert_well(executor: WorkflowExecutor) -> None:
    assert list(executor.map(called.identity, range(10))) == list(range(10))


@pytest.mark.parametrize("how", RAISES)
@pytest.mark.parametrize("kind", ["AtPickle", "AtUnpickle"])
@pytest.mark.parametrize("what", ["argument", "result"])
def test_what_raises_on_the_way_is_that_futures_exception(make_executor: Make, what: str, kind: str, how: str) -> None:
    executor = make_executor(1)
    others = [executor.submit(called.identity, number) for number in range(5)]
    if what == "argument":
        future = executor.submit(called.identity, getattr(called, kind)(how))
    else:
        future = executor.submit(called.make, kind, how)
    with pytest.raises(RAISES[how]):
        future.result()
    assert [other.result() for other in others] == list(range(5))
    assert_well(executor)


@pytest.mark.parametrize("how", DIES)
@pytest.mark.parametrize("way", ["argument AtUnpickle", "result AtPickle"])
def test_what_dies_on_the_way_in_a_worker_is_a_crash_of_that_call(make_executor: Make, way: str, how: str) -> None:
    executor = make_executor(1)
    what, kind = way.split()
    if what == "argument":
        future = executor.submit(called.identity, getattr(called, kind)(how))
    else:
        future = executor.submit(called.make, kind, how)
    waiting = [executor.submit(called.identity, number) for number in range(5)]
    error = future.exception()
    assert isinstance(error, TaskCrashed)
    if DIES[how] > 0:
        assert error.exit_code == DIES[how]
    else:
        assert error.signal == signal.Signals(-DIES[how]).name
        assert "called.py" in (error.stack or "")
    assert [other.result() for other in waiting] == list(range(5))
    assert_well(executor)


@pytest.mark.parametrize("how", DIES)
@pytest.mark.parametrize("way", ["argument AtPickle", "result AtUnpickle"])
def test_what_dies_on_the_way_in_the_program_ends_the_program_and_leaves_nothing(
    program: Program, way: str, how: str
) -> None:
    what, kind = way.split()
    call = f"called.identity, called.{kind}({how!r})" if what == "argument" else f"called.make, {kind!r}, {how!r}"
    done = program(
        f"""
        import called
        from workflow import WorkflowExecutor
        executor = WorkflowExecutor(1)
        print(executor.submit(called.identity, 1).result(), flush=True)
        executor.submit({call}).result()
        print("lives")
        """,
        code=DIES[how],
    )
    assert done.stdout == "1\n"


def test_a_result_that_kills_whoever_unpickles_it_harms_nobody_who_does_not_ask(make_executor: Make) -> None:
    executor = make_executor(1)
    future = executor.submit(called.make, "AtUnpickle", "segv")
    assert_well(executor)
    assert future.done()
    assert future.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("how", [*RAISES, *DIES])
def test_an_argument_that_dies_when_it_is_collected_takes_nothing_with_it(make_executor: Make, how: str) -> None:
    """Its call has succeeded by then, and whoever comes next is not blamed."""
    executor = make_executor(1)
    futures = [executor.submit(len, [called.AtDeath(how)]) for _ in range(5)]
    assert [future.result() for future in futures] == [1] * 5
    assert_well(executor)


@pytest.mark.parametrize("how", DIES)
def test_what_a_call_left_behind_and_another_collects_is_that_ones_crash(make_executor: Make, how: str) -> None:
    executor = make_executor(1)
    executor.submit(called.keep_bomb, how).result()
    assert isinstance(executor.submit(called.drop_bomb).exception(), TaskCrashed)
    assert_well(executor)


def test_an_executor_whose_workers_hold_bombs_ends(make_executor: Make) -> None:
    """A worker leaves without collecting anything."""
    executor = make_executor(2)
    executor.submit(called.keep_bomb, "segv").result()
    executor.shutdown()


def test_workers_that_are_killed_while_they_wait_are_replaced(make_executor: Make) -> None:
    executor = make_executor(2)
    for _ in range(5):
        pids = {executor.submit(called.pid).result() for _ in range(20)}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert_well(executor)
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):
            time.sleep(0.002)


@pytest.mark.timeout(120)
def test_300_mb_travel_both_ways(make_executor: Make) -> None:
    """As the result of a call, and as an argument."""
    executor = make_executor(1)
    size = 300 << 20
    data = executor.submit(called.large, size).result()
    assert (len(data), data[:1], data[-1:]) == (size, b"a", b"z")
    assert executor.submit(len, data).result() == size


def test_a_call_that_crashes_while_much_waits_behind_it_loses_nothing(make_executor: Make) -> None:
    executor = make_executor(2)
    block = bytes(1 << 20)
    futures = [executor.submit(os.abort) if number == 7 else executor.submit(len, block) for number in range(20)]
    assert [future.exception() is None for future in futures] == [number != 7 for number in range(20)]
