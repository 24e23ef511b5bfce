"""Every decision of the pool: which task runs where and when, how it ends, when it is tried again.

Events in, effects out, time is an argument.  Every transition is in this folder; this folder knows no process, pipe,
signal or clock.  ``handle`` first takes in the fact, then advances whatever can move.

Choices, and their price:

*Batches.*  What costs is waking a worker, not the task, so each is sent about ``target_s`` of work ahead, by the pace
at which tasks were answered lately, and nothing more before half of that is done.  Price: tasks stand behind others.
When a worker has nothing to do and another made no progress for ``recall_s``, what stands behind it is taken back.

*Legality by table, speed by batch.*  A task's state is where it stands, so taking a batch from the backlog is the
proof that each was queued; the table is asked once for the batch.  Where states differ it is asked for each task.

*Isolated tasks* take their turn like others.  When it is theirs and no unused worker is there, a used one that has
nothing to do makes room; when all have something to do, none is sent more until one has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import NoReturn

from workflow.scheduler import events as ev
from workflow.scheduler import states as st
from workflow.scheduler.backlog import Backlog
from workflow.scheduler.effects import Discard, Effect, Fail, Kill, Recall, Retire, Retry, Run, Settle, Spawn
from workflow.scheduler.events import Event, Task, Ticket
from workflow.scheduler.pauses import STARTS_MAX, Starts, retry_delay_s
from workflow.scheduler.seat import KILLING, OPEN, RECALLING, RETIRING, STUCK, Seat

TARGET_S = 0.005
RECALL_S = 0.005
MAX_PREFETCH = 128
MAX_BYTES = 256 * 1024
FIRST_PREFETCH = 4
_WEIGHT = 0.25  # of the newest measure in the pace


class Scheduler:
    """The pool, as seen by whoever decides for it.

    ``pool`` is how many workers there are to be.  The first event makes it order them, less the ``spawning`` that
    are being started already.  With ``adopting`` it goes on where an earlier one ended: it is told the snapshot
    (``Pushed``, ``CancelAsked``), every worker (``WorkerAdopted``, ``Answered``, ``WorkerExited``) and then
    ``Adopted``, and orders no task to be run and no worker to be started before.
    """

    def __init__(
        self,
        pool: int,
        *,
        spawning: int = 0,
        adopting: bool = False,
        target_s: float = TARGET_S,
        recall_s: float = RECALL_S,
        max_prefetch: int = MAX_PREFETCH,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.pool = pool
        self.adopting = adopting
        self.closing = False
        """Whether everything was cancelled, and whatever is pushed will be."""
        self.failed: str | None = None
        """Why the pool gave up."""
        self.pushed = 0
        self.ended = 0
        self.spawning = spawning
        """Workers ordered and neither started nor failed."""
        self.seats: dict[int, Seat] = {}
        self.backlog = Backlog()
        self.isolated = Backlog()
        self.waiting: dict[int, tuple[float, Task]] = {}
        """By number: when it is due, and with which attempt."""
        self.cancelling: set[int] = set()
        """Numbers in the states doomed, cancelling and killing."""
        self.depth = min(FIRST_PREFETCH, max_prefetch)
        """Tasks a worker is sent ahead, at the present pace."""
        self.max_prefetch = max_prefetch
        self.max_bytes = max_bytes
        self.trace: Callable[[str, str], None] | None = None
        """Told each row of the table that is taken; for tests."""
        self._target_s = target_s
        self._recall_s = recall_s
        self._pace_s: float | None = None
        self._due: list[tuple[float, int]] = []
        self._starts = Starts()
        self._to_retire: set[int] = set()  # workers of isolated tasks that answered before they were adopted

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take in what happened, and say what is to be done."""
        effects: list[Effect] = []
        if self.failed is not None:
            return effects
        self._take_in(event, now, effects)
        if not self.adopting and self.failed is None:
            self._advance(now, effects)
        return effects

    def next_deadline(self) -> float | None:
        """When ``Woke`` is wanted at the latest, if nothing else happens before."""
        if self.adopting or self.failed is not None:
            return None
        deadlines = []
        if self._due:
            deadlines.append(self._due[0][0])
        if self._missing() > 0:
            deadlines.append(self._starts.allowed_at)
        if not self.backlog.tasks and self._somebody_is_idle():
            deadlines += [seat.progressed_at + self._recall_s for seat in self._laden()]
        return min(deadlines, default=None)

    def _take_in(self, event: Event, now: float, effects: list[Effect]) -> None:
        match event:
            case ev.Answered():
                self._answered(event, now, effects)
            case ev.Pushed():
                self._pushed(event.tasks, effects)
            case ev.Woke():
                pass
            case ev.CancelAsked():
                self._cancel(event.number, effects)
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
                self.spawning = max(0, self.spawning - 1)
                self._start_failed(event.reason, now, effects)
            case ev.WorkerAdopted():
                self._worker_adopted(event, now, effects)
            case ev.Adopted():
                self._adopted(effects)
            case _:
                _assert_never(event)

    # ---- what was told

    def _pushed(self, tasks: Sequence[Task], effects: list[Effect]) -> None:
        if not tasks:
            return
        self.pushed += len(tasks)
        before = len(self.backlog.tasks) + len(self.isolated.tasks)
        isolated = [task for task in tasks if task.isolate]
        if isolated:
            self.isolated.append(isolated)
            self.backlog.append([task for task in tasks if not task.isolate])
        else:
            self.backlog.append(tasks)
        if len(self.backlog.tasks) + len(self.isolated.tasks) != before + len(tasks):
            raise st.IllegalMove(st.QUEUED, st.PUSH, f"one of the tasks {_span(tasks)}")
        if self.adopting:
            self._move(st.NEW, st.RESTORE, tasks[0].number)
            if self.closing:
                for task in tasks:
                    self._cancel_unsent(task.number, effects)
        elif self.closing:
            for task in tasks:
                self._move(st.NEW, st.CANCEL, task.number)
                self._line_of(task).tasks.pop(task.number)
                self._settle_unbegun(task.number, effects)
        else:
            self._move(st.NEW, st.PUSH, tasks[0].number)

    def _answered(self, event: ev.Answered, now: float, effects: list[Effect]) -> None:
        worker, answers = event
        self._starts.alive()
        seat = self.seats.get(worker)
        if seat is None:  # taken over, and to be adopted; or it is gone, and these are old
            for ticket, outcome in answers:
                self._answered_unexpectedly(worker, ticket, outcome, now, effects)
            return
        pop = seat.tasks.pop
        size = count = plain = 0
        for ticket, outcome in answers:
            task = pop(ticket, None)
            if task is None:
                self._answered_unexpectedly(worker, ticket, outcome, now, effects)
                continue
            count += 1
            size += task.size
            if outcome != "succeeded" or self.cancelling:
                if self._attempt_ended(task, self._state_sent(seat, task), outcome, now):
                    effects.append(Retry(ticket))
                continue
            plain += 1
        if not count:
            return
        if plain:
            self._move(st.SENT, st.SUCCEED, answers[0][0] >> 16)
            self.ended += plain
        seat.bytes -= size
        seat.ready = True
        if seat.state == STUCK or (seat.state == KILLING and not seat.tasks):
            seat.state = OPEN
        self._measure((now - seat.progressed_at) / count)
        seat.progressed_at = now

    def _answered_unexpectedly(
        self, worker: int, ticket: Ticket, outcome: str, now: float, effects: list[Effect]
    ) -> None:
        """An answer from a worker that was not sent this, as far as we know."""
        claimed = self._claim(ticket)
        if claimed is None:
            attempt = self._attempt_of(ticket >> 16)
            # An attempt before the present one: whether it was announced, an earlier dispatcher knew.
            effects.append(Retry(ticket) if ticket & 0xFFFF < attempt else Discard(ticket))
            return
        task, state = claimed
        if task.isolate and worker not in self.seats:
            self._to_retire.add(worker)
        if self._attempt_ended(task, state, outcome, now):
            effects.append(Retry(ticket))

    def _cancel(self, number: int, effects: list[Effect]) -> None:
        if number in self.waiting or number in self.backlog.tasks or number in self.isolated.tasks:
            self._cancel_unsent(number, effects)
            return
        for seat in self.seats.values():
            for ticket, task in seat.tasks.items():
                if ticket >> 16 == number:
                    self._cancel_sent(seat, task, effects)
                    return

    def _cancel_unsent(self, number: int, effects: list[Effect]) -> None:
        if number in self.waiting:
            self._move(st.WAITING, st.CANCEL, number)
            del self.waiting[number]
        else:
            self._move(self._state_queued(number), st.CANCEL, number)
            if self.adopting:
                self.cancelling.add(number)
                return
            if self.backlog.tasks.pop(number, None) is None:
                del self.isolated.tasks[number]
        self._settle_unbegun(number, effects)

    def _cancel_sent(self, seat: Seat, task: Task, effects: list[Effect]) -> None:
        self._move(self._state_sent(seat, task), st.CANCEL, task.number)
        self.cancelling.add(task.number)
        if seat.state == KILLING:
            effects.append(Kill(seat.worker, task.number << 16 | task.attempt))
        elif seat.state != RECALLING:
            self._recall(seat, effects)

    def _cancel_all(self, effects: list[Effect]) -> None:
        self.closing = True
        for number in [*self.backlog.tasks, *self.isolated.tasks, *self.waiting]:
            self._cancel_unsent(number, effects)
        for seat in self.seats.values():
            for task in seat.tasks.values():
                self._cancel_sent(seat, task, effects)

    def _recalled(self, event: ev.Recalled, effects: list[Effect]) -> None:
        seat = self.seats.get(event.worker)
        if seat is None:
            return  # it died before it was heard
        if seat.state != RECALLING:
            raise st.IllegalMove(seat.state, "recalled", f"worker {seat.worker}")
        running = None if event.running is None else seat.tasks.pop(event.running, None)
        self._take_back(seat, list(seat.tasks.values()), effects)
        seat.tasks.clear()
        seat.bytes = 0
        seat.state = OPEN
        if running is None or event.running is None:
            return
        seat.tasks[event.running] = running
        seat.bytes = running.size
        if running.number in self.cancelling:
            self._kill(seat, event.running, st.CANCELLING, st.KILL, effects)
        else:
            seat.state = STUCK

    def _started(self, worker: int, now: float) -> None:
        if worker in self.seats:
            raise st.IllegalMove(self.seats[worker].state, "started", f"worker {worker}")
        self.spawning = max(0, self.spawning - 1)
        self.seats[worker] = Seat(worker, now, ready=False)

    def _ready(self, worker: int) -> None:
        seat = self.seats.get(worker)
        if seat is not None:
            seat.ready = True
            self._starts.alive()

    def _exited(self, event: ev.WorkerExited, now: float, effects: list[Effect]) -> None:
        worker, running, sentence = event
        seat = self.seats.pop(worker, None)
        if running is not None:
            self._starts.alive()
            task = None if seat is None else seat.tasks.pop(running, None)
            if task is not None and seat is not None:
                blamed: tuple[Task, str] | None = (task, self._state_sent(seat, task))
            else:
                blamed = self._claim(running)
            if blamed is not None:
                outcome = sentence or "crashed"
                again = self._attempt_ended(*blamed, outcome, now)
                effects.append(Settle(running, outcome, not again, worker))
        if seat is None:
            return
        self._take_back(seat, list(seat.tasks.values()), effects)
        if running is not None or sentence is not None or seat.alone or seat.state in (RETIRING, KILLING):
            return
        if not seat.ready:
            self._start_failed(f"worker {worker} died before it was ready", now, effects)
        else:
            self._starts.died(now)

    def _start_failed(self, reason: str, now: float, effects: list[Effect]) -> None:
        if self._starts.failed(now):
            self.failed = f"workers cannot be started: {STARTS_MAX} tries in a row failed, the last one with: {reason}"
            effects.append(Fail(self.failed))

    def _worker_adopted(self, event: ev.WorkerAdopted, now: float, effects: list[Effect]) -> None:
        worker, running = event
        if not self.adopting or worker in self.seats:
            state = "known" if worker in self.seats else "unknown after the end of a take-over"
            raise st.IllegalMove(state, "adopted", f"worker {worker}")
        seat = self.seats[worker] = Seat(worker, now, ready=True)
        seat.alone = worker in self._to_retire
        if running is None:
            return
        claimed = self._claim(running)
        if claimed is None:
            return  # its answer was told before
        task, state = claimed
        seat.tasks[running] = task
        seat.bytes = task.size
        seat.alone = seat.alone or task.isolate
        if state == st.DOOMED:
            self._kill(seat, running, state, st.ADOPT, effects)
        else:
            self._move(state, st.ADOPT, task.number)
            seat.state = STUCK

    def _adopted(self, effects: list[Effect]) -> None:
        if not self.adopting:
            raise st.IllegalMove("over", "adopted", "the take-over")
        for backlog in (self.backlog, self.isolated):
            for number in list(backlog.tasks):
                doomed = number in self.cancelling
                self._move(self._state_queued(number), st.CONFIRM, number)
                if doomed:
                    del backlog.tasks[number]
                    self._settle_unbegun(number, effects)
        self.adopting = False
        self._to_retire.clear()

    # ---- what follows from it

    def _advance(self, now: float, effects: list[Effect]) -> None:
        while self._due and self._due[0][0] <= now:
            self._requeue(*heappop(self._due))
        missing = self._missing()
        if missing > 0 and self._starts.allowed_at <= now:
            self.spawning += missing
            effects.append(Spawn(missing))
        # A dispatcher that is no more may have ordered workers that this one, not knowing, ordered as well.
        surplus = len(self.seats) - self.pool
        surplus -= self._leaving() if surplus > 0 else 0
        for seat in self.seats.values():
            if (seat.alone or surplus > 0) and not seat.tasks and seat.state == OPEN:
                self._retire(seat, effects)
                surplus -= 1
        if self.backlog.tasks or self.isolated.tasks:
            self._fill(now, effects)
        if not self.backlog.tasks and self._somebody_is_idle():
            for seat in self._laden():
                if seat.progressed_at + self._recall_s <= now:
                    self._recall(seat, effects)

    def _requeue(self, due: float, number: int) -> None:
        entry = self.waiting.get(number)
        if entry is None or entry[0] != due:
            return  # it was cancelled meanwhile
        del self.waiting[number]
        self._move(st.WAITING, st.DUE, number)
        self._line_of(entry[1]).append([entry[1]])

    def _fill(self, now: float, effects: list[Effect]) -> None:
        """Send tasks to whoever has little or nothing to do."""
        if self.isolated.tasks and self._fill_isolated(now, effects):
            return
        if self.backlog.tasks:
            self._fill_shared(now, effects)
            if self.isolated.tasks and not self.backlog.tasks:
                self._fill_isolated(now, effects)

    def _fill_shared(self, now: float, effects: list[Effect]) -> None:
        depth = self.depth
        hungry = [
            (len(seat.tasks), worker, seat)
            for worker, seat in self.seats.items()
            if len(seat.tasks) * 2 <= depth and seat.state == OPEN and not seat.alone
        ]
        if not hungry:
            return
        hungry.sort()  # whoever has least comes first, and gets as much as the others then have
        loads = sum([load for load, _, _ in hungry])
        for place, (load, _, seat) in enumerate(hungry):
            level = -(-(len(self.backlog.tasks) + loads) // (len(hungry) - place))
            tasks = self.backlog.take(min(level, depth) - load, self.max_bytes - seat.bytes, least=0 if load else 1)
            loads -= load
            if tasks:
                self._send(seat, tasks, now, effects)
            if not self.backlog.tasks:
                return

    def _fill_isolated(self, now: float, effects: list[Effect]) -> bool:
        """Send isolated tasks whose turn it is to unused workers.  True when others must wait until one can be made."""
        while True:
            first, other = self.isolated.first(), self.backlog.first()
            if first is None or (other is not None and other < first):
                return False
            idle = [seat for seat in self.seats.values() if seat.state == OPEN and not seat.tasks and not seat.alone]
            unused = [seat for seat in idle if not seat.used]
            if not unused:
                break
            unused[0].alone = True
            self._send(unused[0], self.isolated.take(1, 0, least=1), now, effects)
        coming = self.spawning + self._leaving() + self._missing()
        for seat in idle:
            if coming >= len(self.isolated.tasks):
                break
            self._retire(seat, effects)
            coming += 1
        return coming <= 0

    def _send(self, seat: Seat, tasks: list[Task], now: float, effects: list[Effect]) -> None:
        self._move(st.QUEUED, st.RUN, tasks[0].number)
        sent = seat.tasks
        if not sent:
            seat.progressed_at = now
        size = 0
        for task in tasks:
            sent[task.number << 16 | task.attempt] = task
            size += task.size
        seat.bytes += size
        seat.used = True
        effects.append(Run(seat.worker, tasks))

    def _recall(self, seat: Seat, effects: list[Effect]) -> None:
        seat.state = RECALLING
        effects.append(Recall(seat.worker))

    def _retire(self, seat: Seat, effects: list[Effect]) -> None:
        seat.state = RETIRING
        effects.append(Retire(seat.worker))

    def _kill(self, seat: Seat, ticket: Ticket, state: str, move: str, effects: list[Effect]) -> None:
        self._move(state, move, ticket >> 16)
        seat.state = KILLING
        effects.append(Kill(seat.worker, ticket))

    def _take_back(self, seat: Seat, tasks: Iterable[Task], effects: list[Effect]) -> None:
        """These were sent to the seat, and not begun."""
        shared: list[Task] = []
        isolated: list[Task] = []
        for task in tasks:
            state = self._state_sent(seat, task)
            self._move(state, st.TAKE_BACK, task.number)
            if state == st.SENT:
                (isolated if task.isolate else shared).append(task)
            elif state == st.CANCELLING:
                self._settle_unbegun(task.number, effects)
            else:
                self._settle(task.number << 16 | task.attempt, seat.worker, effects)
        if shared:
            self.backlog.put_back(shared)
        if isolated:
            self.isolated.put_back(isolated)

    def _attempt_ended(self, task: Task, state: str, outcome: str, now: float) -> bool:
        """Take the task out of the pool, or let it wait for its next attempt.  True when there will be one."""
        number, policy = task.number, task.retries
        if outcome == "succeeded":
            self._move(state, st.SUCCEED, number)
        elif (
            policy is not None
            and task.attempt <= policy.max
            and outcome in policy.on
            and number not in self.cancelling
        ):
            self._move(state, st.RETRY, number)
            due = now + retry_delay_s(policy, number, task.attempt)
            self.waiting[number] = (due, task._replace(attempt=task.attempt + 1))
            heappush(self._due, (due, number))
            return True
        else:
            self._move(state, st.END, number)
        self.cancelling.discard(number)
        self.ended += 1
        return False

    def _settle_unbegun(self, number: int, effects: list[Effect]) -> None:
        self._settle(number << 16, None, effects)

    def _settle(self, ticket: Ticket, worker: int | None, effects: list[Effect]) -> None:
        self.cancelling.discard(ticket >> 16)
        self.ended += 1
        effects.append(Settle(ticket, "cancelled", True, worker))

    def _measure(self, sample_s: float) -> None:
        # A task longer than this makes the depth 1 already; its true length would only make it stay so for longer.
        sample_s = min(sample_s, self._target_s)
        pace_s = sample_s if self._pace_s is None else self._pace_s + _WEIGHT * (sample_s - self._pace_s)
        self._pace_s = pace_s
        if pace_s * self.max_prefetch <= self._target_s:
            self.depth = self.max_prefetch
        else:
            self.depth = max(1, int(self._target_s / pace_s))

    # ---- where things stand

    def due(self) -> list[tuple[float, int]]:
        """When which tasks are to be queued again, cancelled ones included; in no order."""
        return self._due

    def _claim(self, ticket: Ticket) -> tuple[Task, str] | None:
        """Take out a task of which a worker says that it began this attempt; None when that cannot be, or is old."""
        number, attempt = ticket >> 16, ticket & 0xFFFF
        task = self.backlog.tasks.get(number) or self.isolated.tasks.get(number)
        if task is None and self.adopting and number in self.waiting:
            task = self.waiting[number][1]
        if task is None or attempt < task.attempt or (attempt > task.attempt and not self.adopting):
            return None
        if self.waiting.pop(number, None) is not None:
            state = st.WAITING
        else:
            state = self._state_queued(number)
            del self._line_of(task).tasks[number]
        # Above the snapshot's attempt: the parent had not yet been told that the one before ended.
        return (task if attempt == task.attempt else task._replace(attempt=attempt), state)

    def _attempt_of(self, number: int) -> int:
        """The attempt a task is at, or 0 when there is none of that number."""
        if number in self.waiting:
            return self.waiting[number][1].attempt
        task = self.backlog.tasks.get(number) or self.isolated.tasks.get(number)
        if task is not None:
            return task.attempt
        for seat in self.seats.values():
            for ticket in seat.tasks:
                if ticket >> 16 == number:
                    return ticket & 0xFFFF
        return 0

    def _line_of(self, task: Task) -> Backlog:
        return self.isolated if task.isolate else self.backlog

    def _state_queued(self, number: int) -> str:
        if not self.adopting:
            return st.QUEUED
        return st.DOOMED if number in self.cancelling else st.DOUBTFUL

    def _state_sent(self, seat: Seat, task: Task) -> str:
        if task.number not in self.cancelling:
            return st.SENT
        return st.KILLING if seat.state == KILLING else st.CANCELLING

    def _move(self, state: str, move: str, number: int) -> None:
        if (state, move) not in st.TRANSITIONS:
            raise st.IllegalMove(state, move, f"task {number}")
        if self.trace is not None:
            self.trace(state, move)

    def _missing(self) -> int:
        return self.pool - len(self.seats) - self.spawning

    def _leaving(self) -> int:
        return sum([seat.state == RETIRING for seat in self.seats.values()])

    def _somebody_is_idle(self) -> bool:
        for seat in self.seats.values():
            if not seat.tasks and seat.state == OPEN and not seat.alone:
                return True
        return False

    def _laden(self) -> list[Seat]:
        """Workers with tasks behind the one they run."""
        return [seat for seat in self.seats.values() if len(seat.tasks) > 1 and seat.state == OPEN]


def _span(tasks: Sequence[Task]) -> str:
    return f"{tasks[0].number} to {tasks[-1].number}"


def _assert_never(value: NoReturn) -> NoReturn:
    message = f"not an event: {value!r}"
    raise TypeError(message)
