"""Rules of the scheduler that are not a history: what is illegal, depth, pauses, cost, imports."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from workflow.info_task import RetryPolicy
from workflow.scheduler.backlog import Backlog
from workflow.scheduler.effects import Run, Spawn
from workflow.scheduler.events import (
    Adopted,
    Answered,
    Event,
    Pushed,
    Recalled,
    SpawnFailed,
    Task,
    Woke,
    WorkerAdopted,
    WorkerExited,
    WorkerReady,
    WorkerStarted,
)
from workflow.scheduler.invariants import BrokenInvariant, check
from workflow.scheduler.pauses import retry_delay_s
from workflow.scheduler.scheduler import MAX_PREFETCH, Scheduler
from workflow.scheduler.states import IllegalMove


def started(pool: int = 1) -> Scheduler:
    """A scheduler whose workers 0 … are ready."""
    scheduler = Scheduler(pool)
    scheduler.handle(Woke(), 0.0)
    for worker in range(pool):
        scheduler.handle(WorkerStarted(worker), 0.0)
        scheduler.handle(WorkerReady(worker), 0.0)
    return scheduler


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (WorkerStarted(0), "worker 0 is open: 'started' cannot happen to it"),
        (Recalled(0, None), "worker 0 is open: 'recalled' cannot happen to it"),
        (Adopted(), "the take-over is over: 'adopted' cannot happen to it"),
        (WorkerAdopted(5, None), "worker 5 is unknown after the end of a take-over: 'adopted' cannot happen to it"),
        (Pushed([Task(9, None)]), "one of the tasks 9 to 9 is queued: 'push' cannot happen to it"),
    ],
)
def test_what_cannot_follow_is_a_loud_error(event: Event, told: str) -> None:
    """It names the state, the move and whom it was about."""
    scheduler = started()
    scheduler.handle(Pushed([Task(n, None) for n in range(1, 10)]), 0.0)
    with pytest.raises(IllegalMove) as caught:
        scheduler.handle(event, 0.0)
    assert told in str(caught.value)


def test_an_illegal_move_travels() -> None:
    """Like every error it pickles with its story."""
    import pickle

    error = pickle.loads(pickle.dumps(IllegalMove("gone", "run", "task 3")))
    assert (error.state, error.move, error.subject) == ("gone", "run", "task 3")


def test_the_invariants_notice_a_task_in_two_places() -> None:
    """The check itself is checked."""
    scheduler = started()
    scheduler.handle(Pushed([Task(1, None)]), 0.0)
    check(scheduler)
    scheduler.tasks.backlog.append([Task(1, None)])
    with pytest.raises(BrokenInvariant, match="task 1 is in 2 places"):
        check(scheduler)


@pytest.mark.parametrize(
    ("task_s", "least", "most"), [(0.00001, MAX_PREFETCH, MAX_PREFETCH), (0.001, 3, 6), (1.0, 1, 1)]
)
def test_the_depth_follows_the_pace(task_s: float, least: int, most: int) -> None:
    """About 5 ms of work is sent ahead: many short tasks, one long one."""
    scheduler = started()
    todo = list(scheduler.handle(Pushed([Task(n, None) for n in range(1, 2001)]), 0.0))
    now = 0.0
    for _ in range(60):
        run = todo.pop(0)
        assert isinstance(run, Run)
        now += task_s * len(run.tasks)
        todo += scheduler.handle(Answered(0, [(task.number << 16 | 1, "succeeded") for task in run.tasks]), now)
        if not todo:
            break
    assert least <= scheduler.pool.depth <= most


def test_a_pool_survives_any_number_of_tasks_that_crash() -> None:
    """Only workers that die before they did anything are counted."""
    scheduler = started()
    for number in range(1, 501):
        effects = scheduler.handle(Pushed([Task(number, None)]), 0.0)
        effects += scheduler.handle(WorkerExited(number - 1, number << 16 | 1, None), 0.0)
        assert Spawn(1) in effects
        scheduler.handle(WorkerStarted(number), 0.0)
    assert scheduler.failed is None


def test_a_large_pool_that_cannot_start_tries_again_before_it_gives_up() -> None:
    """What was started before a pause and fails in it proves nothing new."""
    scheduler = Scheduler(64)
    scheduler.handle(Woke(), 0.0)
    for _ in range(64):
        scheduler.handle(SpawnFailed("EAGAIN"), 0.0)
    assert scheduler.failed is None
    assert scheduler.next_deadline() == pytest.approx(0.01)


def test_workers_already_being_started_are_not_ordered_twice() -> None:
    """The warden may start the pool before anybody asks."""
    scheduler = Scheduler(4, spawning=4)
    assert scheduler.handle(Woke(), 0.0) == []


def test_a_dead_half_of_the_pool_is_not_spun_on() -> None:
    """Signs of life of others reset the count that gives up, never the pause."""
    scheduler = Scheduler(2)
    now, spawned = 0.0, 0
    scheduler.handle(Woke(), now)
    scheduler.handle(WorkerStarted(1), now)
    scheduler.handle(WorkerReady(1), now)
    while now < 10.0:
        for event in (SpawnFailed("EAGAIN"), Answered(1, [])):
            spawned += sum(isinstance(effect, Spawn) for effect in scheduler.handle(event, now))
        now = max(now, scheduler.next_deadline() or now)
        spawned += sum(isinstance(effect, Spawn) for effect in scheduler.handle(Woke(), now))
    assert scheduler.failed is None
    assert spawned < 60


def test_the_delay_is_drawn_between_its_half_and_its_whole_and_everybody_draws_the_same() -> None:
    """Failures do not return in step; a dispatcher that takes over comes to the same delay."""
    policy = RetryPolicy(max=9, delay_s=8.0)
    drawn = [retry_delay_s(policy, number, 1) for number in range(1000)]
    assert all(4.0 <= delay_s <= 8.0 for delay_s in drawn)
    assert min(drawn) < 4.2
    assert max(drawn) > 7.8
    assert drawn == [retry_delay_s(policy, number, 1) for number in range(1000)]


def test_a_delay_with_a_seed_depends_on_nothing_else() -> None:
    """A run with the same seed waits as long, in whatever order its tasks were pushed."""
    drawn = [retry_delay_s(RetryPolicy(max=9, delay_s=8.0, seed=seed), 5, 1) for seed in range(1000)]
    assert drawn == [retry_delay_s(RetryPolicy(max=9, delay_s=8.0, seed=seed), 6, 1) for seed in range(1000)]
    assert all(4.0 <= delay_s <= 8.0 for delay_s in drawn)
    assert len(set(drawn)) > 990


def test_the_delay_grows_up_to_its_limit_and_stays_finite() -> None:
    """65,534 doublings are no overflow."""
    policy = RetryPolicy(max=65_534, delay_s=1.0, backoff=2.0, max_delay_s=30.0, jitter=False)
    assert [retry_delay_s(policy, 1, attempt) for attempt in (1, 2, 3, 6, 60_000)] == [1.0, 2.0, 4.0, 30.0, 30.0]
    assert math.isfinite(retry_delay_s(policy._replace(max_delay_s=math.inf), 1, 60_000))
    assert retry_delay_s(RetryPolicy(max=1), 1, 1) == 0.0


def test_a_number_taken_out_of_the_backlog_is_passed_over() -> None:
    """Also when the same task comes back later."""
    backlog = Backlog()
    backlog.append([Task(n, None) for n in (1, 2, 3)])
    again = backlog.tasks.pop(2)
    assert [task.number for task in backlog.take(9, 0, least=2)] == [1, 3]
    backlog.append([again])
    assert backlog.first() == (0, 2)
    assert [task.number for task in backlog.clear()] == [2]
    assert backlog.first() is None


class Counting(int):
    """A number that counts how often it is compared, as whoever searches a list for it does."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counting.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_cancelling_ten_thousand_queued_tasks_takes_no_search() -> None:
    """Each is found by its number."""
    from workflow.scheduler.events import CancelAllAsked

    scheduler = started()
    scheduler.handle(Pushed([Task(Counting(n), None) for n in range(1, 10_001)]), 0.0)
    Counting.compared = 0
    settled = scheduler.handle(CancelAllAsked(), 0.0)
    assert len(settled) > 9_900
    assert Counting.compared < 10 * 10_000
    assert [Counting(n) for n in range(1000)].index(Counting(999)) == 999
    assert Counting.compared > 900, "a search is seen"


def test_it_imports_no_process_pipe_signal_or_clock() -> None:
    """And none of what would slow a start."""
    code = (
        "import sys, workflow.info_task; before = set(sys.modules); import workflow.scheduler.scheduler;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    added = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"asyncio", "dataclasses", "enum", "logging", "multiprocessing", "os", "re", "select", "signal", "socket"}
    assert not heavy & set(added)
    assert not {"subprocess", "threading", "time", "_socket", "_posixsubprocess"} & set(added)
