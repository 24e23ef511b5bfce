"""Large arguments and results: each in a file in memory, whatever dies while they are on their way."""

from __future__ import annotations

import collections
import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import Handle, InfoTask, MultiProcess, Outcome, RetryPolicy, WorkflowExecutor
from workflow.engine import bulk, processes

Wait = Callable[[Callable[[], bool]], None]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")

LARGE = bytes(range(256)) * 8192
"""2 MiB."""


def relay(log: Path, name: object, data: Any = LARGE, act: str = "", **options: Any) -> InfoTask:
    return InfoTask("victims.Relay", 30, str(log), str(name), data, act, **options)


def files_of(pid: int) -> int:
    """How many descriptors a process has of such files."""
    found = 0
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            found += "workflow-bulk" in os.readlink(entry.path)
        except FileNotFoundError:
            continue  # it is closed by now
    return found


def engine(mp: Any) -> list[int]:
    """This process, the dispatcher and the workers."""
    (warden,) = processes.children(mp._client._tree.guardian.pid)
    return [os.getpid(), *processes.children(warden)]


def memory(data: bytes) -> Any:
    """What its pickle hands out as a buffer."""
    from victims import Memory  # found while a test runs

    return Memory(bytearray(data))


@pytest.mark.parametrize("make", [bytes, memory], ids=["bytes", "a buffer"])
def test_a_retry_finds_its_arguments_as_they_were(pool: MultiProcess, tmp_path: Path, make: Any) -> None:
    """Whatever an attempt did to its own, also when it killed its worker."""
    data = make(LARGE)
    log = tmp_path / "log"
    handle = pool.push(relay(log, "a", data, "fail", retries=RetryPolicy(max=2)))
    assert handle.result(30)[2] == LARGE
    assert [attempt.outcome for attempt in handle.attempts] == [Outcome.FAILED, Outcome.SUCCEEDED]
    crashed = pool.push(relay(log, "b", data, "crash", retries=RetryPolicy(max=1, on=("crashed",))))
    assert crashed.result(30)[2] == LARGE
    assert len(crashed.attempts) == 2
    assert getattr(data, "memory", data) == LARGE


@pytest.mark.parametrize("seed", range(3))
def test_killed_dispatchers_and_workers_lose_and_repeat_no_large_task(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, wait_until: Wait, seed: int
) -> None:
    """Each one outcome, run at most once, its callback at most once; what arrives is whole.

    Seed 0 kills dispatchers only, the others both at once.
    """
    draw = random.Random(seed)
    log = tmp_path / "log"
    told: collections.Counter[int] = collections.Counter()
    mp = make_pool(2, on_callback=lambda handle: told.update([handle.number]))
    handles: list[Handle] = []
    assert mp.push(InfoTask("victims.Echo", 30, 1)).result(30) == 1
    for _ in range(6):
        for _ in range(20):
            data = draw.choice([LARGE, memory(LARGE), b"small", LARGE[:100_000]])
            handles.append(mp.push(relay(log, len(handles), data)))
        wait_until(lambda: sum(not handle.done() for handle in handles) < 30)
        dispatcher = mp._client.dispatcher_pid
        if seed:
            workers = [pid for pid in engine(mp)[1:] if pid != dispatcher]
            processes.signal_process(draw.choice(workers), signal.SIGKILL)
        processes.signal_process(dispatcher, signal.SIGKILL)
        wait_until(lambda dispatcher=dispatcher: mp._client.dispatcher_pid != dispatcher)  # type: ignore[misc]
    mp.stop()
    assert mp.failure is None
    assert mp._client._files == {}
    lines = collections.Counter(log.read_text().splitlines())
    assert [line for line, count in lines.items() if count > 1] == []
    for number, handle in enumerate(handles):
        assert told[handle.number] == 1
        assert len(handle.attempts) == 1
        if handle.outcome is Outcome.SUCCEEDED:
            _path, name, data = handle.result()
            assert name == str(number)
            assert LARGE.startswith(data) or data == b"small"
            assert handle.callback is not None
            called = lines[f"callback {number} {len(data)}"]
            assert called == 1 or handle.callback.outcome is Outcome.CRASHED
        else:
            assert handle.outcome is Outcome.CRASHED
    crashes = sum(handle.outcome is Outcome.CRASHED for handle in handles)
    assert crashes == 0 if not seed else crashes <= 6


def test_no_descriptor_is_left_of_a_thousand(pool: MultiProcess, wait_until: Wait) -> None:
    """In the program, the dispatcher and the workers, however many are sent at a time."""
    handles: list[Handle] = []
    for _ in range(20):
        handles = [pool.push(InfoTask("victims.Echo", 30, LARGE)) for _ in range(50)]
        assert all(handle.result(30) == LARGE for handle in handles)
    del handles
    wait_until(lambda: sum(map(files_of, engine(pool))) == 0)
    assert len(bulk._mappings()) == 0


def test_no_descriptor_is_left_of_what_waited_behind_a_long_task(pool: MultiProcess, wait_until: Wait) -> None:
    """It is taken back from there, and run elsewhere; what is answered in short is passed on in another way."""
    handles = [pool.push(InfoTask("victims.Weigh", 30, LARGE, 0.0)) for _ in range(100)]
    handles += [pool.push(InfoTask("victims.Weigh", 30, LARGE, 1.0 if place == 20 else 0.0)) for place in range(60)]
    assert [handle.result(30) for handle in handles] == [len(LARGE)] * len(handles)
    wait_until(lambda: sum(map(files_of, engine(pool))) == 0)


def test_a_cancelled_task_gives_its_file_back(pool: MultiProcess, tmp_path: Path, wait_until: Wait) -> None:
    """One that waits, and one that runs."""
    running = [pool.push(relay(tmp_path / "log", number, LARGE, f"sleep {number}", grace=0.1)) for number in range(2)]
    wait_until(lambda: all(handle.running() for handle in running))
    waiting = [pool.push(relay(tmp_path / "log", "never")) for _ in range(20)]
    for handle in [*waiting, *running]:
        handle.cancel()
    wait_until(lambda: all(handle.done() for handle in [*waiting, *running]))
    assert {handle.outcome for handle in waiting} == {Outcome.CANCELLED}
    assert pool.push(InfoTask("victims.Echo", 30, 1)).result(30) == 1
    assert pool._client._files == {}
    wait_until(lambda: sum(map(files_of, engine(pool))) == 0)


def test_more_than_may_be_in_files_are_pushed_at_once(
    pool: MultiProcess, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others travel in their frames; pushing waits for nothing, also while the dispatcher is stopped."""
    monkeypatch.setattr(bulk, "_FILES_MAX", 12)
    assert pool.push(InfoTask("victims.Echo", 30, 1)).result(30) == 1
    dispatcher = pool._client.dispatcher_pid
    processes.signal_process(dispatcher, signal.SIGSTOP)
    handles = [pool.push(InfoTask("victims.Echo", 30, LARGE + bytes([number]))) for number in range(30)]
    assert len(pool._client._files) == 12
    processes.signal_process(dispatcher, signal.SIGCONT)
    assert [handle.result(30)[-1] for handle in handles] == list(range(30))


def test_a_large_result_goes_to_its_callback(pool: MultiProcess, tmp_path: Path) -> None:
    """Which is called in the dispatcher."""
    log = tmp_path / "log"
    handle = pool.push(relay(log, "a"))
    assert handle.result(30)[2] == LARGE
    pool.stop()
    assert f"callback a {len(LARGE)}" in log.read_text()
    assert bytes(handle.pickled_result()).startswith(b"\x80")


def test_a_result_over_the_limit_takes_no_memory(make_pool: Callable[..., MultiProcess]) -> None:
    """It is given up on where it passes that, and the task says so."""
    mp = make_pool(1, max_result=3_000_000)
    error = mp.push(InfoTask("victims.TooMuch", 20)).exception(20)
    assert "more than max_result = 3000000" in str(error)
    assert isinstance(error, ValueError)
    assert int(str(error).split()[3]) < 3 * 2_000_000  # what was written when it was given up on
    assert len(mp.push(InfoTask("victims.Large", 20, 2_900_000)).result(20)) == 2_900_000


def test_a_result_that_finds_no_room_is_its_tasks_failure(pool: MultiProcess) -> None:
    """Here by the limit of a file's size."""
    error = pool.push(InfoTask("victims.Cramped", 20, 4_000_000)).exception(20)
    assert isinstance(error, OSError)
    assert "no room in memory to hand the result over" in str(error)
    assert "ulimit -f" in str(error)


def test_arguments_that_find_no_room_travel_in_their_frame(pool: MultiProcess) -> None:
    """Here by the limit of a file's size."""
    assert pool.push(InfoTask("victims.Echo", 30, 1)).result(30) == 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        handle = pool.push(InfoTask("victims.Echo", 30, LARGE))
        assert pool._client._files == {}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert handle.result(30) == LARGE


def test_arrays_come_back_without_a_copy(wait_until: Wait) -> None:
    """They lie in what the worker wrote, and may be written to."""
    with WorkflowExecutor(1, timeout=30) as executor:
        future = executor.submit(type(memory(b"")), bytearray(LARGE))
        mapped = future.result(30)
        assert len(bulk._mappings()) == 3
        assert mapped.memory == LARGE
        mapped.memory[0] = 7
        by_value = executor.submit(lambda data: data, memory(LARGE)).result(30)
        assert by_value.memory == LARGE
        assert len(bulk._mappings()) == 4  # its future is gone
    del future, mapped, by_value
    wait_until(lambda: len(bulk._mappings()) == 0)
