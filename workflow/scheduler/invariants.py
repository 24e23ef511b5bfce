"""What is true of the scheduler after every event, whatever the event was.

One function, run by tests after each simulated step; production never pays for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf

from workflow.scheduler.backlog import Backlog
from workflow.scheduler.scheduler import Scheduler
from workflow.scheduler.seat import KILLING, OPEN, RECALLING, RETIRING, STUCK, Seat


class BrokenInvariant(Exception):
    """The scheduler contradicts itself."""


def check(scheduler: Scheduler) -> None:
    """Raise ``BrokenInvariant``, naming all that is not as it must be."""
    broken = [*_places(scheduler), *_lines(scheduler), *_progress(scheduler)]
    for seat in scheduler.pool.seats.values():
        broken += _seat(scheduler, seat)
    if broken:
        raise BrokenInvariant("; ".join(broken))


def _places(scheduler: Scheduler) -> Iterator[str]:
    """Every task is in exactly one place: queued, waiting for a retry, outstanding at one seat, or gone."""
    places = Counter([*scheduler.tasks.backlog.tasks, *scheduler.tasks.isolated.tasks, *scheduler.tasks.waiting])
    for seat in scheduler.pool.seats.values():
        places.update(task.number for task in seat.tasks.values())
    for number, count in places.items():
        if count > 1:
            yield f"task {number} is in {count} places"
    pushed, ended = scheduler.tasks.pushed, scheduler.tasks.ended
    if pushed != len(places) + ended:
        yield f"{pushed} tasks were pushed, but {len(places)} are here and {ended} have ended"
    for number in scheduler.tasks.cancelling:
        if number not in places:
            yield f"task {number} is being cancelled but is nowhere"
        elif number in scheduler.tasks.waiting:
            yield f"task {number} is being cancelled and waits for another attempt"
    if not scheduler.tasks.adopting:
        for number in [*scheduler.tasks.backlog.tasks, *scheduler.tasks.isolated.tasks]:
            if number in scheduler.tasks.cancelling:
                yield f"task {number} is being cancelled and still queued"
            if scheduler.closing:
                yield f"task {number} is queued although everything was cancelled"


def _lines(scheduler: Scheduler) -> Iterator[str]:
    """What is queued stands in a line, and where it belongs; what waits will be woken."""
    for isolate, backlog in ((False, scheduler.tasks.backlog), (True, scheduler.tasks.isolated)):
        yield from _line(isolate, backlog)
    due = set(scheduler.tasks.due())
    for number, (at, task) in scheduler.tasks.waiting.items():
        if at == inf:
            if task.retries is None or not task.retries.held:
                yield f"task {number} waits to be let go and is not held"
        elif (at, number) not in due:
            yield f"task {number} waits until {at} and nobody will wake it"
        elif task.deadline is not None and (task.deadline.until is None or task.deadline.until < at):
            yield f"task {number} waits until {at} and its deadline {task.deadline} is before"
        if task.number != number or task.attempt < 2:
            yield f"task {number} waits with attempt {task.attempt} of task {task.number}"


def _line(isolate: bool, backlog: Backlog) -> Iterator[str]:
    standing = set(backlog.numbers())
    for number, task in backlog.tasks.items():
        if number not in standing:
            yield f"task {number} is queued but stands in no line"
        if task.number != number or task.isolate is not isolate:
            yield f"task {number} is queued where task {task.number}, isolate {task.isolate}, does not belong"


def _seat(scheduler: Scheduler, seat: Seat) -> Iterator[str]:
    """No seat over its room, nor with tasks that its state does not allow."""
    count = len(seat.tasks)
    name = f"worker {seat.worker}, {seat.state},"
    for ticket, task in seat.tasks.items():
        if ticket != task.number << 16 | task.attempt:
            yield f"{name} holds task {task.number}, attempt {task.attempt}, as ticket {ticket}"
    size = sum(task.size for task in seat.tasks.values())
    if seat.bytes != size:
        yield f"{name} holds {size} bytes, counted as {seat.bytes}"
    if size > scheduler.pool.max_bytes and count > 1:
        yield f"{name} holds {count} tasks of {size} bytes"
    if count > scheduler.pool.max_prefetch:
        yield f"{name} holds {count} tasks"
    if count > 1 and any(task.isolate for task in seat.tasks.values()):
        yield f"{name} holds an isolated task among others"
    if any(task.isolate for task in seat.tasks.values()) and not seat.alone:
        yield f"{name} holds an isolated task and would not leave after it"
    if not 0 <= seat.room <= scheduler.pool.attempts_max:
        yield f"{name} may be sent {seat.room} tasks more"
    if count and not seat.used:
        yield f"{name} holds tasks and counts as unused"
    allowed = {OPEN: (0, scheduler.pool.max_prefetch), RECALLING: (0, scheduler.pool.max_prefetch), STUCK: (1, 1)}
    least, most = {**allowed, KILLING: (1, 1), RETIRING: (0, 0)}[seat.state]
    if not least <= count <= most:
        yield f"{name} holds {count} tasks"
    if seat.state == OPEN and any(task.number in scheduler.tasks.cancelling for task in seat.tasks.values()):
        yield f"{name} holds a task to be cancelled and was not recalled"


def _progress(scheduler: Scheduler) -> Iterator[str]:
    """Nobody is idle while work waits; the pool is as large as it should be, or will be."""
    if scheduler.pool.spawning < 0:
        yield f"{scheduler.pool.spawning} workers are being started"
    if scheduler.tasks.adopting or scheduler.failed is not None:
        return
    staying = [seat for seat in scheduler.pool.seats.values() if seat.state != RETIRING]
    if len(staying) > scheduler.pool.size and not any(seat.tasks for seat in staying):
        yield f"{len(staying)} workers for a pool of {scheduler.pool.size}"
    missing = scheduler.pool.missing()
    if missing > 0 and scheduler.next_deadline() is None:
        yield f"{missing} workers are missing and nothing will order them"
    for seat in staying:
        if seat.state != OPEN or seat.tasks:
            continue
        if seat.room <= 0:
            yield f"worker {seat.worker} has run as many tasks as it may, and stays"
        if seat.alone:
            yield f"worker {seat.worker} ran an isolated task and stays"
        if scheduler.tasks.backlog.tasks and not scheduler.tasks.isolated.tasks:
            yield f"worker {seat.worker} is idle while {len(scheduler.tasks.backlog.tasks)} tasks wait"
        if scheduler.tasks.isolated.tasks and not scheduler.tasks.backlog.tasks and not seat.used:
            yield f"worker {seat.worker} is idle and unused while isolated tasks wait"
