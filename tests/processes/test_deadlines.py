"""Deadlines: the limit over all attempts of a task and the waits between them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import Handle, InfoTask, MultiProcess, Outcome, RetryPolicy, TaskCancelled, TaskTimeout

Push = Callable[..., Handle]
Wait = Callable[[Callable[[], bool]], None]

LATE_S = 0.5
"""How late a task may be dead, behind its limit and its grace."""


def took(handle: Handle) -> float:
    """From the start of the first attempt to the end of the last."""
    first, last = handle.attempts[0], handle.attempts[-1]
    return last.started_at + last.duration_s - first.started_at


def outcomes(handle: Handle) -> list[str]:
    return [attempt.outcome.value for attempt in handle.attempts]


@pytest.mark.parametrize("name", ["Sleep", "HoldTheInterpreter"])
def test_a_single_attempt_is_killed_at_the_deadline_and_says_so(push: Push, name: str) -> None:
    """With its stack, as at a time limit."""
    handle = push(name, deadline=0.3, grace=0.2)
    error = handle.exception(20)
    assert isinstance(error, TaskTimeout)
    assert "killed at its deadline of 0.3 s for all attempts" in str(error)
    assert "runnable" in (error.stack or "")
    assert outcomes(handle) == ["timed_out"]
    assert 0.3 <= took(handle) <= 0.3 + 0.2 + LATE_S


def test_a_time_limit_below_the_deadline_is_told_as_one(push: Push) -> None:
    """Whichever comes first."""
    error = push("Sleep", timeout=0.2, deadline=10, grace=0.2).exception(20)
    assert "killed at its limit of 0.2 s" in str(error)


@pytest.mark.parametrize("act", ["sleep", "gil"])
def test_a_later_attempt_is_killed_at_the_deadline_and_is_the_last(push: Push, tmp_path: Path, act: str) -> None:
    """Counted from the start of the first, and although there are retries left for a timeout."""
    log = str(tmp_path / "log")
    policy = RetryPolicy(max=5, delay_s=0.2, jitter=False)
    handle = push("Attempts", log, "fail", act, retries=policy, deadline=0.6, grace=0.2)
    assert "killed at its deadline of 0.6 s" in str(handle.exception(20))
    assert outcomes(handle) == ["failed", "timed_out"]
    assert 0.6 <= took(handle) <= 0.6 + 0.2 + LATE_S


def test_a_wait_that_would_pass_the_deadline_ends_the_task_at_once(make_pool: Any, tmp_path: Path) -> None:
    """As timed out, with its error callback, and without another attempt."""
    mp = make_pool(1)
    start = time.monotonic()
    policy = RetryPolicy(max=5, delay_s=30, jitter=False)
    handle = mp.push(InfoTask("victims.Attempts", 20, str(tmp_path / "log"), "fail", retries=policy, deadline=20))
    error = handle.exception(20)
    assert time.monotonic() - start < 10
    assert isinstance(error, TaskTimeout)
    assert "its deadline of 20 s for all attempts left no time for another" in str(error)
    assert handle.outcome is Outcome.TIMED_OUT
    assert handle.reason == "its deadline of 20 s for all attempts left no time for another"
    assert outcomes(handle) == ["failed"]
    mp.stop()
    assert handle.callback is not None
    assert (handle.callback.name, handle.callback.outcome) == ("error_callback", Outcome.SUCCEEDED)


def test_a_task_that_stands_behind_another_when_its_deadline_comes_ends_then(
    make_pool: Any, tmp_path: Path, wait_until: Wait
) -> None:
    """Though it was sent ahead: the one in front of it goes on, and is not blamed."""
    mp = make_pool(1)
    policy = RetryPolicy(max=5, delay_s=0.1, jitter=False)
    handle = mp.push(InfoTask("victims.Attempts", 20, str(tmp_path / "log"), "fail", retries=policy, deadline=0.5))
    wait_until(lambda: bool(handle.attempts))
    other = mp.push(InfoTask("victims.Sleep", 30, 1000.0, grace=0.1))
    assert "left no time for another" in str(handle.exception(20))
    assert outcomes(handle) == ["failed"]
    assert other.running()
    other.cancel()


def test_a_new_dispatcher_keeps_to_the_deadline(make_pool: Any, tmp_path: Path, wait_until: Wait) -> None:
    """It is told when the first attempt began, which it has not seen."""
    mp = make_pool(1)
    policy = RetryPolicy(max=5, delay_s=0.5, jitter=False)
    options: dict[str, Any] = {"retries": policy, "deadline": 2.0, "grace": 0.1}
    handle = mp.push(InfoTask("victims.Attempts", 20, str(tmp_path / "log"), "fail", "gil", **options))
    wait_until(lambda: bool(handle.attempts))
    os.kill(mp._client.dispatcher_pid, signal.SIGKILL)
    assert "killed at its deadline of 2 s" in str(handle.exception(20))
    assert outcomes(handle) == ["failed", "timed_out"]
    assert 2.0 <= took(handle) <= 2.0 + 0.1 + LATE_S
    mp.stop()
    assert handle.callback is not None
    assert handle.callback.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("kill", [False, True])
def test_a_task_that_is_cancelled_while_it_waits_gets_its_error_callback(
    make_pool: Any, tmp_path: Path, wait_until: Wait, *, kill: bool
) -> None:
    """It has begun an attempt, so it gets one; a new dispatcher knows of that too."""
    mp: MultiProcess = make_pool(1)
    policy = RetryPolicy(max=5, delay_s=30, jitter=False)
    handle = mp.push(InfoTask("victims.Attempts", 20, str(tmp_path / "log"), "fail", retries=policy))
    wait_until(lambda: bool(handle.attempts))
    if kill:
        os.kill(mp._client.dispatcher_pid, signal.SIGKILL)
    handle.cancel()
    with pytest.raises(TaskCancelled):
        handle.result(20)
    mp.stop()
    assert handle.callback is not None
    assert (handle.callback.name, handle.callback.outcome) == ("error_callback", Outcome.SUCCEEDED)


@pytest.mark.parametrize("kill", [False, True])
def test_a_command_that_is_cancelled_while_it_waits_says_so(make_pool: Any, wait_until: Wait, *, kill: bool) -> None:
    """It has no callback by which that could be told."""
    mp: MultiProcess = make_pool(1)
    policy = RetryPolicy(max=5, delay_s=30, jitter=False)
    handle = mp.push(InfoTask("workflow.tasks.Command", 20, ["false"], retries=policy))
    wait_until(lambda: bool(handle.attempts))
    if kill:
        os.kill(mp._client.dispatcher_pid, signal.SIGKILL)
    handle.cancel()
    with pytest.raises(TaskCancelled, match="it was cancelled while it waited for another attempt"):
        handle.result(20)
