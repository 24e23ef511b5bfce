"""Every decision of the pool: which task runs where and when, how it ends, when it is tried again.

Events in, effects out, time is an argument.  Every transition is in this folder; this folder knows no process, pipe,
signal or clock.  ``handle`` first takes in the fact, then advances whatever can move.  The table of what is legal is
in ``states``, the books of the tasks in ``tasks``, the workers and what each gets in ``pool``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from workflow.restarts import IDLE_DEATHS_MAX, STARTS_MAX
from workflow.scheduler import events as ev
from workflow.scheduler import states as st
from workflow.scheduler.effects import Ask, Discard, Effect, Fail, Kill, Recall, Retry, Settle
from workflow.scheduler.events import Event, Task, Ticket
from workflow.scheduler.pool import UNLIMITED, Pool
from workflow.scheduler.seat import KILLING, OPEN, RECALLING, RETIRING, STUCK, Seat
from workflow.scheduler.tasks import Tasks

TARGET_S = 0.005
RECALL_S = 0.005
PATIENCE_S = 0.05
MAX_PREFETCH = 128
MAX_BYTES = 256 * 1024


class Scheduler:
    """The pool, as seen by whoever decides for it.

    ``pool`` is how many workers there are to be.  The first event makes it order them, less the ``spawning`` that
    are being started already.  With ``adopting`` it goes on where an earlier one ended: it is told the snapshot
    (``Pushed``, ``CancelAsked``), every worker (``WorkerAdopted``, ``Answered``, ``WorkerExited``) and then
    ``Adopted``, and orders no task to be run and no worker to be started before.

    ``target_s`` is how much work a worker is sent ahead, ``max_prefetch`` and ``max_bytes`` the most of it; after
    ``recall_s`` without progress it is taken back for one who has nothing to do, and after ``patience_s`` for whoever
    comes to it first.  After ``attempts_max`` attempts a worker is renewed.
    """

    def __init__(
        self,
        pool: int,
        *,
        spawning: int = 0,
        adopting: bool = False,
        target_s: float = TARGET_S,
        recall_s: float = RECALL_S,
        patience_s: float = PATIENCE_S,
        max_prefetch: int = MAX_PREFETCH,
        max_bytes: int = MAX_BYTES,
        attempts_max: int | None = None,
    ) -> None:
        self.pool = Pool(pool, spawning, target_s, recall_s, patience_s, max_prefetch, max_bytes, attempts_max)
        self.tasks = Tasks(adopting=adopting)
        self.closing = False
        """Whether everything was cancelled, and whatever is pushed will be."""
        self.failed: str | None = None
        """Why the pool gave up."""
        self._succeeds = adopting  # an earlier dispatcher, of which nobody knows what it still announced
        self._to_retire: set[int] = set()  # workers of isolated tasks that answered before they were adopted

    @property
    def depth(self) -> int:
        """Tasks a worker is sent ahead at the present pace: many when tasks are short."""
        return self.pool.depth

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in what happened, and say what is to be done."""
        effects: list[Effect] = []
        if self.failed is not None:
            return effects
        self._take_in(event, now, effects)
        if not self.tasks.adopting and self.failed is None:
            self._advance(now, effects)
        if self.pool.recalls:
            effects += [Recall(worker) for worker in self.pool.recalls]
            self.pool.recalls.clear()
        return effects

    def next_deadline(self) -> float | None:
        """When ``Woke`` is wanted at the latest, if nothing else happens before."""
        if self.tasks.adopting or self.failed is not None:
            return None
        deadlines = self.pool.deadlines(self.tasks)
        due = self.tasks.due()
        if due:
            deadlines.append(due[0][0])
        until = self.tasks.until()
        if until is not None:
            deadlines.append(until)
        return min(deadlines, default=None)

    def _advance(self, now: float, effects: list[Effect]) -> None:
        tasks, pool = self.tasks, self.pool
        if tasks.until() is not None:
            self._expire(now, effects)  # first, for nobody is to be asked for what has ended
        asked = tasks.requeue(now)
        if asked:
            effects += [Ask(ticket) for ticket in asked]
        pool.replace(now, effects)
        if tasks.backlog.tasks or tasks.isolated.tasks:
            pool.fill(tasks, now, effects)
        pool.relieve(tasks, now)

    def _expire(self, now: float, effects: list[Effect]) -> None:
        """End tasks whose deadline is over and that no worker has; ask for those that one may not have begun."""
        ended, others = self.tasks.expire(now)
        for number in ended:
            self._settle_unbegun(number, effects, "timed_out")
        for number in others:
            for seat in self.pool.seats.values():
                if seat.state == OPEN and any(ticket >> 16 == number for ticket in seat.tasks):
                    self.pool.recall(seat)

    def _take_in(self, event: Event, now: float, effects: list[Effect]) -> None:
        match event:  # the frequent ones first
            case ev.Answered():
                self._answered(event, now, effects)
            case ev.Pushed():
                self._pushed(event.tasks, effects)
            case ev.Woke():
                pass
            case ev.CancelAsked():
                self._cancel(event.number, effects)
            case ev.LetGo():
                self.tasks.let_go(event.number, event.attempt)
            case ev.CancelAllAsked():
                self._cancel_all(effects)
            case ev.Recalled():
                self._recalled(event, effects)
            case ev.WorkerStarted():
                self._started(event.worker, now)
            case ev.WorkerReady():
                self._ready(event.worker)
            case ev.WorkerExited():
                self._exited(event, now, effects)
            case ev.SpawnFailed():
                self.pool.spawning = max(0, self.pool.spawning - 1)
                self._start_failed(event.reason, now, effects)
            case ev.WorkerAdopted():
                self._worker_adopted(event, now, effects)
            case ev.Adopted():
                self._adopted(effects)
            case _:
                _assert_never(event)

    def _pushed(self, pushed: Sequence[Task], effects: list[Effect]) -> None:
        if not pushed:
            return
        if not self.closing:
            self.tasks.push(pushed)
        elif self.tasks.adopting:  # a worker may be running one of them
            self.tasks.push(pushed)
            for task in pushed:
                self.tasks.cancel(task.number)
        else:
            self.tasks.refuse(pushed)
            for task in pushed:
                self._settle_unbegun(task.number, effects)

    def _answered(self, event: ev.Answered, now: float, effects: list[Effect]) -> None:
        worker, answers, began = event
        tasks = self.tasks
        self.pool.starts.begun()
        seat = self.pool.seats.get(worker)
        if seat is None:  # taken over, and to be adopted; or it is gone, and these are old
            for ticket, outcome in answers:
                self._answered_unexpectedly(worker, ticket, outcome, now, effects, began.get(ticket))
            return
        pop = seat.tasks.pop
        size = count = plain = 0
        for ticket, outcome in answers:
            task = pop(ticket, None)
            if task is None:
                self._answered_unexpectedly(worker, ticket, outcome, now, effects, began.get(ticket))
                continue
            count += 1
            size += task.size
            if outcome == "succeeded" and not tasks.cancelling:
                plain += 1
            elif tasks.attempt_ended(task, self._state_sent(seat, task), outcome, now, began.get(ticket)):
                effects.append(Retry(ticket))
        if plain:
            tasks.move(st.SENT, st.SUCCEED, answers[0][0] >> 16)
            tasks.ended += plain
        if count:
            seat.bytes -= size
            if seat.state == STUCK or (seat.state == KILLING and not seat.tasks):
                seat.state = OPEN
            self.pool.measure((now - seat.progressed_at) / count)
        seat.ready = True
        seat.progressed_at = now

    def _answered_unexpectedly(
        self, worker: int, ticket: Ticket, outcome: str, now: float, effects: list[Effect], began: float | None
    ) -> None:
        """An answer from a worker that was not sent this, as far as we know."""
        claimed = self.tasks.claim(ticket)
        if claimed is None:
            effects.append(Retry(ticket) if self._is_outrun(ticket) else Discard(ticket))
            return
        task, state = claimed
        if task.isolate and worker not in self.pool.seats:
            self._to_retire.add(worker)
        if self.tasks.attempt_ended(task, state, outcome, now, began):
            effects.append(Retry(ticket))

    def _cancel(self, number: int, effects: list[Effect]) -> None:
        if number in self.tasks.waiting or self.tasks.queued(number) is not None:
            if self.tasks.cancel(number):
                self._settle_unbegun(number, effects)
            return
        for seat in self.pool.seats.values():
            for ticket, task in seat.tasks.items():
                if ticket >> 16 == number:
                    self._cancel_sent(seat, task, effects)
                    return

    def _cancel_sent(self, seat: Seat, task: Task, effects: list[Effect]) -> None:
        self.tasks.move(self._state_sent(seat, task), st.CANCEL, task.number)
        self.tasks.cancelling.add(task.number)
        if seat.state == KILLING:
            effects.append(Kill(seat.worker, task.number << 16 | task.attempt))
        elif seat.state != RECALLING:
            self.pool.recall(seat)

    def _cancel_all(self, effects: list[Effect]) -> None:
        self.closing = True
        for number in self.tasks.unsent():
            if self.tasks.cancel(number):
                self._settle_unbegun(number, effects)
        for seat in self.pool.seats.values():
            for task in seat.tasks.values():
                self._cancel_sent(seat, task, effects)

    def _recalled(self, event: ev.Recalled, effects: list[Effect]) -> None:
        seat = self.pool.seats.get(event.worker)
        if seat is None:
            return  # it died before it was heard
        if seat.state != RECALLING:
            raise st.IllegalMove(seat.state, "recalled", f"worker {seat.worker}")
        running = None if event.running is None else seat.tasks.pop(event.running, None)
        self._take_back(seat, effects)
        seat.state = OPEN
        if running is None:
            return
        seat.hold(running)
        if running.number in self.tasks.cancelling:
            self._kill(seat, running, st.CANCELLING, st.KILL, effects)
        else:
            seat.state = STUCK

    def _kill(self, seat: Seat, task: Task, state: str, move: str, effects: list[Effect]) -> None:
        self.tasks.move(state, move, task.number)
        seat.state = KILLING
        effects.append(Kill(seat.worker, task.number << 16 | task.attempt))

    def _started(self, worker: int, now: float) -> None:
        seats = self.pool.seats
        if worker in seats:
            raise st.IllegalMove(seats[worker].state, "started", f"worker {worker}")
        self.pool.spawning = max(0, self.pool.spawning - 1)
        seats[worker] = Seat(worker, now, ready=False, room=self.pool.attempts_max)

    def _ready(self, worker: int) -> None:
        seat = self.pool.seats.get(worker)
        if seat is not None:
            seat.ready = True
            self.pool.starts.alive()

    def _exited(self, event: ev.WorkerExited, now: float, effects: list[Effect]) -> None:
        worker, running, sentence, how, began = event
        seat = self.pool.seats.pop(worker, None)
        if running is not None:
            self._blame(seat, worker, running, sentence or "crashed", now, effects, began)
        if seat is None:
            return
        self._take_back(seat, effects)
        if running is not None or sentence is not None or seat.alone or seat.state in (RETIRING, KILLING):
            return  # it had its reason
        if not seat.ready:
            self._start_failed(f"worker {worker} died before it was ready{how}", now, effects)
        elif self.pool.starts.died(now):
            reason = f"{IDLE_DEATHS_MAX} times, and no task was begun meanwhile; the last was worker {worker}{how}"
            self._give_up(f"workers die again and again without doing anything: {reason}", effects)

    def _blame(
        self,
        seat: Seat | None,
        worker: int,
        ticket: Ticket,
        outcome: str,
        now: float,
        effects: list[Effect],
        began: float | None,
    ) -> None:
        """A worker died in the middle of this attempt."""
        self.pool.starts.begun()
        task = None if seat is None else seat.tasks.pop(ticket, None)
        if task is not None and seat is not None:
            blamed: tuple[Task, str] | None = (task, self._state_sent(seat, task))
        else:
            blamed = self.tasks.claim(ticket)
        if blamed is not None:
            again = self.tasks.attempt_ended(*blamed, outcome, now, began)
            effects.append(Settle(ticket, outcome, not again, worker))
        elif self._is_outrun(ticket):
            effects.append(Settle(ticket, outcome, False, worker))

    def _start_failed(self, reason: str, now: float, effects: list[Effect]) -> None:
        if self.pool.starts.failed(now):
            self._give_up(
                f"workers cannot be started: {STARTS_MAX} tries in a row failed, the last one with: {reason}", effects
            )

    def _give_up(self, reason: str, effects: list[Effect]) -> None:
        self.failed = reason
        effects.append(Fail(reason))

    def _worker_adopted(self, event: ev.WorkerAdopted, now: float, effects: list[Effect]) -> None:
        worker, running = event
        seats = self.pool.seats
        if not self.tasks.adopting or worker in seats:
            state = "known" if worker in seats else "unknown after the end of a take-over"
            raise st.IllegalMove(state, "adopted", f"worker {worker}")
        room = 0 if self.pool.attempts_max < UNLIMITED else UNLIMITED  # nobody knows how many it has run
        seat = seats[worker] = Seat(worker, now, ready=True, room=room)
        seat.alone = worker in self._to_retire
        claimed = None if running is None else self.tasks.claim(running)
        if claimed is None:
            return  # it is idle, or its answer was told before
        task, state = claimed
        seat.hold(task)
        seat.alone = seat.alone or task.isolate
        if state == st.DOOMED:
            self._kill(seat, task, state, st.ADOPT, effects)
        else:
            self.tasks.move(state, st.ADOPT, task.number)
            seat.state = STUCK

    def _adopted(self, effects: list[Effect]) -> None:
        if not self.tasks.adopting:
            raise st.IllegalMove("over", "adopted", "the take-over")
        for number in self.tasks.confirm():
            self._settle_unbegun(number, effects)
        self._to_retire.clear()

    def _take_back(self, seat: Seat, effects: list[Effect]) -> None:
        """What stands at this seat was not begun."""
        unbegun: list[Task] = []
        for ticket, task in seat.tasks.items():
            state = self._state_sent(seat, task)
            self.tasks.move(state, st.TAKE_BACK, task.number)
            if state == st.SENT:
                unbegun.append(task)
            elif state == st.CANCELLING:
                self._settle_unbegun(task.number, effects)
            else:
                self.tasks.forget(task.number)
                effects.append(Settle(ticket, "cancelled", True, seat.worker))
        self.tasks.put_back(unbegun)
        seat.room += len(seat.tasks)
        seat.tasks.clear()
        seat.bytes = 0

    def _settle_unbegun(self, number: int, effects: list[Effect], outcome: str = "cancelled") -> None:
        self.tasks.forget(number)
        effects.append(Settle(number << 16, outcome, True, None))

    def _state_sent(self, seat: Seat, task: Task) -> str:
        if task.number not in self.tasks.cancelling:
            return st.SENT
        return st.KILLING if seat.state == KILLING else st.CANCELLING

    def _is_outrun(self, ticket: Ticket) -> bool:
        """Whether the end of this attempt may not have been announced, although its task is at a later one."""
        if not self._succeeds:
            return False
        number, attempt = ticket >> 16, ticket & 0xFFFF
        task = self.tasks.waiting[number][1] if number in self.tasks.waiting else self.tasks.queued(number)
        if task is not None:
            return attempt < task.attempt
        return any(
            held >> 16 == number and attempt < held & 0xFFFF for seat in self.pool.seats.values() for held in seat.tasks
        )


def _assert_never(value: NoReturn) -> NoReturn:
    message = f"not an event: {value!r}"
    raise TypeError(message)
