"""The judge: what a trial shows of each promise.  Pure: evidence in, finding out.

What is late, lost or doubled is told by the trial's journal and by who was seen alive when; nothing is asked of the
pools themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.promises.notes import OUTCOME, PUSHED, REFUSED
from bench.promises.scenarios import (
    BOUND_S,
    GONE_S,
    GRACE_S,
    LATE_NAMES,
    LATE_S,
    LIMIT_S,
    Needs,
    Promise,
    Scenario,
    number_of,
)
from workflow.harness import journal
from workflow.harness.census import LOOK_S
from workflow.harness.evidence import Evidence
from workflow.harness.faulty import digest_of
from workflow.harness.neighbours import value_of
from workflow.harness.victims import ACTS


@dataclass(frozen=True, slots=True)
class Finding:
    """What one trial showed."""

    broken: Mapping[Promise, tuple[str, ...]] = field(default_factory=dict)
    """Each promise that was not kept, and why."""
    unjudged: str = ""
    """Why nothing can be said, if so: the fault did not strike."""

    @property
    def held(self) -> bool:
        return not self.broken and not self.unjudged

    @property
    def code(self) -> str:
        """Its letters, in the order of the promises; nothing when all is well."""
        return "?" if self.unjudged else "".join(promise.value for promise in Promise if promise in self.broken)


def judge(evidence: Evidence, scenario: Scenario, asked: frozenset[Promise]) -> Finding:
    """The finding on one trial of a scenario."""
    if evidence.missed:
        return Finding(unjudged="; ".join(evidence.missed))
    fired = any(entry.what == journal.FIRED and entry.detail == scenario.kind for entry in evidence.journal)
    if scenario.kind and not fired:
        last = evidence.stderr.strip().splitlines()[-1:] or ["(it said nothing)"]
        return Finding(unjudged=f"the fault did not strike; exit code {evidence.exit_code}: {last[0]}")
    if scenario.needs is Needs.CALLBACK_LIMIT and Promise.ENDS not in asked:
        scenario = replace(scenario, victims=0)  # it is about the others
    broken = {}
    for promise in Promise:
        if promise in asked:
            reasons = tuple(_JUDGES[promise](evidence, scenario))
            # Of a program that had to be killed nothing can be left, and that it did not end is told already.
            if reasons and not (promise is Promise.LEFT and evidence.exit_code is None):
                broken[promise] = reasons
    return Finding(broken)


def _one_outcome(evidence: Evidence, scenario: Scenario) -> Iterator[str]:
    outcomes = Counter(entry.task for entry in evidence.journal if entry.what in (OUTCOME, REFUSED))
    refused = {entry.task for entry in evidence.journal if entry.what == REFUSED}
    calls = Counter(entry.task for entry in evidence.journal if entry.what == journal.CALLBACK)
    for name in _expected(evidence, scenario):
        if outcomes[name] != 1:
            yield f"{name}: {outcomes[name]} outcomes"
        least = 0 if name in refused or (name.startswith("victim") and not scenario.called_once) else 1
        if not least <= calls[name] <= 1:
            yield f"{name}: {calls[name]} calls of its callback"


def _right_outcome(evidence: Evidence, scenario: Scenario) -> Iterator[str]:
    outcomes = _outcomes(evidence)
    for name in scenario.victim_names:
        if name in outcomes:  # the lack of one is told by another promise
            word, _, detail = outcomes[name].partition(" ")
            if word not in scenario.right:
                yield f"{name}: {outcomes[name]}"
            elif scenario.kind == "payload.huge" and detail != digest_of(ACTS[scenario.kind]()):
                yield f"{name}: another result"


def _dead_in_time(evidence: Evidence, scenario: Scenario) -> Iterator[str]:
    for name in scenario.victim_names:
        entries = [entry for entry in evidence.journal if entry.task == name]
        struck = [entry for entry in entries if entry.what in (journal.BEGAN, journal.FIRED)]
        if not struck:
            continue
        latest_s = struck[0].at_s + LIMIT_S + GRACE_S + LATE_S + LOOK_S
        over = any(entry.what == journal.ENDED and entry.at_s <= latest_s for entry in entries)
        family = _descendants(struck[0].pid, evidence)
        for sighting in evidence.sightings:
            if sighting.pid not in family and (sighting.pid != struck[0].pid or over):
                continue
            if sighting.last_s > latest_s:
                late_s = sighting.last_s - latest_s
                yield f"{name}: {sighting.command!r} was alive {late_s:.1f} s after that"
            elif sighting.last_s > evidence.ended_s + GONE_S - LATE_S:
                yield f"{name}: {sighting.command!r} had outlived the program, which alone could have ended it"


def _nothing_left(evidence: Evidence, _scenario: Scenario) -> Iterator[str]:
    yield from evidence.left


def _ends(evidence: Evidence, _scenario: Scenario) -> Iterator[str]:
    if evidence.exit_code is None:
        yield f"the program had not ended after {BOUND_S:g} s"


def _neighbours_unaffected(evidence: Evidence, scenario: Scenario) -> Iterator[str]:
    outcomes = _outcomes(evidence)
    begun = Counter(entry.task for entry in evidence.journal if entry.what == journal.BEGAN)
    for name in _expected(evidence, scenario):
        if name.startswith("victim"):
            continue
        if outcomes.get(name) != f"succeeded {digest_of(value_of(number_of(name)))}":
            yield f"{name}: {outcomes.get(name, 'no outcome')}"
        if begun[name] > 1:
            yield f"{name}: run {begun[name]} times"


_JUDGES = {
    Promise.OUTCOME: _one_outcome,
    Promise.RIGHT: _right_outcome,
    Promise.DEAD: _dead_in_time,
    Promise.LEFT: _nothing_left,
    Promise.ENDS: _ends,
    Promise.NEIGHBOURS: _neighbours_unaffected,
}


def _expected(evidence: Evidence, scenario: Scenario) -> Sequence[str]:
    """The first tasks in any case; the late ones if it came to that."""
    pushed = {entry.task for entry in evidence.journal if entry.what == PUSHED}
    return [
        *scenario.victim_names,
        *scenario.neighbour_names,
        *(name for name in LATE_NAMES if name in pushed),
    ]


def _outcomes(evidence: Evidence) -> dict[str, str]:
    return {entry.task: entry.detail for entry in evidence.journal if entry.what in (OUTCOME, REFUSED)}


def _descendants(pid: int, evidence: Evidence) -> set[int]:
    """Those whose parents, when they were first seen, lead up to it."""
    found = {pid}
    grown = True
    while grown:
        more = {sighting.pid for sighting in evidence.sightings if sighting.parent in found} - found
        found |= more
        grown = bool(more)
    return found - {pid}
