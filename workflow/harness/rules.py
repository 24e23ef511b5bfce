"""Which faults are to strike which tasks of a user's pipeline: rules, and the draw that makes strikes of them.

A rule's chance is drawn for each task by itself, from the seed, the rule's place and the task's id: the same seed
strikes the same tasks, whatever else is in the file, and however the run goes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from workflow import WorkflowError
from workflow.diagnostics.suggest import did_you_mean
from workflow.harness.faulty import Strike
from workflow.harness.kinds import KINDS
from workflow.plan.plan import Plan, PlannedTask


class BadRule(WorkflowError):
    """A fault cannot be injected as it is asked for.  The fault is the command line's or the faults file's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of fault, for the tasks that match."""

    kind: str
    task: str
    """A glob over ids and names."""
    probability: float = 1.0
    attempt: int | None = None
    """None: each attempt."""

    def __str__(self) -> str:
        """As ``--inject`` takes it; that knows no attempts."""
        return f"{self.kind}:{self.task}" + (f":{self.probability!r}" if self.probability < 1 else "")

    def matches(self, task: PlannedTask) -> bool:
        """Whether the task is meant."""
        return fnmatchcase(task.id, self.task) or fnmatchcase(task.name, self.task)


def inject(kind: str, task: str = "*", *, probability: float = 1.0, attempt: int | None = None) -> Rule:
    """A fault of this kind, for the tasks whose id or name matches the glob, for each with this probability.

    Raises BadRule for a kind that there is not and for a probability that is none.  Whether the pipeline has such a
    task is found out when there is one.
    """
    _check_kind(kind)
    if not 0 < probability <= 1:
        raise BadRule(f"{kind}: a probability is above 0 and up to 1, not {probability!r}")
    return Rule(kind, task, probability, attempt)


def parse_rule(text: str) -> Rule:
    """The rule that ``KIND:GLOB[:PROBABILITY]`` says.  Raises BadRule."""
    kind, colon, rest = text.partition(":")
    if not colon or not rest:
        raise BadRule(f"{text!r} is not KIND:GLOB[:PROBABILITY], such as crash.segv:fetch@*:0.1")
    _check_kind(kind)
    glob, colon, written = rest.rpartition(":")
    if not colon:
        return Rule(kind, rest)
    try:
        probability = float(written)
    except ValueError:
        raise BadRule(f"{text!r}: {written!r} is no probability, a number above 0 and up to 1") from None
    if not glob:
        raise BadRule(f"{text!r} names no task: KIND:GLOB[:PROBABILITY], such as crash.segv:fetch@*:0.1")
    if not 0 < probability <= 1:
        raise BadRule(f"{text!r}: a probability is above 0 and up to 1, not {written}")
    return Rule(kind, glob, probability)


def check_rules(rules: Sequence[Rule], plan: Plan) -> None:
    """Raises BadRule for the first that means no task, or one that its kind cannot strike."""
    for rule in rules:
        _check_kind(rule.kind)
        problem = problem_of(rule, plan)
        if problem is not None:
            raise BadRule(f"{rule}: {problem[1]}")


def problem_of(rule: Rule, plan: Plan) -> tuple[str, str] | None:
    """Why the rule cannot strike what it means in this pipeline, after the part of it that is wrong; None if it can."""
    meant = [task for task in plan.tasks if rule.matches(task)]
    if not meant:
        return "task", no_task(rule.task, plan)
    kind = KINDS[rule.kind]
    cannot = [task for task in meant if task.kind not in kind.tasks]
    if cannot:
        can = " and ".join(sorted(kind.tasks))
        has = f"{cannot[0].id} has {cannot[0].kind}"
        return "kind", f"is for tasks with {can}, and {has}; name the tasks it is for, in place of {rule.task!r}"
    if rule.attempt is not None and rule.attempt > 1:
        return "attempt", "there is none to strike: a task of a pipeline has one attempt"
    return None


def no_task(glob: str, plan: Plan) -> str:
    """That no task matches it, and which is near."""
    near = did_you_mean(glob, {name for task in plan.tasks for name in (task.id, task.name)})
    return f"no task matches {glob!r}" + (f", {near}" if near else "")


def check_sweep(kind: str, plan: Plan) -> None:
    """Raises BadRule when there is no task that this kind can strike."""
    _check_kind(kind)
    if not any(task.kind in KINDS[kind].tasks for task in plan.tasks):
        can = " or ".join(sorted(KINDS[kind].tasks))
        raise BadRule(f"{kind} is for tasks with {can}, and there is none")


def draw(rules: Sequence[Rule], plan: Plan, seed: int) -> dict[str, tuple[Strike, ...]]:
    """The strikes on each task that is struck, by id, in the order of the plan."""
    struck: dict[str, tuple[Strike, ...]] = {}
    for task in plan.tasks:
        strikes = tuple(
            Strike(rule.kind, rule.attempt)
            for number, rule in enumerate(rules)
            if rule.matches(task) and _chance(seed, number, rule, task) < rule.probability
        )
        if strikes:
            struck[task.id] = strikes
    return struck


def told(struck: Mapping[str, Sequence[Strike]]) -> list[str]:
    """For people: which kind struck which task."""
    return [
        f"{strike.kind} on {task}" + (f", attempt {strike.attempt}" if strike.attempt else "")
        for task, strikes in struck.items()
        for strike in strikes
    ]


def new_seed() -> int:
    """A seed that nobody chose."""
    return random.SystemRandom().randrange(1, 1_000_000)


def _chance(seed: int, number: int, rule: Rule, task: PlannedTask) -> float:
    return random.Random(f"{seed} {number} {rule.kind} {task.id}").random()


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise BadRule(no_kind(kind))


def no_kind(kind: str) -> str:
    """That there is no such kind, and which is near."""
    from workflow.harness.catalogue import by_id  # it imports half of the harness, which only this needs

    if kind in by_id():
        return (
            f"{kind!r} is done to the engine and not to one task, so it is no kind of fault; "
            f"`workflow chaos --scenario {kind}` does it"
        )
    group = any(known.startswith(f"{kind}.") for known in KINDS)
    near = None if group else did_you_mean(kind, KINDS)
    hint = f", {near}" if near else "; `workflow chaos --list` shows the kinds"
    return f"{kind!r} is a group of kinds, not one{hint}" if group else f"there is no kind of fault {kind!r}{hint}"
