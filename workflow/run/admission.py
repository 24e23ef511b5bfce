"""Which task may start, which will never start, and how the run as a whole ends.

The rules of this room: every such decision is made here; facts come in, effects go out; nothing here knows an
engine, a file, a signal handler or a clock.  A fact is first taken in, then everything that can move is moved.

Tasks wait at gates.  A gate is one need: "all instances of ``fetch`` succeeded".  Tasks with the same need share the
gate, so that a thousand instances that each need a thousand others cost two thousand steps and not a million.  A gate
opens or fails as soon as that is certain: a task is skipped when the first thing it needs went wrong, not the last.
Who has all gates behind it stands in ``Line``, which knows of priorities and tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from workflow.outcome import Outcome
from workflow.plan.plan import Need, PlannedTask, Settings
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
        self._tasks = tasks
        self._halt = settings.halt
        self._max_failures = settings.max_failures
        self._pool = pool
        self._pushed_max = pushed_max
        self._grace_max_s = grace_max_s
        self._never, self._gates_at, self._unopened = _gates(tasks)
        self._tokens = Tokens(settings.limits)
        self._line = Line(tasks, self._tokens)
        self._pace = Pace()
        self._using = sum(1 for task in tasks if task.uses and not task.skipped)  # that have not started
        self._began: set[int] = set()  # of those that use tokens: their last attempt for which there were some
        self._attempt: dict[int, int] = {}  # of those that are tried again: that attempt
        self._again: set[int] = set()  # those of them that wait for tokens
        self._unstarted = set(range(len(tasks)))
        self._removed = [number for number, task in enumerate(tasks) if task.skipped]  # by their ``if``
        self._root: dict[int, int] = {}  # of a skipped task: the task that went wrong
        self._stopped: str | None = None  # why nothing more is started
        self._ending: ExitCode | None = None  # for a run that does not end by itself
        self._failed = False
        self.outcomes: dict[int, Outcome] = {}
        self.failures = 0
        """Endings that count for ``max_failures``."""

    def begin(self, now: float = 0.0) -> list[Effect]:
        """Answer what to do first.  Times are on any clock that does not go back; without rates they do not matter."""
        effects: list[Effect] = []
        ready = [n for n, unopened in enumerate(self._unopened) if not unopened and not self._tasks[n].skipped]
        self._line.join(ready)
        for number in self._removed:
            reason = f"its 'if' is false: {self._tasks[number].condition}"
            self._conclude(Conclude(number, Outcome.SKIPPED, reason, None), effects)
            self._settle(number, Outcome.SKIPPED, effects)
        for task, need in self._never:
            if task in self._unstarted:
                reason = f"it needs a failure of {need.name}, which has no instances"
                self._conclude(Conclude(task, Outcome.SKIPPED, reason, None), effects)
                self._settle(task, Outcome.SKIPPED, effects)
        self._push_ready(effects, now)
        return effects

    def handle(self, fact: Fact, now: float = 0.0) -> list[Effect]:
        """Take in a fact, and answer what is to be done about it."""
        effects: list[Effect] = []
        if isinstance(fact, TaskEnded):
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
        return len(self.outcomes) == len(self._tasks)

    @property
    def pushed(self) -> int:
        """How many tasks the engine has that have not ended."""
        return len(self._tasks) - len(self._unstarted) - len(self.outcomes)

    @property
    def _with_engine(self) -> int:
        """How many of them it may run, who do not wait for tokens first."""
        return self.pushed - len(self._again)

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
        uses = self._tasks[fact.task].uses
        runs = fact.task not in self._unstarted and fact.task not in self.outcomes
        if uses and runs and fact.task not in self._began and fact.attempt == self._attempt.get(fact.task, 1):
            uses = uses if fact.attempt == 1 else self._tokens.of_rates(uses)
            self._began.add(fact.task)
            self._tokens.began(uses, fact.at)

    def _retry_due(self, fact: RetryDue, now: float) -> None:
        if fact.task in self._unstarted or fact.task in self.outcomes or fact.task in self._again:
            return  # it has ended meanwhile
        attempt = self._attempt.get(fact.task, 1)
        self._task_began(TaskBegan(fact.task, now, attempt))  # at the latest, if nobody has told
        self._attempt[fact.task] = attempt + 1
        self._again.add(fact.task)
        self._line.rejoin(fact.task)

    def _task_ended(self, fact: TaskEnded, effects: list[Effect]) -> None:
        if fact.task in self._unstarted or fact.task in self.outcomes:
            state = "has not been pushed" if fact.task in self._unstarted else f"is {self.outcomes[fact.task]}"
            message = f"{self._tasks[fact.task].id} cannot end as {fact.outcome}: it {state}"
            raise AssertionError(message)
        uses = self._tasks[fact.task].uses
        if uses:
            self._tokens.ended(uses, began=fact.task in self._began)
            self._began.discard(fact.task)
            self._attempt.pop(fact.task, None)
            if fact.task in self._again:
                self._again.remove(fact.task)
                self._line.leave(fact.task)
        self._settle(fact.task, fact.outcome, effects)
        if (
            self._stopped is None
            and self._halt != "never"
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
        if self._grace_max_s is None or all(task.grace_s <= self._grace_max_s for task in self._tasks):
            return None
        return self._grace_max_s

    # What follows from them

    def _settle(self, task: int, outcome: Outcome, effects: list[Effect]) -> None:
        """Give a task its outcome, and every task that will therefore never start its own."""
        self.outcomes[task] = outcome
        self._count(task, outcome)
        settled = [task]
        while settled:
            task = settled.pop()
            outcome = self.outcomes[task]
            opened = []
            for gate in self._gates_at.pop(task, ()):
                if not gate.take(outcome):
                    continue
                for waiting in gate.waiting:
                    if waiting not in self._unstarted:
                        continue
                    if gate.opened:
                        self._unopened[waiting] -= 1
                        if not self._unopened[waiting]:
                            opened.append(waiting)
                    else:
                        self._skip(waiting, gate.need, task, effects)
                        settled.append(waiting)
            if opened:
                self._line.join(opened)

    def _count(self, task: int, outcome: Outcome) -> None:
        if self._tasks[task].allow_failure:
            return
        if outcome.is_failure or outcome is Outcome.CANCELLED:
            self._failed = True
            self.failures += 1

    def _skip(self, task: int, need: Need, cause: int, effects: list[Effect]) -> None:
        root = self._root.get(cause, cause)
        outcome = self.outcomes[cause]
        if outcome.is_failure or cause in self._root:
            self._root[task] = root
        reason = f"it needs {self._tasks[cause].id}, which {_how(outcome)}"
        if self._tasks[cause].skipped:
            reason += " because its 'if' is false"
        if root != cause:
            reason += f" because {self._tasks[root].id} {_how(self.outcomes[root])}"
        if need.status == "failure":
            reason = f"it needs a failure of {need.name}, and there was none"
        self._conclude(Conclude(task, Outcome.SKIPPED, reason, self._root.get(task)), effects)

    def _stop(self, reason: str, effects: list[Effect]) -> None:
        if self._stopped is not None:
            return
        self._stopped = reason
        for task in sorted(self._unstarted):
            self._count(task, Outcome.CANCELLED)
            self._conclude(Conclude(task, Outcome.CANCELLED, reason, None), effects)

    def _conclude(self, conclusion: Conclude, effects: list[Effect]) -> None:
        task = self._tasks[conclusion.task]
        self._using -= bool(task.uses) and not task.skipped
        self._unstarted.discard(conclusion.task)
        self.outcomes[conclusion.task] = conclusion.outcome
        effects.append(conclusion)

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
            self._unstarted.remove(task)
            self._using -= bool(self._tasks[task].uses)
            effects.append(Push(task))


class _Gate:
    """One need, and the tasks that have it."""

    __slots__ = ("failed", "need", "opened", "remaining", "waiting")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.remaining = len(need.ids)
        self.waiting: list[int] = []
        self.failed = False
        self.opened: bool | None = None  # None while it is not certain

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


def _gates(tasks: Sequence[PlannedTask]) -> tuple[list[tuple[int, Need]], dict[int, list[_Gate]], list[int]]:
    """Answer who can never start, the gates that hear of each task's end, and how many gates each task waits at."""
    index = {task.id: number for number, task in enumerate(tasks)}
    gates: dict[tuple[str, int], _Gate] = {}
    heard_at: dict[int, list[_Gate]] = {}
    unopened = [0] * len(tasks)
    never: list[tuple[int, Need]] = []
    for number, task in enumerate(tasks):
        for need in () if task.skipped else task.needs:
            if not need.ids:  # a matrix without instances: all of them succeeded, none of them failed
                if need.status == "failure":
                    never.append((number, need))
                    unopened[number] += 1
                continue
            key = (need.status, id(need.ids))  # one tuple for all needs of a task; to compare them takes long
            gate = gates.get(key)
            if gate is None:
                gate = gates[key] = _Gate(need)
                for needed in need.ids:
                    heard_at.setdefault(index[needed], []).append(gate)
            gate.waiting.append(number)
            unopened[number] += 1
    return never, heard_at, unopened


def _how(outcome: Outcome) -> str:
    return _SENTENCES.get(outcome, str(outcome))


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
