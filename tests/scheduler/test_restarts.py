"""Whatever is started again has a limit, and crashes of tasks do not count for it."""

from __future__ import annotations

from workflow.restarts import CALM_S, IDLE_DEATHS_MAX, STARTS_MAX, Restarts
from workflow.scheduler.effects import Fail
from workflow.scheduler.events import (
    Answered,
    Pushed,
    SpawnFailed,
    Task,
    Woke,
    WorkerExited,
    WorkerReady,
    WorkerStarted,
)
from workflow.scheduler.scheduler import Scheduler


def die_ready(scheduler: Scheduler, worker: int, now: float) -> list[str]:
    """A worker starts, is ready, and dies; what the pool says to that."""
    scheduler.handle(Woke(), now)
    scheduler.handle(WorkerStarted(worker), now)
    scheduler.handle(WorkerReady(worker), now)
    effects = scheduler.handle(WorkerExited(worker, None, None, " (with exit code 3)"), now)
    return [effect.reason for effect in effects if isinstance(effect, Fail)]


def test_workers_that_are_ready_and_die_at_once_end_the_pool() -> None:
    """Their sign of life achieves nothing; the reason says how the last one died."""
    scheduler = Scheduler(1)
    said: list[str] = []
    for number in range(IDLE_DEATHS_MAX):
        assert said == []
        said = die_ready(scheduler, number, number * 0.3)
    assert len(said) == 1
    assert f"{IDLE_DEATHS_MAX} times" in said[0]
    assert "(with exit code 3)" in said[0]


def test_workers_that_die_of_what_they_are_sent_end_the_pool() -> None:
    """Before they begin it, so that nobody can be blamed."""
    scheduler = Scheduler(1)
    scheduler.handle(Pushed([Task(1, None)]), 0.0)
    for number in range(IDLE_DEATHS_MAX):
        assert scheduler.failed is None
        die_ready(scheduler, number, number * 0.3)
    assert scheduler.failed is not None


def test_a_task_that_is_begun_ends_the_row() -> None:
    scheduler = Scheduler(1)
    for number in range(IDLE_DEATHS_MAX * 5):
        now = number * 0.3
        scheduler.handle(Woke(), now)
        scheduler.handle(WorkerStarted(number), now)
        scheduler.handle(WorkerReady(number), now)
        if number % (IDLE_DEATHS_MAX - 1) == 0:
            scheduler.handle(Pushed([Task(number + 1, None)]), now)
            scheduler.handle(Answered(number, [((number + 1) << 16 | 1, "succeeded")]), now)
        scheduler.handle(WorkerExited(number, None, None), now)
    assert scheduler.failed is None


def test_workers_that_die_seldom_do_not() -> None:
    """As when somebody kills one now and then while there is nothing to do."""
    scheduler = Scheduler(1)
    for number in range(IDLE_DEATHS_MAX * 5):
        assert die_ready(scheduler, number, number * (CALM_S + 1)) == []


def test_500_crashes_of_tasks_trip_no_limit() -> None:
    """However fast they come, and though each takes a worker along."""
    scheduler = Scheduler(2)
    scheduler.handle(Woke(), 0.0)
    for worker in range(2):
        scheduler.handle(WorkerStarted(worker), 0.0)
        scheduler.handle(WorkerReady(worker), 0.0)
    for number in range(1, 501):
        scheduler.handle(Pushed([Task(number, None)]), 0.0)
        worker = next(seat.worker for seat in scheduler.pool.seats.values() if seat.tasks)
        scheduler.handle(WorkerExited(worker, number << 16 | 1, None), 0.0)
        scheduler.handle(WorkerStarted(number + 1), 0.0)
        scheduler.handle(WorkerReady(number + 1), 0.0)
    assert scheduler.failed is None


def test_a_sign_of_life_ends_the_row_of_failed_starts_but_not_the_other() -> None:
    """Of two workers one cannot be started, the other dies at once: both rows go on, and one ends it."""
    scheduler = Scheduler(2)
    number = 0
    for number in range(IDLE_DEATHS_MAX + 1):
        now = number * 0.5
        scheduler.handle(Woke(), now)
        scheduler.handle(SpawnFailed("EAGAIN"), now)
        die_ready(scheduler, number, now + 0.25)
        if scheduler.failed is not None:
            break
    assert number < IDLE_DEATHS_MAX
    assert scheduler.failed is not None
    assert "again and again" in scheduler.failed


def test_failed_starts_in_a_row_name_the_last_reason() -> None:
    scheduler = Scheduler(1)
    for number in range(STARTS_MAX):
        scheduler.handle(Woke(), number * 1.0)
        scheduler.handle(SpawnFailed(f"reason {number}"), number * 1.0)
    assert scheduler.failed is not None
    assert scheduler.failed.endswith(f"reason {STARTS_MAX - 1}")


def test_restarts_are_counted_until_something_is_achieved() -> None:
    row = Restarts(3)
    assert [row.died(0.1 * number) for number in range(3)] == [False, False, True]
    row.achieved()
    assert [row.died(1 + 0.1 * number) for number in range(3)] == [False, False, True]
    row.achieved()
    assert [row.died(10 + number * (CALM_S + 1)) for number in range(10)] == [False] * 10
