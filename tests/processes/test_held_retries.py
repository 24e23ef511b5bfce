"""Retries that somebody has to let go, who may be waiting for a token."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import InfoTask, MultiProcess, Outcome, RetryPolicy, TaskCancelled

Wait = Callable[[Callable[[], bool]], None]

HELD = RetryPolicy(max=5, held=True)


def attempts(path: Path, *acts: str, **options: Any) -> InfoTask:
    """A task that does these, attempt by attempt, and writes a line for each."""
    return InfoTask("victims.Attempts", 20, str(path), *acts, **{"retries": HELD, **options})


def begun(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_held_retry_begins_when_it_is_let_go(make_pool: Any, tmp_path: Path, wait_until: Wait) -> None:
    """Each of them is asked for, and none begins before; who is not asked is not waited for."""
    asked: list[Any] = []
    mp: MultiProcess = make_pool(2, on_retry=asked.append)
    log = tmp_path / "log"
    handle = mp.push(attempts(log, "fail", "fail", "succeed"))
    handle.retry()  # of nothing
    for number in (1, 2):
        wait_until(lambda number=number: len(asked) == number)  # type: ignore[misc]
        assert mp.push(InfoTask("workflow.tasks.Call", 20, "os:getpid")).result(20)
        assert begun(log) == number
        asked[-1].retry()
        handle.retry()  # once more, which is nothing more
    assert handle.result(20) == 3
    assert asked == [handle, handle]
    assert mp._client._asked == mp._client._let_go == {}
    unasked = make_pool(1).push(attempts(tmp_path / "other", "fail", "succeed"))
    assert unasked.result(20) == 2


@pytest.mark.parametrize("let_go_first", [False, True])
def test_a_new_dispatcher_knows_what_was_let_go(
    make_pool: Any, tmp_path: Path, wait_until: Wait, *, let_go_first: bool
) -> None:
    """And asks for nothing twice, which would be paid for twice."""
    asked: list[Any] = []
    mp: MultiProcess = make_pool(1, on_retry=asked.append)
    log = tmp_path / "log"
    handle = mp.push(attempts(log, "fail", "succeed"))
    wait_until(lambda: len(asked) == 1)
    dispatcher = mp._client.dispatcher_pid
    if let_go_first:
        os.kill(dispatcher, signal.SIGSTOP)
        handle.retry()
    os.kill(dispatcher, signal.SIGKILL)
    wait_until(lambda: mp._client.dispatcher_pid != dispatcher)
    if not let_go_first:
        mp.push(InfoTask("workflow.tasks.Call", 20, "os:getpid")).result(20)
        assert begun(log) == 1
        handle.retry()
    assert handle.result(20) == 2
    assert asked == [handle]


def test_a_held_retry_may_be_cancelled_and_has_its_deadline(make_pool: Any, tmp_path: Path, wait_until: Wait) -> None:
    """Whoever waits for what may never come can be ended all the same, with his error callback."""
    asked: list[Any] = []
    mp: MultiProcess = make_pool(1, on_retry=asked.append)
    cancelled = mp.push(attempts(tmp_path / "a", "fail"))
    wait_until(lambda: len(asked) == 1)
    cancelled.cancel()
    with pytest.raises(TaskCancelled):
        cancelled.result(20)
    start = time.monotonic()
    late = mp.push(attempts(tmp_path / "b", "fail", deadline=0.3))
    assert "left no time for another" in str(late.exception(20))
    assert time.monotonic() - start >= 0.3
    assert late.outcome is Outcome.TIMED_OUT
    late.retry()
    mp.stop()
    for handle in (cancelled, late):
        assert handle.callback is not None
        assert (handle.callback.name, handle.callback.outcome) == ("error_callback", Outcome.SUCCEEDED)
