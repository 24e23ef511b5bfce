"""Every task that has not ended and that no worker has: queued, doubtful, or waiting for its next attempt.

What a worker has stands at its seat; what is told about it is booked here all the same, so that the table of
transitions is asked in one place.

*Legality by table, speed by batch.*  A task's state is where it stands, so taking a batch from the backlog is the
proof that each was queued, and the table is asked once for the batch.  Where states can differ it is asked for each.

*A deadline* matters here only to tasks that are tried again: what runs is ended by whoever ends what is past its time
limit.  A task whose next attempt could not begin before its deadline ends at once, and not at the deadline: nothing
can come of waiting but the same end, and whoever waits for it is told sooner.  One that is queued behind others when
its deadline comes ends then; one that was sent ahead is taken back first, for it may be running.

*Held retries* wait twice: for the end of their pause, and then to be let go by the parent, which may have to wait for a
token.  They are waiting all the time, with no end of it known, so whatever ends one that waits ends these too.  What
was let go is remembered: the parent tells it once, and it may have been an earlier dispatcher that asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from math import inf

from workflow.scheduler import states as st
from workflow.scheduler.backlog import Backlog
from workflow.scheduler.events import Deadline, Task, Ticket
from workflow.scheduler.pauses import retry_delay_s


class Tasks:
    """The books: where tasks stand, how many there were, who is to be cancelled."""

    __slots__ = (
        "_due",
        "_let_go",
        "_pauses",
        "_untils",
        "adopting",
        "backlog",
        "cancelling",
        "ended",
        "isolated",
        "pushed",
        "trace",
        "waiting",
    )

    def __init__(self, *, adopting: bool) -> None:
        self.adopting = adopting
        self.pushed = 0
        self.ended = 0
        self.backlog = Backlog()
        self.isolated = Backlog()
        self.waiting: dict[int, tuple[float, Task]] = {}
        """By number: when it is due, and with which attempt; never, while it has to be let go."""
        self.cancelling: set[int] = set()
        """Numbers in the states doomed, cancelling and killing."""
        self.trace: Callable[[str, str], None] | None = None
        """Told each row of the table that is taken; for tests."""
        self._due: list[tuple[float, int]] = []
        self._untils: list[tuple[float, int]] = []
        self._let_go: dict[int, int] = {}  # by number: the attempt up to which it need not be held
        self._pauses: dict[int, float] = {}  # until when doubtful tasks would wait, if their attempt has not begun

    def move(self, state: str, move: str, number: int) -> None:
        """Raise unless the table has this row."""
        if (state, move) not in st.TRANSITIONS:
            raise st.IllegalMove(state, move, f"task {number}")
        if self.trace is not None:
            self.trace(state, move)

    def push(self, tasks: Sequence[Task]) -> None:
        """Take in new ones, or what an earlier dispatcher left."""
        self.pushed += len(tasks)
        before = len(self.backlog.tasks) + len(self.isolated.tasks)
        isolated = [task for task in tasks if task.isolate]
        if isolated:
            self.isolated.append(isolated)
            self.backlog.append([task for task in tasks if not task.isolate])
        else:
            self.backlog.append(tasks)
        if len(self.backlog.tasks) + len(self.isolated.tasks) != before + len(tasks):
            raise st.IllegalMove(st.QUEUED, st.PUSH, f"one of the tasks {tasks[0].number} to {tasks[-1].number}")
        if self.adopting:
            self._heed(tasks)
        self.move(st.NEW, st.RESTORE if self.adopting else st.PUSH, tasks[0].number)

    def refuse(self, tasks: Sequence[Task]) -> None:
        """Take in new ones, only to let them go."""
        self.pushed += len(tasks)
        for task in tasks:
            self.move(st.NEW, st.CANCEL, task.number)

    def queued(self, number: int) -> Task | None:
        """The task of that number, if it is in the backlog."""
        return self.backlog.tasks.get(number) or self.isolated.tasks.get(number)

    def state_queued(self, number: int) -> str:
        """The state of a task that is in the backlog."""
        if not self.adopting:
            return st.QUEUED
        return st.DOOMED if number in self.cancelling else st.DOUBTFUL

    def line_of(self, task: Task) -> Backlog:
        """The backlog in which it stands, or would."""
        return self.isolated if task.isolate else self.backlog

    def unsent(self) -> list[int]:
        """Numbers of all that no worker has."""
        return [*self.backlog.tasks, *self.isolated.tasks, *self.waiting]

    def claim(self, ticket: Ticket) -> tuple[Task, str] | None:
        """Take out a task of which a worker says that it began this attempt; None when that cannot be, or is old."""
        number, attempt = ticket >> 16, ticket & 0xFFFF
        task = self.queued(number)
        if task is None or attempt < task.attempt or (attempt > task.attempt and not self.adopting):
            return None
        state = self.state_queued(number)
        del self.line_of(task).tasks[number]
        # Above the snapshot's attempt: the parent had not yet been told that the one before ended.
        return (task if attempt == task.attempt else task._replace(attempt=attempt), state)

    def cancel(self, number: int) -> bool:
        """Somebody asked for the end of one that no worker has.  True when that is its end."""
        if self.waiting.pop(number, None) is not None:
            self.move(st.WAITING, st.CANCEL, number)
            return True
        self.move(self.state_queued(number), st.CANCEL, number)
        if self.adopting:
            self.cancelling.add(number)
            return False
        if self.backlog.tasks.pop(number, None) is None:
            del self.isolated.tasks[number]
        return True

    def attempt_ended(self, task: Task, state: str, outcome: str, now: float, began: float | None) -> bool:
        """Let the task go, or let it wait for its next attempt.  True when there will be one, or it expires instead.

        When it is not known when the first attempt began, ``began`` stands in: two dispatchers have died, and who
        tells of it is the second attempt.
        """
        if task.deadline is not None and task.deadline.until is None:
            limit_s = task.deadline.limit_s
            task = task._replace(deadline=Deadline(limit_s, (now if began is None else began) + limit_s))
        if outcome == "succeeded":
            self.move(state, st.SUCCEED, task.number)
        elif self._again(task, state, outcome, now):
            self.move(state, st.RETRY, task.number)
            following = task._replace(attempt=task.attempt + 1)
            due = now + retry_delay_s(task.retries, task.number, task.attempt) if task.retries else now
            self._heed([following])
            if state in (st.DOUBTFUL, st.DOOMED):  # its next attempt may have begun already
                self.line_of(task).append([following])
                self._pauses[task.number] = due
            else:
                self._wait(following, due)
            return True
        else:
            self.move(state, st.END, task.number)
        self.forget(task.number)
        return False

    def forget(self, number: int) -> None:
        """The task has ended."""
        self.cancelling.discard(number)
        self._let_go.pop(number, None)
        self.ended += 1

    def put_back(self, tasks: Sequence[Task]) -> None:
        """These were sent and not begun: they come first, in their order."""
        self.backlog.put_back([task for task in tasks if not task.isolate])
        self.isolated.put_back([task for task in tasks if task.isolate])
        self._heed(tasks)

    def confirm(self) -> Iterator[int]:
        """Every worker was heard: what is doubtful is queued, what is doomed is not begun.  The latter's numbers."""
        for backlog in (self.backlog, self.isolated):
            for number in list(backlog.tasks):
                state = self.state_queued(number)
                if state == st.DOUBTFUL and (number in self._pauses or self._is_held(backlog.tasks[number])):
                    self.move(state, st.PAUSE, number)
                    self._wait(backlog.tasks.pop(number), self._pauses.get(number, -inf))
                    continue
                self.move(state, st.CONFIRM, number)
                if state == st.DOOMED:
                    del backlog.tasks[number]
                    yield number
        self._pauses.clear()
        self.adopting = False

    def requeue(self, now: float) -> list[Ticket]:
        """Queue those whose pause is over.  The attempts that the parent is to be asked for."""
        asked: list[Ticket] = []
        while self._due and self._due[0][0] <= now:
            due, number = heappop(self._due)
            entry = self.waiting.get(number)
            if entry is None or entry[0] != due:
                continue  # it was cancelled meanwhile
            if self._is_held(entry[1]):
                self.move(st.WAITING, st.ASK, number)
                self.waiting[number] = (inf, entry[1])
                asked.append(number << 16 | entry[1].attempt)
            else:
                self._queue_waiting(number)
        return asked

    def let_go(self, number: int, attempt: int) -> None:
        """The parent lets this attempt begin."""
        entry = self.waiting.get(number)
        if entry is None and self.queued(number) is None:
            return  # it has ended, or a worker has it
        self._let_go[number] = attempt
        if entry is not None and entry[0] == inf and not self._is_held(entry[1]):
            self._queue_waiting(number)

    def due(self) -> list[tuple[float, int]]:
        """When which are to be queued again, the earliest first, the others in no order; cancelled ones included."""
        return self._due

    def expire(self, now: float) -> tuple[list[int], list[int]]:
        """Let those go that wait or are queued and whose deadline is over; their numbers, and those of others."""
        ended: list[int] = []
        others: list[int] = []
        while self._untils and self._untils[0][0] <= now:
            _, number = heappop(self._untils)
            if self.waiting.pop(number, None) is not None:
                self.move(st.WAITING, st.EXPIRE, number)
                ended.append(number)
            elif (task := self.queued(number)) is not None:
                self.move(self.state_queued(number), st.EXPIRE, number)
                del self.line_of(task).tasks[number]
                ended.append(number)
            else:  # a worker has it, or it has ended
                others.append(number)
        return ended, others

    def until(self) -> float | None:
        """When ``expire`` has something to do, if nothing happens before."""
        return self._untils[0][0] if self._untils else None

    def _again(self, task: Task, state: str, outcome: str, now: float) -> bool:
        policy = task.retries
        if policy is None or task.attempt > policy.max or outcome not in policy.on:
            return False
        if outcome == "timed_out" and task.deadline is not None and (task.deadline.until or 0.0) <= now:
            return False  # it has the outcome of a deadline already, and knows more of it: where it was
        return task.number not in self.cancelling or state == st.DOOMED

    def _is_held(self, task: Task) -> bool:
        policy = task.retries
        held = policy is not None and policy.held and task.attempt > 1
        return held and self._let_go.get(task.number, 0) < task.attempt

    def _queue_waiting(self, number: int) -> None:
        _, task = self.waiting.pop(number)
        self.move(st.WAITING, st.DUE, number)
        self.line_of(task).append([task])

    def _wait(self, task: Task, due: float) -> None:
        self.waiting[task.number] = (due, task)
        if task.deadline is not None and task.deadline.until is not None and due >= task.deadline.until:
            heappush(self._untils, (-inf, task.number))  # there will be no attempt: it ends in this turn
        else:
            heappush(self._due, (due, task.number))

    def _heed(self, tasks: Sequence[Task]) -> None:
        """No worker has these: they end when their deadline is over."""
        for task in tasks:
            if task.deadline is not None and task.deadline.until is not None:
                heappush(self._untils, (task.deadline.until, task.number))
