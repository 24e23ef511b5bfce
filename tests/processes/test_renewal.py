"""Workers that are renewed after so many attempts."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from workflow import InfoTask

Wait = Callable[[Callable[[], bool]], None]


def test_no_worker_runs_more_attempts_than_it_may_and_no_task_is_lost_or_blamed(make_pool: Any) -> None:
    """Every one of them succeeds at its first attempt, at workers that run three each."""
    mp = make_pool(2, max_tasks_per_child=3)
    handles = [mp.push(InfoTask("victims.Pid", 20)) for _ in range(60)]
    pids = Counter(handle.result(30) for handle in handles)
    assert max(pids.values()) == 3
    assert len(pids) >= 20
    assert all(len(handle.attempts) == 1 for handle in handles)


def test_crashes_and_the_death_of_the_dispatcher_do_not_make_it_more(make_pool: Any) -> None:
    """A new dispatcher does not know how many there were, and renews sooner."""
    mp = make_pool(2, max_tasks_per_child=4)
    crashes, handles = [], []
    for number in range(80):
        handles.append(mp.push(InfoTask("victims.Pid", 20)))
        if number % 10 == 5:
            crashes.append(mp.push(InfoTask("victims.Crash", 20, "segv")))
        if number in (30, 60):
            handles[-1].result(20)
            os.kill(mp._client.dispatcher_pid, signal.SIGKILL)
    assert max(Counter(handle.result(30) for handle in handles).values()) <= 4
    assert {str(handle.outcome) for handle in handles} == {"succeeded"}
    assert all(handle.exception(20) is not None for handle in crashes)


def test_what_stands_behind_a_long_task_of_a_worker_near_its_end_runs_elsewhere(
    make_pool: Any, wait_until: Wait
) -> None:
    """And does not count as an attempt of that worker, which then runs others."""
    mp = make_pool(2, max_tasks_per_child=3)
    long = mp.push(InfoTask("victims.Sleep", 30, 1000.0, grace=0.1))
    others = [mp.push(InfoTask("victims.Pid", 20)) for _ in range(20)]
    pids = Counter(handle.result(20) for handle in others)
    assert max(pids.values()) <= 3
    assert long.running()
    long.cancel()
