"""The workers, and which of them gets what.

Choices, and their price:

*Batches.*  What costs is waking a worker, not the task, so each is sent about ``target_s`` of work ahead, by the pace
at which tasks were answered lately, and nothing more before half of that is done.  Price: tasks stand behind others.
When a worker has nothing to do and another made no progress for ``recall_s``, what stands behind it is taken back;
so it is when a task of a higher priority came meanwhile.  While all have something to do, it takes ``patience_s``: or
else a short task could stand behind a long one until hundreds that came later have ended.  Both are a bet that the
task goes on for long; lost, it costs a wake-up, so the one that gains less waits longer.

*Order.*  Tasks begin in the order of the backlog as long as few are sent ahead: then they are dealt out one by one.
Where priorities are used nothing is sent ahead at all, unless tasks are so short that a whole batch of them is nothing
to wait for.  Price: a worker that has ended one has nothing to do until it is sent the next.

*Isolated tasks* take their turn like others.  When it is theirs and no unused worker is there, a used one that has
nothing to do makes room; when all have something to do, none is sent more until one has not.

*Renewal.*  A worker that may run only so many attempts is never sent more than that, so nothing stands behind its last
one; what it was sent and did not begin does not count.  It leaves when it has nothing to do, and another is ordered
when it has left.  Price: its place is empty for some milliseconds.  How many attempts one ran under an earlier
dispatcher is not known: it is renewed after what it is in the middle of, so the number is never exceeded.
"""

from __future__ import annotations

from itertools import islice

from workflow.scheduler import states as st
from workflow.scheduler.effects import Effect, Retire, Run, Spawn
from workflow.scheduler.events import Task
from workflow.scheduler.pauses import Starts
from workflow.scheduler.seat import OPEN, RECALLING, RETIRING, Seat
from workflow.scheduler.tasks import Tasks

FIRST_PREFETCH = 4
UNLIMITED = 1 << 62
"""Attempts of a worker that is never renewed."""
_WEIGHT = 0.25  # of the newest measure in the pace


class Pool:
    """Seats, the pace of the work, and the workers that are on their way."""

    def __init__(
        self,
        size: int,
        spawning: int,
        target_s: float,
        recall_s: float,
        patience_s: float,
        max_prefetch: int,
        max_bytes: int,
        attempts_max: int | None,
    ) -> None:
        self.size = size
        self.attempts_max = UNLIMITED if attempts_max is None else attempts_max
        """Of a worker, before it is renewed."""
        self.spawning = spawning
        """Workers ordered and neither started nor failed."""
        self.starts = Starts()
        self.seats: dict[int, Seat] = {}
        self.max_prefetch = max_prefetch
        self.max_bytes = max_bytes
        self.depth = min(FIRST_PREFETCH, max_prefetch)
        """Tasks a worker is sent ahead, at the present pace."""
        self.recalls: list[int] = []
        """Workers to be recalled at the end of this turn."""
        self._target_s = target_s
        self._recall_s = recall_s
        self._patience_s = patience_s
        self._pace_s: float | None = None

    def measure(self, sample_s: float) -> None:
        """A task took so long; see that workers get as many ahead as are good at this pace."""
        # A longer one makes the depth 1 already; its true length would only make it stay so for longer.
        sample_s = min(sample_s, self._target_s)
        pace_s = sample_s if self._pace_s is None else self._pace_s + _WEIGHT * (sample_s - self._pace_s)
        self._pace_s = pace_s
        if pace_s * self.max_prefetch <= self._target_s:
            self.depth = self.max_prefetch
        else:
            self.depth = max(1, int(self._target_s / pace_s))

    def missing(self) -> int:
        """Workers to be ordered."""
        return self.size - len(self.seats) - self.spawning

    def deadlines(self, tasks: Tasks) -> list[float]:
        """When a worker is to be ordered, or recalled, if nothing happens before."""
        deadlines = [self.starts.allowed_at] if self.missing() > 0 else []
        return deadlines + [until for until, _ in self._to_relieve(tasks)]

    def replace(self, now: float, effects: list[Effect]) -> None:
        """Order workers that are missing, let those leave that are not wanted."""
        missing = self.missing()
        if missing > 0 and self.starts.allowed_at <= now:
            self.spawning += missing
            effects.append(Spawn(missing))
        # A dispatcher that is no more may have ordered workers that this one, not knowing, ordered as well.
        surplus = len(self.seats) - self.size
        surplus -= self._leaving() if surplus > 0 else 0
        for seat in self.seats.values():
            if (seat.alone or seat.room <= 0 or surplus > 0) and not seat.tasks and seat.state == OPEN:
                self._retire(seat, effects)
                surplus -= 1

    def fill(self, tasks: Tasks, now: float, effects: list[Effect]) -> None:
        """Send tasks to whoever has little or nothing to do."""
        if tasks.isolated.tasks and self._fill_isolated(tasks, now, effects):
            return
        if tasks.backlog.tasks:
            self._fill_shared(tasks, now, effects)
            if tasks.isolated.tasks and not tasks.backlog.tasks:
                self._fill_isolated(tasks, now, effects)

    def relieve(self, tasks: Tasks, now: float) -> None:
        """Take back what stands behind a task that takes long, for those who end theirs sooner."""
        for until, seat in self._to_relieve(tasks):
            if until <= now and seat.state == OPEN:
                self.recall(seat)

    def _to_relieve(self, tasks: Tasks) -> list[tuple[float, Seat]]:
        """Workers with tasks behind the one they run, each with when these are taken back unless it makes progress.

        A worker may be there twice.
        """
        if not tasks.backlog.tasks:
            if not self._somebody_is_idle():
                return []  # nobody would take them
            return [(seat.progressed_at + self._recall_s, seat) for seat in self._laden()]
        found = [(seat.progressed_at + self._patience_s, seat) for seat in self._laden()]
        if tasks.backlog.ranked:
            found += [(seat.progressed_at + self._recall_s, seat) for seat in self._outranked(tasks)]
        return found

    def recall(self, seat: Seat) -> None:
        """Ask a worker what it is in the middle of, and to begin nothing else."""
        seat.state = RECALLING
        self.recalls.append(seat.worker)

    def _fill_shared(self, tasks: Tasks, now: float, effects: list[Effect]) -> None:
        depth, backlog = self.depth, tasks.backlog
        if backlog.ranked and depth < self.max_prefetch:
            depth = 1
        hungry = [
            (len(seat.tasks), worker, seat)
            for worker, seat in self.seats.items()
            if len(seat.tasks) * 2 <= depth and seat.state == OPEN and not seat.alone and seat.room > 0
        ]
        hungry.sort()  # whoever has least comes first, and gets as much as the others then have
        if depth <= FIRST_PREFETCH:
            self._deal(hungry, depth, tasks, now, effects)
            return
        loads = sum([load for load, _, _ in hungry])
        for place, (load, _, seat) in enumerate(hungry):
            level = -(-(len(backlog.tasks) + loads) // (len(hungry) - place))
            batch = backlog.take(
                min(level, depth, load + seat.room) - load, self.max_bytes - seat.bytes, least=0 if load else 1
            )
            loads -= load
            if batch:
                tasks.move(st.QUEUED, st.RUN, batch[0].number)
                self._send(seat, batch, now, effects)
            if not backlog.tasks:
                return

    def _deal(
        self, hungry: list[tuple[int, int, Seat]], depth: int, tasks: Tasks, now: float, effects: list[Effect]
    ) -> None:
        """Deal tasks out one by one, so that they begin in their order."""
        backlog = tasks.backlog
        hands: dict[int, list[Task]] = {worker: [] for _, worker, _ in hungry}
        room = {worker: self.max_bytes - seat.bytes for _, worker, seat in hungry}
        for load in range(depth):
            for had, worker, seat in hungry:
                hand = hands[worker]
                if had > load or len(hand) >= seat.room or not backlog.tasks:
                    continue
                dealt = backlog.take(1, room[worker], least=0 if had or hand else 1)
                hand += dealt
                room[worker] -= sum([task.size for task in dealt])
        for _, worker, seat in hungry:
            if hands[worker]:
                tasks.move(st.QUEUED, st.RUN, hands[worker][0].number)
                self._send(seat, hands[worker], now, effects)

    def _fill_isolated(self, tasks: Tasks, now: float, effects: list[Effect]) -> bool:
        """Send isolated tasks whose turn it is to unused workers.  True when others must wait until one can be made."""
        while True:
            first, other = tasks.isolated.first(), tasks.backlog.first()
            if first is None or (other is not None and other < first):
                return False
            idle = [seat for seat in self.seats.values() if seat.state == OPEN and not seat.tasks and not seat.alone]
            unused = [seat for seat in idle if not seat.used]
            if not unused:
                break
            unused[0].alone = True
            batch = tasks.isolated.take(1, 0, least=1)
            tasks.move(st.QUEUED, st.RUN, batch[0].number)
            self._send(unused[0], batch, now, effects)
        coming = self.spawning + self._leaving() + self.missing()
        for seat in idle:
            if coming >= len(tasks.isolated.tasks):
                break
            self._retire(seat, effects)
            coming += 1
        return coming <= 0

    def _send(self, seat: Seat, batch: list[Task], now: float, effects: list[Effect]) -> None:
        sent = seat.tasks
        if not sent:
            seat.progressed_at = now
        size = 0
        for task in batch:
            sent[task.number << 16 | task.attempt] = task
            size += task.size
        seat.bytes += size
        seat.room -= len(batch)
        seat.used = True
        effects.append(Run(seat.worker, batch))

    def _retire(self, seat: Seat, effects: list[Effect]) -> None:
        seat.state = RETIRING
        effects.append(Retire(seat.worker))

    def _leaving(self) -> int:
        return sum([seat.state == RETIRING for seat in self.seats.values()])

    def _somebody_is_idle(self) -> bool:
        for seat in self.seats.values():  # noqa: SIM110  # asked at every turn: a generator would double its cost
            if not seat.tasks and seat.state == OPEN and not seat.alone:
                return True
        return False

    def _laden(self) -> list[Seat]:
        """Workers with tasks behind the one they run."""
        return [seat for seat in self.seats.values() if len(seat.tasks) > 1 and seat.state == OPEN]

    def _outranked(self, tasks: Tasks) -> list[Seat]:
        """Those of them where a task of a lower priority than the first in the backlog stands behind another."""
        first = tasks.backlog.first()
        if first is None:
            return []
        highest = -first[0]
        return [
            seat
            for seat in self._laden()
            if any(task.priority < highest for task in islice(seat.tasks.values(), 1, None))
        ]
