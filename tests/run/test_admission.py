"""Which task may start, and how a run ends: decided without an engine, so tested without one."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from typing import Any

import pytest

from workflow.outcome import Outcome
from workflow.plan.plan import Need, PlannedTask, Settings
from workflow.run.admission import Admission
from workflow.run.effects import CancelAll, CancelQueued, Conclude, Push
from workflow.run.exit_code import ExitCode
from workflow.run.facts import Broken, Fact, Interrupted, RunTimedOut, TaskEnded

FAILURES = [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.MEMORY_EXCEEDED]


def test_a_task_starts_when_all_it_needs_succeeded(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """Not before, and at once."""
    admission = Admission([make_task("a"), make_task("b"), make_task("c", ["a", "b"])], make_settings())
    assert admission.begin() == [Push(0), Push(1)]
    assert admission.handle(TaskEnded(1, Outcome.SUCCEEDED)) == []
    assert admission.handle(TaskEnded(0, Outcome.SUCCEEDED)) == [Push(2)]
    assert admission.handle(TaskEnded(2, Outcome.SUCCEEDED)) == []
    assert admission.finished
    assert admission.exit_code is ExitCode.SUCCEEDED


def test_what_needs_a_failure_is_skipped_with_all_behind_it_and_the_root_is_named(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """The reason says what it waited for, and what was the matter with it."""
    tasks = [make_task("a"), make_task("b", ["a"]), make_task("c", ["b"]), make_task("d")]
    admission = Admission(tasks, make_settings())
    admission.begin()
    assert admission.handle(TaskEnded(0, Outcome.TIMED_OUT)) == [
        Conclude(1, Outcome.SKIPPED, "it needs a, which timed out", 0),
        Conclude(2, Outcome.SKIPPED, "it needs b, which was skipped because a timed out", 0),
    ]
    assert not admission.finished
    assert admission.exit_code is ExitCode.FAILED


@pytest.mark.parametrize(
    ("status", "first", "second", "starts"),
    [
        ("success", Outcome.SUCCEEDED, Outcome.SUCCEEDED, True),
        ("success", Outcome.SUCCEEDED, Outcome.CACHED, True),
        ("success", Outcome.SUCCEEDED, Outcome.CRASHED, False),
        ("success", Outcome.SUCCEEDED, Outcome.CANCELLED, False),
        ("failure", Outcome.SUCCEEDED, Outcome.SUCCEEDED, False),
        ("failure", Outcome.FAILED, Outcome.SUCCEEDED, True),
        ("failure", Outcome.MEMORY_EXCEEDED, Outcome.FAILED, True),
        ("failure", Outcome.CANCELLED, Outcome.SUCCEEDED, False),
        ("any", Outcome.FAILED, Outcome.CANCELLED, True),
        ("any", Outcome.SUCCEEDED, Outcome.SUCCEEDED, True),
    ],
)
def test_a_need_says_which_endings_it_waits_for(
    make_task: Callable[..., PlannedTask],
    make_settings: Callable[..., Settings],
    status: Any,
    first: Outcome,
    second: Outcome,
    starts: bool,
) -> None:
    """Success of all, failure of at least one once all ended, or the end of all."""
    tasks = [
        make_task("x", id="x@1"),
        make_task("x", id="x@2"),
        make_task("y", [Need("x", ("x@1", "x@2"), ("x@1", "x@2"), status)]),
    ]
    admission = Admission(tasks, make_settings())
    admission.begin()
    admission.handle(TaskEnded(0, first))
    assert 2 not in admission.outcomes or status == "success"
    last = admission.handle(TaskEnded(1, second))
    assert (last == [Push(2)]) is starts
    assert (admission.outcomes.get(2) is Outcome.SKIPPED) is not starts


def test_a_need_of_any_ending_is_met_by_a_skipped_task(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """A clean-up runs also when what it cleans up after never ran."""
    tasks = [make_task("a"), make_task("b", ["a"]), make_task("c", [Need("b", ("b",), ("b",), "any")])]
    admission = Admission(tasks, make_settings())
    admission.begin()
    assert admission.handle(TaskEnded(0, Outcome.FAILED))[-1] == Push(2)


def test_a_matrix_without_instances_has_succeeded_and_has_not_failed(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """A glob that matched nothing holds nobody up."""
    tasks = [
        make_task("a", [Need("x", (), (), "success")]),
        make_task("b", [Need("x", (), (), "failure")]),
        make_task("c", ["b"]),
    ]
    admission = Admission(tasks, make_settings())
    effects = admission.begin()
    assert [type(effect) for effect in effects] == [Conclude, Conclude, Push]
    assert effects[-1] == Push(0)
    assert admission.outcomes == {1: Outcome.SKIPPED, 2: Outcome.SKIPPED}


def test_an_allowed_failure_counts_for_nothing_but_what_needs_it(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """Exit code and halt pass it by; for needs it failed like any other."""
    tasks = [make_task("a", allow_failure=True), make_task("b", ["a"]), make_task("c")]
    admission = Admission(tasks, make_settings(halt="now", max_failures=1))
    admission.begin()
    admission.handle(TaskEnded(0, Outcome.FAILED))
    admission.handle(TaskEnded(2, Outcome.SUCCEEDED))
    assert admission.outcomes[1] is Outcome.SKIPPED
    assert admission.stopped is None
    assert admission.exit_code is ExitCode.SUCCEEDED


@pytest.mark.parametrize(("halt", "effect"), [("soon", CancelQueued), ("now", CancelAll)])
def test_a_run_halts_when_the_count_is_reached(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings], halt: str, effect: Any
) -> None:
    """Not before; then what has not started is cancelled, and what runs is killed only if that is wanted."""
    tasks = [make_task("a"), make_task("b"), make_task("c"), make_task("d", ["c"])]
    admission = Admission(tasks, make_settings(halt=halt, max_failures=2))
    admission.begin()
    assert admission.handle(TaskEnded(0, Outcome.FAILED)) == []
    effects = admission.handle(TaskEnded(1, Outcome.CRASHED))
    assert effects[0] == Conclude(3, Outcome.CANCELLED, "the run was halted after 2 failures", None)
    assert isinstance(effects[1], effect)
    assert not admission.finished  # c is still running


def test_a_count_without_a_halt_halts_nothing(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """``never`` means it."""
    admission = Admission([make_task("a"), make_task("b", ["a"])], make_settings(halt="never"))
    admission.begin()
    assert not any(isinstance(effect, CancelAll) for effect in admission.handle(TaskEnded(0, Outcome.FAILED)))


def test_only_so_many_tasks_are_pushed_at_once(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """In the order of the plan, and another for each that ends."""
    admission = Admission([make_task(str(number)) for number in range(10)], make_settings(), pushed_max=3)
    assert admission.begin() == [Push(0), Push(1), Push(2)]
    assert admission.handle(TaskEnded(1, Outcome.SUCCEEDED)) == [Push(3)]


@pytest.mark.parametrize("halt", ["soon", "now"])
def test_a_run_that_may_halt_sends_nothing_ahead(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings], halt: str
) -> None:
    """What stands behind a task that fails would begin before the failure was heard of."""
    tasks = [make_task(str(number)) for number in range(10)]
    admission = Admission(tasks, make_settings(halt=halt, max_failures=1), pool=2)
    assert admission.begin() == [Push(0), Push(1)]
    assert admission.handle(TaskEnded(1, Outcome.SUCCEEDED)) == [Push(2)]
    effects = admission.handle(TaskEnded(0, Outcome.FAILED))
    assert not any(isinstance(effect, Push) for effect in effects)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ([RunTimedOut(1.0)], ExitCode.TIMED_OUT),
        ([RunTimedOut(1.0), Interrupted(signal.SIGTERM)], ExitCode.TERMINATED),
        ([Interrupted(signal.SIGINT), RunTimedOut(1.0)], ExitCode.INTERRUPTED),
        ([Interrupted(signal.SIGHUP), Interrupted(signal.SIGTERM)], ExitCode.HUNG_UP),
        ([Broken("no disk")], ExitCode.BROKEN),
        ([Interrupted(signal.SIGINT), Broken("no disk")], ExitCode.INTERRUPTED),
        ([RunTimedOut(1.0), Broken("no disk")], ExitCode.BROKEN),
    ],
)
def test_the_exit_code_says_what_ended_the_run(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings], facts: Any, code: ExitCode
) -> None:
    """A signal before anything else, then what broke, then the time limit, then failures."""
    admission = Admission([make_task("a"), make_task("b", ["a"])], make_settings())
    admission.begin()
    for fact in facts:
        admission.handle(fact)
    admission.handle(TaskEnded(0, Outcome.CANCELLED))
    assert admission.finished
    assert admission.exit_code is code


@pytest.mark.parametrize("halt", ["soon", "now"])
@pytest.mark.parametrize("halted_first", [True, False])
def test_of_a_halt_and_the_time_limit_the_first_ends_the_run(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings], halt: str, halted_first: bool
) -> None:
    """Its exit code and what is said of it: a run that was halted does not end for its time, nor the other way."""
    tasks = [make_task("a", id="a@1"), make_task("a", id="a@2")]
    admission = Admission(tasks, make_settings(halt=halt, max_failures=1), pool=2)
    admission.begin()
    facts: list[Fact] = [TaskEnded(0, Outcome.FAILED), RunTimedOut(9.0)]
    effects = [effect for fact in (facts if halted_first else facts[::-1]) for effect in admission.handle(fact)]
    assert any(isinstance(effect, CancelAll) for effect in effects), "what runs is ended at the limit all the same"
    admission.handle(TaskEnded(1, Outcome.CANCELLED))
    said = (admission.exit_code, admission.stopped)
    if halted_first:
        assert said == (ExitCode.FAILED, "the run was halted after 1 failure")
    else:
        assert said == (ExitCode.TIMED_OUT, "the run reached its time limit of 9 s")


def test_an_impossible_ending_is_a_loud_error(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """It names the task, and what it was."""
    admission = Admission([make_task("a"), make_task("b", ["a"])], make_settings())
    admission.begin()
    with pytest.raises(AssertionError, match="b cannot end as succeeded: it has not been pushed"):
        admission.handle(TaskEnded(1, Outcome.SUCCEEDED))
    admission.handle(TaskEnded(0, Outcome.SUCCEEDED))
    with pytest.raises(AssertionError, match="a cannot end as failed: it is succeeded"):
        admission.handle(TaskEnded(0, Outcome.FAILED))


_REASONS = {
    ExitCode.TIMED_OUT: "the run reached its time limit",
    ExitCode.BROKEN: "it broke",
    ExitCode.HUNG_UP: "the run was ended by SIGHUP",
    ExitCode.INTERRUPTED: "the run was ended by SIGINT",
    ExitCode.TERMINATED: "the run was ended by SIGTERM",
}
"""What is said of a run that ends with this code; of one that ends with another, that it was halted, if anything."""


class Walk:
    """One run of a random graph through an engine that is as unkind as the contract allows."""

    def __init__(
        self, seed: int, make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
    ) -> None:
        self.chance = random.Random(seed)
        self.seen: set[str] = set()
        self.tasks = self.graph(make_task)
        halt = self.chance.choice(["never", "never", "soon", "now"])
        most = self.chance.randint(1, 3) if halt != "never" else None
        self.pushed_max = self.chance.choice([1, 2, 5, 100])
        settings = make_settings(halt=halt, max_failures=most)
        self.admission = Admission(self.tasks, settings, pushed_max=self.pushed_max)
        self.pushed: set[int] = set()
        self.ended: dict[int, Outcome] = {}
        self.troubled = self.chance.random() < 0.3
        self.cancelling = False
        self.dropping = False

    def graph(self, make_task: Callable[..., PlannedTask]) -> Any:
        names: list[tuple[str, tuple[str, ...]]] = []
        tasks = []
        for name in (f"t{number}" for number in range(self.chance.randint(1, 8))):
            ids = tuple(f"{name}@{number}" for number in range(self.chance.randint(1, 3)))
            wanted = self.chance.sample(names, self.chance.randint(0, min(3, len(names))))
            needs = tuple(
                Need(other, others, others, self.chance.choice(["success", "success", "failure", "any"]))
                for other, others in wanted
            )
            allowed = self.chance.random() < 0.2
            tasks += [make_task(name, needs, id=each, allow_failure=allowed) for each in ids]
            names.append((name, ids))
        return tasks

    def go(self) -> None:
        self.take(self.admission.begin())
        for _step in range(1000):
            if self.admission.finished:
                break
            self.check()
            self.take(self.admission.handle(self.happen()))
        self.check()
        self.check_end()

    def happen(self) -> Any:
        if self.troubled and self.chance.random() < 0.1:
            self.seen.add("trouble")
            number = self.chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
            return self.chance.choice([RunTimedOut(9.0), Broken("it broke"), Interrupted(number)])
        task = self.chance.choice(sorted(self.pushed))
        self.pushed.remove(task)
        outcomes = [Outcome.SUCCEEDED] * 6 + FAILURES
        outcome = self.chance.choice(
            [*outcomes, *([Outcome.CANCELLED] * 9 if self.cancelling or self.dropping else [])]
        )
        self.ended[task] = outcome
        return TaskEnded(task, outcome)

    def take(self, effects: Any) -> None:
        for effect in effects:
            self.seen.add(type(effect).__name__)
            if isinstance(effect, Push):
                assert self.admission.stopped is None, "pushed after the run was stopped"
                assert self.needs_met(effect.task), f"{self.tasks[effect.task].id} was pushed too early"
                self.pushed.add(effect.task)
            elif isinstance(effect, Conclude):
                assert effect.task not in self.pushed
                assert effect.task not in self.ended, "concluded twice"
                assert effect.reason
                self.ended[effect.task] = effect.outcome
                self.seen.add(effect.outcome.value)
                if effect.cause is not None:
                    assert self.ended[effect.cause].is_failure
            elif isinstance(effect, CancelAll):
                self.cancelling = True
            else:
                self.dropping = True

    def needs_met(self, task: int) -> bool:
        index = {each.id: number for number, each in enumerate(self.tasks)}
        for need in self.tasks[task].needs:
            outcomes = [self.ended.get(index[each]) for each in need.ids]
            met = {
                "success": all(outcome is not None and outcome.is_success for outcome in outcomes),
                "failure": None not in outcomes and any(outcome.is_failure for outcome in outcomes if outcome),
                "any": None not in outcomes,
            }
            if not met[need.status]:
                return False
        return True

    def check(self) -> None:
        """What holds after every step."""
        assert self.admission.outcomes == self.ended
        assert self.admission.pushed == len(self.pushed) <= self.pushed_max
        if not self.admission.finished:
            assert self.pushed, "nothing runs, and nothing can start"
        if self.admission.stopped is None and len(self.pushed) < self.pushed_max:
            waiting = set(range(len(self.tasks))) - self.pushed - set(self.ended)
            assert not any(self.needs_met(task) for task in waiting), "a task could start and does not"

    def check_end(self) -> None:
        """What holds when it is over."""
        assert self.admission.finished
        assert not self.pushed
        bad = [
            task
            for task, outcome in self.ended.items()
            if (outcome.is_failure or outcome is Outcome.CANCELLED) and not self.tasks[task].allow_failure
        ]
        assert self.admission.failures == len(bad)
        code = self.admission.exit_code
        said = self.admission.stopped
        expected = _REASONS.get(code, "the run was halted after " if said is not None else None)
        assert expected is None or str(said).startswith(expected), f"exit code {code}, and the reason is {said!r}"
        if code in {ExitCode.SUCCEEDED, ExitCode.FAILED}:
            assert (code is ExitCode.FAILED) == bool(bad)
        for task, outcome in self.ended.items():
            if outcome is Outcome.SKIPPED:
                assert not self.needs_met(task), f"{self.tasks[task].id} was skipped, and its needs are met"


def test_random_walks_keep_every_promise_and_meet_every_effect(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """Two thousand graphs; each task ends once, none starts early, none is forgotten."""
    seen: set[str] = set()
    for seed in range(2000):
        walk = Walk(seed, make_task, make_settings)
        try:
            walk.go()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen |= walk.seen
    assert seen == {"Push", "Conclude", "CancelAll", "CancelQueued", "skipped", "cancelled", "trouble"}


def test_a_large_graph_is_decided_in_linear_time(
    make_task: Callable[..., PlannedTask], make_settings: Callable[..., Settings]
) -> None:
    """Two thousand instances that each need two thousand others share one gate: four million pairs are not visited."""
    first = [make_task("a", id=f"a@{number}") for number in range(2000)]
    ids = tuple(task.id for task in first)
    need = Need("a", ids, ids, "success")
    second = [make_task("b", [need], id=f"b@{number}") for number in range(2000)]
    admission = Admission([*first, *second], make_settings())
    assert sum(len(gates) for gates in admission._gates._of_one.values()) == 2000
    admission.begin()
    effects = [effect for number in range(2000) for effect in admission.handle(TaskEnded(number, Outcome.SUCCEEDED))]
    assert effects == [Push(number) for number in range(2000, 4000)]
