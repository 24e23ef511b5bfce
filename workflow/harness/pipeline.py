"""A user's own pipeline under faults: what struck it, what had to come of that, and what did.

There is no table of right answers for somebody else's pipeline.  So it is run once without any fault, in the same
disguise: the *control*.  A task that no fault can reach has to come out as it did there, result included; one that was
struck has to come out as its kind of fault says; one behind a struck task has to be what the file's own ``needs`` say,
given how the others actually ended.  The price is one more run.

A result that differs from the control's may be the pipeline's own doing (a time, a pid): when some do, the control is
run once more, and tasks whose results differ between the two controls are not compared.  What the control itself leaves
behind in the folder for temporary files is the pipeline's own doing too.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from workflow.diagnostics.suggest import did_you_mean
from workflow.harness import journal
from workflow.harness.evidence import OUTCOMES, Evidence, Expected, ExpectedTask, struck_by
from workflow.harness.experiment import TEMPORARY, Interrupted, Run, perform
from workflow.harness.faulty import Strike
from workflow.harness.folders import place
from workflow.harness.injection import Injected
from workflow.harness.kinds import KINDS, Kind
from workflow.harness.oracle import Finding, Verdict
from workflow.harness.rules import BadRule, Rule, draw, told
from workflow.harness.scenario import Check, Result, Trial, details_of, judged
from workflow.plan.plan import Need, Plan, PlannedTask

SHORTEST_S = 2.0
"""The least that a struck task's limit is lowered to; three times its duration in the control, if that is more."""
CALLBACK_S = 2.0
GRACE_S = 1.0
SLOW_S = 10.0
"""What a fault that takes its time may need: under a limit below that, either of the two may come first."""
_BAD = frozenset({"failed", "timed_out", "crashed", "memory_exceeded"})
_GOOD = frozenset({"succeeded", "cached"})
_ENDINGS: frozenset[str | None] = frozenset({"succeeded", "failed", "timed_out", "crashed"})
"""What a callback of the user's may come to; that it is called is what matters."""
_CLOCKS_S = 0.01
"""How far two times of a report may be apart that are one moment: they are rounded."""
_LONGEST_S = 24 * 3600.0
_ANYTHING = ExpectedTask(OUTCOMES - {"skipped", "cached"})
_COMPARABLE = frozenset({0, 1})
"""Exit codes of a run that came to its own end."""
_STAGES = ("path", "import", "arguments", "init", "run", "callback")
_SAME_STAGE = {"result": "run", "error_callback": "run"}
"""In which order strikes come to strike."""
_GO_ON = frozenset({"hang.pipe_held", "payload.flood", "crash.del", "crash.del.argument"})
"""Kinds after which the task does its own work all the same."""
_GIVE_NOTHING = _GO_ON - {"crash.del"}
"""Kinds after which a further fault strikes."""
_SLOW = frozenset({"crash.memory", "crash.memory_child", "payload.huge", "payload.flood"})
_HUGE_BYTES = 128 * 1024 * 1024
"""More than any result that a fault returns."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A pipeline that is to be hurt."""

    file: Path
    plan: Plan
    arguments: tuple[str, ...] = ()
    """More of ``workflow run``: ``--var x=1`` and so on."""
    longest_s: float | None = None
    """When a run of it counts as hung; None: ten times the control, and a minute."""


@dataclass(frozen=True, slots=True)
class Control:
    """How the pipeline runs without faults."""

    evidence: Evidence
    digests: Mapping[str, str]
    """Of the result of each task that returned one."""

    @property
    def took_s(self) -> float:
        """The whole run."""
        return self.evidence.ended_s - self.evidence.began_s

    @property
    def steady(self) -> frozenset[str]:
        """Tasks whose result has the same digest where it was returned and where its callback was given it."""
        returned = {(e.task, e.detail) for e in self.evidence.journal if e.what == journal.ENDED}
        given = {(e.task, e.detail) for e in self.evidence.journal if e.what == journal.GIVEN}
        return frozenset(task for task, _digest in returned & given)


class NoControl(Exception):
    """The pipeline does not run by itself, so nothing can be said of it under faults; says why."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the user expects of the run, beyond the nine promises."""

    exit_code: int | None = None
    outcomes: Mapping[str, str | Collection[str]] = field(default_factory=dict)
    """By glob over ids and names: the outcome, or those that are allowed."""
    longest_s: float | None = None

    def __post_init__(self) -> None:
        for glob, allowed in self.outcomes.items():
            for name in [allowed] if isinstance(allowed, str) else allowed:
                if name not in OUTCOMES:
                    near = did_you_mean(name, OUTCOMES)
                    raise BadRule(f"{glob}: there is no outcome {name!r}" + (f", {near}" if near else ""))


def run_control(subject: Subject) -> Control:
    """Run it without faults.  Raises NoControl when it does not end by itself, or leaves no report."""
    longest_s = subject.longest_s or _LONGEST_S
    with place() as folder:
        evidence = perform(run_of(subject, {}), Expected({}, longest_s=longest_s), folder)
    if evidence.exit_code is None:
        raise NoControl(f"it had not ended after {longest_s:g} s, without any fault")
    said = evidence.stderr.strip().split("\n")
    if evidence.report is None:  # nothing was run: what is in the way stands first, and below it what helps
        raise NoControl(f"without any fault it leaves no report, and says: {said[0]}")
    if evidence.exit_code not in _COMPARABLE:
        raise NoControl(f"without any fault it leaves with exit code {evidence.exit_code}, and says: {said[-1]}")
    return Control(evidence, {entry.task: entry.detail for entry in evidence.journal if entry.what == journal.ENDED})


def in_common(plan: Plan, one: Control, other: Control) -> Control:
    """The first, and of results only what both returned: what differs is the pipeline's own doing.

    Where one instance of a task differs, none of its instances is compared: what they all measure (a time, rounded)
    may be the same in two runs by chance, and differ in the third.
    """
    differ = {task for task, digest in one.digests.items() if other.digests.get(task) != digest}
    vary = {task.name for task in plan.tasks if task.id in differ}
    same = {task.id: one.digests[task.id] for task in plan.tasks if task.id in one.digests and task.name not in vary}
    return replace(one, digests=same)


def check_pipeline(
    subject: Subject, control: Control, struck: Mapping[str, Sequence[Strike]], name: str, seed: int, reproduce: str,
    hypothesis: Hypothesis | None = None,
) -> Result:  # fmt: skip
    """Run it under these strikes, and judge it."""
    began_s = time.monotonic()
    try:
        limit_s = subject.longest_s or _limit_s(subject, control, struck)
        with place() as folder:
            run = run_of(subject, injections(subject.plan, control, struck))
            evidence = perform(run, Expected({}, longest_s=limit_s), folder)
        verdicts = _judge(subject, control, struck, evidence, limit_s, hypothesis or Hypothesis())
        if _results_differ(verdicts):
            control = in_common(subject.plan, control, run_control(subject))
            verdicts = _judge(subject, control, struck, evidence, limit_s, hypothesis or Hypothesis())
    except Interrupted:
        raise
    except Exception:  # noqa: BLE001  an error of ours is the result, not the end of the session
        return Result(name, seed, (), time.monotonic() - began_s, reproduce, traceback.format_exc())
    held = all(verdict.finding.passes for verdict in verdicts)
    injected = tuple(told(struck))
    details = "" if held else "\n".join([details_of(evidence, verdicts), "faults injected:", *injected])
    outcomes = {id_: str(task["outcome"]) for id_, task in evidence.tasks.items()}
    return Result(name, seed, verdicts, time.monotonic() - began_s, reproduce, None, details, injected, outcomes)


def untested(result: Result) -> Result:
    """A result of a run in which no fault struck: whatever came of it, nothing was tested."""
    reason = "no fault struck any task, so nothing was tested; another seed may, or a higher probability"
    told_of = [
        Verdict(each.promise, Finding.UNJUDGED, (reason,)) if each.promise == 2 and each.finding.passes else each
        for each in result.verdicts
    ]
    return replace(result, verdicts=tuple(told_of))


def drawn(subject: Subject, control: Control, rules: Sequence[Rule], seed: int) -> dict[str, tuple[Strike, ...]]:
    """The strikes that the rules and the seed give, as far as they can fire."""
    return applicable(control, draw(rules, subject.plan, seed))


def name_of(subject: Subject, struck: Mapping[str, Sequence[Strike]]) -> str:
    """What a run under these strikes is called."""
    faults = sum(map(len, struck.values()))
    return f"{subject.file.name}, {faults} fault{'s' if faults != 1 else ''}"


def sweep(subject: Subject, control: Control, kind: str) -> Iterator[dict[str, tuple[Strike, ...]]]:
    """The fault at the first task that it can strike, the second, the third … and at last at none."""
    every = {task.id: (Strike(kind, None),) for task in subject.plan.tasks if task.kind in KINDS[kind].tasks}
    for task, strikes in applicable(control, every).items():
        yield {task: strikes}
    yield {}


def injections(plan: Plan, control: Control, struck: Mapping[str, Sequence[Strike]]) -> dict[str, Injected]:
    """The strikes, with limits lowered where a fault would only wait for them."""
    found = {}
    for task in plan.tasks:
        strikes = tuple(struck.get(task.id, ()))
        if not strikes:
            continue
        kinds = [KINDS[strike.kind] for strike in strikes]
        waits = any(kind.hangs or kind.memory is not None for kind in kinds)
        shortest_s = SLOW_S if any(kind.memory is not None for kind in kinds) else SHORTEST_S
        timeout_s = max(shortest_s, 3 * _duration_s(control, task.id)) if waits else None
        calls = any(kind.callback == "timed_out" for kind in kinds)
        found[task.id] = Injected(strikes, timeout_s, CALLBACK_S if calls else None, GRACE_S if waits else None)
    return found


def applicable(control: Control, struck: Mapping[str, Sequence[Strike]]) -> dict[str, tuple[Strike, ...]]:
    """The strikes that can fire: none on a task that never began, no fault of a callback where that is not called.

    A task of a pipeline file has one attempt, so a fault of the second cannot fire.
    """
    found = {}
    for task, strikes in struck.items():
        told_of = control.evidence.tasks.get(task, {"attempts": (), "outcome": "skipped"})
        able = tuple(
            strike
            for strike in strikes
            if told_of["attempts"]
            and strike.attempt in (None, 1)
            and (KINDS[strike.kind].stage != "callback" or told_of["outcome"] in _GOOD)
        )
        if able:
            found[task] = able
    return found


def expected_of(
    plan: Plan, control: Control, struck: Mapping[str, Sequence[Strike]], actual: Mapping[str, Mapping[str, Any]]
) -> dict[str, ExpectedTask]:
    """What each task had to come to; ``actual`` is what the report tells of each, where needs make that matter."""
    halts = _halts(plan)
    lowered = injections(plan, control, struck)
    outcomes = {id_: str(task["outcome"]) for id_, task in actual.items()}
    touched: set[str] = set()  # what a fault may have reached, through needs and results
    expected = {}
    for task in plan.tasks:
        strikes = struck.get(task.id, ())
        changed = any(id_ in touched for need in task.needs for id_ in need.ids)
        met = all(_is_met(need, outcomes) for need in task.needs)
        if not met:
            one = ExpectedTask(frozenset({"skipped"}), frozenset({None}))
        elif changed and _never_began(task.id, actual):
            one = _ANYTHING
        else:
            one = _of_control(control, task) if not changed else _as_it_ended(task.id, actual)
            if strikes:
                one = _of_strikes(strikes, task, plan, lowered[task.id], one)
        if strikes or changed or not met:
            touched.add(task.id)
        expected[task.id] = _if_halted(one, outcomes.get(task.id)) if halts else one
    return expected


def expected_of_run(
    plan: Plan, control: Control, struck: Mapping[str, Sequence[Strike]], evidence: Evidence, longest_s: float
) -> Expected:
    """What the whole run had to come to, given what its report tells."""
    tasks = expected_of(plan, control, struck, evidence.tasks)
    reached = {entry.task for entry in evidence.journal if entry.what in (journal.BEGAN, journal.FIRED)}
    for task in plan.tasks:
        # What it takes from a struck task may end it before its own fault has its moment.
        if task.id in struck and task.id not in reached and not task.uses_results.isdisjoint(struck):
            tasks[task.id] = ExpectedTask(OUTCOMES - {"cached"})
    codes = _exit_codes(plan, evidence.tasks)
    undisturbed = control.evidence.tasks.items()
    return Expected(
        tasks,
        codes,
        longest_s=longest_s,
        succeeding=frozenset(id_ for id_, told_of in undisturbed if told_of["outcome"] in _GOOD),
        takes={task.id: task.uses_results for task in plan.tasks if task.uses_results},
        reading=frozenset(task.id for task in plan.tasks if task.inputs or task.outputs),
        unsteady=frozenset(tasks) - control.steady,
    )


def _halts(plan: Plan) -> bool:
    return plan.settings.halt != "never" or plan.settings.timeout_s is not None


def _if_halted(one: ExpectedTask, outcome: str | None) -> ExpectedTask:
    """What may also come of a task in a run that can be ended before its time, by its limit or its failures."""
    if outcome == "cancelled":
        return ExpectedTask(frozenset({"cancelled"}))
    if one.outcomes == {"cancelled"}:  # it was, in the control; here it came first
        return ExpectedTask(OUTCOMES - {"cached"})
    return replace(one, outcomes=one.outcomes | {"cancelled"})


def run_of(subject: Subject, injected: Mapping[str, Injected]) -> Run:
    """How it is run."""
    # Sets of text are pickled in an order that changes from process to process, unless the hashes are told to stay.
    environment = {} if "PYTHONHASHSEED" in os.environ else {"PYTHONHASHSEED": "0"}
    return Run(
        (str(subject.file), *subject.arguments), injected=injected, environment=environment, cwd=Path.cwd()
    )  # fmt: skip


def _limit_s(subject: Subject, control: Control, struck: Mapping[str, Sequence[Strike]]) -> float:
    waits = injections(subject.plan, control, struck).values()
    limits = sum((each.timeout_s or 0) + GRACE_S + (each.callback_timeout_s or 0) for each in waits)
    return 60 + 10 * control.took_s + limits


def _judge(
    subject: Subject, control: Control, struck: Mapping[str, Sequence[Strike]], evidence: Evidence, limit_s: float,
    hypothesis: Hypothesis,
) -> tuple[Verdict, ...]:  # fmt: skip
    expected = expected_of_run(subject.plan, control, struck, evidence, limit_s)
    evidence = without_its_own(evidence, control)
    checks: dict[int, Check] = {2: _outcomes_check(subject.plan, hypothesis, struck), 5: _ending_check(hypothesis)}
    return judged(Trial(run_of(subject, {}), expected, checks), evidence)


def _results_differ(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.promise == 6 and verdict.finding is Finding.BROKEN for verdict in verdicts)


def without_its_own(evidence: Evidence, control: Control) -> Evidence:
    """The evidence without what the pipeline leaves by itself."""
    return replace(evidence, left=tuple(_not_its_own(evidence.left, control.evidence.left)))


def _not_its_own(left: Sequence[str], left_without: Sequence[str]) -> Iterator[str]:
    """What was left but for temporary files, if the pipeline leaves such by itself: their names tell nothing."""
    sloppy = any(each.startswith(TEMPORARY) for each in left_without)
    return (each for each in left if not (sloppy and each.startswith(TEMPORARY)))


def _exit_codes(plan: Plan, actual: Mapping[str, Mapping[str, Any]]) -> frozenset[int]:
    wrong = _BAD | {"cancelled"}
    told_of = ((task, actual.get(task.id)) for task in plan.tasks)
    failed = any(told is not None and told["outcome"] in wrong and not task.allow_failure for task, told in told_of)
    return frozenset({int(failed)} | ({124} if plan.settings.timeout_s is not None else set()))


def _as_it_ended(task: str, actual: Mapping[str, Mapping[str, Any]]) -> ExpectedTask:
    """What is expected of a task that a fault has reached by way of others: anything, and that it is one thing."""
    outcome = actual[task]["outcome"] if task in actual else None
    return ExpectedTask(frozenset({outcome})) if outcome in _ANYTHING.outcomes else _ANYTHING


def _never_began(task: str, actual: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether it ended without an attempt: a result that it takes could not be put into it."""
    return task in actual and not actual[task]["attempts"]


def _is_met(need: Need, actual: Mapping[str, str]) -> bool:
    ends = [actual.get(id_) for id_ in need.ids]
    if need.status == "success":
        return all(end in _GOOD for end in ends)
    return need.status == "any" or any(end in _BAD for end in ends)


def _of_control(control: Control, task: PlannedTask) -> ExpectedTask:
    told_of = control.evidence.tasks[task.id]
    callback = told_of["callback"]["outcome"] if told_of["callback"] else None
    return ExpectedTask(
        frozenset({told_of["outcome"]}),
        frozenset({callback}),
        attempts=len(told_of["attempts"]),
        digest=control.digests.get(task.id) if told_of["outcome"] == "succeeded" else None,
    )


def _of_strikes(
    strikes: Sequence[Strike], task: PlannedTask, plan: Plan, injected: Injected, undisturbed: ExpectedTask
) -> ExpectedTask:
    fired, after = _course([KINDS[strike.kind] for strike in strikes])
    kind = fired[-1] if fired else after[0]
    if kind.outcome == "succeeded" and not _replaces_result(kind):  # the task's own code runs after it
        outcomes = undisturbed.outcomes
    else:
        outcomes = frozenset({kind.outcome})
    callback_error = None
    if not after or kind.id.startswith("crash.unpickle_result"):
        callback = _callback_of(kind, undisturbed, task)
        if kind.stage == "error_callback":
            callback_error = kind.callback_error
    elif outcomes == {"succeeded"}:
        fired = (*fired, after[0])  # the first of them keeps the callback from meeting another
        callback = frozenset({after[0].callback})
        callback_error = after[0].callback_error
    else:
        callback = None
    limits = [limit for limit in (task.timeout_s, injected.timeout_s) if limit is not None]
    limit_s = min(limits, default=None)
    one = struck_by(
        kind,
        outcomes=outcomes,
        callback=callback,
        callback_error=callback_error,
        faults=tuple(each.id for each in fired),
        timeout_s=limit_s,
        grace_s=task.grace_s if injected.grace_s is None else min(task.grace_s, injected.grace_s),
        left=None,  # the task's own code may leave some too
    )
    if limit_s is not None and limit_s < SLOW_S and any(each.id in _SLOW for each in fired):
        return replace(one, outcomes=outcomes | {"timed_out"}, callback=None, callback_error=None)
    most = plan.settings.max_result_bytes
    if kind.id == "payload.huge" and most is not None and most < _HUGE_BYTES:
        return replace(one, outcomes=outcomes | {"failed"}, callback=None, callback_error=None)
    return one


def _course(kinds: Sequence[Kind]) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
    """Which of them come to strike the task, up to the one that decides; and those that wait for its callback."""
    ordered = sorted(kinds, key=lambda kind: _STAGES.index(_SAME_STAGE.get(kind.stage, kind.stage)))
    fired: list[Kind] = []
    for kind in ordered:
        if kind.stage != "callback":
            fired.append(kind)
            if kind.id not in _GIVE_NOTHING:
                break
    return tuple(fired), tuple(kind for kind in ordered if kind.stage == "callback")


def _replaces_result(kind: Kind) -> bool:
    return kind.stage != "callback" and kind.id not in _GO_ON


def _callback_of(kind: Kind, undisturbed: ExpectedTask, task: PlannedTask) -> frozenset[str | None] | None:
    """What becomes of the callback; None where it cannot be told whether the task has one for such an ending."""
    if kind.stage in ("callback", "error_callback"):
        return frozenset({kind.callback})
    if kind.callback is not None:  # of the task's callback, if it has one
        return frozenset({kind.callback, None})
    if kind.outcome == "succeeded":
        return undisturbed.callback
    if task.kind == "module":
        return None  # whether its Model has an error_callback, nobody here knows
    return _ENDINGS if task.on_failure is not None else frozenset({None})


def _outcomes_check(plan: Plan, hypothesis: Hypothesis, struck: Mapping[str, Sequence[Strike]]) -> Check:
    def check(evidence: Evidence) -> Iterator[str]:
        if _halts(plan) and struck and not any(entry.what == journal.FIRED for entry in evidence.journal):
            yield "no fault fired before the run was ended"  # where a run goes on to its end, each must fire
        yield from _out_of_order(plan, evidence)
        for glob, outcomes in hypothesis.outcomes.items():
            allowed = {outcomes} if isinstance(outcomes, str) else set(outcomes)
            for task in plan.tasks:
                if not (fnmatchcase(task.id, glob) or fnmatchcase(task.name, glob)):
                    continue
                outcome = evidence.tasks.get(task.id, {}).get("outcome")
                if outcome not in allowed:
                    yield f"{task.id} is {outcome}; [expect] says {glob} is {' or '.join(sorted(allowed))}"

    return check


def _out_of_order(plan: Plan, evidence: Evidence) -> Iterator[str]:
    """Tasks that began before what they need had ended, by the report's own times."""
    ends = {}
    for id_, told_of in evidence.tasks.items():
        if told_of["attempts"]:
            last = told_of["attempts"][-1]
            ends[id_] = datetime.fromisoformat(last["started_at"]).timestamp() + last["duration_s"]
    for task in plan.tasks:
        attempts = evidence.tasks.get(task.id, {}).get("attempts")
        if not attempts:
            continue
        began = datetime.fromisoformat(attempts[0]["started_at"]).timestamp()
        early = [id_ for need in task.needs for id_ in need.ids if ends.get(id_, began) > began + _CLOCKS_S]
        if early:
            yield f"{task.id} began before {early[0]}, which it needs, had ended"


def _ending_check(hypothesis: Hypothesis) -> Check:
    def check(evidence: Evidence) -> Iterator[str]:
        if hypothesis.exit_code is not None and evidence.exit_code != hypothesis.exit_code:
            yield f"exit code {evidence.exit_code}; [expect] says {hypothesis.exit_code}"
        took_s = evidence.ended_s - evidence.began_s
        if hypothesis.longest_s is not None and took_s > hypothesis.longest_s:
            yield f"it took {took_s:.1f} s; [expect] says at most {hypothesis.longest_s:g} s"

    return check


def _duration_s(control: Control, task: str) -> float:
    attempts = control.evidence.tasks[task]["attempts"]
    return max((attempt["duration_s"] for attempt in attempts), default=0.0)
