"""The parts of the engine die: nothing is lost, nothing is left."""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow import EngineError, Handle, InfoTask, MultiProcess, Outcome
from workflow.engine import processes

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]


def parts(mp: MultiProcess) -> tuple[int, int, int, list[int]]:
    """Guardian, warden, dispatcher and workers, once they are there."""
    mp.push(InfoTask("victims.Echo", 20)).result(20)
    guardian = mp._client._tree.guardian.pid
    (warden,) = processes.children(guardian)
    dispatcher = mp._client.dispatcher_pid
    return guardian, warden, dispatcher, [pid for pid in processes.children(warden) if pid != dispatcher]


@pytest.mark.parametrize("seed", range(4))
def test_killed_dispatchers_and_workers_lose_and_repeat_nothing(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, wait_until: Wait, seed: int
) -> None:
    """Under load, at random moments: each task one outcome, run at most once, one callback begun at most once.

    Seed 0 kills workers only, 1 dispatchers only, the others both at once.
    """
    draw = random.Random(seed)
    log = tmp_path / "log"
    told: collections.Counter[int] = collections.Counter()
    mp = make_pool(2, on_callback=lambda handle: told.update([handle.number]))
    handles: list[Handle] = []

    def push(count: int) -> None:
        for _ in range(count):
            seconds = draw.choice([0.0, 0.0, 0.0, 0.001, 0.003])
            handles.append(mp.push(InfoTask("victims.Recorder", 20, str(log), str(len(handles)), seconds)))

    push(200)
    for _ in range(12):
        push(150)
        wait_until(lambda: sum(not handle.done() for handle in handles) < 250)
        dispatcher = mp._client.dispatcher_pid
        if seed != 1:
            _, _, _, workers = parts(mp)
            if workers:
                processes.signal_process(draw.choice(workers), signal.SIGKILL)
        if seed != 0:
            processes.signal_process(dispatcher, signal.SIGKILL)
            wait_until(lambda dispatcher=dispatcher: mp._client.dispatcher_pid != dispatcher)  # type: ignore[misc]
    mp.stop()
    assert mp.failure is None
    lines = collections.Counter(log.read_text().splitlines())
    assert [line for line, count in lines.items() if count > 1] == []
    for number, handle in enumerate(handles):
        if handle.outcome is Outcome.SUCCEEDED:
            assert lines[f"run {number}"] == 1
            assert handle.callback is not None
            assert lines[f"callback {number}"] == 1 or handle.callback.outcome is Outcome.CRASHED
        else:
            assert handle.outcome is Outcome.CRASHED
            assert handle.attempts[0].signal == "SIGKILL"
        assert len(handle.attempts) == 1
        assert told[handle.number] == 1
    crashes = sum(handle.outcome is Outcome.CRASHED for handle in handles)
    assert crashes == 0 if seed == 1 else crashes <= 12


def test_a_task_outlives_its_dispatcher(pool: MultiProcess, wait_until: Wait) -> None:
    """What runs goes on in its worker, and the next dispatcher collects its result."""
    handle = pool.push(InfoTask("victims.Sleep", 20, 1.0))
    wait_until(handle.running)
    (before,) = pool.running()
    dispatcher = pool._client.dispatcher_pid
    processes.signal_process(dispatcher, signal.SIGKILL)
    wait_until(lambda: pool._client.dispatcher_pid != dispatcher)
    assert handle.running()
    assert handle.result(20) == 1.0
    assert (handle.attempts[0].pid, len(handle.attempts)) == (before.pid, 1)


def test_deadlines_hold_while_the_dispatcher_is_stopped(pool: MultiProcess, wait_until: Wait) -> None:
    """The warden reads them in shared memory; and what ends in time is not blamed for the pause."""
    late = pool.push(InfoTask("victims.Sleep", 0.5, grace=0.1))
    good = pool.push(InfoTask("victims.Sleep", 30, 0.6))
    wait_until(lambda: len(pool.running()) == 2)
    worker = next(one.pid for one in pool.running() if one.number == late.number)
    dispatcher = pool._client.dispatcher_pid
    processes.signal_process(dispatcher, signal.SIGSTOP)
    wait_until(lambda: not processes.is_alive(worker))
    assert not late.done()
    processes.signal_process(dispatcher, signal.SIGCONT)
    assert late.exception(20) is not None
    assert late.outcome is Outcome.TIMED_OUT
    assert good.result(20) == 0.6


def test_a_worker_keeps_its_own_deadline_while_the_warden_is_stopped(pool: MultiProcess, wait_until: Wait) -> None:
    """Its second thread stands in."""
    handle = pool.push(InfoTask("victims.Sleep", 0.5, grace=0.1))
    wait_until(handle.running)
    worker = pool.running()[0].pid
    _, warden, _, _ = parts(pool)
    processes.signal_process(warden, signal.SIGSTOP)
    wait_until(lambda: not processes.is_alive(worker))
    processes.signal_process(warden, signal.SIGCONT)
    assert handle.exception(20) is not None
    assert handle.outcome is Outcome.TIMED_OUT


def test_idle_workers_that_are_killed_are_replaced(pool: MultiProcess, wait_until: Wait) -> None:
    for _ in range(5):
        _, _, _, workers = parts(pool)
        for pid in workers:
            processes.signal_process(pid, signal.SIGKILL)
        handles = [pool.push(InfoTask("victims.Echo", 10, number)) for number in range(4)]
        assert [handle.result(20) for handle in handles] == list(range(4))
    wait_until(lambda: len(parts(pool)[3]) == 2)


@pytest.mark.parametrize("part", ["guardian", "warden"])
def test_a_dead_supervisor_ends_the_engine_with_a_reason(pool: MultiProcess, wait_until: Wait, part: str) -> None:
    """Every task ends, and no process is left."""
    handle = pool.push(InfoTask("victims.HoldTheInterpreter", 60))
    wait_until(handle.running)
    guardian, warden, dispatcher, workers = parts(pool)
    processes.signal_process(guardian if part == "guardian" else warden, signal.SIGKILL)
    with pytest.raises(EngineError):
        handle.result(20)
    wait_until(lambda: not any(processes.is_alive(pid) for pid in (warden, dispatcher, *workers)))
    assert pool.failure is not None


PROGRAM = """
import sys, time
from workflow import MultiProcess, InfoTask
mp = MultiProcess(2)
mp.start()
{push}
while len(mp.running()) < {running}: time.sleep(0.001)
print(mp._client._tree.guardian.pid, flush=True)
time.sleep(1000)
"""


WITH_GRANDCHILDREN = """
import os
for n in range(2):
    mp.push(InfoTask('victims.Grandchildren', 900, sys.argv[1] + str(n), kwargs={'stay': True}))
while not all(os.path.exists(sys.argv[1] + str(n)) for n in range(2)): time.sleep(0.001)
"""


@pytest.mark.parametrize(
    ("push", "running"),
    [
        ("mp.push(InfoTask('victims.Echo', 10)).result()", 0),
        ("for _ in range(50): mp.push(InfoTask('victims.Sleep', 900))", 2),
        ("for _ in range(50): mp.push(InfoTask('victims.HoldTheInterpreter', 900))", 2),
        ("for _ in range(2): mp.push(InfoTask('victims.IgnoreSignals', 900))", 2),
        (WITH_GRANDCHILDREN, 2),
    ],
    ids=["idle", "sleeping", "holding the interpreter", "ignoring signals", "with grandchildren"],
)
@pytest.mark.parametrize("stopped", [None, "dispatcher", "warden", "guardian"])
def test_nothing_survives_the_death_of_the_parent(
    tmp_path: Path, python: Program, wait_until: Wait, push: str, running: int, stopped: str | None
) -> None:
    """SIGKILL of the program, whatever its tasks do, also with a part of the engine stopped."""
    program = python(tmp_path, "-c", PROGRAM.format(push=push, running=running), str(tmp_path / "pids"))
    assert program.stdout is not None
    guardian = int(program.stdout.readline())
    (warden,) = processes.children(guardian)
    everybody = [guardian, *processes.descendants(guardian)]
    assert len(everybody) >= 5
    if stopped == "warden":
        os.kill(warden, signal.SIGSTOP)
    elif stopped == "guardian":
        os.kill(guardian, signal.SIGSTOP)
    elif stopped == "dispatcher":
        os.kill(processes.children(warden)[0], signal.SIGSTOP)
    program.kill()
    program.communicate()
    wait_until(lambda: not any(processes.is_alive(pid) for pid in everybody))


def test_an_engine_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    mp = MultiProcess(1)
    with pytest.raises(EngineError, match="could not be started"):
        mp.start()
