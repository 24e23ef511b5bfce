"""What the judge makes of evidence, and where the evidence comes from, without a run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workflow.harness import journal
from workflow.harness.batch import Batch
from workflow.harness.census import Census, Sample, Sighting, withheld_s
from workflow.harness.evidence import Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.journal import Entry
from workflow.harness.oracle import Finding, Unjudged, Verdict, judge
from workflow.harness.scenario import Trial, details_of, judged


def evidence_of(tasks: Sequence[dict[str, Any]], entries: Sequence[Entry], **more: object) -> Evidence:
    """As much evidence as these judgements need."""
    events = [{"event": "task_finished", "task": task["id"], "outcome": task["outcome"]} for task in tasks]
    report = {"tasks": list(tasks), "counts": {}, "run": {"exit_code": 0}}
    found = Evidence(0, 0.0, 9.0, "", "", report, events, entries, (), ())
    return replace(found, **more)  # type: ignore[arg-type]


def task(id_: str, outcome: str, callback: str | None = "succeeded") -> dict[str, Any]:
    attempts = [{"number": 1, "outcome": outcome}]
    told = None if callback is None else {"name": "x", "outcome": callback}
    return {"id": id_, "outcome": outcome, "attempts": attempts, "callback": told}


def verdict_on(promise: int, evidence: Evidence, **expected: ExpectedTask) -> Verdict:
    return judge(evidence, Expected(expected))[promise - 1]


@pytest.mark.parametrize(
    ("outcome", "called", "finding"),
    [
        ("succeeded", "callback", Finding.HELD),
        ("succeeded", "error_callback", Finding.BROKEN),
        ("timed_out", "error_callback", Finding.HELD),
        ("timed_out", "callback", Finding.BROKEN),
    ],
)
def test_the_callback_has_to_be_the_one_for_the_outcome(outcome: str, called: str, finding: Finding) -> None:
    """``callback`` after success, ``error_callback`` after any other ending."""
    evidence = evidence_of([task("a", outcome)], [Entry(1.0, 7, journal.CALLBACK, "a", 0, called)])
    expected = ExpectedTask(frozenset({outcome}), callback=frozenset({"succeeded"}))
    assert verdict_on(7, evidence, a=expected).finding is finding


@pytest.mark.parametrize(("outcome", "finding"), [("succeeded", Finding.DOES_NOT_APPLY), ("timed_out", Finding.BROKEN)])
def test_a_worker_may_outlive_the_limit_of_a_task_that_kept_it(outcome: str, finding: Finding) -> None:
    """A task that may succeed or time out: only if it timed out must its worker be dead."""
    lives_on = Sighting(7, 1, "worker", 6, 7, "worker", 0.5, 8.0)
    entries = [Entry(1.0, 7, journal.BEGAN, "a", 1)]
    evidence = evidence_of([task("a", outcome)], entries, sightings=(lives_on,))
    expected = ExpectedTask(frozenset({"succeeded", "timed_out"}), timeout_s=0.1, grace_s=0.1)
    assert verdict_on(3, evidence, a=expected).finding is finding


def _missing(_evidence: Evidence) -> Iterator[str]:
    raise Unjudged("nothing was seen")
    yield ""


def _broken(_evidence: Evidence) -> Iterator[str]:
    yield "it is wrong"


@pytest.mark.parametrize(("check", "finding"), [(_missing, Finding.UNJUDGED), (_broken, Finding.BROKEN)])
def test_what_a_trial_adds_counts_for_its_promise(check: Any, finding: Finding) -> None:
    """Missing evidence is no pass, and neither is a broken addition; other promises are untouched."""
    evidence = evidence_of([], [])
    trial = Trial(Run(()), Expected({}), {1: check})
    verdicts = judged(trial, evidence)
    assert (verdicts[0].finding, verdicts[6].finding) == (finding, Finding.HELD)


def test_time_without_a_processor_is_counted_from_the_looks_around_it() -> None:
    """Of the processes that are named, between the last look before and the first look after."""
    samples = [Sample(at, 7, "worker", 0, 1, 0, 0, waited) for at, waited in ((1, 0.1), (2, 0.2), (3, 0.5), (4, 0.9))]
    samples.append(Sample(2, 8, "worker", 0, 1, 0, 0, 5.0))
    assert withheld_s(samples, {7}, 2.5, 2.6) == pytest.approx(0.3)
    assert withheld_s(samples, {7, 8, 9}, 0.0, 9.0) == pytest.approx(0.8)


def test_a_look_tells_what_a_process_holds() -> None:
    """Descriptors, threads, memory and children that nobody reaped."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    census = Census("NOBODY=1", os.getpid())
    census._own = 0
    census._is_marked = lambda pid: pid == os.getpid()  # type: ignore[method-assign]
    try:
        census.look()
        thread.start()
        extra = os.open(os.devnull, os.O_RDONLY)
        census.look()
        os.close(extra)
    finally:
        go.set()
        thread.join()
        os.waitpid(child, 0)
    first, second = (sample for sample in census.samples if sample.pid == os.getpid())
    assert second.zombies == 1
    assert second.descriptors == first.descriptors + 1
    assert second.threads == first.threads + 1
    assert second.resident_bytes > 1 << 20


def test_a_victim_may_differ_from_its_kind(tmp_path: Path) -> None:
    """In its limits, which stand in the file too, and in what has to come of it."""
    batch = Batch(
        ["hang.sleep", "hang.sleep"],
        neighbours=0,
        changes={"hang_sleep_2": {"timeout_s": 3.5, "outcomes": frozenset({"crashed"})}},
        lines={"hang_sleep_2": 'needs = ["hang_sleep"]'},
    )
    text = batch.write(tmp_path).read_text()
    expected = batch.expected()
    assert "timeout = 3.5" in text.partition("hang_sleep_2")[2]
    assert 'needs = ["hang_sleep"]' in text
    assert "timeout = 0.8" in text.partition("hang_sleep_2")[0]
    assert expected.tasks["hang_sleep_2"].outcomes == {"crashed"}
    assert expected.tasks["hang_sleep"].outcomes == {"timed_out"}


def test_a_story_quotes_the_logs_of_those_it_is_about() -> None:
    """The folder that has them is gone; of none that a verdict names, the first that did not succeed are quoted."""
    report: dict[str, Any] = {"tasks": []}
    logs = {"bad": "one\ntwo\n" + "x\n" * 20 + "last", "good@1": "1", "good@10": "10"}
    found = Evidence(0, 0.0, 9.0, "", "the run's own", report, [], (), (), (), logs=logs)
    about = [Verdict(2, Finding.BROKEN, ("good@1 is failed, not succeeded",)), Verdict(7, Finding.HELD, ("bad",))]
    told = details_of(found, about)
    assert "the end of the log of good@1:\n  1" in told
    assert "log of bad" not in told and "good@10" not in told
    told = details_of(replace(found, logs={"bad": logs["bad"][:12]}), [])
    assert "the end of the log of bad:\n  one\n  two\n  x" in told
    assert details_of(found, []).count("  x\n") == 11
