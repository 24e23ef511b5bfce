"""Histories as data: what the scheduler is told, line by line, and what it orders.

Each history is a name, the pool, and turns of (time, event, effects).  Effects are compared as a whole.  All tasks
are of size 0 unless the history is about sizes.  ``T(3, 2)`` is the ticket of task 3, attempt 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from workflow.info_task import RetryPolicy
from workflow.scheduler.effects import Discard, Effect, Fail, Kill, Recall, Retire, Retry, Run, Settle, Spawn
from workflow.scheduler.events import (
    Adopted,
    Answered,
    CancelAllAsked,
    CancelAsked,
    Deadline,
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
from workflow.scheduler.invariants import check
from workflow.scheduler.scheduler import Scheduler

Turn = tuple[float, Event, Sequence[Effect]]


def T(number: int, attempt: int = 1) -> int:  # noqa: N802
    """A ticket."""
    return number << 16 | attempt


def tasks(*numbers: int, **fields: object) -> list[Task]:
    return [Task(number, None, **fields) for number in numbers]  # type: ignore[arg-type]


TWICE = RetryPolicy(max=1)
LATER = RetryPolicy(max=2, delay_s=1.0, backoff=2.0, jitter=False)
SOON = {"retries": LATER, "deadline": Deadline(1.5)}
SOON_KNOWN = {"retries": LATER, "deadline": Deadline(1.5, 1.5)}


def start(*workers: int) -> list[Turn]:
    """A pool is started, and every worker of it is ready."""
    turns: list[Turn] = [(0.0, Woke(), [Spawn(len(workers))])]
    for worker in workers:
        turns += [(0.0, WorkerStarted(worker), []), (0.0, WorkerReady(worker), [])]
    return turns


HISTORIES: dict[str, tuple[int, bool, list[Turn]]] = {
    "few tasks are dealt out to idle workers one by one": (
        3,
        False,
        [
            *start(1, 2, 3),
            (0.0, Pushed(tasks(1, 2, 3, 4)), [Run(1, tasks(1, 4)), Run(2, tasks(2)), Run(3, tasks(3))]),
        ],
    ),
    "whoever has nothing gets the next task": (
        2,
        False,
        [
            *start(1, 2),
            (0.0, Pushed(tasks(1)), [Run(1, tasks(1))]),
            (0.0, Pushed(tasks(2)), [Run(2, tasks(2))]),
            (0.001, Answered(1, [(T(1), "succeeded")]), []),
            (0.001, Pushed(tasks(3)), [Run(1, tasks(3))]),
        ],
    ),
    "higher priority first, first come first served within": (
        1,
        False,
        [
            (0.0, Pushed([*tasks(1, 2), *tasks(3, 4, priority=1), *tasks(5, priority=-1)]), [Spawn(1)]),
            (0.0, WorkerStarted(1), [Run(1, tasks(3, priority=1))]),
            (0.1, Answered(1, [(T(3), "succeeded")]), [Run(1, tasks(4, priority=1))]),
            (0.2, Answered(1, [(T(4), "succeeded")]), [Run(1, tasks(1))]),
            (0.3, Answered(1, [(T(1), "succeeded")]), [Run(1, tasks(2))]),
            (0.4, Answered(1, [(T(2), "succeeded")]), [Run(1, tasks(5, priority=-1))]),
        ],
    ),
    "what stands behind a task that takes long makes room for a task of a higher priority": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, 2, 3)), [Run(1, tasks(1, 2, 3))]),
            (0.001, Pushed([*tasks(4), *tasks(5, priority=1)]), []),
            (0.004, Woke(), []),
            (0.005, Woke(), [Recall(1)]),
            (0.005, Recalled(1, T(1)), []),
            (0.1, Answered(1, [(T(1), "succeeded")]), [Run(1, tasks(5, priority=1))]),
            (0.2, Answered(1, [(T(5), "succeeded")]), [Run(1, tasks(2))]),
        ],
    ),
    "a worker is sent only so many bytes, but always one task": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, 2, size=300_000)), [Run(1, tasks(1, size=300_000))]),
            (0.0001, Answered(1, [(T(1), "succeeded")]), [Run(1, tasks(2, size=300_000))]),
        ],
    ),
    "what stands behind a task that takes long starts elsewhere, and not at the same worker again": (
        2,
        False,
        [
            *start(1, 2),
            (0.0, Pushed(tasks(1, 2, 3, 4)), [Run(1, tasks(1, 3)), Run(2, tasks(2, 4))]),
            (0.001, Answered(2, [(T(2), "succeeded"), (T(4), "succeeded")]), []),
            (0.004, Woke(), []),
            (0.005, Woke(), [Recall(1)]),
            (0.006, Woke(), []),
            (0.006, Recalled(1, T(1)), [Run(2, tasks(3))]),
            (0.007, Pushed(tasks(5, 6)), [Run(2, tasks(5, 6))]),
            (0.008, Answered(1, [(T(1), "succeeded")]), []),
            (0.009, Pushed(tasks(7)), [Run(1, tasks(7))]),
        ],
    ),
    "what stands behind a task that takes long starts elsewhere also while all have something to do, only later": (
        2,
        False,
        [
            *start(1, 2),
            (0.0, Pushed(tasks(*range(1, 12))), [Run(1, tasks(1, 3, 5, 7)), Run(2, tasks(2, 4, 6, 8))]),
            (0.01, Woke(), []),
            (0.04, Answered(2, [(T(2), "succeeded")]), []),
            (0.051, Woke(), [Recall(1)]),
            (0.051, Recalled(1, T(1)), []),
            (0.052, Answered(2, [(T(4), "succeeded"), (T(6), "succeeded"), (T(8), "succeeded")]), [Run(2, tasks(3))]),
            (0.053, Answered(2, [(T(3), "succeeded")]), [Run(2, tasks(5))]),
            (0.06, Answered(1, [(T(1), "succeeded")]), [Run(1, tasks(7))]),
        ],
    ),
    "the dead worker's task is blamed, what stood behind it runs first and is not": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, 2, 3, 4, 5)), [Run(1, tasks(1, 2, 3, 4))]),
            (0.1, WorkerExited(1, T(1), None), [Settle(T(1), "crashed", True, 1), Spawn(1)]),
            (0.1, WorkerStarted(2), [Run(2, tasks(2, 3, 4, 5))]),
        ],
    ),
    "a timed out attempt is tried again": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, retries=TWICE)), [Run(1, tasks(1, retries=TWICE))]),
            (1.0, WorkerExited(1, T(1), "timed_out"), [Settle(T(1), "timed_out", False, 1), Spawn(1)]),
            (1.0, WorkerStarted(2), [Run(2, tasks(1, attempt=2, retries=TWICE))]),
            (2.0, WorkerExited(2, T(1, 2), "timed_out"), [Settle(T(1, 2), "timed_out", True, 2), Spawn(1)]),
        ],
    ),
    "a failed attempt is tried again after a delay that grows": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, retries=LATER)), [Run(1, tasks(1, retries=LATER))]),
            (0.0, Answered(1, [(T(1), "failed")]), [Retry(T(1))]),
            (0.999, Woke(), []),
            (1.0, Woke(), [Run(1, tasks(1, attempt=2, retries=LATER))]),
            (1.0, Answered(1, [(T(1, 2), "failed")]), [Retry(T(1, 2))]),
            (2.999, Woke(), []),
            (3.0, Woke(), [Run(1, tasks(1, attempt=3, retries=LATER))]),
            (3.0, Answered(1, [(T(1, 3), "failed")]), []),
            (9.0, Woke(), []),
        ],
    ),
    "an outcome that the policy does not name is not tried again": (
        1,
        False,
        [
            *start(1),
            (
                0.0,
                Pushed(tasks(1, retries=RetryPolicy(3, on=("crashed",)))),
                [Run(1, tasks(1, retries=RetryPolicy(3, on=("crashed",))))],
            ),
            (0.0, Answered(1, [(T(1), "failed")]), []),
        ],
    ),
    "a task whose next attempt would begin behind its deadline ends at once": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, **SOON)), [Run(1, tasks(1, **SOON))]),
            (0.1, Answered(1, [(T(1), "failed")], {T(1): 0.0}), [Retry(T(1))]),
            (1.1, Woke(), [Run(1, tasks(1, attempt=2, **SOON_KNOWN))]),
            (
                1.2,
                Answered(1, [(T(1, 2), "failed")], {T(1, 2): 1.1}),
                [Retry(T(1, 2)), Settle(T(1, 0), "timed_out", True, None)],
            ),
            (9.0, Woke(), []),
        ],
    ),
    "a deadline counts from the first attempt's start, and the attempt that is killed at it is the last": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, **SOON)), [Run(1, tasks(1, **SOON))]),
            (5.5, WorkerExited(1, T(1), "timed_out", began=4.0), [Settle(T(1), "timed_out", True, 1), Spawn(1)]),
            (5.5, WorkerStarted(2), []),
        ],
    ),
    "an attempt that was killed at its own limit is no deadline": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, **SOON)), [Run(1, tasks(1, **SOON))]),
            (4.2, WorkerExited(1, T(1), "timed_out", began=4.0), [Settle(T(1), "timed_out", False, 1), Spawn(1)]),
            (4.2, WorkerStarted(2), []),
            (5.2, Woke(), [Run(2, tasks(1, attempt=2, retries=LATER, deadline=Deadline(1.5, 5.5)))]),
        ],
    ),
    "a task that is queued behind others when its deadline comes ends then": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, **SOON)), [Run(1, tasks(1, **SOON))]),
            (0.1, Answered(1, [(T(1), "failed")], {T(1): 0.0}), [Retry(T(1))]),
            (0.2, Pushed(tasks(2)), [Run(1, tasks(2))]),
            (0.6, Answered(1, [(T(2), "succeeded")]), []),  # tasks take long: nothing is sent ahead
            (0.7, Pushed(tasks(3)), [Run(1, tasks(3))]),
            (1.1, Woke(), []),
            (1.49, Woke(), []),
            (1.5, Woke(), [Settle(T(1, 0), "timed_out", True, None)]),
        ],
    ),
    "a task that was sent ahead and not begun when its deadline comes is taken back and ends": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, **SOON)), [Run(1, tasks(1, **SOON))]),
            (0.0001, Answered(1, [(T(1), "failed")], {T(1): 0.0}), [Retry(T(1))]),
            (1.0, Pushed(tasks(2)), [Run(1, tasks(2))]),
            (1.1, Woke(), [Run(1, tasks(1, attempt=2, **SOON_KNOWN))]),
            (1.49, Woke(), []),
            (1.5, Woke(), [Recall(1)]),
            (1.5, Recalled(1, T(2)), [Settle(T(1, 0), "timed_out", True, None)]),
            (9.0, Answered(1, [(T(2), "succeeded")]), []),
        ],
    ),
    "a task that runs when its deadline comes is left to whoever ends what is past its limit": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, **SOON)), [Run(1, tasks(1, **SOON))]),
            (0.1, Answered(1, [(T(1), "failed")], {T(1): 0.0}), [Retry(T(1))]),
            (1.1, Woke(), [Run(1, tasks(1, attempt=2, **SOON_KNOWN))]),
            (1.5, Woke(), [Recall(1)]),
            (1.5, Recalled(1, T(1, 2)), []),
            (1.6, WorkerExited(1, T(1, 2), "timed_out", began=1.1), [Settle(T(1, 2), "timed_out", True, 1), Spawn(1)]),
        ],
    ),
    "a new dispatcher keeps to a deadline that another knew": (
        1,
        True,
        [
            (0.5, Pushed(tasks(1, attempt=2, **SOON_KNOWN)), []),
            (0.5, WorkerAdopted(1, None), []),
            (1.6, Adopted(), [Settle(T(1, 0), "timed_out", True, None)]),
        ],
    ),
    "a queued task is cancelled at once, a running one is found out and killed, one behind it is not begun": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, 2, 3, 4, 5)), [Run(1, tasks(1, 2, 3, 4))]),
            (0.1, CancelAsked(5), [Settle(T(5, 0), "cancelled", True, None)]),
            (0.1, CancelAsked(5), []),
            (0.1, CancelAsked(1), [Recall(1)]),
            (0.1, CancelAsked(3), []),
            (0.1, Recalled(1, T(1)), [Settle(T(3, 0), "cancelled", True, None), Kill(1, T(1))]),
            (0.2, WorkerExited(1, T(1), "cancelled"), [Settle(T(1), "cancelled", True, 1), Spawn(1)]),
            (0.2, WorkerStarted(2), [Run(2, tasks(2, 4))]),
        ],
    ),
    "a task that answers before it is killed has that outcome, and no retry": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, retries=TWICE)), [Run(1, tasks(1, retries=TWICE))]),
            (0.1, CancelAsked(1), [Recall(1)]),
            (0.1, Recalled(1, T(1)), [Kill(1, T(1))]),
            (0.2, Answered(1, [(T(1), "failed")]), []),
            (0.2, Pushed(tasks(2)), [Run(1, tasks(2))]),
        ],
    ),
    "a task that waits for its next attempt is cancelled at once": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, retries=LATER)), [Run(1, tasks(1, retries=LATER))]),
            (0.0, Answered(1, [(T(1), "failed")]), [Retry(T(1))]),
            (0.5, CancelAsked(1), [Settle(T(1, 0), "cancelled", True, None)]),
            (5.0, Woke(), []),
        ],
    ),
    "cancelling everything ends all, what is pushed later too, and repeating it kills once more": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1, 2, 3, 4, 5)), [Run(1, tasks(1, 2, 3, 4))]),
            (0.1, CancelAllAsked(), [Settle(T(5, 0), "cancelled", True, None), Recall(1)]),
            (0.1, Recalled(1, T(1)), [*(Settle(T(n, 0), "cancelled", True, None) for n in (2, 3, 4)), Kill(1, T(1))]),
            (0.2, Pushed(tasks(6)), [Settle(T(6, 0), "cancelled", True, None)]),
            (0.3, CancelAllAsked(), [Kill(1, T(1))]),
            (0.4, WorkerExited(1, T(1), "cancelled"), [Settle(T(1), "cancelled", True, 1), Spawn(1)]),
        ],
    ),
    "an isolated task gets an unused worker, alone, which leaves after it": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed([*tasks(1, isolate=True), *tasks(2)]), [Run(1, tasks(1, isolate=True))]),
            (0.1, Answered(1, [(T(1), "succeeded")]), [Retire(1)]),
            (0.1, WorkerExited(1, None, None), [Spawn(1)]),
            (0.1, WorkerStarted(2), [Run(2, tasks(2))]),
        ],
    ),
    "a used worker makes room for an isolated task": (
        1,
        False,
        [
            *start(1),
            (0.0, Pushed(tasks(1)), [Run(1, tasks(1))]),
            (0.0, Pushed(tasks(2, isolate=True)), []),
            (0.0, Pushed(tasks(3)), []),
            (0.1, Answered(1, [(T(1), "succeeded")]), [Retire(1)]),
            (0.1, WorkerExited(1, None, None), [Spawn(1)]),
            (0.1, WorkerStarted(2), [Run(2, tasks(2, isolate=True))]),
        ],
    ),
    "an idle worker that dies is replaced and nobody is blamed": (
        1,
        False,
        [*start(1), (5.0, WorkerExited(1, None, None), [Spawn(1)])],
    ),
    "workers that die before they are ready are tried ever more slowly, then the pool gives up": (
        1,
        False,
        [
            (0.0, Woke(), [Spawn(1)]),
            (0.0, SpawnFailed("no memory"), [Spawn(1)]),
            (0.0, WorkerStarted(1), []),
            (0.0, WorkerExited(1, None, None), []),
            (0.01, Woke(), [Spawn(1)]),
            (0.01, SpawnFailed("no memory"), []),
            (0.07, Woke(), [Spawn(1)]),
            (0.07, SpawnFailed("no memory"), []),
            (0.28, Woke(), [Spawn(1)]),
            (
                0.28,
                SpawnFailed("no memory"),
                [Fail("workers cannot be started: 5 tries in a row failed, the last one with: no memory")],
            ),
            (0.3, Pushed(tasks(1)), []),
        ],
    ),
    "a worker that is sent tasks and dies before it is ready takes none with it": (
        1,
        False,
        [
            (0.0, Pushed(tasks(1)), [Spawn(1)]),
            (0.0, WorkerStarted(1), [Run(1, tasks(1))]),
            (0.0, WorkerExited(1, None, None), [Spawn(1)]),
            (0.0, WorkerStarted(2), [Run(2, tasks(1))]),
        ],
    ),
    "answers that nobody waits for are not announced": (
        2,
        False,
        [
            *start(1, 2),
            (0.0, Pushed(tasks(1)), [Run(1, tasks(1))]),
            (0.0, Answered(2, [(T(1), "failed")]), [Discard(T(1))]),
            (0.0, Answered(1, [(T(1), "succeeded")]), []),
            (0.0, Answered(1, [(T(1), "succeeded"), (T(77), "failed")]), [Discard(T(1)), Discard(T(77))]),
        ],
    ),
    "a new dispatcher runs what nobody runs, and only after it heard everybody": (
        2,
        True,
        [
            (0.0, Pushed(tasks(1, 2, 3, 4)), []),
            (0.0, Answered(1, [(T(1), "succeeded")]), []),
            (0.0, WorkerAdopted(1, T(2)), []),
            (0.0, WorkerExited(2, T(3), "timed_out"), [Settle(T(3), "timed_out", True, 2)]),
            (0.0, Adopted(), [Spawn(1)]),
            (0.0, WorkerStarted(3), [Run(3, tasks(4))]),
            (0.1, Answered(1, [(T(2), "succeeded")]), []),
        ],
    ),
    "a cancelled task is killed where a new dispatcher finds it": (
        1,
        True,
        [
            (0.0, Pushed(tasks(1, 2)), []),
            (0.0, CancelAsked(1), []),
            (0.0, CancelAsked(2), []),
            (0.0, WorkerAdopted(1, T(1)), [Kill(1, T(1))]),
            (0.0, Adopted(), [Settle(T(2, 0), "cancelled", True, None)]),
            (0.1, WorkerExited(1, T(1), "cancelled"), [Settle(T(1), "cancelled", True, 1), Spawn(1)]),
        ],
    ),
    "what an earlier dispatcher announced is not done again": (
        1,
        True,
        [
            (0.0, Pushed(tasks(1, attempt=2, retries=LATER)), []),
            (0.0, Answered(1, [(T(1), "failed"), (T(9), "succeeded")]), [Retry(T(1)), Discard(T(9))]),
            (0.0, WorkerAdopted(1, None), []),
            (0.0, Adopted(), [Run(1, tasks(1, attempt=2, retries=LATER))]),
        ],
    ),
    "a retry that began before it was announced is adopted": (
        1,
        True,
        [
            (0.0, Pushed(tasks(1, retries=TWICE)), []),
            (0.0, Answered(1, [(T(1), "failed")]), [Retry(T(1))]),
            (0.0, WorkerAdopted(1, T(1, 2)), []),
            (0.0, Adopted(), []),
            (0.1, Answered(1, [(T(1, 2), "failed")]), []),
        ],
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_what_is_told_leads_to_what_is_ordered(name: str) -> None:
    """Each turn's effects are exactly those written beside it, and the scheduler agrees with itself after it."""
    pool, adopting, turns = HISTORIES[name]
    scheduler = Scheduler(pool, adopting=adopting)
    for place, (now, event, effects) in enumerate(turns):
        assert scheduler.handle(event, now) == list(effects), f"turn {place}: {event}"
        check(scheduler)


def test_a_worker_is_renewed_after_so_many_attempts_and_what_it_did_not_begin_does_not_count() -> None:
    """It is never sent more than it may run; what was taken back runs elsewhere, and nobody is blamed."""
    scheduler = Scheduler(2, attempts_max=3)
    turns: list[Turn] = [
        *start(1, 2),
        (0.0, Pushed(tasks(*range(1, 10))), [Run(1, tasks(1, 3, 5)), Run(2, tasks(2, 4, 6))]),
        (0.001, Answered(2, [(T(n), "succeeded") for n in (2, 4, 6)]), [Retire(2)]),
        (0.002, WorkerExited(2, None, None), [Spawn(1)]),
        (0.003, WorkerStarted(3), [Run(3, tasks(7, 8, 9))]),
        (0.003, WorkerReady(3), []),
        (0.004, Answered(3, [(T(7), "succeeded"), (T(8), "failed")]), []),
        (0.5, WorkerExited(3, T(9), None), [Settle(T(9), "crashed", True, 3), Spawn(1)]),
        (0.5, WorkerStarted(4), [Recall(1)]),
        (0.5, Recalled(1, T(1)), [Run(4, tasks(3, 5))]),
        (0.501, Answered(4, [(T(3), "succeeded"), (T(5), "succeeded")]), []),
        (0.502, Answered(1, [(T(1), "succeeded")]), []),
        (0.7, Pushed(tasks(10, 11, 12, 13)), [Run(1, tasks(10, 12)), Run(4, tasks(11))]),
        (0.72, Answered(4, [(T(11), "succeeded")]), [Retire(4)]),
        (0.72, Answered(1, [(T(10), "succeeded"), (T(12), "succeeded")]), [Retire(1)]),
    ]
    for place, (now, event, effects) in enumerate(turns):
        assert scheduler.handle(event, now) == list(effects), f"turn {place}: {event}"
        check(scheduler)


def test_a_worker_that_was_taken_over_is_renewed_when_it_is_idle() -> None:
    """Nobody knows how many attempts it ran, so it gets no other."""
    scheduler = Scheduler(1, adopting=True, attempts_max=3)
    turns: list[Turn] = [
        (0.0, Pushed(tasks(1, 2)), []),
        (0.0, WorkerAdopted(1, T(1)), []),
        (0.0, Adopted(), []),
        (0.1, Answered(1, [(T(1), "succeeded")]), [Retire(1)]),
        (0.1, WorkerExited(1, None, None), [Spawn(1)]),
        (0.1, WorkerStarted(2), [Run(2, tasks(2))]),
    ]
    for place, (now, event, effects) in enumerate(turns):
        assert scheduler.handle(event, now) == list(effects), f"turn {place}: {event}"
        check(scheduler)
