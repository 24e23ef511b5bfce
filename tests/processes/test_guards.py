"""Whoever guards the others is stopped or killed: it is noticed, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from workflow import EngineError, InfoTask, MultiProcess, Outcome
from workflow.engine import client, processes, vigil

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a stopped process is seen in /proc")

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]
Pids = Callable[[Path], list[int]]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often."""
    for name, seconds in (("LOOK_S", 0.05), ("PAUSED_S", 0.5)):
        monkeypatch.setattr(vigil, name, seconds)
    monkeypatch.setattr(client, "LOOK_S", 0.05)


def guards(mp: MultiProcess) -> dict[str, int]:
    mp.push(InfoTask("victims.Echo", 20)).result(20)
    guardian, warden = mp._client._tree.guards()
    return {"guardian": guardian, "warden": warden}


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if processes.is_alive(pid)]


@pytest.mark.parametrize("stopped", [["warden"], ["guardian"], ["guardian", "warden"]])
def test_a_stopped_guard_is_woken_and_the_run_goes_on(
    hurry: None, pool: MultiProcess, wait_until: Wait, stopped: list[str]
) -> None:
    who = guards(pool)
    for name in stopped:
        os.kill(who[name], signal.SIGSTOP)
    # Only the warden can replace the worker.
    crashed = pool.push(InfoTask("victims.Crash", 20, "kill"))
    assert crashed.exception(20) is not None
    assert [pool.push(InfoTask("victims.Echo", 20, number)).result(20) for number in range(3)] == [0, 1, 2]
    wait_until(lambda: not any(processes.is_stopped(pid) for pid in who.values()))
    assert pool.failure is None


def test_what_was_passed_on_before_the_warden_died_counts(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, wait_until: Wait
) -> None:
    """Its callback has been called: it must not be told as cancelled, only because the death was read first."""
    pool, note = make_pool(1), tmp_path / "note"
    warden = guards(pool)["warden"]
    held, go_on = threading.Event(), threading.Event()

    def hold(_handle: object) -> None:
        held.set()
        go_on.wait(20)

    pool.push(InfoTask("victims.Sleep", 20, 0.2)).add_done_callback(hold)  # in the thread that reads
    assert held.wait(20)
    passed_on = pool.push(InfoTask("victims.Callback", 20, f"note {note}"))
    wait_until(note.exists)
    dispatcher = pool._client.dispatcher_pid
    os.kill(warden, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(dispatcher))
    go_on.set()
    passed_on.result(20)
    assert passed_on.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("name", ["warden", "guardian"])
def test_a_guard_that_cannot_be_woken_ends_the_engine_with_a_reason(
    hurry: None,
    pool: MultiProcess,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pids_in: Pids,
    wait_until: Wait,
    name: str,
) -> None:
    """And whatever the tasks started ends too."""
    who = guards(pool)
    handle = pool.push(InfoTask("victims.Grandchildren", None, str(tmp_path / "pids"), kwargs={"stay": True}))
    wait_until(lambda: len(pids_in(tmp_path / "pids")) == 3)
    everybody = [*who.values(), *processes.descendants(who["guardian"])]
    send = processes.signal_process
    monkeypatch.setattr(processes, "signal_process", lambda pid, number: number != signal.SIGCONT and send(pid, number))
    os.kill(who[name], signal.SIGSTOP)
    with pytest.raises(EngineError, match=f"its {name}, process {who[name]}, was stopped or moved no more"):
        handle.result(30)
    wait_until(lambda: not alive(everybody))
    with pytest.raises(EngineError):
        pool.stop()


def test_a_stop_returns_though_the_guards_are_stopped(make_pool: Callable[..., Any]) -> None:
    mp = make_pool(2)
    who = guards(mp)
    everybody = [*who.values(), *processes.descendants(who["guardian"])]
    for pid in who.values():
        os.kill(pid, signal.SIGSTOP)
    mp.stop()
    assert alive(everybody) == []
    assert mp.failure is None


def test_guards_killed_together_leave_nothing_to_a_living_program(
    pool: MultiProcess, tmp_path: Path, pids_in: Pids, wait_until: Wait
) -> None:
    """Grandchildren in sessions of their own have nobody else: the program ends them by their mark."""
    who = guards(pool)
    handle = pool.push(InfoTask("victims.Grandchildren", None, str(tmp_path / "pids"), kwargs={"stay": True}))
    wait_until(lambda: len(pids_in(tmp_path / "pids")) == 3)
    everybody = processes.descendants(who["guardian"])
    assert set(pids_in(tmp_path / "pids")) <= set(everybody)
    kill_at_once(list(who.values()))
    with pytest.raises(EngineError, match="its warden died"):
        handle.result(20)
    wait_until(lambda: not alive(everybody))


PAUSED = """
import sys, time
from workflow.engine import client, vigil
vigil.LOOK_S, vigil.PAUSED_S, client.LOOK_S = 0.05, 0.15, 0.05
from workflow import MultiProcess, InfoTask
with MultiProcess(2) as mp:
    handles = [mp.push(InfoTask("victims.Sleep", 900, 0.01)) for _ in range(20)]
    handles[0].result()
    print("running", flush=True)
    sys.stdin.readline()
    handles += [mp.push(InfoTask("victims.Echo", 900, number)) for number in range(20)]
    for handle in handles: handle.result(60)
print("fine")
"""


def test_a_run_that_was_stopped_as_a_whole_goes_on(tmp_path: Path, python: Program) -> None:
    """As a laptop sleeps, and again: longer than any guard may be stopped for."""
    program = python(tmp_path, "-c", PAUSED, stdin=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == "running\n"
    for _ in range(3):
        everybody = [program.pid, *processes.descendants(program.pid)]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1.0)  # what is tested is that this time does not count
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
    out, err = program.communicate("\n", timeout=40)
    assert (out, err) == ("fine\n", "")


def test_a_program_that_was_stopped_alone_goes_on(tmp_path: Path, python: Program) -> None:
    """Ctrl-Z reaches the program and not its engine, which is in a session of its own."""
    program = python(tmp_path, "-c", PAUSED, stdin=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == "running\n"
    os.kill(program.pid, signal.SIGSTOP)
    time.sleep(1.0)  # the same
    os.kill(program.pid, signal.SIGCONT)
    assert program.communicate("\n", timeout=40) == ("fine\n", "")


def test_an_idle_worker_that_stays_stopped_is_replaced(make_pool: Callable[..., Any]) -> None:
    """It would never begin what it is sent, and what has not begun has no limit."""
    mp = make_pool(1)
    pid = mp.push(InfoTask("victims.Pid", 20)).result(20)
    os.kill(pid, signal.SIGSTOP)
    assert mp.push(InfoTask("victims.Pid", 20)).result(40) != pid


PIPELINE = """
[pipeline]
pool = 2
[tasks.t]
module = "victims.Grandchildren"
args = ["{path}"]
kwargs = {{ stay = true }}
"""


@pytest.mark.parametrize("again", [["run"], ["doctor"]])
def test_what_is_left_when_all_tiers_die_in_one_instant_is_ended_by_the_next_command(
    tmp_path: Path,
    python: Program,
    pids_in: Pids,
    wait_until: Wait,
    somebody: Callable[[Path], list[str]],
    again: list[str],
) -> None:
    """By its mark, and it says whom it ended; a run that lives beside it is not touched.

    As a user of its own: for everybody else's commands, in tests that run beside this one, may be the next ones too.
    """
    (tmp_path / "pipeline.toml").write_text('[tasks.a]\ncmd = ["true"]\n')
    for name in ("lost", "living"):
        (tmp_path / name).mkdir()
    prefix = somebody(tmp_path)
    living, living_pids = begin(tmp_path / "living", python, pids_in, wait_until, prefix)
    lost, lost_pids = begin(tmp_path / "lost", python, pids_in, wait_until, prefix)
    kill_at_once([pid for pid in (lost.pid, *processes.descendants(lost.pid)) if pid not in lost_pids])
    # It is not reaped yet, as below an init that never does: a zombie is gone all the same.
    wait_until(lambda: not processes.is_alive(lost.pid))
    assert len(alive(lost_pids)) == 3
    out, err = python(tmp_path, "-m", "workflow", *again, prefix=prefix).communicate(timeout=40)
    lost.communicate()
    left = alive(lost_pids), len(alive(living_pids))
    living.terminate()
    living.communicate(timeout=40)
    assert left == ([], 3)
    assert all(str(pid) in out + err for pid in lost_pids)
    assert living.returncode == 143
    assert alive(living_pids) == []


@pytest.mark.parametrize("killed", [["guardian"], ["warden"], ["guardian", "warden"]])
def test_a_run_whose_guards_are_killed_ends_with_exit_code_4_and_leaves_nothing(
    tmp_path: Path, python: Program, pids_in: Pids, wait_until: Wait, killed: list[str]
) -> None:
    run, grandchildren = begin(tmp_path / "run", python, pids_in, wait_until)
    (guardian,) = processes.children(run.pid)
    (warden,) = processes.children(guardian)
    everybody = [*processes.descendants(run.pid), *grandchildren]
    kill_at_once([{"guardian": guardian, "warden": warden}[name] for name in killed])
    _, err = run.communicate(timeout=40)
    assert run.returncode == 4, err
    assert "the engine failed: its warden died" in err
    wait_until(lambda: not alive(everybody))


def begin(
    folder: Path, python: Program, pids_in: Pids, wait_until: Wait, prefix: Sequence[str] = ()
) -> tuple[subprocess.Popen[str], list[int]]:
    """A run whose task has started processes in sessions of their own; their numbers."""
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.toml").write_text(PIPELINE.format(path=folder / "pids"))
    run = python(folder, "-m", "workflow", "run", prefix=prefix)
    wait_until(lambda: len(pids_in(folder / "pids")) == 3)
    return run, pids_in(folder / "pids")


def kill_at_once(pids: list[int]) -> None:
    """None of them learns of the death of another: all are stopped before the first is killed."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
