"""Tokens and priorities: who starts next, and who waits for what."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from workflow.outcome import Outcome
from workflow.plan.plan import PlannedTask, Settings, TokenLimit
from workflow.run.admission import Admission
from workflow.run.effects import Conclude, Push, Retry
from workflow.run.facts import Interrupted, RetryDue, TaskBegan, TaskEnded, TimePassed
from workflow.run.tokens import Tokens

Make = Callable[..., PlannedTask]
MakeSettings = Callable[..., Settings]
DB = {"db": TokenLimit(1, None)}


def admit(make_settings: MakeSettings, tasks: list[PlannedTask], limits: Any = None, **more: Any) -> Admission:
    return Admission(tasks, make_settings(limits=limits or {}), **more)


def pushed(effects: Any) -> list[int]:
    return [effect.task for effect in effects if isinstance(effect, Push)]


def test_ready_tasks_start_by_priority_and_then_in_the_order_of_the_plan(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """Also when the more urgent one became ready later."""
    tasks = [make_task("a"), make_task("b", priority=-1), make_task("c", priority=5), make_task("d")]
    tasks.append(make_task("e", ["c"], priority=9))
    admission = admit(make_settings, tasks, pushed_max=1)
    assert pushed(admission.begin()) == [2]
    order = []
    now = 2
    while not admission.finished:
        order.append(now)
        (now,) = pushed(admission.handle(TaskEnded(now, Outcome.SUCCEEDED))) or (-1,)
    assert order == [2, 4, 0, 3, 1]


def test_a_token_is_taken_while_a_task_runs(make_task: Make, make_settings: MakeSettings) -> None:
    """Who needs none is not held up."""
    tasks = [make_task("a", tokens={"db": 1}), make_task("b", tokens={"db": 1}), make_task("c")]
    admission = admit(make_settings, tasks, DB, pool=4)
    assert pushed(admission.begin()) == [0, 2]
    assert pushed(admission.handle(TaskEnded(2, Outcome.SUCCEEDED))) == []
    assert pushed(admission.handle(TaskEnded(0, Outcome.FAILED))) == [1]


def test_who_needs_many_tokens_is_not_passed_by_those_who_need_few(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """What it uses is kept for it: of each of its limits; by the more urgent it may be passed."""
    limits = {"db": TokenLimit(2, None), "web": TokenLimit(5, None)}
    tasks = [
        make_task("a", tokens={"db": 1}),
        make_task("big", tokens={"db": 2, "web": 1}),
        make_task("small", tokens={"db": 1}),
        make_task("web", tokens={"web": 1}),
        make_task("other", tokens={"web": 4}, priority=1),
    ]
    admission = admit(make_settings, tasks, limits, pool=8)
    assert pushed(admission.begin()) == [4, 0]
    assert pushed(admission.handle(TaskEnded(4, Outcome.SUCCEEDED))) == []
    assert pushed(admission.handle(TaskEnded(0, Outcome.SUCCEEDED))) == [1, 3]
    assert pushed(admission.handle(TaskEnded(1, Outcome.SUCCEEDED))) == [2]


def test_who_came_later_stands_behind_also_with_an_earlier_place_in_the_plan(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """A stream of small tasks that become ready one after another does not hold a big one up."""
    limits = {"db": TokenLimit(2, None)}
    tasks = [
        make_task("a", tokens={"db": 1}),
        make_task("b", ["a"], tokens={"db": 1}),
        make_task("big", tokens={"db": 2}),
    ]
    admission = admit(make_settings, tasks, limits, pool=8)
    assert pushed(admission.begin()) == [0]
    assert pushed(admission.handle(TaskEnded(0, Outcome.SUCCEEDED))) == [2]
    assert pushed(admission.handle(TaskEnded(2, Outcome.SUCCEEDED))) == [1]


def test_a_rate_counts_from_when_a_task_began(make_task: Make, make_settings: MakeSettings) -> None:
    """However long it was on its way, and whether it has ended; then the time is known at which to ask again."""
    tasks = [make_task(str(number), tokens={"web": 1}) for number in range(4)]
    admission = admit(make_settings, tasks, {"web": TokenLimit(2, 10.0)}, pool=8)
    assert pushed(admission.begin(100.0)) == [0, 1]
    assert admission.wake_at(100.0) is None  # nobody knows when they begin
    assert pushed(admission.handle(TaskBegan(0, 103.0), 103.1)) == []
    assert admission.wake_at(103.1) == 113.0
    assert pushed(admission.handle(TaskEnded(0, Outcome.SUCCEEDED), 104.0)) == []
    assert pushed(admission.handle(TaskBegan(1, 109.0), 109.1)) == []
    assert pushed(admission.handle(TimePassed(), 112.9)) == []
    assert pushed(admission.handle(TimePassed(), 113.0)) == [2]
    assert pushed(admission.handle(TaskBegan(0, 1.0), 113.5)) == []  # an old story
    assert pushed(admission.handle(TimePassed(), 119.0)) == [3]
    assert admission.wake_at(119.0) is None


def test_a_task_that_never_began_gives_its_tokens_back(make_task: Make, make_settings: MakeSettings) -> None:
    """Of a rate too: no window counts it."""
    tasks = [make_task(str(number), tokens={"web": 1}) for number in range(2)]
    admission = admit(make_settings, tasks, {"web": TokenLimit(1, 10.0)}, pool=8)
    assert pushed(admission.begin(0.0)) == [0]
    assert pushed(admission.handle(TaskEnded(0, Outcome.FAILED), 1.0)) == [1]


def test_a_retry_takes_a_token_of_a_rate_before_anybody_who_has_not_begun(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """It holds what the first of the others waits for: behind that one it would wait for ever."""
    limits = {"web": TokenLimit(1, 10.0), "db": TokenLimit(1, None)}
    uses = {"web": 1, "db": 1}
    tasks = [make_task("a", tokens=uses), make_task("b", tokens=uses, priority=9), make_task("c", tokens={"web": 1})]
    admission = admit(make_settings, tasks, limits, pool=1)
    assert pushed(admission.begin(0.0)) == [1]
    assert admission.handle(TaskBegan(1, 1.0), 1.0) == []
    assert admission.handle(RetryDue(1), 3.0) == []
    assert admission.wake_at(3.0) == 11.0
    assert admission.handle(TimePassed(), 11.0) == [Retry(1)]
    assert admission.wake_at(12.0) is None, "it is not known when that one begins"
    assert admission.handle(TaskBegan(1, 1.0), 12.0) == [], "the first attempt, once more"
    assert admission.handle(TaskBegan(1, 12.0, 2), 12.0) == []
    assert admission.handle(TaskEnded(1, Outcome.SUCCEEDED), 13.0) == []
    assert admission.wake_at(13.0) == 22.0
    assert admission.handle(TimePassed(), 22.0) == [Push(0)]


def test_a_retry_that_never_began_gives_its_token_back(make_task: Make, make_settings: MakeSettings) -> None:
    """The tokens of the attempt that did are on their way; and who ends while it stands in line leaves it."""
    web = {"web": TokenLimit(2, 10.0)}
    admission = admit(make_settings, [make_task(name, tokens={"web": 2}) for name in "abc"], web, pool=1)
    assert pushed(admission.begin(0.0)) == [0]
    admission.handle(TaskBegan(0, 0.0), 0.0)
    admission.handle(RetryDue(0), 1.0)
    assert admission.handle(TimePassed(), 10.0) == [Retry(0)]
    assert admission.handle(TaskEnded(0, Outcome.TIMED_OUT), 11.0) == [Push(1)]
    admission.handle(TaskBegan(1, 12.0), 12.0)
    assert admission.handle(RetryDue(1), 13.0) == []
    assert admission.handle(TaskEnded(1, Outcome.TIMED_OUT), 14.0) == []
    assert admission.handle(TimePassed(), 22.0) == [Push(2)]


def test_a_retry_needs_no_room_and_a_halted_run_lets_it_go(make_task: Make, make_settings: MakeSettings) -> None:
    """It is with the engine already; and what has begun goes on when nothing more is started."""
    web = {"web": TokenLimit(2, 10.0)}
    tasks = [make_task("a", tokens={"web": 1}), make_task("b"), make_task("c", tokens={"web": 1})]
    settings = make_settings(limits=web, halt="soon", max_failures=1)
    admission = Admission(tasks, settings, pool=2)
    assert pushed(admission.begin(0.0)) == [0, 1]
    admission.handle(TaskEnded(1, Outcome.FAILED), 0.5)
    assert admission.stopped is not None
    assert admission.handle(RetryDue(0), 1.0) == [Retry(0)]
    admission.handle(RetryDue(0), 2.0)
    assert admission.handle(TimePassed(), 12.0) == [Retry(0)]


def test_without_a_rate_a_retry_is_let_go_at_once_and_keeps_what_it_has(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """Nobody else gets its tokens between its attempts."""
    admission = admit(make_settings, [make_task(name, tokens={"db": 1}) for name in "ab"], DB, pool=4)
    assert pushed(admission.begin()) == [0]
    assert admission.handle(RetryDue(0)) == [Retry(0)]
    assert admission.handle(TaskEnded(0, Outcome.FAILED)) == [Push(1)]


def test_while_tokens_are_used_the_engine_gets_no_more_than_it_runs_at_once(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """So that nobody holds a token in its queue; afterwards it is filled again."""
    tasks = [make_task(str(number)) for number in range(6)] + [make_task("last", tokens={"db": 1})]
    admission = admit(make_settings, tasks, DB, pool=2)
    assert pushed(admission.begin()) == [0, 1]
    admission.handle(TaskEnded(0, Outcome.SUCCEEDED))
    for number in range(1, 5):
        admission.handle(TaskEnded(number, Outcome.SUCCEEDED))
    assert admission.pushed == 2
    more = [make_task(str(number)) for number in range(6)] + [make_task("urgent", tokens={"db": 1}, priority=1)]
    assert pushed(admit(make_settings, more, DB, pool=2).begin()) == [6, 0, 1, 2, 3, 4, 5]


def test_where_tasks_are_short_the_engine_gets_more_by_what_ends_in_an_eighth_of_a_second(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """Else it would be idle most of the time; when they get long again, there is no more than it runs."""
    tasks = [make_task(str(number)) for number in range(2000)]
    tasks.append(make_task("last", ["0"] + [str(number) for number in range(1, 2000)], tokens={"db": 1}))
    admission = admit(make_settings, tasks, DB, pool=2)
    waiting = pushed(admission.begin(100.0))
    for number in range(1000):
        waiting += pushed(admission.handle(TaskEnded(waiting.pop(0), Outcome.SUCCEEDED), 100.0 + number / 1000))
    assert admission.pushed == 2 + 125
    while admission.pushed > 2:
        waiting += pushed(
            admission.handle(TaskEnded(waiting.pop(0), Outcome.SUCCEEDED), 111.0 + len(admission.outcomes))
        )
    assert pushed(admission.handle(TaskEnded(waiting.pop(0), Outcome.SUCCEEDED), 5000.0)) != []
    assert admission.pushed == 2


def test_a_task_whose_if_is_false_is_skipped_at_once_with_what_needs_it(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """It takes no place in a line, and its condition is the reason."""
    tasks = [
        make_task("a", skipped=True, condition="vars.x == 1", tokens={"db": 1}),
        make_task("b", ["a"]),
        make_task("c"),
    ]
    admission = admit(make_settings, tasks, DB, pool=1)
    assert admission.begin() == [
        Conclude(0, Outcome.SKIPPED, "its 'if' is false: vars.x == 1", None),
        Conclude(1, Outcome.SKIPPED, "it needs a, which was skipped because its 'if' is false", None),
        Push(2),
    ]


def test_a_run_that_is_stopped_starts_nobody_who_stands_in_line(make_task: Make, make_settings: MakeSettings) -> None:
    """They are cancelled like all that have not begun."""
    tasks = [make_task(str(number), tokens={"db": 1}) for number in range(3)]
    admission = admit(make_settings, tasks, DB, pool=4)
    admission.begin()
    admission.handle(Interrupted(2))
    assert pushed(admission.handle(TaskEnded(0, Outcome.CANCELLED))) == []
    assert admission.finished


def test_tokens_are_never_more_than_there_are() -> None:
    """To take what does not fit is a loud error."""
    tokens = Tokens({"db": TokenLimit(2, None)})
    tokens.take({"db": 2})
    assert not tokens.fits({"db": 1})
    with pytest.raises(AssertionError, match="more of 'db'"):
        tokens.take({"db": 1})


class Walk:
    """A run on a pretend clock, with an engine that lets tasks wait, and that is looked at now and then."""

    def __init__(self, seed: int, make_task: Make, make_settings: MakeSettings) -> None:
        self.chance = chance = random.Random(seed)
        self.seen: set[str] = set()
        self.limits = {
            name: TokenLimit(chance.randint(1, 4), chance.choice([None, None, 0.5, 3.0]))
            for name in "xyz"[: chance.randint(1, 3)]
        }
        self.tasks: list[PlannedTask] = []
        for number in range(chance.randint(1, 14)):
            earlier = [task.id for task in self.tasks]
            needs = chance.sample(earlier, min(len(earlier), chance.choice([0, 0, 0, 1, 2])))
            self.tasks.append(
                make_task(
                    f"t{number}", needs, tokens=self.uses(), priority=chance.choice([0, 0, 1]),
                    skipped=chance.random() < 0.05, condition="false",
                )
            )  # fmt: skip
        self.pool = chance.randint(1, 5)
        self.admission = Admission(
            self.tasks, make_settings(limits=self.limits), pool=self.pool, pushed_max=chance.choice([2, 4096])
        )
        self.now = 0.0
        self.queue: list[int] = []
        self.running: dict[int, float] = {}
        self.tries = {  # still to come; who uses nothing is not held
            number: chance.choice([0, 0, 1, 3]) if task.uses else 0 for number, task in enumerate(self.tasks)
        }
        self.attempt = dict.fromkeys(range(len(self.tasks)), 1)
        self.pausing: dict[int, float] = {}
        self.asking: set[int] = set()
        self.unsaid: dict[int, float] = {}
        self.untold: dict[int, float] = {}
        self.begun: dict[str, list[tuple[float, int]]] = {name: [] for name in self.limits}
        self.waiting_since: dict[int, int] = {}
        self.held: dict[int, Mapping[str, int]] = {}
        self.turn = 0

    def uses(self) -> dict[str, int]:
        chosen = self.chance.sample(sorted(self.limits), self.chance.randint(0, len(self.limits)))
        return {name: self.chance.randint(1, self.limits[name].tokens) for name in chosen}

    def go(self) -> None:
        self.take(self.admission.begin(self.now))
        for _ in range(5000):
            if self.admission.finished:
                return
            self.step()
        raise AssertionError("it does not come to an end")

    def step(self) -> None:
        self.turn += 1
        self.start_some()
        if self.admission.finished:
            return
        if self.unsaid and self.chance.random() < 0.5:
            task, at = self.unsaid.popitem()
            self.take(self.admission.handle(TaskBegan(task, at, self.attempt[task]), self.now))
            return
        if self.pausing and self.chance.random() < 0.1:
            task, _ = self.pausing.popitem()  # its deadline is over, say
            self.over(task, Outcome.FAILED)
            return
        if self.asking and self.chance.random() < 0.1:
            self.seen.add("ended while it asked")
            self.over(self.asking.pop(), Outcome.FAILED)
            return
        moments = [*self.running.values(), *self.pausing.values()]
        if self.queue and len(self.running) < self.pool:
            moments.append(self.now + self.chance.choice([0.0, 0.1, 2.0]))  # a worker is slow to take it
        wake_at = self.admission.wake_at(self.now)
        if wake_at is not None:
            assert wake_at > self.now, "it is woken again and again"
            moments.append(wake_at)
        assert moments or self.unsaid, "nothing runs, and nobody knows when to look again"
        if not moments:
            return
        self.now = max(self.now, min(moments))
        if wake_at is not None and self.now >= wake_at:
            self.seen.add("woken")
            self.take(self.admission.handle(TimePassed(), self.now))
        for task, at in sorted(self.running.items()):
            if at <= self.now:
                self.end(task)
        for task, at in sorted(self.pausing.items()):
            if at <= self.now:
                del self.pausing[task]
                self.asking.add(task)
                self.untold.pop(task, None)  # it is not told of at all: the fact that it is over has to do
                self.take(self.admission.handle(RetryDue(task), self.now))

    def start_some(self) -> None:
        while self.queue and len(self.running) < self.pool and self.chance.random() < 0.7:
            task = self.queue.pop(0)
            if self.chance.random() < 0.05:
                self.seen.add("never began")
                self.over(task, Outcome.FAILED)
                continue
            self.running[task] = self.now + self.chance.choice([0.01, 0.4, 5.0])
            self.unsaid[task] = self.now
            for name, count in self.tasks[task].uses.items():
                self.begun[name].append((self.now, count))
                self.check_rate(name)

    def check_rate(self, name: str) -> None:
        limit = self.limits[name]
        if limit.per_s is not None:
            inside = sum(count for at, count in self.begun[name] if at + limit.per_s > self.now)
            assert inside <= limit.tokens, f"{inside} of {name} began in one window"
            if inside == limit.tokens:
                self.seen.add("a full window")

    def end(self, task: int) -> None:
        del self.running[task]
        if task in self.unsaid and self.chance.random() < 0.8:
            self.take(self.admission.handle(TaskBegan(task, self.unsaid[task], self.attempt[task]), self.now))
        if task in self.unsaid:
            self.untold[task] = self.unsaid.pop(task)
        if self.tries[task]:
            self.tries[task] -= 1
            self.pausing[task] = self.now + self.chance.choice([0.0, 0.0, 0.3, 4.0])
            return
        outcome = self.chance.choice([Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED])
        self.over(task, outcome)

    def over(self, task: int, outcome: Outcome) -> None:
        if task in self.untold:
            self.take(self.admission.handle(TaskBegan(task, self.untold.pop(task), self.attempt[task]), self.now))
        self.held.pop(task)
        self.take(self.admission.handle(TaskEnded(task, outcome), self.now))

    def take(self, effects: Any) -> None:
        self.turn += 1
        for number in range(len(self.tasks)):
            if self.ready(number):
                self.waiting_since.setdefault(number, self.turn)
        for effect in effects:
            if isinstance(effect, Retry):
                self.seen.add("tried again")
                self.asking.remove(effect.task)
                self.attempt[effect.task] += 1
                self.queue.append(effect.task)
        for task in pushed(effects):
            self.check_order(task, self.waiting_since.pop(task))
            self.queue.append(task)
            self.held[task] = self.tasks[task].uses
            for name, limit in self.limits.items():
                if limit.per_s is None:
                    taken = sum(uses.get(name, 0) for uses in self.held.values())
                    assert taken <= limit.tokens, f"{taken} of {name} are taken"
                    if taken == limit.tokens:
                        self.seen.add("all taken")

    def ready(self, number: int) -> bool:
        outcomes = self.admission.outcomes
        names = {task.id: place for place, task in enumerate(self.tasks)}
        task = self.tasks[number]
        return (
            not task.skipped
            and number not in outcomes
            and number not in self.held
            and all(outcomes.get(names[need.name]) is Outcome.SUCCEEDED for need in task.needs)
        )

    def check_order(self, task: int, came: int) -> None:
        """Nobody who waits for the same tokens stood before it, and was passed."""
        this = self.tasks[task]
        for other, since in self.waiting_since.items():
            that = self.tasks[other]
            if not this.uses.keys() & that.uses.keys():
                continue
            self.seen.add("somebody waits")
            assert that.priority <= this.priority, f"{this.id} passed the more urgent {that.id}"
            if that.priority == this.priority:
                assert since >= came, f"{this.id} passed {that.id}, which came before"


def test_no_walk_has_too_many_tokens_taken_or_somebody_passed_and_every_task_ends(
    make_task: Make, make_settings: MakeSettings
) -> None:
    """Fifteen hundred graphs with limits and rates, workers that are slow, and beginnings that are told late."""
    seen: set[str] = set()
    for seed in range(1500):
        walk = Walk(seed, make_task, make_settings)
        try:
            walk.go()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen |= walk.seen
    assert seen == {
        "woken", "never began", "a full window", "all taken", "somebody waits", "tried again", "ended while it asked",
    }  # fmt: skip


def test_fifty_thousand_in_one_line_are_decided_in_linear_time(make_task: Make, make_settings: MakeSettings) -> None:
    """Those that use the same have one queue, of which only the first is looked at."""
    import time

    task = make_task("t", tokens={"db": 1})
    count = 50_000
    tasks = [task] * count
    admission = admit(make_settings, tasks, DB, pool=4)
    begun = time.process_time()
    assert pushed(admission.begin()) == [0]
    for number in range(count - 1):
        assert pushed(admission.handle(TaskEnded(number, Outcome.SUCCEEDED))) == [number + 1]
    assert time.process_time() - begun < 10
