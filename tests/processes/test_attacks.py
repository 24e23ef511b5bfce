"""Tasks and callbacks that harm the process they run in, and whoever looks after it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import EngineError, InfoTask, MultiProcess, Outcome
from workflow.engine import processes

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]


def test_commands_die_with_the_guardian(pool: MultiProcess, wait_until: Wait) -> None:
    """Their processes are in sessions of their own, and have no parent that dies with it."""
    handles = [pool.push(InfoTask("workflow.tasks.Shell", 100, "sleep 1000 & sleep 1000")) for _ in range(2)]
    guardian = pool._client._tree.guardian.pid
    wait_until(lambda: len(processes.descendants(guardian)) >= 10)
    everybody = processes.descendants(guardian)
    processes.signal_process(guardian, signal.SIGKILL)
    with pytest.raises(EngineError):
        handles[0].result(20)
    wait_until(lambda: not any(processes.is_alive(pid) for pid in everybody))


def test_a_stream_that_blocks_is_the_tasks_own_time(make_pool: Callable[..., MultiProcess]) -> None:
    """What a task puts in the place of sys.stdout is flushed within its limit."""
    mp = make_pool(1)
    stuck = mp.push(InfoTask("victims.LeaveStream", 0.5, "hang", grace=0.2))
    after = mp.push(InfoTask("victims.Echo", 10, 1))
    stuck.exception(20)
    assert stuck.outcome is Outcome.TIMED_OUT
    assert after.result(20) == 1


@pytest.mark.parametrize("how", ["hang", "exit", "raise"])
def test_a_callback_that_leaves_such_a_stream_stops_no_other(make_pool: Callable[..., MultiProcess], how: str) -> None:
    mp = make_pool(1)
    bad = mp.push(InfoTask("victims.CallbackLeavesStream", 10, how, callback_timeout=0.5))
    good = [mp.push(InfoTask("victims.Callback", 10, "fine")) for _ in range(3)]
    mp.stop()
    assert bad.outcome is Outcome.SUCCEEDED
    assert bad.callback is not None
    assert all(handle.callback is not None for handle in good)


def test_a_callback_that_takes_the_modules_away_costs_one_dispatcher(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(1)
    bad = mp.push(InfoTask("victims.CallbackEmptiesModules", 10, callback_timeout=1))
    good = [mp.push(InfoTask("victims.Callback", 10, "fine")) for _ in range(3)]
    mp.stop()
    assert bad.callback is not None
    # It did no wrong that could be seen before the next one was called, in the process that could not go on.
    assert [handle.callback.outcome.value for handle in good if handle.callback].count("succeeded") >= 2


def test_a_dispatcher_that_stays_stopped_is_replaced(make_pool: Callable[..., MultiProcess]) -> None:
    """Also when the callback that stopped it had just ended."""
    mp = make_pool(1)
    mp.push(InfoTask("victims.CallbackStops", 10, callback_timeout=1))
    good = [mp.push(InfoTask("victims.Callback", 10, "fine")) for _ in range(3)]
    mp.stop()
    assert all(handle.outcome is Outcome.SUCCEEDED for handle in good)
    assert all(handle.callback is not None for handle in good)


def test_a_destructor_that_hangs_behind_the_answer_is_ended_without_blame(
    make_pool: Callable[..., MultiProcess],
) -> None:
    mp = make_pool(1)
    answered = mp.push(InfoTask("victims.HangingDestructor", 60))
    after = mp.push(InfoTask("victims.Echo", 10, 2))
    assert answered.result(20) == 5
    assert after.result(20) == 2
    assert len(after.attempts) == 1


def test_a_done_callback_that_exits_ends_nothing(pool: MultiProcess, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, as a Future does with whatever else a callback raises."""
    first = pool.push(InfoTask("victims.Echo", 10, 1))
    first.add_done_callback(lambda _handle: sys.exit(3))
    assert first.result(20) == 1
    assert pool.push(InfoTask("victims.Echo", 10, 2)).result(20) == 2
    assert "exception calling callback" in caplog.text


def test_a_program_that_ends_takes_no_more_tasks(tmp_path: Path, python: Program) -> None:
    """A thread of its that pushes for ever does not keep it alive."""
    code = (
        "import threading, time\n"
        "from workflow import MultiProcess, InfoTask\n"
        "mp = MultiProcess(1)\nmp.start()\n"
        "def more():\n"
        "    try:\n        while True: mp.push(InfoTask('victims.Echo', 10, 1)); time.sleep(0.001)\n"
        "    except RuntimeError: pass\n"
        "threading.Thread(target=more, daemon=True).start()\ntime.sleep(0.3)\n"
    )
    out, err = python(tmp_path, "-c", code).communicate(timeout=30)
    assert (out, err) == ("", "")


def test_an_engine_failure_that_was_told_is_not_told_again_at_exit(tmp_path: Path, python: Program) -> None:
    code = (
        "from workflow import MultiProcess, InfoTask, EngineError\n"
        "mp = MultiProcess(1, preload=['no_such_module'])\nmp.start()\n"
        "try: mp.stop(); mp.push(None)\nexcept (EngineError, RuntimeError) as error: print(type(error).__name__)\n"
    )
    out, err = python(tmp_path, "-c", code).communicate(timeout=30)
    assert out.strip() in ("EngineError", "RuntimeError")
    assert err == ""


def test_large_arguments_are_not_copied_again_and_again(push: Callable[..., Any]) -> None:
    """60 MB in seconds, not in the square of them."""
    assert len(push("Echo", b"x" * 60_000_000).result(20)) == 60_000_000


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_run_may_be_started_with_closed_streams(tmp_path: Path, closed: str) -> None:
    """Its exit code is the report's."""
    (tmp_path / "pipeline.toml").write_text('[tasks.c]\ncmd = ["echo", "x"]\n')
    line = f'exec "$@" {closed}'
    for arguments, code in ((["run"], 0), (["plan"], 0), (["validate"], 0), (["run", "missing.toml"], 2), (["-h"], 0)):
        done = subprocess.run(
            ["sh", "-c", line, "sh", sys.executable, "-m", "workflow", *arguments],
            cwd=tmp_path,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, (arguments, done)
        assert b"Traceback" not in done.stderr
