"""Each promise: held on the evidence of a good run, broken by each distortion of it, not judged where some is missing.

The run had one task that hung and was ended at its limit, with a child; one neighbour; and both callbacks.  Resumed,
the first ran again, and the second was carried over.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from workflow.harness.census import Sighting
from workflow.harness.evidence import Evidence, Expected, ExpectedTask, Recorded, Resumed, Struck
from workflow.harness.journal import BEGAN, CALLBACK, ENDED, FIRED, GIVEN, GIVEN_ERROR, Entry, Spoilt
from workflow.harness.oracle import PROMISES, Finding, judge

HUNG, WORKER, CHILD, DISPATCHER = 50, 51, 60, 40
BROKEN, UNJUDGED, DOES_NOT_APPLY = Finding.BROKEN, Finding.UNJUDGED, Finding.DOES_NOT_APPLY


def sighting(pid: int, role: str, last_s: float, worker: int = 0) -> Sighting:
    return Sighting(pid, 7, role, 1, worker, f"a {role}", 100.2, last_s)


@pytest.fixture
def run() -> SimpleNamespace:
    """The run: what is known of it, and what was expected.  A test distorts either."""
    attempts = {
        "bad": [{"number": 1, "outcome": "timed_out", "signal": "SIGKILL", "exit_code": None, "left": 1,
                 "error": {"type": "TaskTimeout", "message": "killed at its limit", "traceback": None,
                           "stack": 'File "victims.py", line 99 in hang_sleep'}}],
        "good": [{"number": 1, "outcome": "succeeded", "signal": None, "exit_code": None, "left": 0, "error": None}],
    }  # fmt: skip
    outcomes = {"bad": "timed_out", "good": "succeeded"}
    events = [
        {"event": "run_started", "task": None},
        {"event": "attempt_finished", "task": "good", "attempt": 1, "outcome": "succeeded"},
        {"event": "task_finished", "task": "good", "outcome": "succeeded"},
        {"event": "callback_finished", "task": "good", "outcome": "succeeded"},
        {"event": "attempt_finished", "task": "bad", "attempt": 1, "outcome": "timed_out"},
        {"event": "task_finished", "task": "bad", "outcome": "timed_out"},
        {"event": "callback_finished", "task": "bad", "outcome": "succeeded"},
        {"event": "run_finished", "task": None, "exit_code": 1},
    ]
    tasks = [
        {"id": id_, "outcome": outcome, "reason": None, "attempts": attempts[id_], "callback": {"outcome": "succeeded"}}
        for id_, outcome in outcomes.items()
    ]
    return SimpleNamespace(
        exit_code=1,
        ended_s=103.0,
        stdout="",
        stderr="[1/2] succeeded  good\n",
        report={"run": {"exit_code": 1}, "counts": {"succeeded": 1, "timed_out": 1, "failed": 0}, "tasks": tasks},
        events=events,
        journal=[
            Entry(100.3, WORKER, BEGAN, "good", 1),
            Entry(100.4, WORKER, ENDED, "good", 1, "digest"),
            Entry(100.45, DISPATCHER, CALLBACK, "good", 0, "callback"),
            Entry(100.45, DISPATCHER, GIVEN, "good", 0, "digest"),
            Entry(100.5, HUNG, BEGAN, "bad", 1),
            Entry(100.5, HUNG, FIRED, "bad", 1, "hang.sleep"),
            Entry(102.2, DISPATCHER, CALLBACK, "bad", 0, "error_callback"),
            Entry(102.2, DISPATCHER, GIVEN_ERROR, "bad", 0, '["workflow.errors.TaskTimeout","TaskTimeout","bad",""]'),
        ],
        sightings=[
            sighting(10, "parent", 103.0),
            sighting(DISPATCHER, "dispatcher", 103.0),
            sighting(WORKER, "worker", 103.0, WORKER),
            sighting(HUNG, "worker", 101.8, HUNG),
            sighting(CHILD, "task", 101.8, HUNG),
        ],
        left=[],
        missed=[],
        spoilt=[],
        recorded=Recorded(1, outcomes),
        resumed=Resumed(
            0,
            "1-first",
            {
                "run": {"exit_code": 0},
                "tasks": [
                    {"id": "bad", "outcome": "succeeded", "carried_from": None, "attempts": [], "reason": None},
                    {"id": "good", "outcome": "succeeded", "carried_from": "1-first", "attempts": [], "reason": None},
                ],
            },
            [Entry(104.0, 80, BEGAN, "bad", 1)],
            "",
        ),
        expected=Expected(
            {
                "bad": ExpectedTask(
                    outcomes=frozenset({"timed_out"}),
                    callback=frozenset({"succeeded"}),
                    faults=("hang.sleep",),
                    timeout_s=0.8,
                    grace_s=0.4,
                    attempts=1,
                    signal="SIGKILL",
                    error="TaskTimeout",
                    says="at its limit",
                    stack="in hang_sleep",
                    left=1,
                ),
                "good": ExpectedTask(callback=frozenset({"succeeded"}), attempts=1, digest="digest"),
            },
            frozenset({1}),
            succeeding=frozenset({"bad", "good"}),
        ),
    )


def verdicts(run: SimpleNamespace) -> dict[int, Any]:
    facts = copy.deepcopy(vars(run))
    expected = facts.pop("expected")
    evidence = Evidence(began_s=100.0, **{"struck": (), **facts})
    return {verdict.promise: verdict for verdict in judge(evidence, expected)}


def task(run: SimpleNamespace, id_: str = "bad") -> Any:
    return next(each for each in run.report["tasks"] if each["id"] == id_)


def attempt(run: SimpleNamespace, **changes: Any) -> None:
    task(run)["attempts"][0].update(changes)


def error(run: SimpleNamespace, **changes: Any) -> None:
    task(run)["attempts"][0]["error"].update(changes)


def expect(run: SimpleNamespace, id_: str | None = None, **changes: Any) -> None:
    if id_ is None:
        run.expected = replace(run.expected, **changes)
    else:
        changed = replace(run.expected.tasks[id_], **changes)
        run.expected = replace(run.expected, tasks={**run.expected.tasks, id_: changed})


def without(items: list[Any], **facts: Any) -> None:
    """Take out what has these facts."""

    def has(item: Any) -> bool:
        values = item if isinstance(item, dict) else item._asdict()
        return all(values[name] == value for name, value in facts.items())

    taken = [item for item in items if has(item)]
    assert taken, facts
    for item in taken:
        items.remove(item)


def again(items: list[Any], **facts: Any) -> None:
    """Have what has these facts twice."""
    (item,) = [each for each in items if all(each.get(name) == value for name, value in facts.items())]
    items.insert(items.index(item), copy.deepcopy(item))


def event(run: SimpleNamespace, what: str, id_: str | None = "bad") -> Any:
    return next(each for each in run.events if each["event"] == what and each["task"] == id_)


def see(run: SimpleNamespace, pid: int, last_s: float) -> None:
    number, seen = next((n, s) for n, s in enumerate(run.sightings) if s.pid == pid)
    run.sightings[number] = seen._replace(last_s=last_s)


def unreported(run: SimpleNamespace) -> None:
    run.report = None
    expect(run, report=False)


def record(run: SimpleNamespace, **changes: Any) -> None:
    run.recorded = run.recorded._replace(**changes)


def resume(run: SimpleNamespace, **changes: Any) -> None:
    run.resumed = run.resumed._replace(**changes)


def resumed(run: SimpleNamespace, id_: str) -> Any:
    return next(each for each in run.resumed.report["tasks"] if each["id"] == id_)


def untold(run: SimpleNamespace) -> None:
    task(run)["callback"] = None
    expect(run, "bad", callback=frozenset({None}))


def test_a_good_run_keeps_every_promise(run: SimpleNamespace) -> None:
    """All nine of them."""
    found = verdicts(run)
    assert list(found) == list(PROMISES) == list(range(1, 10))
    assert {number: verdict.reasons for number, verdict in found.items() if verdict.reasons} == {}
    assert {verdict.finding for verdict in found.values()} == {Finding.HELD}


DISTORTIONS: list[tuple[int, Finding, str, Callable[[SimpleNamespace], Any]]] = [
    (1, BROKEN, "bad is 0 times in report.json", lambda run: run.report["tasks"].remove(task(run))),
    (1, BROKEN, "bad is 2 times in report.json", lambda run: again(run.report["tasks"], id="bad")),
    (1, BROKEN, "bad is in report.json and was not planned",
     lambda run: expect(run, tasks={"good": run.expected.tasks["good"]})),
    (1, BROKEN, "bad has 0 task_finished", lambda run: without(run.events, event="task_finished", task="bad")),
    (1, BROKEN, "bad has 2 task_finished", lambda run: again(run.events, event="task_finished", task="bad")),
    (1, BROKEN, "attempt 1 of good was begun 2 times",
     lambda run: run.journal.append(Entry(101.0, 52, BEGAN, "good", 1))),
    (1, UNJUDGED, "no readable events.jsonl", lambda run: vars(run).update(events=None)),
    (2, BROKEN, "bad is crashed, TaskTimeout: killed at its limit, not timed_out",
     lambda run: task(run).update(outcome="crashed")),
    (2, BROKEN, "good is failed, not succeeded", lambda run: task(run, "good").update(outcome="failed")),
    (2, BROKEN, "bad had 2 attempts, not 1", lambda run: again(task(run)["attempts"], number=1)),
    (2, BROKEN, "bad: signal is 'SIGTERM', not 'SIGKILL'", lambda run: attempt(run, signal="SIGTERM")),
    (2, BROKEN, "bad: exit_code is None, not 7", lambda run: expect(run, "bad", exit_code=7)),
    (2, BROKEN, "bad: left is 0, not 1", lambda run: attempt(run, left=0)),
    (2, BROKEN, "its error is a ValueError, not a TaskTimeout", lambda run: error(run, type="ValueError")),
    (2, BROKEN, "its error is a None, not a TaskTimeout", lambda run: attempt(run, error=None)),
    (2, BROKEN, "the message does not say 'at its limit'", lambda run: error(run, message="oh")),
    (2, BROKEN, "the stack does not say 'in hang_sleep'", lambda run: error(run, stack=None)),
    (2, BROKEN, "the traceback does not say 'KeyError'", lambda run: expect(run, "bad", traceback="KeyError")),
    (2, UNJUDGED, "the fault did not fire: hang.sleep on bad", lambda run: without(run.journal, what=FIRED)),
    (2, UNJUDGED, "the fault could not be made: SIGKILL to warden", lambda run: run.missed.append("SIGKILL to warden")),
    (2, UNJUDGED, "no readable report.json", lambda run: vars(run).update(report=None)),
    (2, DOES_NOT_APPLY, "killed before it could report", unreported),
    (3, BROKEN, "worker 50 (a worker) of bad was alive 0.28 s too long", lambda run: see(run, HUNG, 102.5)),
    (3, BROKEN, "task 60 (a task) of bad was alive 0.28 s too long", lambda run: see(run, CHILD, 102.5)),
    (3, UNJUDGED, "no process of the run was seen", lambda run: run.sightings.clear()),
    (3, DOES_NOT_APPLY, "no task reaches its limit", lambda run: expect(run, "bad", timeout_s=None)),
    (4, BROKEN, "worker 50 (sleep 1000)", lambda run: run.left.append("worker 50 (sleep 1000)")),
    (4, UNJUDGED, "no process of the run was seen", lambda run: run.sightings.clear()),
    (5, BROKEN, "it had not ended after 3.0 s", lambda run: vars(run).update(exit_code=None)),
    (5, BROKEN, "exit code 0, not 1; its last words: '[1/2] succeeded  good'",
     lambda run: vars(run).update(exit_code=0)),
    (5, BROKEN, "exit code -9, not 1", lambda run: vars(run).update(exit_code=-9)),
    (5, BROKEN, "it took 3.0 s, more than 2 s", lambda run: expect(run, longest_s=2.0)),
    (5, BROKEN, "a traceback of ours",
     lambda run: vars(run).update(stderr="oh\nTraceback (most recent call last):\n  File\n")),
    (5, BROKEN, "it does not say 'disk full'", lambda run: expect(run, says="disk full")),
    (6, BROKEN, "good returned something else",
     lambda run: run.journal.__setitem__(1, run.journal[1]._replace(detail="other"))),
    (6, BROKEN, "good succeeded, and never returned", lambda run: without(run.journal, what=ENDED)),
    (6, UNJUDGED, "no readable report.json", lambda run: vars(run).update(report=None)),
    (6, DOES_NOT_APPLY, "no neighbour has a result", lambda run: expect(run, "good", digest=None)),
    (6, DOES_NOT_APPLY, "no neighbour succeeded", lambda run: task(run, "good").update(outcome="cancelled")),
    (7, BROKEN, "the callback of bad was begun 2 times", lambda run: run.journal.append(run.journal[-2])),
    (7, BROKEN, "the callback of good was given another result than good returned",
     lambda run: run.journal.__setitem__(3, run.journal[3]._replace(detail="other"))),
    (7, BROKEN, "of bad was given another error than is told of bad: a TaskTimeout of good",
     lambda run: run.journal.__setitem__(-1, run.journal[-1]._replace(detail='["","TaskTimeout","good",""]'))),
    (7, BROKEN, "of bad was given another error than is told of bad: a KeyError, not TaskTimeout",
     lambda run: run.journal.__setitem__(-1, run.journal[-1]._replace(detail='["","KeyError",null,""]'))),
    (7, BROKEN, "the callback of bad is timed_out, not succeeded",
     lambda run: task(run).update(callback={"outcome": "timed_out"})),
    (7, BROKEN, "the callback of bad is None, not succeeded", lambda run: task(run).update(callback=None)),
    (7, BROKEN, "is said to have succeeded, and was never begun",
     lambda run: without(run.journal, what=CALLBACK, task="bad")),
    (7, BROKEN, "was begun, and is not told of", untold),
    (7, UNJUDGED, "no readable report.json", lambda run: vars(run).update(report=None)),
    (8, BROKEN, "report.json says exit code 0, the process 1", lambda run: run.report["run"].update(exit_code=0)),
    (8, BROKEN, "counts {'succeeded': 2} do not count", lambda run: run.report.update(counts={"succeeded": 2})),
    (8, BROKEN, "bad is timed_out in report.json and failed in events.jsonl",
     lambda run: event(run, "task_finished").update(outcome="failed")),
    (8, BROKEN, "events.jsonl has 0 run_finished", lambda run: without(run.events, event="run_finished")),
    (8, BROKEN, "events.jsonl has 0 run_finished", lambda run: run.events.clear()),
    (8, BROKEN, "or something behind it", lambda run: run.events.append({"event": "task_slow", "task": "bad"})),
    (8, BROKEN, "run_finished says exit code 0", lambda run: event(run, "run_finished", None).update(exit_code=0)),
    (8, BROKEN, "attempt 1 of bad has 0 attempt_finished, and is in report.json",
     lambda run: without(run.events, event="attempt_finished", task="bad")),
    (8, BROKEN, "attempt 2 of bad has 1 attempt_finished, and is not in report.json",
     lambda run: run.events.insert(1, {**event(run, "attempt_finished"), "attempt": 2})),
    (8, BROKEN, "the callback of bad is succeeded in report.json and None in events.jsonl",
     lambda run: without(run.events, event="callback_finished", task="bad")),
    (8, BROKEN, "the callback of bad is succeeded in report.json and crashed in events.jsonl",
     lambda run: event(run, "callback_finished").update(outcome="crashed")),
    (8, UNJUDGED, "no readable events.jsonl", lambda run: vars(run).update(events=None)),
    (8, UNJUDGED, "no readable report.json", lambda run: vars(run).update(report=None)),
    (8, BROKEN, "report.json says exit code 1, the database None", lambda run: record(run, exit_code=None)),
    (8, BROKEN, "good is succeeded in report.json and failed in the database",
     lambda run: record(run, outcomes={"bad": "timed_out", "good": "failed"})),
    (8, BROKEN, "other is None in report.json and failed in the database",
     lambda run: record(run, outcomes={"bad": "timed_out", "good": "succeeded", "other": "failed"})),
    (8, UNJUDGED, "the database cannot be read", lambda run: vars(run).update(recorded=None)),
    (9, BROKEN, "good was announced as succeeded, and is None in the database",
     lambda run: record(run, outcomes={"bad": "timed_out"})),
    (9, BROKEN, "resumed, it did not end in time", lambda run: resume(run, exit_code=None)),
    (9, BROKEN, "exit code 4 and no report; its last words: 'oh'",
     lambda run: resume(run, exit_code=4, report=None, stderr="oh\n")),
    (9, BROKEN, "exit code 1, and report.json says 0", lambda run: resume(run, exit_code=1)),
    (9, BROKEN, "bad is 0 times in report.json", lambda run: without(run.resumed.report["tasks"], id="bad")),
    (9, BROKEN, "good is 2 times in report.json", lambda run: again(run.resumed.report["tasks"], id="good")),
    (9, BROKEN, "bad is cancelled, not succeeded", lambda run: resumed(run, "bad").update(outcome="cancelled")),
    (9, BROKEN, "good had succeeded, and was begun again",
     lambda run: run.resumed.journal.append(Entry(104.0, 80, BEGAN, "good", 1))),
    (9, BROKEN, "good had succeeded, and is succeeded in the resumed run, not carried over",
     lambda run: resumed(run, "good").update(carried_from=None)),
    (9, BROKEN, "good is said to be carried from 2-other",
     lambda run: resumed(run, "good").update(carried_from="2-other")),
    (9, BROKEN, "bad is carried over, and had ended as timed_out",
     lambda run: resumed(run, "bad").update(carried_from="1-first")),
    (9, UNJUDGED, "it was not resumed", lambda run: vars(run).update(resumed=None)),
    (9, DOES_NOT_APPLY, "nothing of the run was recorded", lambda run: vars(run).update(events=None)),
    (9, DOES_NOT_APPLY, "a program of its own has nothing to resume", lambda run: vars(run).update(program=True)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("promise", "finding", "says", "distort"), DISTORTIONS, ids=[f"{case[0]} {case[2]}" for case in DISTORTIONS]
)
def test_distorted_evidence_is_found(
    run: SimpleNamespace, promise: int, finding: Finding, says: str, distort: Callable[[SimpleNamespace], Any]
) -> None:
    """By the promise that it is about, with a reason that says what and where."""
    distort(run)
    verdict = verdicts(run)[promise]
    assert verdict.finding is finding
    assert any(says in reason for reason in verdict.reasons), verdict.reasons


def test_every_promise_can_be_broken_and_most_go_unjudged() -> None:
    """A promise that no evidence could break would be none."""
    found = {finding: {case[0] for case in DISTORTIONS if case[1] is finding} for finding in Finding}
    assert found[BROKEN] == set(range(1, 10))
    assert found[UNJUDGED] == {1, 2, 3, 4, 6, 7, 8, 9}  # how a process ended is always known


def test_what_is_broken_is_broken_whatever_else_is_missing(run: SimpleNamespace) -> None:
    """A reason that was found is not lost for evidence that was not."""
    run.report["tasks"].remove(task(run))
    run.events = None
    assert verdicts(run)[1].finding is BROKEN


def test_a_result_that_may_change_as_it_travels_is_not_held_against_what_its_callback_got(run: SimpleNamespace) -> None:
    """A set may be pickled in another order afterwards."""
    run.journal = [entry._replace(detail="other") if entry.what == GIVEN else entry for entry in run.journal]
    assert verdicts(run)[7].finding is BROKEN
    expect(run, unsteady=frozenset({"good"}))
    assert verdicts(run)[7].finding is Finding.HELD


def test_a_journal_that_was_spoilt_leaves_unjudged_what_is_judged_by_it(run: SimpleNamespace) -> None:
    """It says by what, and who was in the middle of a task then; what is broken is broken all the same."""
    run.spoilt.append(Spoilt(4, "it has 5 bytes that nobody of ours wrote: b'hello'"))
    without(run.journal, what=ENDED)
    without(run.journal, what=CALLBACK)
    found = verdicts(run)
    assert {promise for promise, verdict in found.items() if verdict.finding is UNJUDGED} == {1, 2, 3, 6, 7}
    (reason,) = found[1].reasons
    assert reason.startswith("the harness's journal was spoilt: it has 5 bytes that nobody of ours wrote: b'hello'; ")
    assert "running then: good, bad; nothing may write into" in reason
    attempt(run, signal="SIGSEGV")
    assert verdicts(run)[2].finding is BROKEN


def test_who_may_have_spoilt_the_journal_is_who_was_running_then(run: SimpleNamespace) -> None:
    """Nobody who had returned, or was dead."""
    run.spoilt.append(Spoilt(6, "rubbish"))
    assert "; bad was running then; " in verdicts(run)[1].reasons[0]
    see(run, HUNG, 100.45)  # nobody looked when it noted that it began
    assert "; bad was running then; " in verdicts(run)[1].reasons[0]
    run.spoilt[0] = Spoilt(7, "rubbish")
    see(run, HUNG, 101.0)
    assert "; no task was running then; " in verdicts(run)[1].reasons[0]


def test_only_what_holds_or_does_not_apply_passes() -> None:
    """Missing evidence is not evidence that all is well."""
    assert {finding for finding in Finding if finding.passes} == {Finding.HELD, DOES_NOT_APPLY}


def test_what_a_failed_task_had_printed_is_no_traceback_of_ours(run: SimpleNamespace) -> None:
    """Its last lines are shown behind a margin."""
    run.stderr = "[1/2] failed  bad\n    | Traceback (most recent call last):\n"
    assert verdicts(run)[5].finding is Finding.HELD


def test_a_run_whose_parent_was_killed_is_judged_by_what_it_could_still_tell(run: SimpleNamespace) -> None:
    """No report is expected of it, nor an end of each task; what it told twice is still told twice."""
    run.report, run.exit_code = None, -9
    run.struck = (Struck(101.0, "parent", 10, "SIGKILL"),)
    without(run.events, event="run_finished")
    without(run.events, event="task_finished", task="bad")
    expect(run, report=False, exit_codes=frozenset({-9}))
    assert {number: v.finding for number, v in verdicts(run).items() if not v.finding.passes} == {}
    again(run.events, event="task_finished", task="good")
    assert verdicts(run)[1].finding is BROKEN
    run.journal.append(run.journal[2])
    assert verdicts(run)[7].finding is BROKEN


def test_a_process_of_somebody_else_may_live_as_long_as_it_likes(run: SimpleNamespace) -> None:
    """The third promise is about the worker of the task and what was seen below it."""
    run.sightings.append(sighting(70, "task", 109.0, WORKER))
    assert verdicts(run)[3].finding is Finding.HELD


def test_what_takes_from_a_task_that_runs_again_may_run_again(run: SimpleNamespace) -> None:
    """Its key may have changed with what it takes; so may that of one that reads files."""
    run.resumed.journal.append(Entry(104.0, 80, BEGAN, "good", 1))
    resumed(run, "good")["carried_from"] = None
    assert verdicts(run)[9].finding is BROKEN
    expect(run, takes={"good": frozenset({"bad"})})
    assert verdicts(run)[9].finding is Finding.HELD
    between: dict[str, Any] = {
        "id": "index",
        "outcome": "succeeded",
        "carried_from": None,
        "attempts": [],
        "reason": None,
    }
    run.resumed.report["tasks"].append(between)
    run.events.append({"event": "task_finished", "task": "index", "outcome": "succeeded"})
    record(run, outcomes={**run.recorded.outcomes, "index": "succeeded"})
    expect(run, tasks={**run.expected.tasks, "index": ExpectedTask()})
    expect(run, takes={"good": frozenset({"index"}), "index": frozenset({"bad"})})
    assert verdicts(run)[9].finding is Finding.HELD, "by way of another"
    expect(run, takes={"index": frozenset({"bad"})})
    assert verdicts(run)[9].finding is BROKEN
    expect(run, reading=frozenset({"good"}))
    assert verdicts(run)[9].finding is Finding.HELD


def test_what_ended_when_nobody_was_left_to_tell_may_be_carried_over(run: SimpleNamespace) -> None:
    """It was durable and not yet announced: nothing is promised of it but that it has one outcome."""
    without(run.events, event="task_finished", task="bad")
    resumed(run, "bad")["carried_from"] = "1-first"
    run.resumed.journal.clear()
    assert verdicts(run)[9].finding is Finding.HELD
