"""Every task ends, and gets the one outcome that is right."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import (
    Handle,
    InfoTask,
    MemoryLimitExceeded,
    MultiProcess,
    Outcome,
    TaskCancelled,
    TaskCrashed,
    TaskFailed,
    TaskTimeout,
)
from workflow.engine import processes

Push = Callable[..., Handle]
Wait = Callable[[Callable[[], bool]], None]

HANGS = {
    "Sleep": "in runnable",
    "HoldTheInterpreter": "in runnable",
    "IgnoreSignals": "in runnable",
    "Swallow": "in runnable",
    "StopItself": "in runnable",
}


@pytest.mark.parametrize("name", HANGS)
def test_a_task_that_hangs_is_killed_at_its_limit_and_says_where_it_was(push: Push, name: str) -> None:
    """Whatever it does to signals and to the interpreter: outcome, error and stack are there."""
    handle = push(name, timeout=0.3, grace=0.2)
    error = handle.exception(10)
    assert handle.outcome is Outcome.TIMED_OUT
    assert isinstance(error, TaskTimeout)
    assert isinstance(error, TimeoutError)
    assert HANGS[name] in (error.stack or "")
    assert "workflow/engine" not in (error.stack or ""), "only what is the task's is shown"
    (attempt,) = handle.attempts
    assert 0.3 <= attempt.duration_s < 5


def test_one_stubborn_task_does_not_delay_the_deadline_of_another(make_pool: Callable[..., MultiProcess]) -> None:
    """Its long grace is a timer: the other ends long before it is over."""
    mp = make_pool(2)
    stubborn = mp.push(InfoTask("victims.IgnoreSignals", 0.2, grace=8.0))
    other = mp.push(InfoTask("victims.HoldTheInterpreter", 0.4, grace=0.1))
    assert isinstance(other.exception(7), TaskTimeout)
    assert not stubborn.done()
    mp.cancel_all("enough", 0.0)
    assert isinstance(stubborn.exception(10), TaskTimeout)


def test_a_task_may_clean_up_during_its_grace_and_is_timed_out_nevertheless(push: Push, tmp_path: Path) -> None:
    """SIGTERM raises in the main thread, so finally blocks run."""
    handle = push("CleanUp", str(tmp_path / "note"), timeout=0.2, grace=10)
    assert isinstance(handle.exception(9), TaskTimeout)
    assert (tmp_path / "note").read_text() == "cleaned up\n"
    assert handle.attempts[0].error is not None
    assert "time.sleep(1000)" in (handle.attempts[0].error.traceback or "")


@pytest.mark.parametrize("stay", [True, False])
def test_every_process_of_a_task_dies(
    make_pool: Callable[..., MultiProcess],
    tmp_path: Path,
    pids_in: Callable[[Path], list[int]],
    wait_until: Wait,
    stay: bool,
) -> None:
    """Also one in a session of its own, and one that is nobody's child: at the kill, or when the pool ends."""
    mp = make_pool(1)
    handle = mp.push(InfoTask("victims.Grandchildren", 2.0, str(tmp_path / "pids"), kwargs={"stay": stay}, grace=0.2))
    handle.exception(20)
    assert handle.outcome is (Outcome.TIMED_OUT if stay else Outcome.SUCCEEDED)
    pids = pids_in(tmp_path / "pids")
    assert len(pids) == 3
    if stay:
        assert not any(processes.is_alive(pid) for pid in pids)
    else:
        assert handle.attempts[0].left == 3
        mp.stop()
        wait_until(lambda: not any(processes.is_alive(pid) for pid in pids))


@pytest.mark.parametrize(
    ("how", "signal", "exit_code"),
    [
        ("segv", "SIGSEGV", None),
        ("abort", "SIGABRT", None),
        ("kill", "SIGKILL", None),
        ("thread", "SIGSEGV", None),
        ("exit", None, 0),
        ("exit7", None, 7),
        ("libc_exit", None, 0),
    ],
)
def test_a_task_whose_process_dies_is_crashed(push: Push, how: str, signal: str | None, exit_code: int | None) -> None:
    """With the signal by name or the exit code, also for 0; and the pool goes on."""
    handle = push("Crash", how)
    error = handle.exception(20)
    assert handle.outcome is Outcome.CRASHED
    assert isinstance(error, TaskCrashed)
    assert (error.signal, error.exit_code) == (signal, exit_code)
    if signal in ("SIGSEGV", "SIGABRT"):
        assert "Fatal Python error" in (error.stack or "")
    assert push("Echo", 1).result(20) == 1


def test_a_crash_takes_only_its_own_task(push: Push) -> None:
    """Tasks that waited behind it in its worker run elsewhere, and count no attempt for it."""
    handles = [push("Crash", "segv") if number % 10 == 5 else push("Echo", number) for number in range(60)]
    for number, handle in enumerate(handles):
        handle.exception(30)
        assert handle.outcome is (Outcome.CRASHED if number % 10 == 5 else Outcome.SUCCEEDED), number
        assert [attempt.number for attempt in handle.attempts] == [1]


@pytest.mark.parametrize(
    ("kind", "type_name", "travels"),
    [
        ("value", "ValueError", ValueError),
        ("chained", "ValueError", ValueError),
        ("keyword", "victims.NeedsKeyword", TaskFailed),
        ("str", "victims.RaisingStr", None),
        ("reduce", "victims.RaisingReduce", TaskFailed),
        ("lock", "victims.Unpicklable", TaskFailed),
        ("sys_exit", "SystemExit", SystemExit),
        ("base", "BaseException", BaseException),
        ("generator", "GeneratorExit", GeneratorExit),
        ("keyboard", "KeyboardInterrupt", KeyboardInterrupt),
        ("recursion", "RecursionError", RecursionError),
    ],
)
def test_what_a_task_raises_arrives_as_text_and_if_it_can_as_itself(
    push: Push, kind: str, type_name: str, travels: type[BaseException] | None
) -> None:
    """Type, message and traceback are there whatever the exception is made of."""
    handle = push("Raise", kind)
    error = handle.exception(20)
    assert handle.outcome is Outcome.FAILED
    record = handle.attempts[0].error
    assert record is not None
    assert record.type == type_name
    assert "victims.py" in (record.traceback or "")
    if travels is not None:
        assert type(error) is travels
    if kind == "chained":
        assert "KeyError: 'inner'" in (record.traceback or "")
    if kind == "sys_exit":
        assert "belongs in 'cmd'" in record.message


@pytest.mark.parametrize("kind", ["lambda", "lock", "generator"])
def test_a_result_that_cannot_be_pickled_fails_its_task_and_says_why(push: Push, kind: str) -> None:
    error = push("Unsendable", kind).exception(20)
    assert isinstance(error, TypeError)
    assert "cannot be pickled" in str(error)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("victims.Missing", "has no 'Missing'"),
        ("victims.Ech", "did you mean 'Echo'"),
        ("no_such_module.Thing", "No module named 'no_such_module'"),
        ("victims.NotAModel", "not derived from workflow.Model"),
        ("victims.explode", "is a function, not a class"),
        ("victims.RaisingInit", "no instance"),
        ("exits_at_import.Thing", "exit of its process"),
    ],
)
def test_a_class_that_cannot_be_used_fails_its_task_alone(
    pool: MultiProcess, push: Push, module: str, text: str
) -> None:
    handle = pool.push(InfoTask(module, 10))
    handle.exception(20)
    assert handle.outcome is Outcome.FAILED
    assert handle.attempts[0].error is not None
    assert text in handle.attempts[0].error.message
    assert push("Echo", 1).result(20) == 1


def test_a_module_that_hangs_at_import_times_out_and_says_so(pool: MultiProcess) -> None:
    handle = pool.push(InfoTask("hangs_at_import.Thing", 0.3, grace=0.1))
    error = handle.exception(20)
    assert isinstance(error, TaskTimeout)
    assert "while its module was imported" in str(error)


@pytest.mark.parametrize("how", ["raise", "exit", "segv"])
def test_arguments_that_do_harm_when_unpickled_hit_their_own_task(push: Push, how: str) -> None:
    """In the worker, as an attempt."""
    import victims

    handle = push("Echo", victims.Bomb(how))
    neighbours = [push("Echo", number) for number in range(20)]
    handle.exception(20)
    assert handle.outcome is (Outcome.CRASHED if how == "segv" else Outcome.FAILED)
    assert [neighbour.result(20) for neighbour in neighbours] == list(range(20))


def test_a_result_that_raises_when_unpickled_is_that_handles_exception(push: Push) -> None:
    """In the process that asks for it, also when it is an exit; the task succeeded."""
    for how, kind in (("raise", ValueError), ("exit", SystemExit)):
        handle = push("ReturnBomb", how)
        assert isinstance(handle.exception(20), kind)
        assert handle.outcome is Outcome.SUCCEEDED


def test_an_argument_that_cannot_be_pickled_is_an_error_at_push(push: Push) -> None:
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        push("Echo", lambda: 0)
    assert push("Echo", 1).result(20) == 1


def test_a_destructor_that_crashes_after_the_answer_harms_nobody(push: Push) -> None:
    import victims

    handles = [push("DeadlyDestructor", victims.Deadly(), id=f"d{number}") for number in range(5)]
    assert [handle.result(20) for handle in handles] == ["sent"] * 5
    assert all(handle.outcome is Outcome.SUCCEEDED for handle in handles)


def test_a_child_that_returns_from_the_task_answers_nothing(push: Push) -> None:
    assert push("ForkAndReturn").result(20) == "parent"
    assert push("Echo", 2).result(20) == 2


def test_results_of_every_size_arrive_whole(push: Push) -> None:
    """Small ones, those that do not fit into a page, and those in a file go different ways, and meet at the end."""
    sizes = [1, 60, 3900, 4000, 4040, 4096, 5000, 60_000, 65_400, 65_536, 70_000, 1 << 20]
    results = [bytes([number]) * size for number in range(10) for size in sizes]
    handles = [push("Echo", result) for result in results]
    assert [handle.result(30) for handle in handles] == results


@pytest.mark.parametrize("size", [10, 5000, 100_000])
def test_an_error_of_every_size_is_that_of_its_attempt(push: Push, size: int) -> None:
    """Also of one that is followed by another attempt, whose callback is the last one's."""
    handle = push("Raise", "x" * size, retries=2)
    neighbours = [push("Echo", number) for number in range(20)]
    assert handle.outcome is None or handle.outcome is Outcome.FAILED
    assert "x" * size in str(handle.exception(20))
    assert [attempt.outcome for attempt in handle.attempts] == [Outcome.FAILED] * 3
    assert all(attempt.error is not None and "xxxxxxxxxx" in attempt.error.message for attempt in handle.attempts)
    assert [neighbour.result(20) for neighbour in neighbours] == list(range(20))


def test_large_arguments_and_results_arrive_whole(push: Push) -> None:
    """Far above what a channel holds, beside small ones, in both directions."""
    large = bytes(range(256)) * 40_000
    handles = [push("Echo", large if number % 3 == 0 else number) for number in range(12)]
    for number, handle in enumerate(handles):
        assert handle.result(30) == (large if number % 3 == 0 else number)


def test_a_result_above_the_limit_fails_its_task(make_pool: Callable[..., MultiProcess]) -> None:
    error = make_pool(1, max_result=1000).push(InfoTask("victims.Echo", 10, b"x" * 2000)).exception(20)
    assert isinstance(error, ValueError)
    assert "max_result = 1000" in str(error)


@pytest.mark.parametrize("child", [False, True])
def test_a_task_above_its_memory_is_killed_with_its_tree(push: Push, child: bool) -> None:
    """And told with what all of it used together, also of an attempt of less than half a second."""
    handle = push("Hoard", 300 * 2**20, memory=100 * 2**20, grace=0.2, kwargs={"child": child})
    error = handle.exception(30)
    assert handle.outcome is Outcome.MEMORY_EXCEEDED
    assert isinstance(error, MemoryLimitExceeded)
    peak = handle.attempts[0].peak_rss_bytes
    assert peak is not None and 100 * 2**20 < peak < 400 * 2**20


def test_a_crashing_task_is_tried_again_as_often_as_it_may(push: Push, tmp_path: Path) -> None:
    """Each attempt is on record, and the last decides."""
    handle = push("CrashOnce", str(tmp_path / "a"), 2, retries=3)
    assert handle.result(30) == 3
    assert [attempt.outcome for attempt in handle.attempts] == [Outcome.CRASHED, Outcome.CRASHED, Outcome.SUCCEEDED]
    handle = push("CrashOnce", str(tmp_path / "b"), 5, retries=1)
    assert isinstance(handle.exception(30), TaskCrashed)
    assert len(handle.attempts) == 2


def test_a_task_behind_a_hanging_one_runs_elsewhere(push: Push) -> None:
    """What was sent ahead to a worker that is busy is taken back, its interpreter held or not."""
    for name in ("Sleep", "HoldTheInterpreter"):
        push("Echo", 0).result(20)
        stuck = push(name, timeout=60)
        started = time.monotonic()
        handles = [push("Echo", number) for number in range(30)]
        assert [handle.result(20) for handle in handles] == list(range(30))
        assert time.monotonic() - started < 20
        assert not stuck.done()
        stuck.cancel()


def test_waiting_in_the_queue_does_not_count(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(1)
    handles = [mp.push(InfoTask("victims.Sleep", 1.0, 0.3)) for _ in range(5)]
    assert [handle.result(30) for handle in handles] == [0.3] * 5


def test_cancel_ends_a_queued_task_and_a_running_one(make_pool: Callable[..., MultiProcess], wait_until: Wait) -> None:
    mp = make_pool(1)
    running = mp.push(InfoTask("victims.Sleep", 60, grace=0.2))
    queued = mp.push(InfoTask("victims.Sleep", 60))
    wait_until(running.running)
    assert queued.cancel()
    assert running.cancel()
    for handle in (queued, running):
        with pytest.raises(TaskCancelled):
            handle.result(20)
        assert handle.cancelled()
        assert not handle.cancel()
    assert queued.attempts == ()
    assert len(running.attempts) == 1
    assert mp.push(InfoTask("victims.Echo", 10, 3)).result(20) == 3


def test_an_isolated_task_has_a_process_to_itself(push: Push) -> None:
    pids = [push("Pid", isolate=number % 2 == 0) for number in range(8)]
    alone = [handle.result(30) for handle in pids[::2]]
    shared = {handle.result(30) for handle in pids[1::2]}
    assert len(set(alone)) == len(alone)
    assert not set(alone) & shared


def test_environment_and_folder_are_given_and_restored(push: Push, tmp_path: Path, monkeypatch: Any) -> None:
    first = push("Change", str(tmp_path), env={"MARKED": "mine"}, cwd=str(tmp_path), isolate=False).result(20)
    assert first == ("mine", str(tmp_path))
    for _ in range(4):
        marked, folder = push("Change", str(tmp_path)).result(20)
        assert marked is None
        assert folder != str(tmp_path)
    assert push("Environment", "WORKFLOW_TASK_ID", "WORKFLOW_ATTEMPT", id="me").result(20) == ["me", "1"]
    assert push("Environment", "HOME", env={"HOME": None}).result(20) == [None]


def test_a_task_may_use_multiprocessing_itself(push: Push) -> None:
    assert push("UseMultiprocessing", timeout=60).result(50) == [1, 2]


def test_a_killed_task_with_a_huge_traceback_is_told_whole(push: Push) -> None:
    """Its last words do not fit into a channel."""
    handle = push("SleepDeep", timeout=0.5, grace=5)
    assert isinstance(handle.exception(20), TaskTimeout)
    error = handle.attempts[0].error
    assert error is not None
    assert len(error.traceback or "") > 66_000
    assert push("Echo", 1).result(20) == 1


def test_an_async_function_is_told_apart(make_pool: Callable[..., MultiProcess], tmp_path: Path) -> None:
    """And the next task's log does not hold its warning."""
    mp = make_pool(1, log_dir=tmp_path)
    wrong, after = mp.push(InfoTask("victims.Async", 10)), mp.push(InfoTask("victims.Echo", 10))
    mp.stop()
    assert "asyncio.run()" in str(wrong.exception())
    assert (wrong.attempts[0].log, after.attempts[0].log) == (None, None)


def test_what_a_task_forks_dies_of_sigterm_from_its_first_moment(push: Push) -> None:
    """A handler of ours that it had for a moment would forget the signal: multiprocessing.Pool then waits for ever."""
    assert push("ForksAndTerminates", 300, timeout=50).result(55) == 0


def test_what_a_task_forks_keeps_the_tasks_own_handler_and_mask(push: Push) -> None:
    """And the signal that waited does not stay blocked, on either side."""
    assert push("ForksWithItsOwnHandler").result(20) == (7, False, True)


def test_how_a_brief_command_ended_is_told_of_it_and_not_of_the_next_task(
    make_pool: Callable[..., MultiProcess],
) -> None:
    """However soon it was over."""
    mp = make_pool(1)
    given = [(0, None), (None, None), (3, None), (None, "SIGSEGV"), (None, None)] * 20
    handles = [mp.push(InfoTask("victims.Noted", 20, *each)) for each in given]
    mp.stop()
    told = [(handle.attempts[0].exit_code, handle.attempts[0].signal) for handle in handles]
    assert told == given
    assert [handle.outcome is Outcome.CRASHED for handle in handles] == [signal is not None for _, signal in given]
