"""A pretend world around the scheduler: clock, workers, warden, dispatcher, parent; all of them late, mortal and lying.

The world knows the truth: which attempt began where and how it ended.  The scheduler is told about it late, in
pieces, by dispatchers that die in the middle of doing what it orders.  Whatever it then orders or announces is held
against the truth at once, by assertion; ``finish`` holds the whole walk against the promises.

A worker is a process: what it was sent, what it is in the middle of, and answers in its channel that are there until
a dispatcher has done everything that followed from them (forward, then consume).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any

from workflow.info_task import RetryPolicy
from workflow.scheduler import effects as ef
from workflow.scheduler import events as ev
from workflow.scheduler.invariants import check
from workflow.scheduler.scheduler import Scheduler

STEPS_MAX = 5_000
DELAYS_S = (0.0, 0.0, 0.0001, 0.001, 0.006, 0.03)


class Worker:
    """A pretend process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.inbox: deque[ev.Task] = deque()
        self.outbox: list[tuple[int, str]] = []
        self.running: ev.Task | None = None
        self.ready = False
        self.ready_told = False
        self.alive = True
        self.started_told = False
        self.exit: ev.WorkerExited | None = None
        self.exit_told = False  # to any dispatcher: the warden then knows, and never calls it alive again
        self.ran: list[ev.Task] = []
        self.recalled = False  # a Recall was ordered and not yet answered
        self.retired = False


class World:
    """One walk: ``World(seed).run()``."""

    def __init__(self, seed: int, trace: Callable[[str, str], None]) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.now = 100.0
        self.trace = trace
        self.pool = rng.choice((1, 2, 2, 3, 5))
        self.limits: dict[str, Any] = {
            "max_prefetch": rng.choice((1, 4, 128)),
            "max_bytes": rng.choice((150, 10_000)),
            "patience_s": rng.choice((0.005, 0.05, 10.0)),
        }
        self.attempts_max = rng.choice((None, None, 1, 3))
        self.deaths = rng.choice((0, 0, 0, 1, 3, 10))  # of dispatchers
        self.failing = rng.random() < 0.3  # most attempts fail, and most are tried again
        self.announces_last = rng.random() < 0.5  # what a turn announces is flushed after its orders were sent
        # Some worlds are made for one race: the dispatcher dies when a retry was sent, but not yet announced.
        self.seam_only = rng.random() < 0.15
        if self.seam_only:
            self.deaths, self.failing, self.announces_last = 10, True, True
        self.recalls_at_once = rng.random() < 0.5  # in the middle of performing a turn, or when it is heard
        self.crash_rate = rng.choice((0.0, 0.02, 0.2))
        self.start_failure_rate = rng.choice((0.0, 0.0, 0.1, 0.3, 1.0 if rng.random() < 0.1 else 0.0))
        self.lie_rate = rng.choice((0.0, 0.05))
        self.isolate_rate = rng.choice((0.0, 0.0, 0.2))
        self.deadline_rate = rng.choice((0.0, 0.0, 0.5))
        self.held_rate = 0.0 if self.seam_only else rng.choice((0.0, 0.5))
        self.scale = rng.choice((1.0, 1.0, 0.05))  # of how long tasks take
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.sequence = 0
        self.workers: dict[int, Worker] = {}
        self.started = 0
        self.scheduler = self._scheduler(adopting=False)
        self.life = 0  # of dispatchers
        self.dying = False
        self.down = False
        self.lying = False
        # The truth.
        self.tasks: dict[int, ev.Task] = {}
        self.begun: dict[int, float] = {}  # when
        self.ends: dict[int, str] = {}  # by ticket
        self.attempts: dict[int, int] = {}  # ended ones by number
        # The parent.
        self.pending: dict[int, ev.Task] = {}
        self.announced: set[int] = set()
        self.finals: dict[int, str] = {}
        self.expired = 0  # ended by their deadline, while no attempt of them ran
        self.asked: set[int] = set()  # tickets of held retries
        self.let_go: dict[int, int] = {}  # by number: the attempt that it let go
        self.cancelled: set[int] = set()
        self.cancelled_all = False
        # What the present scheduler was told.
        self.told_cancelled: set[int] = set()
        self.failures_in_a_row = 0
        self.failures_in_a_row_max = 0
        self.history: list[str] = []

    # ---- the walk

    def run(self) -> None:
        """Walk until nothing can happen any more, then judge."""
        self._plan()
        self._tell(ev.Woke())
        for _ in range(STEPS_MAX):
            if (self.scheduler.failed is not None and not self.down) or not self._step():
                self._finish()
                return
        message = f"no end after {STEPS_MAX} steps, pending: {sorted(self.pending)}"
        raise AssertionError(message)

    def _plan(self) -> None:
        rng = self.rng
        total = rng.choice((1, 3, 10, 40))
        number = 0
        while number < total:
            count = min(total - number, rng.choice((1, 2, 10, 40)))
            batch = [self._make(number + i + 1) for i in range(count)]
            number += count
            self._at(rng.random() * rng.choice((0.0, 0.01, 0.2)), partial(self._push, batch))
        for _ in range(rng.choice((0, 0, 3, 10))):
            self._at(rng.random() * 0.1, lambda: self._cancel(rng.randint(1, total)))
        if rng.random() < 0.15:
            for _ in range(rng.choice((1, 2))):
                self._at(rng.random() * 0.1, self._cancel_all)
        for _ in range(rng.choice((0, 0, 2, 8))):
            self._at(rng.random() * 0.1, self._kill_somebody)
        for _ in range(self.deaths):
            self._at(rng.random() * 0.1, self._kill_dispatcher)
        if self.lie_rate:
            for _ in range(6):
                self._at(rng.random() * 0.05, self._lie)

    def _make(self, number: int) -> ev.Task:
        rng = self.rng
        policy = None
        if rng.random() < (0.9 if self.failing else 0.4):
            policy = RetryPolicy(
                max=rng.choice((1, 2, 3)),
                delay_s=0.0 if self.seam_only else rng.choice((0.0, 0.0, 0.01, 0.1)),
                backoff=rng.choice((1.0, 2.0)),
                max_delay_s=rng.choice((0.05, float("inf"))),
                jitter=rng.random() < 0.5,
                on=rng.choice((("failed", "timed_out", "crashed", "memory_exceeded"), ("crashed",), ("failed",))),
                held=rng.random() < self.held_rate,
            )
        return ev.Task(
            number,
            None,
            1,
            rng.choice((0, 0, 0, 5, -1)),
            policy,
            rng.random() < self.isolate_rate,
            rng.choice((1, 60, 400)),
            ev.Deadline(rng.choice((0.0, 0.005, 0.02, 0.1, 1.0))) if rng.random() < self.deadline_rate else None,
        )

    def _at(self, delay_s: float, what: Callable[[], None]) -> None:
        self.sequence += 1
        heappush(self.agenda, (self.now + delay_s, self.sequence, what))

    def _soon(self, what: Callable[[], None]) -> None:
        self._at(self.rng.choice(DELAYS_S), what)

    def _step(self) -> bool:
        deadline = None if self.down else self.scheduler.next_deadline()
        if deadline is not None:
            deadline = max(self.now, deadline) + self.rng.choice((0.0, 0.0, 0.001))
        if self.agenda and (deadline is None or self.agenda[0][0] <= deadline):
            self.now, _, what = heappop(self.agenda)
            what()
            return True
        if deadline is None:
            return False
        self.now = deadline
        self._tell(ev.Woke())
        again = None if self.down else self.scheduler.next_deadline()
        assert again is None or again > self.now, "the scheduler wants to be woken for what it did not do"
        return True

    # ---- the parent

    def _push(self, batch: list[ev.Task]) -> None:
        for task in batch:
            self.tasks[task.number] = self.pending[task.number] = task
            self.attempts[task.number] = 0
        if self.cancelled_all:
            self.told_cancelled.update(task.number for task in batch)
        self._tell(ev.Pushed(batch))

    def _cancel(self, number: int) -> None:
        if number in self.pending:
            self.cancelled.add(number)
            self.told_cancelled.add(number)
        self._tell(ev.CancelAsked(number))

    def _asked(self, ticket: int) -> None:
        """A held retry is due: the parent lets it go when it has a token, which may take longer than its deadline."""
        number, attempt = ticket >> 16, ticket & 0xFFFF
        task = self.pending.get(number)
        assert task is not None, f"{number} has ended, and is asked for"
        assert task.attempt == attempt, f"{number}.{attempt} is asked for, and the parent is at {task.attempt}"
        assert ticket not in self.asked or self.life, f"{number}.{attempt} is asked for twice"
        if ticket not in self.asked:
            self.asked.add(ticket)
            self._at(self.rng.choice((0.0, 0.0, 0.001, 0.02, 0.2)), lambda: self._let_go(number, attempt))

    def _let_go(self, number: int, attempt: int) -> None:
        if number in self.pending:
            self.let_go[number] = attempt
            self._tell(ev.LetGo(number, attempt))

    def _cancel_all(self) -> None:
        self.cancelled_all = True
        self.told_cancelled.update(self.pending)
        self._tell(ev.CancelAllAsked())

    def _announce(self, ticket: int, outcome: str, *, final: bool) -> None:
        number, attempt = ticket >> 16, ticket & 0xFFFF
        task = self.pending.get(number)
        if task is None or (attempt and attempt < task.attempt):
            assert self.life or self.lying, f"{number}.{attempt} was announced twice, or after the end of its task"
            return
        if attempt:
            assert self.ends.get(ticket) == outcome, (
                f"{number}.{attempt} is {outcome}, in truth {self.ends.get(ticket)}"
            )
            policy = task.retries
            again = policy is not None and attempt <= policy.max and outcome in policy.on
            if again and outcome == "timed_out" and self.now >= self._until(number):
                again = self.life > 0 and not final  # a dispatcher that was told late knows a later deadline
            if again and number in self.told_cancelled:
                # The next attempt may have begun before the cancellation, under a dispatcher that did not live to
                # announce it; until every worker is heard, nobody knows.
                again = ticket + 1 in self.begun or self.scheduler.tasks.adopting
            assert final is not again, f"{number}.{attempt} {outcome}: final {final}"
            self.announced.add(ticket)
        else:
            assert final
            if outcome == "timed_out":
                self.expired += 1
                assert task.attempt > 1, f"{number} is timed out and was never tried"
                due = self.now + (task.retries.max_delay_s if task.retries is not None else 0.0)
                assert due >= self._until(number), (
                    f"{number} is timed out before its deadline, and need not wait so long"
                )
            else:
                assert outcome == "cancelled"
                assert number in self.cancelled or self.cancelled_all, f"{number} was cancelled by nobody"
            assert all(w.running is None or w.running.number != number for w in self.workers.values()), (
                f"{number} was settled as not running while it ran"
            )
        if final:
            del self.pending[number]
            assert number not in self.finals
            self.finals[number] = outcome
        else:
            deadline = task.deadline and ev.Deadline(task.deadline.limit_s, self._until(number))
            self.pending[number] = task._replace(attempt=attempt + 1, deadline=deadline)

    def _until(self, number: int) -> float:
        """In truth."""
        deadline = self.tasks[number].deadline
        began = self.begun.get(number << 16 | 1)
        return float("inf") if deadline is None or began is None else began + deadline.limit_s

    # ---- the dispatcher

    def _scheduler(self, *, adopting: bool) -> Scheduler:
        scheduler = Scheduler(self.pool, adopting=adopting, attempts_max=self.attempts_max, **self.limits)
        scheduler.tasks.trace = self.trace
        return scheduler

    def _tell(self, event: ev.Event, consume: Callable[[], None] | None = None) -> None:
        """One turn: decide, announce, perform, consume; a dispatcher may die between any two of these."""
        if self.down:
            return
        self.history.append(f"{self.now:.5f} {event}")
        effects = self.scheduler.handle(event, self.now)
        if effects:
            self.history.append(f"        {effects}")
        check(self.scheduler)
        recalls = [isinstance(effect, ef.Recall) for effect in effects]
        assert recalls == sorted(recalls), "a Recall, which may be answered at once, stands before other effects"
        acts: list[Callable[[], None]] = []
        if isinstance(event, ev.Answered):
            retried = {effect.ticket for effect in effects if isinstance(effect, ef.Retry)}
            dropped = {effect.ticket for effect in effects if isinstance(effect, ef.Discard)}
            for ticket, outcome in event.answers:
                if ticket not in dropped:
                    acts.append(partial(self._announce, ticket, outcome, final=ticket not in retried))
        acts += [
            partial(self._announce, effect.ticket, effect.outcome, final=effect.final)
            for effect in effects
            if isinstance(effect, ef.Settle)
        ]
        # In the channel in which the end of the attempt before was announced, and behind that.
        acts += [partial(self._asked, effect.ticket) for effect in effects if isinstance(effect, ef.Ask)]
        orders: list[Callable[[], None]] = [
            partial(self._perform, e) for e in effects if not isinstance(e, (ef.Settle, ef.Retry, ef.Ask, ef.Discard))
        ]
        life = self.life
        seam = len(orders) if self.announces_last else len(acts)
        acts = [*orders, *acts] if self.announces_last else [*acts, *orders]
        for place, act in enumerate(acts):
            if self.dying and self._dies_at(place == seam > 0, effects):
                break
            act()
            if life != self.life:
                return  # it died in a turn within this one
        else:
            if consume is not None:
                consume()
            if not self.dying:
                return
            if self.seam_only and not self._retries_at_once(effects):
                return
        if self.dying:
            self._dispatcher_dies()

    def _dies_at(self, seam: bool, effects: list[ef.Effect]) -> bool:
        if self.seam_only:
            return seam and self._retries_at_once(effects)
        return self.rng.random() < (0.5 if seam else 0.15)

    def _retries_at_once(self, effects: list[ef.Effect]) -> bool:
        ended = {
            e.ticket >> 16 for e in effects if isinstance(e, ef.Retry) or (isinstance(e, ef.Settle) and not e.final)
        }
        return any(task.number in ended for e in effects if isinstance(e, ef.Run) for task in e.tasks)

    def _perform(self, effect: ef.Effect) -> None:
        if isinstance(effect, ef.Run):
            self._send(effect)
        elif isinstance(effect, ef.Recall):
            worker = self.workers[effect.worker]
            assert not worker.recalled, f"worker {effect.worker} was recalled twice"
            worker.recalled = True
            worker.inbox.clear()
            life = self.life
            if self.recalls_at_once and not self.lying:  # or else what that tells would be taken for the lie's
                self._read_recalled(worker, life)
            else:
                self._soon(lambda: self._read_recalled(worker, life))
        elif isinstance(effect, ef.Kill):
            worker = self.workers[effect.worker]
            assert effect.ticket >> 16 in self.told_cancelled
            self._soon(lambda: self._end_by_order(worker, effect.ticket))
        elif isinstance(effect, ef.Retire):
            worker = self.workers[effect.worker]
            worker.retired = True
            self._soon(lambda: self._die(worker, None))
        elif isinstance(effect, ef.Spawn):
            for _ in range(effect.count):
                self._soon(self._start)
        elif isinstance(effect, ef.Fail):
            assert self.failures_in_a_row_max >= 5 or self.life, "the pool gave up too early"

    def _send(self, run: ef.Run) -> None:
        worker = self.workers[run.worker]
        assert not worker.recalled, "a task was sent to a worker that is being recalled"
        assert not worker.retired, "a task was sent to a worker that was told to leave"
        assert run.tasks
        for task in run.tasks:
            assert task.number not in self.told_cancelled, f"{task.number} is run after its cancellation"
        worker.inbox.extend(run.tasks)
        self._begin(worker)

    def _hear(self, worker: Worker) -> None:
        """Read some of what a worker's channel holds."""
        if worker.ready and not worker.ready_told and worker.started_told and worker.alive:
            worker.ready_told = True
            self.failures_in_a_row = 0
            self._tell(ev.WorkerReady(worker.number))
        if worker.outbox and worker.number in self.workers:
            count = self.rng.randint(1, len(worker.outbox))
            self._drain(worker, count)

    def _drain(self, worker: Worker, count: int) -> None:
        answers = worker.outbox[:count]
        if answers:
            self.failures_in_a_row = 0

        def consume() -> None:
            del worker.outbox[:count]
            if worker.outbox:
                self._soon(lambda: self._hear(worker))

        if answers:
            began = {ticket: self.begun[ticket] for ticket, outcome in answers if outcome != "succeeded"}
            self._tell(ev.Answered(worker.number, answers, began), consume)

    def _read_recalled(self, worker: Worker, life: int) -> None:
        if life != self.life:
            return
        running = worker.running
        if worker.exit is not None:
            running_ticket = worker.exit.running
        else:
            running_ticket = None if running is None else _ticket(running)
        self._drain(worker, len(worker.outbox))
        if life == self.life:
            worker.recalled = False
            self._tell(ev.Recalled(worker.number, running_ticket))

    def _hear_exit(self, worker: Worker) -> None:
        if worker.number not in self.workers or worker.exit is None:
            return
        life = self.life
        self._drain(worker, len(worker.outbox))
        if life != self.life:
            return
        event = worker.exit
        if event.running is not None:
            self.failures_in_a_row = 0
        elif worker.started_told and not worker.ready_told and not worker.retired:
            self._count_failure()
        if event.running is None and event.sentence is None and self.rng.random() < self.lie_rate * 4:
            ticket = self._ghost(self.rng.choice(("crashed",)))
            if ticket is not None:
                event = worker.exit = ev.WorkerExited(worker.number, ticket, None, began=self.begun[ticket])
        worker.exit_told = worker.exit_told or not self.down
        self._tell(event, lambda: self._forget(worker))

    def _forget(self, worker: Worker) -> None:
        del self.workers[worker.number]

    def _kill_dispatcher(self) -> None:
        if self.down:
            return
        if self.rng.random() < 0.3:
            self._dispatcher_dies()
        else:
            self.dying = True  # in the middle of its next turn

    def _dispatcher_dies(self) -> None:
        self.dying = False
        self.down = True
        self.life += 1
        self._at(self.rng.choice((0.0, 0.001, 0.03, 0.2)), self._take_over)

    def _take_over(self) -> None:
        """A new dispatcher goes on with the parent's table and the same workers."""
        self.down = False
        self.history.append(f"{self.now:.5f} take-over {self.life}")
        self.scheduler = self._scheduler(adopting=True)
        rng = self.rng
        snapshot = list(self.pending.values())
        life = self.life
        self.told_cancelled = set()
        turns: list[Callable[[], None]] = [partial(self._tell, ev.Pushed(snapshot))]
        turns += [partial(self._cancel, number) for number in sorted(self.cancelled & self.pending.keys())]
        turns += [
            partial(self._tell, ev.LetGo(number, attempt))
            for number, attempt in self.let_go.items()
            if number in self.pending
        ]
        if self.cancelled_all:
            turns.append(self._cancel_all)
        workers = list(self.workers.values())
        rng.shuffle(workers)
        for worker in workers:
            turns.append(partial(self._adopt, worker))
            if rng.random() < 0.1:
                turns.append(self._push_another)
            if rng.random() < 0.05:
                turns.append(lambda: self._cancel(rng.randint(1, len(self.tasks) + 1)))
        turns.append(partial(self._tell, ev.Adopted()))
        for turn in turns:
            turn()
            if life != self.life:
                return  # the new one died as well, and another has begun at the beginning

    def _adopt(self, worker: Worker) -> None:
        rng, life = self.rng, self.life
        worker.inbox.clear()
        worker.recalled = worker.retired = False  # what an earlier dispatcher ordered, this one does not know
        worker.started_told = worker.ready_told = True
        if worker.exit is not None:
            if worker.exit_told or rng.random() < 0.5:
                if rng.random() < 0.5:
                    self._tell(ev.WorkerAdopted(worker.number, None))
                if life == self.life:
                    self._hear_exit(worker)
            else:  # its death is heard after the take-over; until then it looks alive, its word as it left it
                self._tell(ev.WorkerAdopted(worker.number, worker.exit.running))
                if life == self.life:
                    self._soon(lambda: self._hear_exit(worker))
                    self._drain(worker, len(worker.outbox))
            return
        running = None if worker.running is None else _ticket(worker.running)
        early = rng.random() < 0.5
        if early:
            self._drain(worker, len(worker.outbox))
            if life != self.life:
                return
        self._tell(ev.WorkerAdopted(worker.number, running))
        if life == self.life and not early:
            self._drain(worker, len(worker.outbox))

    def _push_another(self) -> None:
        number = max(self.tasks, default=0) + 1000
        self._push([self._make(number)])

    # ---- the workers

    def _start(self) -> None:
        if self.rng.random() < self.start_failure_rate / 2:
            self._count_failure()
            self._tell(ev.SpawnFailed("no more processes"))
            return
        self.started += 1
        number = self.started
        worker = self.workers[number] = Worker(number)
        self._soon(lambda: self._get_ready(worker))
        worker.started_told = True
        self._tell(ev.WorkerStarted(number))

    def _count_failure(self) -> None:
        self.failures_in_a_row += 1
        self.failures_in_a_row_max = max(self.failures_in_a_row, self.failures_in_a_row_max)

    def _get_ready(self, worker: Worker) -> None:
        if not worker.alive:
            return
        if self.rng.random() < self.start_failure_rate:
            self._die(worker, None)
            return
        worker.ready = True
        self._soon(lambda: self._hear(worker))
        self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        if worker.running is not None or not worker.inbox or not worker.ready or not worker.alive:
            return
        if any(task.isolate for task in worker.ran):
            return  # it leaves by itself
        task = worker.inbox.popleft()
        ticket, rng = _ticket(task), self.rng
        assert ticket not in self.begun, f"{task.number}.{task.attempt} is run twice"
        assert task.number not in self.finals, f"{task.number} is run after its end"
        assert task.attempt == self.attempts[task.number] + 1, f"{task.number}.{task.attempt} is a wrong count"
        if task.attempt > 1 and task.retries is not None and task.retries.held:
            assert self.let_go.get(task.number) == task.attempt, f"{task.number}.{task.attempt} was not let go"
        for other in self.workers.values():
            assert other.running is None or other.running.number != task.number, f"{task.number} runs at two workers"
        assert not task.isolate or not worker.ran, f"{task.number} is isolated, and its worker has run others"
        assert self.attempts_max is None or len(worker.ran) < self.attempts_max, f"worker {worker.number} runs too many"
        late = self.now - self._until(task.number)
        assert late <= 0.001 or self.deaths or task.attempt == 1, f"{task.number}.{task.attempt} begins {late} s late"
        self.begun[ticket] = self.now
        worker.running = task
        worker.ran.append(task)
        duration_s = rng.choice((0.0, 0.0, 0.0001, 0.001, 0.004, 0.02, 0.1)) * self.scale
        roll = rng.random()
        if roll < self.crash_rate:
            sentence = rng.choice((None, None, "timed_out", "memory_exceeded"))
            self._at(duration_s, lambda: self._die_running(worker, ticket, sentence))
        else:
            outcome = rng.choices(("succeeded", "failed", "crashed"), (2, 6, 1) if self.failing else (6, 2, 1))[0]
            self._at(duration_s, lambda: self._answer(worker, ticket, outcome))

    def _answer(self, worker: Worker, ticket: int, outcome: str) -> None:
        if not worker.alive or worker.running is None or _ticket(worker.running) != ticket:
            return
        self._end(ticket, outcome)
        isolated = worker.running.isolate
        worker.running = None
        worker.outbox.append((ticket, outcome))
        self._soon(lambda: self._hear(worker))
        if isolated and self.deaths:
            # A dispatcher that dies before it retires it leaves nobody who knows: it leaves by itself.
            self._soon(lambda: self._die(worker, None))
        else:
            self._begin(worker)

    def _end(self, ticket: int, outcome: str) -> None:
        assert ticket not in self.ends
        self.ends[ticket] = outcome
        self.attempts[ticket >> 16] += 1

    def _die_running(self, worker: Worker, ticket: int, sentence: str | None) -> None:
        if worker.alive and worker.running is not None and _ticket(worker.running) == ticket:
            self._die(worker, sentence)

    def _end_by_order(self, worker: Worker, ticket: int) -> None:
        """The warden's part of a Kill: nothing, when the worker is no longer at it."""
        if self.rng.random() < 0.3:  # its grace
            self._soon(lambda: self._die_running(worker, ticket, "cancelled"))
        else:
            self._die_running(worker, ticket, "cancelled")

    def _kill_somebody(self) -> None:
        alive = [worker for worker in self.workers.values() if worker.alive]
        if alive:
            self._die(self.rng.choice(alive), None)

    def _die(self, worker: Worker, sentence: str | None) -> None:
        if not worker.alive:
            return
        worker.alive = False
        running = None
        if worker.running is not None:
            running = _ticket(worker.running)
            self._end(running, sentence or "crashed")
            worker.running = None
            if sentence == "cancelled" and self.rng.random() < self.lie_rate * 4:
                running = None
        began = None if running is None else self.begun[running]
        worker.exit = ev.WorkerExited(worker.number, running, sentence, began=began)
        self._soon(lambda: self._hear_exit(worker))

    # ---- lies

    def _ghost(self, outcome: str) -> int | None:
        """A queued task that is said to have ended, by somebody who was not sent it any more."""
        if self.scheduler.tasks.adopting or self.deaths:
            return None
        queued = [*self.scheduler.tasks.backlog.tasks.values(), *self.scheduler.tasks.isolated.tasks.values()]
        queued = [task for task in queued if _ticket(task) not in self.begun]
        if not queued:
            return None
        ticket = _ticket(self.rng.choice(queued))
        self.begun[ticket] = self.now
        self._end(ticket, outcome)
        return ticket

    def _lie(self) -> None:
        rng = self.rng
        liar = rng.choice([*self.workers, 7_000_000])
        if rng.random() < 0.5:
            outcome = rng.choice(("succeeded", "failed", "crashed"))
            ticket = self._ghost(outcome)
            if ticket is not None:
                self._tell(ev.Answered(liar, [(ticket, outcome)], {ticket: self.now}))
            return
        elsewhere = [
            ticket for seat in self.scheduler.pool.seats.values() if seat.worker != liar for ticket in seat.tasks
        ]
        ticket = rng.choice([*elsewhere, *sorted(self.announced), 9_999_999 << 16 | 1])
        if not self.scheduler.tasks.adopting and not self.dying and not self.down:
            before = self.scheduler.tasks.ended - self.expired
            self.failures_in_a_row = 0
            self.lying = True
            self._tell(ev.Answered(liar, [(ticket, rng.choice(("succeeded", "failed")))]))
            self.lying = False
            assert self.scheduler.tasks.ended - self.expired == before, "a lie was believed"

    # ---- the judgement

    def _finish(self) -> None:
        if self.scheduler.failed is not None:
            assert self.scheduler.handle(ev.Woke(), self.now) == []
            assert self.scheduler.next_deadline() is None
            return
        assert not self.pending, f"lost: {sorted(self.pending)}"
        assert self.finals.keys() == self.tasks.keys()
        assert self.begun.keys() == self.ends.keys(), "somebody still runs"
        untold = self.ends.keys() - self.announced
        if not self.deaths:
            untold = {ticket for ticket in untold if self.finals[ticket >> 16] != "cancelled"}
            assert not untold, f"never announced: {sorted(untold)}"
        assert not self.scheduler.tasks.waiting
        assert not self.scheduler.tasks.cancelling
        living = sum(worker.alive for worker in self.workers.values())
        assert living == self.pool, f"{living} workers live in a pool of {self.pool}"


def _ticket(task: ev.Task) -> int:
    return task.number << 16 | task.attempt
