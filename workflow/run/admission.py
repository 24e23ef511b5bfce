"""Which task may start, which will never start, and how the run as a whole ends.

The rules of this room: every such decision is made here; facts come in, effects go out; nothing here knows an
engine, a file, a signal handler or a clock.  A fact is first taken in, then everything that can move is moved.

Tasks wait at gates.  A gate is one need: "all instances of ``fetch`` succeeded".  Tasks with the same need share the
gate, so that a thousand instances that each need a thousand others cost two thousand steps and not a million.  A gate
opens or fails as soon as that is certain: a task is skipped when the first thing it needs went wrong, not the last.
Who has all gates behind it stands in ``Line``, which knows of priorities and tokens.

A million tasks are a million numbers here, and what is known of each is a few bytes at its number.  What the file says
of a task is asked for when it moves; what all instances of one have alike, such as a need of all instances of another,
is taken in once for all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter

from workflow.outcome import Outcome
from workflow.plan.plan import Need, PlannedTask, Settings
from workflow.plan.tasks import Group, Ids, Tasks
from workflow.run.effects import CancelAll, CancelQueued, Conclude, Effect, Push, Retry
from workflow.run.exit_code import ExitCode
from workflow.run.facts import Broken, Fact, Interrupted, RetryDue, RunTimedOut, TaskBegan, TaskEnded
from workflow.run.line import Line
from workflow.run.pace import Pace
from workflow.run.tokens import Tokens

PUSHED_MAX = 4096
"""Tasks given to the engine at once: enough to keep any pool busy, and a million tasks do not fill its memory."""


_QUEUE_S = 0.125
"""What a task that has tokens may wait in the engine's queue."""


class Admission:
    """The state of one run, as far as deciding needs it."""

    def __init__(
        self,
        tasks: Sequence[PlannedTask],
        settings: Settings,
        *,
        pool: int = PUSHED_MAX,
        pushed_max: int = PUSHED_MAX,
        grace_max_s: float | None = None,
    ) -> None:
        """``pool`` is how many tasks the engine runs at once.

        ``grace_max_s`` bounds what a task is given to end in when a signal ends the run.
        """
        self._tasks = tasks = Tasks.of(tasks)
        self._limited = bool(settings.limits)
        self._halt = settings.halt
        self._max_failures = settings.max_failures
        self._pool = pool
        self._pushed_max = pushed_max
        self._grace_max_s = grace_max_s
        self._gates = _Gates(tasks)
        self._tokens = Tokens(settings.limits)
        self._line = Line(tasks, self._tokens)
        self._pace = Pace()
        self._using = 0  # tasks that use tokens and have not started
        for group in tasks.groups if settings.limits else ():
            if "uses" in group.shared:
                self._using += (len(group) - group.skipped) if group.shared["uses"] else 0
            else:
                self._using += sum(1 for task in group if task.uses and not task.skipped)
        self._began: set[int] = set()  # of those that use tokens: their last attempt for which there were some
        self._attempt: dict[int, int] = {}  # of those that are tried again: that attempt
        self._again: set[int] = set()  # those of them that wait for tokens
        self._unstarted = bytearray(b"\1") * len(tasks)  # of each, whether it is
        self._started = 0
        self._root: dict[int, int] = {}  # of a skipped task: the task that went wrong
        self._stopped: str | None = None  # why nothing more is started
        self._ending: ExitCode | None = None  # for a run that does not end by itself
        self._failed = False
        self.outcomes = Outcomes(len(tasks))
        self.failures = 0
        """Endings that count for ``max_failures``."""

    def begin(self, now: float = 0.0) -> list[Effect]:
        """Answer what to do first.  Times are on any clock that does not go back; without rates they do not matter."""
        effects: list[Effect] = []
        self._line.join(self._gates.open())
        for number in self._removed():
            reason = f"its 'if' is false: {self._tasks.value(number, 'condition')}"
            self._conclude(Conclude(number, Outcome.SKIPPED, reason, None), effects)
            self._settle(number, Outcome.SKIPPED, effects)
        for task, need in self._gates.never:
            if self._unstarted[task]:
                reason = f"it needs a failure of {need.name}, which has no instances"
                self._conclude(Conclude(task, Outcome.SKIPPED, reason, None), effects)
                self._settle(task, Outcome.SKIPPED, effects)
        self._push_ready(effects, now)
        return effects

    def handle(self, fact: Fact, now: float = 0.0) -> list[Effect]:
        """Take in a fact, and answer what is to be done about it."""
        effects: list[Effect] = []
        if isinstance(fact, TaskEnded):
            if self._limited:
                self._pace.ended(now)
            self._task_ended(fact, effects)
        elif isinstance(fact, TaskBegan):
            self._task_began(fact)
        elif isinstance(fact, RetryDue):
            self._retry_due(fact, now)
        elif isinstance(fact, RunTimedOut):
            self._run_timed_out(fact, effects)
        elif isinstance(fact, Interrupted):
            self._interrupted(fact, effects)
        elif isinstance(fact, Broken):
            self._broken(fact, effects)
        # Of TimePassed there is nothing to take in: the line sees which tokens are back.
        self._push_ready(effects, now)
        return effects

    def wake_at(self, now: float) -> float | None:
        """When to say that time passed, if nothing happens before; None is never."""
        return self._line.wake_at(now) if self._with_engine < self._room(now) else None

    @property
    def finished(self) -> bool:
        """Whether every task has its outcome."""
        return self.outcomes.count == len(self._tasks)

    @property
    def pushed(self) -> int:
        """How many tasks the engine has that have not ended."""
        return self._started - self.outcomes.count

    @property
    def _with_engine(self) -> int:
        """How many of them it may run, who do not wait for tokens first."""
        return self._started - self.outcomes.count - len(self._again)

    @property
    def stopped(self) -> str | None:
        """Why nothing more is started; None while the run goes on."""
        return self._stopped

    @property
    def exit_code(self) -> ExitCode:
        """What the run ends with, as far as is known by now."""
        if self._ending is not None:
            return self._ending
        return ExitCode.FAILED if self._failed else ExitCode.SUCCEEDED

    # Facts

    def _task_began(self, fact: TaskBegan) -> None:
        uses = self._uses(fact.task)
        runs = not self._unstarted[fact.task] and fact.task not in self.outcomes
        if uses and runs and fact.task not in self._began and fact.attempt == self._attempt.get(fact.task, 1):
            uses = uses if fact.attempt == 1 else self._tokens.of_rates(uses)
            self._began.add(fact.task)
            self._tokens.began(uses, fact.at)

    def _retry_due(self, fact: RetryDue, now: float) -> None:
        if self._unstarted[fact.task] or fact.task in self.outcomes or fact.task in self._again:
            return  # it has ended meanwhile
        attempt = self._attempt.get(fact.task, 1)
        self._task_began(TaskBegan(fact.task, now, attempt))  # at the latest, if nobody has told
        self._attempt[fact.task] = attempt + 1
        self._again.add(fact.task)
        self._line.rejoin(fact.task)

    def _task_ended(self, fact: TaskEnded, effects: list[Effect]) -> None:
        if self._unstarted[fact.task] or self.outcomes.codes[fact.task]:
            state = "has not been pushed" if self._unstarted[fact.task] else f"is {self.outcomes[fact.task]}"
            message = f"{self._tasks.id(fact.task)} cannot end as {fact.outcome}: it {state}"
            raise AssertionError(message)
        uses = self._uses(fact.task)
        if uses:
            self._tokens.ended(uses, began=fact.task in self._began)
            self._began.discard(fact.task)
            self._attempt.pop(fact.task, None)
            if fact.task in self._again:
                self._again.remove(fact.task)
                self._line.leave(fact.task)
        self._settle(fact.task, fact.outcome, effects)
        if (
            self._halt != "never"
            and self._stopped is None
            and self._max_failures is not None
            and self.failures >= self._max_failures
        ):
            self._halt_run(effects)

    def _halt_run(self, effects: list[Effect]) -> None:
        failures = "1 failure" if self.failures == 1 else f"{self.failures} failures"
        reason = f"the run was halted after {failures}"
        self._stop(reason, effects)
        effects.append(CancelAll(reason, None) if self._halt == "now" else CancelQueued(reason))

    def _run_timed_out(self, fact: RunTimedOut, effects: list[Effect]) -> None:
        if self._stopped is None:  # else what came first has ended the run, and says why
            self._ending = ExitCode.TIMED_OUT
        reason = f"the run reached its time limit of {fact.limit_s:g} s"
        self._stop(reason, effects)
        effects.append(CancelAll(reason, None))

    def _interrupted(self, fact: Interrupted, effects: list[Effect]) -> None:
        code = ExitCode.of_signal(fact.signal)
        reason = f"the run was ended by {_SIGNAL_NAMES[code]}"
        again = self._ending in _SIGNAL_NAMES
        self._stop(reason, effects)
        if not again:
            self._ending, self._stopped = code, reason
        effects.append(CancelAll(reason, 0.0 if again else self._bounded_grace()))

    def _broken(self, fact: Broken, effects: list[Effect]) -> None:
        # A signal comes first: whoever sent it to the whole group has ended the engine too, and knows it.
        self._stop(fact.reason, effects)
        if self._ending not in {*_SIGNAL_NAMES, ExitCode.BROKEN}:
            self._ending, self._stopped = ExitCode.BROKEN, fact.reason
        effects.append(CancelAll(fact.reason, None))

    def _bounded_grace(self) -> float | None:
        if self._grace_max_s is None or all(
            task.grace_s <= self._grace_max_s for task in self._tasks.differing("grace_s")
        ):
            return None
        return self._grace_max_s

    # What follows from them

    def _settle(self, task: int, outcome: Outcome, effects: list[Effect]) -> None:
        """Give a task its outcome, and every task that will therefore never start its own."""
        self.outcomes.note(task, outcome)
        self._count(task, outcome)
        settled = [task]
        while settled:
            task = settled.pop()
            gates = self._gates.of(task)
            if not gates:
                continue
            outcome = self.outcomes[task]
            opened = array("I")
            for gate in gates:
                if not gate.take(outcome):
                    continue
                for waiting in gate.waiting:
                    if not self._unstarted[waiting]:
                        continue
                    if not gate.opened:
                        self._skip(waiting, gate.need, task, effects)
                        settled.append(waiting)
                    elif self._gates.pass_one(waiting):
                        opened.append(waiting)
            if opened:
                self._line.join(opened)

    def _count(self, task: int, outcome: Outcome) -> None:
        if outcome in _WENT_WRONG and not self._tasks.value(task, "allow_failure"):
            self._failed = True
            self.failures += 1

    def _skip(self, task: int, need: Need, cause: int, effects: list[Effect]) -> None:
        root = self._root.get(cause, cause)
        outcome = self.outcomes[cause]
        if outcome.is_failure or cause in self._root:
            self._root[task] = root
        reason = f"it needs {self._tasks.id(cause)}, which {_how(outcome)}"
        if self._tasks.is_skipped(cause):
            reason += " because its 'if' is false"
        if root != cause:
            reason += f" because {self._tasks.id(root)} {_how(self.outcomes[root])}"
        if need.status == "failure":
            reason = f"it needs a failure of {need.name}, and there was none"
        self._conclude(Conclude(task, Outcome.SKIPPED, reason, self._root.get(task)), effects)

    def _stop(self, reason: str, effects: list[Effect]) -> None:
        if self._stopped is not None:
            return
        self._stopped = reason
        task = -1
        while (task := self._unstarted.find(1, task + 1)) >= 0:
            self._count(task, Outcome.CANCELLED)
            self._conclude(Conclude(task, Outcome.CANCELLED, reason, None), effects)

    def _conclude(self, conclusion: Conclude, effects: list[Effect]) -> None:
        task = conclusion.task
        self._using -= bool(self._uses(task)) and not self._tasks.is_skipped(task)
        self._started += self._unstarted[task]
        self._unstarted[task] = 0
        self.outcomes.note(task, conclusion.outcome)
        effects.append(conclusion)

    def _uses(self, task: int) -> Mapping[str, int]:
        return self._tasks.value(task, "uses") if self._limited else {}

    def _removed(self) -> Iterator[int]:
        """Those that their ``if`` removed."""
        for start, group in zip(self._tasks.starts, self._tasks.groups, strict=True):
            if group.skipped:
                yield from (start + place for place in range(len(group)) if group.is_skipped(place))

    def _room(self, now: float) -> int:
        """How many tasks the engine is given at once.

        Where a failure halts the run, as many as begin at once; while tokens are used, little more than that.

        Who has tokens must not stand long behind others there.  But an engine that is given a task only when one has
        ended is idle while that is told, which is most of the time where tasks are short: so there is more by what
        ends in an eighth of a second.
        """
        if self._halt != "never":
            return min(self._pool, self._pushed_max)  # what is sent ahead would begin before a failure was heard of
        if not self._using:
            return self._pushed_max
        return min(self._pool + self._pace.within(_QUEUE_S, now), self._pushed_max)

    def _push_ready(self, effects: list[Effect], now: float) -> None:
        if self._stopped is not None:
            self._line.clear()
        while self._with_engine < self._room(now):
            task = self._line.next(now)
            if task is None:
                return
            if task in self._again:
                self._again.remove(task)
                self._began.discard(task)
                effects.append(Retry(task))
                continue
            self._unstarted[task] = 0
            self._started += 1
            if self._using:
                self._using -= bool(self._uses(task))
            effects.append(Push(task))


class Outcomes(Mapping[int, Outcome]):
    """How tasks ended, by their numbers: a byte for each."""

    def __init__(self, tasks: int) -> None:
        self.codes = bytearray(tasks)
        """0 while a task has none."""
        self.count = 0

    def note(self, task: int, outcome: Outcome) -> None:
        """Take in how one ended."""
        self.count += not self.codes[task]
        self.codes[task] = _CODES[outcome]

    def __getitem__(self, task: int) -> Outcome:
        code = self.codes[task] if 0 <= task < len(self.codes) else 0
        if not code:
            raise KeyError(task)
        return _OUTCOMES[code - 1]

    def __contains__(self, task: object) -> bool:
        return isinstance(task, int) and 0 <= task < len(self.codes) and self.codes[task] > 0

    def __iter__(self) -> Iterator[int]:
        return (task for task, code in enumerate(self.codes) if code)

    def __len__(self) -> int:
        return self.count


_OUTCOMES = tuple(Outcome)
_CODES = {outcome: code for code, outcome in enumerate(Outcome, 1)}


class _Gate:
    """One need, and the tasks that have it."""

    __slots__ = ("_waiting", "failed", "made", "need", "opened", "remaining")

    def __init__(self, need: Need, made: int) -> None:
        self.need = need
        self.made = made
        self.remaining = len(need.ids)
        self._waiting: list[Sequence[int]] = []
        self.failed = False
        self.opened: bool | None = None  # None while it is not certain

    @property
    def waiting(self) -> Iterator[int]:
        return chain.from_iterable(self._waiting)

    def wait(self, numbers: Sequence[int]) -> None:
        if len(numbers) > 1:
            self._waiting.append(numbers)
        elif self._waiting and isinstance(self._waiting[-1], list):
            self._waiting[-1].append(numbers[0])
        else:
            self._waiting.append([numbers[0]])

    def take(self, outcome: Outcome) -> bool:
        """Take in how one instance ended, and answer whether that decided the gate."""
        if self.opened is not None:
            return False
        self.remaining -= 1
        self.failed = self.failed or outcome.is_failure
        if self.need.status == "success" and not outcome.is_success:
            self.opened = False
        elif not self.remaining:
            self.opened = self.failed if self.need.status == "failure" else True
        return self.opened is not None


class _Gates:
    """All gates: who waits at them, and whose end they hear of."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self.never: list[tuple[int, Need]] = []
        """Who can never start, and because of which need."""
        self._unopened = array("I", bytes(4 * len(tasks)))  # of each task, how many it waits at
        self._gates: dict[tuple[str, int], _Gate] = {}
        self._of_group: dict[Group, list[_Gate]] = {}  # that hear of all instances that count
        self._of_one: dict[int, list[_Gate]] = {}
        known = set(tasks.groups)
        for start, group in zip(tasks.starts, tasks.groups, strict=True):
            if group.skipped == len(group):
                continue
            if group.alike("needs"):
                numbers = tasks.numbers(group.counting)
                for need in next(iter(group.examples)).needs:
                    self._wait(need, numbers, known)
            else:
                for number, needs in enumerate(group.needs(), start):
                    for need in needs:
                        self._wait(need, (number,), known)

    def open(self) -> Iterator[int]:
        """The tasks that wait at none."""
        for start, group in zip(self._tasks.starts, self._tasks.groups, strict=True):
            waits = self._unopened
            if group.skipped:
                yield from (
                    n for n in range(start, start + len(group)) if not waits[n] and not self._tasks.is_skipped(n)
                )
            else:
                yield from (n for n in range(start, start + len(group)) if not waits[n])

    def of(self, task: int) -> Sequence[_Gate]:
        """Those that hear of its end, in the order in which they were made."""
        ones = self._of_one.pop(task, ())
        if not self._of_group:
            return ones
        group, place = self._tasks.where(task)
        found = self._of_group.get(group, ())
        if found and 0 < group.skipped < len(group) and group.is_skipped(place):
            found = ()
        return sorted((*ones, *found), key=attrgetter("made")) if ones and found else ones or found

    def pass_one(self, task: int) -> bool:
        """Take in that one of its gates has opened, and answer whether it was the last."""
        self._unopened[task] -= 1
        return not self._unopened[task]

    def _wait(self, need: Need, numbers: Sequence[int], known: set[Group]) -> None:
        if not need.ids:  # a matrix without instances: all of them succeeded, none of them failed
            if need.status == "failure":
                self.never += [(number, need) for number in numbers]
                self._count(numbers)
            return
        key = (need.status, id(need.ids))  # one object for all needs of a task; to compare them takes long
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = _Gate(need, len(self._gates))
            ids = need.ids
            if isinstance(ids, Ids) and ids.group in known and ids is ids.group.counting:
                self._of_group.setdefault(ids.group, []).append(gate)
            else:
                for needed in self._tasks.numbers(ids):
                    self._of_one.setdefault(needed, []).append(gate)
        gate.wait(numbers)
        self._count(numbers)

    def _count(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._unopened[number] += 1


def _how(outcome: Outcome) -> str:
    return _SENTENCES.get(outcome, str(outcome))


_WENT_WRONG = frozenset({Outcome.CANCELLED, *(outcome for outcome in Outcome if outcome.is_failure)})
_SENTENCES = {
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "timed out",
    Outcome.CRASHED: "crashed",
    Outcome.MEMORY_EXCEEDED: "exceeded its memory",
    Outcome.CANCELLED: "was cancelled",
    Outcome.SKIPPED: "was skipped",
}
_SIGNAL_NAMES = {
    ExitCode.HUNG_UP: "SIGHUP",
    ExitCode.INTERRUPTED: "SIGINT",
    ExitCode.TERMINATED: "SIGTERM",
}
