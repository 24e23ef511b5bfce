"""A user's own pipeline under faults: what struck it, what had to come of that, and what did.

There is no table of right answers for somebody else's pipeline.  So it is run once without any fault, in the same
disguise: the *control*.  A task that no fault can reach has to come out as it did there, result included; one that was
struck has to come out as its kind of fault says; one behind a struck task has to be what the file's own ``needs`` say,
given how the others actually ended.  The price is one more run.

A result that differs from the control's may be the pipeline's own doing (a time, a pid): when some do, the control is
run once more, and what differs between the two controls is not compared.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workflow.harness import journal
from workflow.harness.evidence import OUTCOMES, Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Interrupted, Run, perform, place
from workflow.harness.faulty import Strike
from workflow.harness.injection import Injected
from workflow.harness.kinds import KINDS, Kind
from workflow.harness.oracle import Finding, Verdict
from workflow.harness.rules import Rule, told
from workflow.harness.scenario import Check, Result, Trial, details_of, judged
from workflow.plan.plan import Need, Plan, PlannedTask

SHORTEST_S = 2.0
"""The least that a struck task's limit is lowered to; three times its duration in the control, if that is more."""
CALLBACK_S = 2.0
GRACE_S = 1.0
_BAD = frozenset({"failed", "timed_out", "crashed", "memory_exceeded"})
_GOOD = frozenset({"succeeded", "cached"})
_LONGEST_S = 24 * 3600.0


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


class NoControl(Exception):
    """The pipeline does not run by itself, so nothing can be said of it under faults; says why."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the user expects of the run, beyond the nine promises."""

    exit_code: int | None = None
    outcomes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By glob over ids and names: the outcomes that are allowed."""
    longest_s: float | None = None


def run_control(subject: Subject) -> Control:
    """Run it without faults.  Raises NoControl when it does not end by itself, or leaves no report."""
    with place() as folder:
        evidence = perform(_run(subject, {}), Expected({}, longest_s=subject.longest_s or _LONGEST_S), folder)
    if evidence.exit_code is None:
        raise NoControl(f"it had not ended after {subject.longest_s:g} s, without any fault")
    if evidence.report is None:
        last = evidence.stderr.strip().rpartition("\n")[2]
        raise NoControl(f"without any fault it leaves no report, and says: {last}")
    return Control(evidence, {entry.task: entry.detail for entry in evidence.journal if entry.what == journal.ENDED})


def check_pipeline(
    subject: Subject, control: Control, struck: Mapping[str, Sequence[Strike]], name: str, seed: int, reproduce: str,
    hypothesis: Hypothesis | None = None,
) -> Result:  # fmt: skip
    """Run it under these strikes, and judge it."""
    began_s = time.monotonic()
    try:
        limit_s = subject.longest_s or _limit_s(subject, control, struck)
        with place() as folder:
            run = _run(subject, injections(subject.plan, control, struck))
            evidence = perform(run, Expected({}, longest_s=limit_s), folder)
        verdicts = _judge(subject, control, struck, evidence, limit_s, hypothesis or Hypothesis())
        if _results_differ(verdicts):
            again = run_control(subject)
            same = {task: digest for task, digest in control.digests.items() if again.digests.get(task) == digest}
            control = replace(control, digests=same)
            verdicts = _judge(subject, control, struck, evidence, limit_s, hypothesis or Hypothesis())
    except Interrupted:
        raise
    except Exception:  # noqa: BLE001  an error of ours is the result, not the end of the session
        return Result(name, seed, (), time.monotonic() - began_s, reproduce, traceback.format_exc())
    held = all(verdict.finding.passes for verdict in verdicts)
    injected = tuple(told(struck))
    details = "" if held else "\n".join([details_of(evidence), "faults injected:", *injected])
    outcomes = {id_: str(task["outcome"]) for id_, task in evidence.tasks.items()}
    return Result(name, seed, verdicts, time.monotonic() - began_s, reproduce, None, details, injected, outcomes)


def sweep(subject: Subject, control: Control, rule: Rule, seed: int, reproduce: str) -> Iterator[Result]:
    """The fault at the first task that it can strike, the second, the third … until a run meets none: that one too."""
    every = {task.id: (Strike(rule.kind, None),) for task in subject.plan.tasks if task.kind in KINDS[rule.kind].tasks}
    for task, strikes in applicable(control, every).items():
        yield check_pipeline(subject, control, {task: strikes}, f"{rule.kind} at {task}", seed, reproduce)
    yield check_pipeline(subject, control, {}, f"{rule.kind} at none", seed, reproduce)


def injections(plan: Plan, control: Control, struck: Mapping[str, Sequence[Strike]]) -> dict[str, Injected]:
    """The strikes, with limits lowered where a fault would only wait for them."""
    found = {}
    for task in plan.tasks:
        strikes = tuple(struck.get(task.id, ()))
        if not strikes:
            continue
        kinds = [KINDS[strike.kind] for strike in strikes]
        waits = any(kind.hangs or kind.memory is not None for kind in kinds)
        timeout_s = max(SHORTEST_S, 3 * _duration_s(control, task.id)) if waits else None
        calls = any(kind.callback == "timed_out" for kind in kinds)
        found[task.id] = Injected(strikes, timeout_s, CALLBACK_S if calls else None, GRACE_S if waits else None)
    return found


def applicable(control: Control, struck: Mapping[str, Sequence[Strike]]) -> dict[str, tuple[Strike, ...]]:
    """The strikes that can fire: none on a task that never began, no fault of a callback where that is not called."""
    found = {}
    for task, strikes in struck.items():
        told_of = control.evidence.tasks.get(task, {"attempts": (), "outcome": "skipped"})
        able = tuple(
            strike
            for strike in strikes
            if told_of["attempts"] and (KINDS[strike.kind].stage != "callback" or told_of["outcome"] in _GOOD)
        )
        if able:
            found[task] = able
    return found


def expected_of(
    plan: Plan, control: Control, struck: Mapping[str, Sequence[Strike]], actual: Mapping[str, str]
) -> dict[str, ExpectedTask]:
    """What each task had to come to; ``actual`` is how the others ended, where needs make that matter."""
    halted = plan.settings.halt != "never" or plan.settings.timeout_s is not None
    lowered = injections(plan, control, struck)
    touched: set[str] = set()  # what a fault may have reached, through needs and results
    expected = {}
    for task in plan.tasks:
        strikes = struck.get(task.id, ())
        before = [id_ for need in task.needs for id_ in need.ids]
        changed = touched.intersection(before)
        met = all(_is_met(need, actual) for need in task.needs)
        one = _of_control(control, task)
        if not met:
            one = ExpectedTask(frozenset({"skipped"}), frozenset({None}))
        elif strikes:
            one = _of_strikes(strikes, task, lowered[task.id], one)
        elif changed:
            one = ExpectedTask(OUTCOMES - {"skipped", "cached"})
        if strikes or changed or not met:
            touched.add(task.id)
        if halted:
            one = replace(
                one, outcomes=one.outcomes | {"cancelled"}, callback=None, faults=(), attempts=None, digest=None
            )
        expected[task.id] = one
    return expected


def _run(subject: Subject, injected: Mapping[str, Injected]) -> Run:
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
    actual = {id_: str(task["outcome"]) for id_, task in evidence.tasks.items()}
    tasks = expected_of(subject.plan, control, struck, actual)
    expected = Expected(tasks, _exit_codes(subject.plan, actual), longest_s=limit_s)
    checks: dict[int, Check] = {2: _outcomes_check(subject.plan, hypothesis), 5: _ending_check(hypothesis)}
    return judged(Trial(_run(subject, {}), expected, checks), evidence)


def _results_differ(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.promise == 6 and verdict.finding is Finding.BROKEN for verdict in verdicts)


def _exit_codes(plan: Plan, actual: Mapping[str, str]) -> frozenset[int]:
    wrong = _BAD | {"cancelled"}
    failed = any(actual.get(task.id) in wrong and not task.allow_failure for task in plan.tasks)
    return frozenset({int(failed)} | ({124} if plan.settings.timeout_s is not None else set()))


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
    strikes: Sequence[Strike], task: PlannedTask, injected: Injected, undisturbed: ExpectedTask
) -> ExpectedTask:
    kinds = [KINDS[strike.kind] for strike in strikes]
    if len(kinds) > 1 or any(strike.attempt is not None for strike in strikes):
        outcomes = frozenset(kind.outcome for kind in kinds) | undisturbed.outcomes
        return ExpectedTask(outcomes, faults=tuple(kind.id for kind in kinds if strikes[0].attempt in (None, 1))[:1])
    (kind,) = kinds
    if kind.outcome == "succeeded" and not _replaces_result(kind):  # the task's own code runs after it
        outcomes = undisturbed.outcomes
    else:
        outcomes = frozenset({kind.outcome})
    limits = [limit for limit in (task.timeout_s, injected.timeout_s) if limit is not None]
    return ExpectedTask(
        outcomes,
        _callback_of(kind, undisturbed),
        (kind.id,),
        timeout_s=min(limits, default=None),
        grace_s=min(task.grace_s, GRACE_S) if kind.hangs else task.grace_s,
        attempts=1,
        signal=kind.signal,
        exit_code=kind.exit_code,
        error=kind.error,
        says=kind.says,
        stack=kind.stack,
        traceback=kind.traceback,
    )


def _replaces_result(kind: Kind) -> bool:
    return kind.id == "payload.huge" or kind.id.startswith("crash.unpickle_result")


def _callback_of(kind: Kind, undisturbed: ExpectedTask) -> frozenset[str | None] | None:
    """What becomes of the callback; None where it cannot be told whether the task has one for such an ending."""
    if kind.stage in ("callback", "error_callback"):
        return frozenset({kind.callback})
    if kind.callback is not None:  # of the task's callback, if it has one
        return frozenset({kind.callback, None})
    return undisturbed.callback if kind.outcome == "succeeded" else None


def _outcomes_check(plan: Plan, hypothesis: Hypothesis) -> Check:
    from fnmatch import fnmatchcase

    def check(evidence: Evidence) -> Iterator[str]:
        for glob, allowed in hypothesis.outcomes.items():
            for task in plan.tasks:
                if not (fnmatchcase(task.id, glob) or fnmatchcase(task.name, glob)):
                    continue
                outcome = evidence.tasks.get(task.id, {}).get("outcome")
                if outcome not in allowed:
                    yield f"{task.id} is {outcome}; [expect] says {glob} is {' or '.join(sorted(allowed))}"

    return check


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
