"""A scenario: one fault, prepared, made, and judged; and its result."""

from __future__ import annotations

import random
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from workflow.harness.aftermath import expected_after
from workflow.harness.batch import Batch
from workflow.harness.blows import Blow
from workflow.harness.evidence import Evidence, Expected
from workflow.harness.experiment import Interrupted, Run, perform
from workflow.harness.folders import place
from workflow.harness.oracle import Finding, Unjudged, Verdict, judge

_LOGS_MAX = 4
_LOG_LINES = 12


class CannotBeMade(Exception):
    """The fault cannot be made on this machine, or not by this user; says why.  The scenario does not pass then."""


Check = Callable[[Evidence], Iterator[str]]
"""More than the nine promises say: yields what is broken, raises ``Unjudged`` where evidence is missing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is run, and what it has to come to."""

    run: Run
    expected: Expected
    checks: Mapping[int, Check] = field(default_factory=dict)
    """More to be judged, by the promise that it belongs to."""
    forgiving: bool = False
    """Whether the blows may cost what they justify (see ``aftermath``): for those whose victim is not known before."""
    beside: Trial | None = None
    """What is performed at the same time, and judged as well."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One entry of the catalogue."""

    id: str
    fault: str
    """What goes wrong."""
    must: str
    """What has to come of it."""
    prepare: Callable[[Path, random.Random], Trial]
    """Writes what it needs into the folder it is given; what is drawn is drawn from the seed."""
    smoke: bool = False
    """Whether it is quick, and stands for others."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario, with one seed."""

    name: str
    seed: int
    verdicts: tuple[Verdict, ...]
    duration_s: float
    reproduce: str
    """The one line that does it again."""
    error: str | None = None
    """What went wrong in the harness itself."""
    details: str = ""
    """What a person needs to understand a failure: the last words of the run, its stacks."""
    injected: tuple[str, ...] = ()
    """Into a user's pipeline: each fault and its task."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Of a user's pipeline: how each task ended, by id."""

    @property
    def passed(self) -> bool:
        """Whether every promise holds or does not apply, and the harness did its work."""
        return self.error is None and bool(self.verdicts) and all(v.finding.passes for v in self.verdicts)

    def explain(self) -> str:
        """The story for people: which promises did not hold and why, what the run said, and how to do it again."""
        from workflow.harness.results import story

        if self.passed:
            return f"{self.name}: every promise held\n  again: {self.reproduce}"
        return f"{self.name}: {'the harness itself failed' if self.error else 'not every promise held'}\n{story(self)}"


def check(scenario: Scenario, seed: int) -> Result:
    """Run a scenario and judge it.  Never raises for what the scenario does; an error of ours is in the result."""
    began_s = time.monotonic()
    reproduce = f"workflow chaos --scenario {scenario.id} --seed {seed}"
    try:
        with place() as folder:
            trial = scenario.prepare(folder, random.Random(f"{seed} {scenario.id}"))
            verdicts, details = carried_out(trial, folder)  # while the folder is there: checks may look into it
    except Interrupted:
        raise
    except CannotBeMade as reason:
        return Result(scenario.id, seed, (), time.monotonic() - began_s, reproduce, f"cannot be made here: {reason}")
    except Exception:  # noqa: BLE001  whatever it is, the other scenarios are to be run
        return Result(scenario.id, seed, (), time.monotonic() - began_s, reproduce, traceback.format_exc())
    return Result(scenario.id, seed, verdicts, time.monotonic() - began_s, reproduce, None, details)


def carried_out(trial: Trial, folder: Path) -> tuple[tuple[Verdict, ...], str]:
    """Perform and judge a trial, and the one beside it; the details are of what did not hold."""
    if trial.beside is None:
        evidence = perform(trial.run, trial.expected, folder)
        return _told(trial, evidence)
    other = folder / "beside"
    other.mkdir()
    with ThreadPoolExecutor(1) as threads:
        beside = threads.submit(perform, trial.beside.run, trial.beside.expected, other)
        evidence = perform(trial.run, trial.expected, folder)
        second, more = _told(trial.beside, beside.result())
    first, details = _told(trial, evidence)
    return tuple(_worse(*pair) for pair in zip(first, second, strict=True)), f"{details}{more}"


def _told(trial: Trial, evidence: Evidence) -> tuple[tuple[Verdict, ...], str]:
    verdicts = judged(trial, evidence)
    return verdicts, "" if all(verdict.finding.passes for verdict in verdicts) else details_of(evidence, verdicts)


def _worse(one: Verdict, other: Verdict) -> Verdict:
    """What is to be said of both together."""
    order = (Finding.BROKEN, Finding.UNJUDGED, Finding.HELD, Finding.DOES_NOT_APPLY)
    finding = min(one.finding, other.finding, key=order.index)
    reasons = [reason for each in (one, other) if each.finding is finding for reason in each.reasons]
    return Verdict(one.promise, finding, tuple(dict.fromkeys(reasons)))


def judged(trial: Trial, evidence: Evidence) -> tuple[Verdict, ...]:
    """The verdicts on the nine promises, with what the trial adds to them."""
    expected = expected_after(trial.expected, evidence) if trial.forgiving else trial.expected
    return tuple(_with(verdict, trial.checks.get(verdict.promise), evidence) for verdict in judge(evidence, expected))


def _with(verdict: Verdict, more: Check | None, evidence: Evidence) -> Verdict:
    if more is None:
        return verdict
    try:
        broken = tuple(more(evidence))
    except Unjudged as missing:
        known = verdict.finding is Finding.BROKEN
        return verdict if known else Verdict(verdict.promise, Finding.UNJUDGED, (*verdict.reasons, str(missing)))
    if broken:
        return Verdict(verdict.promise, Finding.BROKEN, (*verdict.reasons, *broken))
    if verdict.finding is Finding.DOES_NOT_APPLY:
        return Verdict(verdict.promise, Finding.HELD)  # the check is what it was judged by
    return verdict


def details_of(evidence: Evidence, verdicts: Sequence[Verdict]) -> str:
    """The end of what the run said, what was done to it, and where it was when it hung.

    Also the ends of the logs of tasks that the verdicts are about, for the run's folder goes with the check; of the
    first few that did not succeed, when they are about none.
    """
    gone = " (its folder is gone; the logs that matter are below)" if evidence.logs else ""
    parts = [f"what it said last{gone}:\n{evidence.stderr[-2000:].strip()}"]
    reasons = [reason for verdict in verdicts if not verdict.finding.passes for reason in verdict.reasons]
    named = [id_ for id_ in evidence.logs if any(_names(reason, id_) for reason in reasons)]
    for id_ in (named or list(evidence.logs))[:_LOGS_MAX]:
        lines = evidence.logs[id_].split("\n")[-_LOG_LINES:]
        parts.append("\n".join([f"the end of the log of {id_}:", *(f"  {line}" for line in lines)]))
    if evidence.struck:
        blows = "\n".join(
            f"  {blow.at_s - evidence.began_s:7.3f} s  {blow.signal} to {blow.role} {blow.pid}"
            for blow in evidence.struck
        )
        parts.append(f"what was done to it:\n{blows}")
    if evidence.stacks:
        parts.append(f"where it hung:\n{evidence.stacks}")
    return "\n".join(parts)


def _names(reason: str, id_: str) -> bool:
    return re.search(rf"(?<![\w.@=+%-]){re.escape(id_)}(?![\w@=+%-])", reason) is not None


def of_batch(
    batch: Batch, *, blows: Sequence[Blow] = (), point: str | None = None, checks: Mapping[int, Check] | None = None,
    forgiving: bool = False, **more: object,
) -> Callable[[Path, random.Random], Trial]:  # fmt: skip
    """The preparation of a scenario that is a batch; ``more`` changes what is expected of it."""

    def prepare(folder: Path, _draw: random.Random) -> Trial:
        return Trial(batch.run(folder, blows, point), batch.expected(**more), checks or {}, forgiving)

    return prepare
