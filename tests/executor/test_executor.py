"""What is written for ``concurrent.futures`` runs on the engine, with limits."""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import itertools
import operator
import os
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import called
import pytest

from workflow import (
    MemoryLimitExceeded,
    Outcome,
    RetryPolicy,
    TaskCancelled,
    TaskCrashed,
    TaskError,
    TaskFuture,
    TaskTimeout,
    WorkflowExecutor,
)

Make = Callable[..., WorkflowExecutor]
Program = Callable[..., subprocess.CompletedProcess[str]]


def until(holds: Callable[[], object]) -> None:
    """Wait for it; the test's own limit is the limit."""
    while not holds():
        time.sleep(0.002)


def hang(executor: WorkflowExecutor, folder: Path) -> tuple[TaskFuture[None], int]:
    """A call that runs and does not end, and its worker."""
    path = folder / f"hangs-{len(list(folder.iterdir()))}"
    future = executor.submit(called.mark_and_hang, str(path))
    until(lambda: path.exists() and path.read_text())
    return future, int(path.read_text())


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -- submit ------------------------------------------------------------------------------------------------------------


def test_a_call_returns_what_the_function_returns(executor: WorkflowExecutor) -> None:
    future = executor.submit(divmod, 17, 5)
    assert future.result() == (3, 2)
    assert future.done()
    assert not future.running()
    assert not future.cancelled()
    assert not future.cancel()
    assert future.outcome is Outcome.SUCCEEDED
    assert isinstance(future, concurrent.futures.Future)


def test_keyword_arguments_may_have_any_name(executor: WorkflowExecutor) -> None:
    """``fn`` and ``self`` are names like others."""
    assert executor.submit(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}


def test_lambdas_closures_and_bound_methods_travel(executor: WorkflowExecutor) -> None:
    """What pickle does not take, cloudpickle does; also as an argument."""
    factor = 6
    assert executor.submit(lambda number: number * factor, 7).result() == 42
    assert executor.submit(functools.partial(operator.mul, factor), 7).result() == 42
    assert executor.submit("-".join, ["a", "b"]).result() == "a-b"
    assert executor.submit(lambda function: function(1), lambda number: number + 1).result() == 2


def test_an_exception_arrives_as_itself_with_its_traceback_as_cause(executor: WorkflowExecutor) -> None:
    with pytest.raises(called.Refused) as raised:
        executor.submit(called.refuse, "no").result()
    assert raised.value.number == 7
    assert "in refuse" in str(raised.value.__cause__)
    assert "raise Refused(what, 7)" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (called.refuse_by_name, ["raise Unsendable(number=7)", "Unsendable: seven"]),
        (called.sleep, ["in sleep"]),
        (functools.partial(called.die, "segv"), ["Fatal Python error: Segmentation fault", "in die"]),
    ],
)
def test_whoever_prints_an_error_sees_where_it_was(executor: WorkflowExecutor, function: Any, shown: list[str]) -> None:
    """Also of an exception that cannot travel, and of what was killed; nothing of the engine's is in it."""
    with pytest.raises(TaskError) as raised:
        executor.with_options(timeout=1).submit(function).result()
    text = "".join(traceback.format_exception(raised.value))
    for each in shown:
        assert each in text
    assert "<string>" not in text


def test_what_cannot_be_pickled_is_the_futures_exception(executor: WorkflowExecutor) -> None:
    """Neither ``submit`` raises nor does anybody else suffer."""
    future = executor.submit(called.identity, threading.Lock())
    with pytest.raises(TypeError, match="pickle"):
        future.result()
    assert future.outcome is Outcome.FAILED
    assert future.attempts == ()
    assert executor.submit(called.identity, 1).result() == 1


def test_a_call_that_crashes_ends_alone(executor: WorkflowExecutor) -> None:
    """The executor stays usable, and so does every other call."""
    others = [executor.submit(called.identity, number) for number in range(20)]
    with pytest.raises(TaskCrashed) as raised:
        executor.submit(os.abort).result()
    assert isinstance(raised.value, BrokenProcessPool)
    assert raised.value.signal == "SIGABRT"
    assert [future.result() for future in others] == list(range(20))
    assert executor.submit(called.identity, 1).result() == 1


# -- options -----------------------------------------------------------------------------------------------------------


def test_the_options_of_the_executor_hold_for_each_call(make_executor: Make) -> None:
    executor = make_executor(1, timeout=0.2, name="slow")
    with pytest.raises(TaskTimeout, match="task slow: killed at its limit of 0.2 s") as raised:
        executor.submit(time.sleep, 600).result()
    assert "called" not in str(raised.value)
    assert raised.value.task_id == "slow"


def test_a_view_has_its_own_options_and_the_same_pool(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1, env={"A": "1"})
    view = executor.with_options(env={"A": "2", "HOME": None}, retries=RetryPolicy(max=1), name="again")
    assert executor.submit(called.pid).result() == view.submit(called.pid).result()
    assert executor.submit(called.variable, "A").result() == "1"
    assert view.submit(called.variable, "A").result() == "2"
    assert view.submit(called.variable, "HOME").result() is None
    assert view.submit(called.fail_first, str(tmp_path / "first")).result() == "2"
    with pytest.raises(MemoryLimitExceeded):
        view.with_options(memory=64 << 20, retries=0).submit(called.hold, 200 << 20).result()


def test_views_of_views_keep_what_they_were_not_told(make_executor: Make) -> None:
    view = make_executor(1, timeout=0.2).with_options(name="x").with_options(priority=1)
    with pytest.raises(TaskTimeout, match="task x: killed at its limit of 0.2 s"):
        view.submit(time.sleep, 600).result()


def test_an_unknown_option_is_told_with_what_was_meant(executor: WorkflowExecutor) -> None:
    with pytest.raises(TypeError, match="no option 'timeuot', did you mean 'timeout'"):
        executor.with_options(timeuot=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="an executor has no option 'max_worker', did you mean 'max_workers'"):
        WorkflowExecutor(max_worker=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no option 'max_workers': it is one of the whole pool"):
        executor.with_options(max_workers=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="timeout must be above 0"):
        executor.with_options(timeout=0)


def test_a_pool_has_at_least_one_worker() -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0, not 0"):
        WorkflowExecutor(0)


def test_a_worker_is_renewed_after_so_many_calls(make_executor: Make) -> None:
    executor = make_executor(1, max_tasks_per_child=2)
    pids = [executor.submit(called.pid).result() for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


# -- states ------------------------------------------------------------------------------------------------------------


def test_cancelling_a_running_call_ends_it(make_executor: Make, tmp_path: Path) -> None:
    """The future at once, as the standard has it; the process as soon as it is dead, and never later than its grace."""
    executor = make_executor(1)
    future, pid = hang(executor, tmp_path)
    assert future.running()
    assert "running" in repr(future)
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    assert not future.running()
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    with pytest.raises(TaskCancelled):
        future.exception()
    executor.shutdown()
    assert future.outcome is Outcome.CANCELLED
    assert not is_there(pid)


def test_a_cancelled_call_that_waits_never_begins(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    running, _pid = hang(executor, tmp_path)
    waiting = executor.submit(Path.touch, tmp_path / "ran")
    assert not waiting.running()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert running.cancel()
    assert executor.submit(called.identity, 1).result() == 1
    assert not (tmp_path / "ran").exists()


def test_wait_and_as_completed_see_a_cancelled_future_at_once(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    future, _pid = hang(executor, tmp_path)
    called_back: list[Any] = []
    future.add_done_callback(called_back.append)
    waiter = threading.Thread(target=concurrent.futures.wait, args=([future],))
    waiter.start()
    future.cancel()
    waiter.join()
    assert called_back == [future]
    assert list(concurrent.futures.as_completed([future])) == [future]


def test_each_future_ends_in_one_way_however_often_it_is_cancelled(make_executor: Make) -> None:
    """Whoever cancels and the engine race for the same futures: what ``cancel`` said holds."""
    executor = make_executor(2)
    for _ in range(5):
        futures = [executor.submit(called.identity, number) for number in range(200)]
        said = {future: future.cancel() for future in futures}
        for future, cancelled in said.items():
            assert future.cancelled() is cancelled
            if not cancelled:
                assert future.result() == futures.index(future)


# -- map ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100])
@pytest.mark.parametrize("buffersize", [None, 1, 3, 100])
def test_map_yields_results_in_order(executor: WorkflowExecutor, chunksize: int, buffersize: int | None) -> None:
    results = executor.map(pow, range(20), itertools.count(), chunksize=chunksize, buffersize=buffersize)
    assert list(results) == [number**number for number in range(20)]


def test_map_reads_no_further_ahead_than_its_buffer(executor: WorkflowExecutor) -> None:
    """As in 3.14: so many are submitted at once, and another for each that is asked for."""
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            read.append(number)
            yield number

    results = executor.map(called.identity, numbers(), buffersize=3)
    assert read == [0, 1, 2]
    assert next(results) == 0
    assert read == [0, 1, 2, 3]
    assert next(results) == 1
    assert read == [0, 1, 2, 3, 4]


def test_map_reads_everything_at_once_without_a_buffer(executor: WorkflowExecutor) -> None:
    numbers = iter(range(5))
    results = executor.map(called.identity, numbers)
    assert next(numbers, None) is None
    assert list(results) == list(range(5))


def test_a_view_that_only_its_map_holds_goes_on(make_executor: Make) -> None:
    assert list(make_executor(1).with_options(retries=1).map(called.identity, range(9), buffersize=2)) == list(range(9))


def test_map_raises_when_its_time_is_over_and_ends_the_rest(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    results = executor.map(called.mark_and_hang, [str(tmp_path / "a"), str(tmp_path / "b")], timeout=0.3)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    assert executor.submit(called.identity, 1).result() == 1
    assert not (tmp_path / "b").exists()


def test_a_map_that_is_closed_ends_what_it_has_not_yielded(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    results = executor.map(called.hang_if, ["", str(tmp_path / "hangs")])
    assert next(results) == ""
    until((tmp_path / "hangs").exists)
    results.close()  # type: ignore[attr-defined]  # it is a generator, as the standard's is
    assert executor.submit(called.identity, 1).result() == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"buffersize": 0}, ValueError),
        ({"buffersize": "2"}, TypeError),
        ({"chunksize": 0}, ValueError),
    ],
)
def test_map_refuses_sizes_that_cannot_be_meant(
    executor: WorkflowExecutor, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        executor.map(called.identity, [1], **options)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_shutdown_completes_what_was_submitted(make_executor: Make) -> None:
    with make_executor(2) as executor:
        futures = [executor.submit(called.identity, number) for number in range(50)]
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(called.identity, 1)
    executor.shutdown()
    executor.shutdown(cancel_futures=True)


def test_shutdown_without_waiting_completes_what_was_submitted_too(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    future = executor.submit(called.identity, 5)
    executor.shutdown(wait=False)
    assert future.result() == 5
    executor.shutdown()


def test_shutdown_may_cancel_what_has_not_begun(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)
    begun = executor.submit(called.mark_and_pause, str(tmp_path / "begun"))
    until((tmp_path / "begun").exists)
    waiting = [executor.submit(called.identity, number) for number in range(50)]
    executor.shutdown(cancel_futures=True)
    assert begun.result() == "paused"
    assert all(future.cancelled() for future in waiting)


def test_an_executor_that_was_never_used_has_nothing_to_end() -> None:
    executor = WorkflowExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(called.identity, 1)


def test_an_executor_that_nobody_holds_completes_and_ends() -> None:
    """As the standard's: its futures are kept, it is not.  That nothing is left is looked at after every test."""
    executor = WorkflowExecutor(1)
    future = executor.submit(called.identity, [1])
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    assert future.result() == [1]


def test_ctrl_c_in_a_with_block_ends_everything(make_executor: Make, tmp_path: Path) -> None:
    executor = make_executor(1)

    def interrupted() -> None:
        with executor:
            hang(executor, tmp_path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_program_that_ends_without_shutdown_completes_first(program: Program, tmp_path: Path) -> None:
    program("""
        import pathlib
        from workflow import WorkflowExecutor
        executor = WorkflowExecutor(2)
        for number in range(20):
            executor.submit(pathlib.Path(f"did-{number}").touch)
    """)
    assert len(list(tmp_path.glob("did-*"))) == 20


def test_a_done_callback_that_waits_for_another_call_is_told_that_it_cannot(executor: WorkflowExecutor) -> None:
    """It is in the thread that would hear of the end.  What has ended it may look at."""
    said: list[str] = []
    seen = threading.Event()

    def wait(first: concurrent.futures.Future[int]) -> None:
        assert first.result() == 1
        for ask in (other.result, other.exception):
            try:
                ask()
            except RuntimeError as error:
                said.append(str(error))
        seen.set()

    other = executor.submit(time.sleep, 0.5)
    executor.submit(called.identity, 1).add_done_callback(wait)
    assert seen.wait(30)
    assert [text.startswith("a done callback waits for a task") for text in said] == [True, True]
    assert other.result(30) is None


def test_a_done_callback_may_submit_and_may_shut_down_without_waiting(executor: WorkflowExecutor) -> None:
    ended = threading.Event()
    more: list[TaskFuture[int]] = []

    def go_on(_future: Any) -> None:
        more.append(executor.submit(called.identity, 2))
        executor.shutdown(wait=False)
        ended.set()

    executor.submit(called.identity, 1).add_done_callback(go_on)
    ended.wait()
    assert more[0].result() == 2


def test_importing_the_package_or_the_executor_does_not_import_cloudpickle() -> None:
    """It costs 20 ms, and only a call that needs it pays: here as in a worker."""
    text = """
import sys
from workflow import WorkflowExecutor
with WorkflowExecutor(1) as executor:
    there = executor.submit(eval, "'cloudpickle' in __import__('sys').modules").result()
print(there, "cloudpickle" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False False\n"
