"""The judge: nine promises, the same for every run, and what the evidence says of each.

Pure: evidence and expectation in, verdicts out.  A promise *holds*, is *broken* (and by what), *could not be judged*,
or *does not apply*.  Only what holds or does not apply lets a scenario pass: evidence that is missing is not evidence
that all is well.  A fault that did not fire makes the second promise unjudged, for nothing was tested.

Some promises are judged by the harness's own journal.  A task can write into that, as into any file of its user; then
what the journal lacks proves nothing, and these promises are broken by what is told elsewhere, or not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from workflow.failpoints import FOLDER_VARIABLE
from workflow.harness import journal
from workflow.harness.census import LOOK_S
from workflow.harness.evidence import Evidence, Expected, ExpectedTask, Resumed
from workflow.harness.given import strange_errors, strange_results

LATE_S = 0.5
"""What the third promise allows beyond timeout and grace."""

PROMISES = {
    1: "every task has exactly one outcome",
    2: "it is the right one",
    3: "what is past its limit is dead, with all it started, within timeout + grace + 0.5 s",
    4: "nothing is left: processes, shared memory, temporary files, locks",
    5: "the run ends in bounded time with the documented exit code",
    6: "the neighbours' results are the same as without the fault",
    7: "a task that began gets exactly one callback, with its own result or error, and its faults are only recorded",
    8: "database, report, events and exit code agree",
    9: "--resume finishes the rest and repeats nothing that was announced",
}
"""By number."""


class Finding(Enum):
    """What can be said of a promise."""

    HELD = "held"
    BROKEN = "broken"
    UNJUDGED = "not judged"
    DOES_NOT_APPLY = "does not apply"

    @property
    def passes(self) -> bool:
        """Whether it lets a check pass."""
        return self in (Finding.HELD, Finding.DOES_NOT_APPLY)


class Verdict(NamedTuple):
    """On one promise."""

    promise: int
    finding: Finding
    reasons: tuple[str, ...] = ()
    """Why, where it is not held."""


class Unjudged(Exception):
    """Evidence is missing; says which."""


class DoesNotApply(Exception):
    """There is nothing that the promise could be about; says why."""


def judge(evidence: Evidence, expected: Expected) -> tuple[Verdict, ...]:
    """One verdict for each promise, in their order."""
    return tuple(_verdict(number, judge_one, evidence, expected) for number, judge_one in _JUDGES.items())


def _verdict(
    number: int, judge_one: Callable[[Evidence, Expected], Iterator[str]], evidence: Evidence, expected: Expected
) -> Verdict:
    reasons: list[str] = []
    otherwise = Verdict(number, Finding.HELD)
    try:
        reasons.extend(judge_one(evidence, expected))  # as far as it gets: what is broken is, whatever else is missing
    except Unjudged as missing:
        otherwise = Verdict(number, Finding.UNJUDGED, (str(missing),))
    except DoesNotApply as reason:
        otherwise = Verdict(number, Finding.DOES_NOT_APPLY, (str(reason),))
    if evidence.spoilt and number in _BY_JOURNAL:
        spoilt = _spoilt(evidence)
        return Verdict(number, Finding.BROKEN if reasons else Finding.UNJUDGED, (*reasons, spoilt))
    return Verdict(number, Finding.BROKEN, tuple(reasons)) if reasons else otherwise


def _spoilt(evidence: Evidence) -> str:
    """That the journal was, by what, and who can have done it: those that were in the middle of a task."""
    first = evidence.spoilt[0]
    more = f", and so {len(evidence.spoilt) - 1} times more" if len(evidence.spoilt) > 1 else ""
    before = evidence.journal[: first.after]
    now_s = before[-1].at_s if before else evidence.began_s
    # A process may have been seen for the last time before that and have lived on: what it noted then tells.
    dead = {one.pid for one in evidence.sightings if one.last_s < now_s}
    latest = {entry.pid: entry for entry in before if entry.attempt}
    alive = [entry for pid, entry in latest.items() if pid not in dead or entry.at_s >= now_s]
    running = [entry.task for entry in alive if entry.what != journal.ENDED]
    who = {0: "no task was running then", 1: f"{_some(running)} was running then"}
    suspects = who.get(len(running), f"running then: {_some(running)}")
    rule = f"nothing may write into the folder that {FOLDER_VARIABLE} names"
    return f"the harness's journal was spoilt: {first.what}{more}; {suspects}; {rule}"


def told_of(evidence: Evidence, task: str) -> Mapping[str, Any]:
    """What the report says of a task."""
    if task not in evidence.tasks:
        raise Unjudged(f"nothing is told of {task}")
    return evidence.tasks[task]


def last_attempt_of(evidence: Evidence, task: str) -> Mapping[str, Any]:
    """What the report says of a task's last attempt."""
    attempts: Sequence[Mapping[str, Any]] = told_of(evidence, task)["attempts"]
    if not attempts:
        raise Unjudged(f"no attempt of {task} is told of")
    return attempts[-1]


def beginning_of(evidence: Evidence, task: str) -> journal.Entry:
    """Where a task's last attempt reached its code."""
    for entry in reversed(evidence.journal):
        if entry.task == task and entry.what == journal.BEGAN:
            return entry
    raise Unjudged(f"{task} was not seen to begin")


def _report(evidence: Evidence, expected: Expected) -> None:
    _report_if_any(evidence, expected)
    if evidence.report is None:
        raise DoesNotApply("the run was killed before it could report")


def _report_if_any(evidence: Evidence, expected: Expected) -> None:
    if evidence.report is None and expected.report:
        raise Unjudged("there is no readable report.json")


# -- 1 -------------------------------------------------------------------------------------------------------------


def _one_outcome(evidence: Evidence, expected: Expected) -> Iterator[str]:
    if evidence.report is not None:
        counts = Counter(task["id"] for task in evidence.report["tasks"])
        for task in expected.tasks:
            if counts[task] != 1 and (expected.report or not evidence.program or counts[task] > 1):
                yield f"{task} is {counts[task]} times in report.json"
        for task in counts.keys() - expected.tasks.keys():
            yield f"{task} is in report.json and was not planned"
    if evidence.events is None and expected.report and not evidence.program:
        raise Unjudged("there is no readable events.jsonl")
    told = Counter(event["task"] for event in evidence.events or () if event["event"] == "task_finished")
    for task in expected.tasks if not evidence.program else ():
        if told[task] != 1 and (expected.report or told[task] > 1):
            yield f"{task} has {told[task]} task_finished in events.jsonl"
    if expected.once:
        began = Counter((e.task, e.attempt) for e in evidence.journal if e.what == journal.BEGAN)
        for (task, attempt), count in began.items():
            if count > 1:
                yield f"attempt {attempt} of {task} was begun {count} times"


# -- 2 -------------------------------------------------------------------------------------------------------------


def _right_outcome(evidence: Evidence, expected: Expected) -> Iterator[str]:
    fired = {(entry.task, entry.detail) for entry in evidence.journal if entry.what == journal.FIRED}
    silent = [
        f"{kind} on {id_}" for id_, task in expected.tasks.items() for kind in task.faults if (id_, kind) not in fired
    ]
    if silent:
        raise Unjudged(f"the fault did not fire: {_some(silent)}")
    if evidence.missed:
        raise Unjudged(f"the fault could not be made: {_some(evidence.missed)}")
    _report(evidence, expected)
    for id_, task in expected.tasks.items():
        told = evidence.tasks.get(id_)
        if told is None:
            continue  # the first promise is about that
        if told["outcome"] not in task.outcomes:
            yield f"{id_} is {_described(told)}, not {_or(task.outcomes)}"
        else:
            yield from _details(id_, task, told)


def _details(id_: str, task: ExpectedTask, told: Mapping[str, Any]) -> Iterator[str]:
    attempts = told["attempts"]
    if task.attempts is not None and not 0 <= len(attempts) - task.attempts <= task.attempts_more:
        more = f" to {task.attempts + task.attempts_more}" if task.attempts_more else ""
        yield f"{id_} had {len(attempts)} attempts, not {task.attempts}{more}"
    numbers = [attempt["number"] for attempt in attempts]
    if numbers != list(range(1, len(attempts) + 1)):
        yield f"the attempts of {id_} are numbered {numbers}"
    wanted = {"signal": task.signal, "exit_code": task.exit_code, "left": task.left}
    last = attempts[-1] if attempts else {}
    for name, value in wanted.items():
        if value is not None and last.get(name) != value:
            yield f"{id_}: {name} is {last.get(name)!r}, not {value!r}"
    error = last.get("error") or {}
    if task.error is not None and error.get("type") != task.error:
        yield f"{id_}: its error is a {error.get('type')}, not a {task.error}"
    for name, text in (("message", task.says), ("stack", task.stack), ("traceback", task.traceback)):
        if text and text not in (error.get(name) or ""):
            yield f"{id_}: the {name} does not say {text!r}, but {error.get(name)!r}"


# -- 3 -------------------------------------------------------------------------------------------------------------


def _dead_in_time(evidence: Evidence, expected: Expected) -> Iterator[str]:
    limited = False
    beginnings = _beginnings(evidence)
    for id_, task in expected.tasks.items():
        if task.timeout_s is None or "timed_out" not in task.outcomes:
            continue
        for began in beginnings.get(id_, {}).values():
            if _told_otherwise(evidence, id_, began.attempt):
                continue
            limited = True
            due_s = began.at_s + task.timeout_s + task.grace_s + LATE_S + LOOK_S
            for one in evidence.sightings:
                if began.pid in (one.pid, one.worker) and one.first_s <= due_s < one.last_s:
                    late_s = one.last_s - due_s
                    yield f"{one.role} {one.pid} ({one.command}) of {id_} was alive {late_s:.2f} s too long"
    if not limited:
        raise DoesNotApply("no task reaches its limit")
    if not evidence.sightings:
        raise Unjudged("no process of the run was seen, so none can be said to have died in time")


def _beginnings(evidence: Evidence) -> dict[str, dict[int, journal.Entry]]:
    """Where each attempt of each task was first heard of: it may be struck before its code is reached."""
    first: dict[str, dict[int, journal.Entry]] = {}
    for entry in evidence.journal:
        if entry.attempt and entry.what in (journal.BEGAN, journal.FIRED):
            first.setdefault(entry.task, {}).setdefault(entry.attempt, entry)
    return first


def _told_otherwise(evidence: Evidence, task: str, attempt: int) -> bool:
    """Whether that attempt is told to have ended before its limit; if it may have, its worker lives on."""
    attempts = evidence.tasks[task]["attempts"] if task in evidence.tasks else []
    return any(told["number"] == attempt and told["outcome"] != "timed_out" for told in attempts)


# -- 4, 5 ----------------------------------------------------------------------------------------------------------


def _nothing_left(evidence: Evidence, _expected: Expected) -> Iterator[str]:
    if not evidence.sightings:
        raise Unjudged("no process of the run was seen, so none can be said to be gone")
    yield from evidence.left


def _ends(evidence: Evidence, expected: Expected) -> Iterator[str]:
    took_s = evidence.ended_s - evidence.began_s
    if evidence.exit_code is None:
        yield f"it had not ended after {took_s:.1f} s"
    elif evidence.exit_code not in expected.exit_codes:
        codes = _or({str(code) for code in expected.exit_codes})
        last = evidence.stderr.strip().rpartition("\n")[2]
        yield f"it left with exit code {evidence.exit_code}, not {codes}; its last words: {last!r}"
    elif took_s > expected.longest_s:
        yield f"it took {took_s:.1f} s, more than {expected.longest_s:g} s"
    # At the start of a line: what a task has printed is shown too, behind a margin.
    shown = f"\n{evidence.stderr}".count("\nTraceback (most recent call last)")
    if shown > expected.tracebacks and expected.report:
        yield "there is a traceback of ours on stderr"
    if expected.says and expected.says not in evidence.stderr:
        yield f"it does not say {expected.says!r} on stderr"


# -- 6 -------------------------------------------------------------------------------------------------------------


def _neighbours(evidence: Evidence, expected: Expected) -> Iterator[str]:
    neighbours = {id_: task.digest for id_, task in expected.tasks.items() if task.digest and not task.faults}
    if not neighbours:
        raise DoesNotApply("no neighbour has a result that could be compared")
    _report_if_any(evidence, expected)
    digests = {entry.task: entry.detail for entry in evidence.journal if entry.what == journal.ENDED}
    compared = False
    for id_, digest in neighbours.items():
        told = evidence.tasks.get(id_)
        if told is not None and told["outcome"] != "succeeded":
            continue  # allowed, or the second promise is broken
        if id_ in digests:
            compared = True
            if digests[id_] != digest:
                yield f"{id_} returned something else"
        elif told is not None and not evidence.spoilt:
            yield f"{id_} succeeded, and never returned"
    if not compared:
        raise DoesNotApply("no neighbour succeeded")


# -- 7 -------------------------------------------------------------------------------------------------------------


def _callbacks(evidence: Evidence, expected: Expected) -> Iterator[str]:
    called = {entry.task: entry.detail for entry in evidence.journal if entry.what == journal.CALLBACK}
    begun = Counter(entry.task for entry in evidence.journal if entry.what == journal.CALLBACK)
    for id_, count in begun.items():
        if count > 1:
            yield f"the callback of {id_} was begun {count} times"
    _report_if_any(evidence, expected)
    for id_, how in strange_errors(evidence.journal, evidence.tasks):
        yield f"the error_callback of {id_} was given another error than is told of {id_}: a {how}"
    strange = set(strange_results(evidence.journal, evidence.tasks))
    for id_, task in expected.tasks.items():
        told = evidence.tasks.get(id_)
        if told is None:
            continue
        outcome = told["callback"]["outcome"] if told["callback"] else None
        error = (told["callback"].get("error") or {}).get("type") if told["callback"] else None
        if task.callback_error is not None and error != task.callback_error:
            yield f"the callback of {id_} is told to have ended with a {error}, not a {task.callback_error}"
        if task.callback is not None and outcome not in task.callback:
            yield f"the callback of {id_} is {outcome}, not {_or({str(each) for each in task.callback})}"
        unnoted = not begun[id_] and not evidence.spoilt
        if outcome == "succeeded" and unnoted and (task.callback is not None or task.faults):
            yield f"the callback of {id_} is said to have succeeded, and was never begun"
        elif outcome is None and begun[id_]:
            yield f"the callback of {id_} was begun, and is not told of"
        if id_ in strange and id_ not in expected.unsteady:
            yield f"the callback of {id_} was given another result than {id_} returned"
        if id_ in called and (called[id_] == "callback") is not (told["outcome"] == "succeeded"):
            yield f"{id_} is {told['outcome']}, and its {called[id_]} was called"


# -- 8, 9 ----------------------------------------------------------------------------------------------------------


def _agree(evidence: Evidence, expected: Expected) -> Iterator[str]:
    if evidence.program:
        raise DoesNotApply("a program of its own writes neither report nor events")
    _report(evidence, expected)
    report, events = evidence.report, evidence.events
    assert report is not None
    if events is None:
        raise Unjudged("there is no readable events.jsonl")
    if report["run"]["exit_code"] != evidence.exit_code and expected.report:
        yield f"report.json says exit code {report['run']['exit_code']}, the process {evidence.exit_code}"
    outcomes = {task["id"]: task["outcome"] for task in report["tasks"]}
    counts = {outcome: count for outcome, count in report["counts"].items() if count}
    if counts != Counter(outcomes.values()):
        yield f"counts {counts} do not count the tasks of report.json"
    told = {event["task"]: event["outcome"] for event in events if event["event"] == "task_finished"}
    for id_, outcome in outcomes.items():
        if told.get(id_) != outcome:
            yield f"{id_} is {outcome} in report.json and {told.get(id_)} in events.jsonl"
    ends = [event for event in events if event["event"] == "run_finished"]
    if len(ends) != 1 or events[-1] is not ends[0]:
        yield f"events.jsonl has {len(ends)} run_finished, or something behind it"
    elif ends[0]["exit_code"] != report["run"]["exit_code"]:
        yield f"run_finished says exit code {ends[0]['exit_code']}, report.json {report['run']['exit_code']}"
    yield from _database_agrees(evidence, outcomes)
    finished = Counter((event["task"], event["attempt"]) for event in events if event["event"] == "attempt_finished")
    known = {(task["id"], attempt["number"]) for task in report["tasks"] for attempt in task["attempts"]}
    for id_, number in sorted(known | finished.keys()):
        if finished[id_, number] != 1 or (id_, number) not in known:
            yield (
                f"attempt {number} of {id_} has {finished[id_, number]} attempt_finished, "
                f"and is {'in' if (id_, number) in known else 'not in'} report.json"
            )
    ends_of: dict[str, list[str]] = {}
    for event in events:
        if event["event"] == "callback_finished":
            ends_of.setdefault(event["task"], []).append(event["outcome"])
    for task in report["tasks"]:
        said = [task["callback"]["outcome"]] if task["callback"] else []
        heard = ends_of.get(task["id"], [])
        if said != heard:
            there = f"{_some(said) or None} in report.json and {_some(heard) or None} in events.jsonl"
            yield f"the callback of {task['id']} is {there}"


def _database_agrees(evidence: Evidence, outcomes: Mapping[str, str]) -> Iterator[str]:
    assert evidence.report is not None
    if evidence.recorded is None:
        raise Unjudged("the database cannot be read, or does not know the run")
    code, recorded = evidence.recorded
    if code != evidence.report["run"]["exit_code"]:
        yield f"report.json says exit code {evidence.report['run']['exit_code']}, the database {code}"
    for id_ in sorted(outcomes.keys() | recorded.keys()):
        if outcomes.get(id_) != recorded.get(id_):
            yield f"{id_} is {outcomes.get(id_)} in report.json and {recorded.get(id_)} in the database"


def _resume(evidence: Evidence, expected: Expected) -> Iterator[str]:
    if evidence.program:
        raise DoesNotApply("a program of its own has nothing to resume")
    if evidence.events is None:
        raise DoesNotApply("nothing of the run was recorded")
    known = {} if evidence.recorded is None else evidence.recorded.outcomes
    announced = {event["task"]: event["outcome"] for event in evidence.events if event["event"] == "task_finished"}
    for task, outcome in announced.items():
        if known.get(task) != outcome:
            yield f"{task} was announced as {outcome}, and is {known.get(task)} in the database"
    if evidence.resumed is None:
        raise Unjudged("it was not resumed, because it had not ended or something of it was left")
    resumed = evidence.resumed
    last = resumed.stderr.strip().rpartition("\n")[2]
    if resumed.exit_code is None:
        yield f"resumed, it did not end in time; its last words: {last!r}"
    elif resumed.report is None:
        yield f"resumed, it left with exit code {resumed.exit_code} and no report; its last words: {last!r}"
    else:
        yield from _finished(resumed.exit_code, resumed.report, expected)
        yield from _only_the_rest(resumed, announced, expected)


def _finished(exit_code: int, report: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    """That every task is in the new report, and has come to what was kept from it."""
    counts = Counter(task["id"] for task in report["tasks"])
    for task in sorted(expected.tasks.keys() | counts.keys()):
        if counts[task] != 1 or task not in expected.tasks:
            yield f"resumed, {task} is {counts[task]} times in report.json"
    for told in report["tasks"]:
        if told["id"] in expected.succeeding and told["outcome"] not in ("succeeded", "cached"):
            yield f"resumed, {told['id']} is {_described(told)}, not succeeded"
    if exit_code != report["run"]["exit_code"] or exit_code not in {0, 1, 124}:
        yield f"resumed, it left with exit code {exit_code}, and report.json says {report['run']['exit_code']}"


def _only_the_rest(resumed: Resumed, announced: Mapping[str, str], expected: Expected) -> Iterator[str]:
    """That what had been announced as done is taken over, and everything else is not."""
    assert resumed.report is not None
    done = {task for task, outcome in announced.items() if outcome in ("succeeded", "cached")}
    began = {entry.task for entry in resumed.journal if entry.what == journal.BEGAN}
    same = _unchanged(done, expected)
    for told in resumed.report["tasks"]:
        id_, source = told["id"], told["carried_from"]
        if source is not None and (source != resumed.run or id_ in began):
            yield f"resumed, {id_} is said to be carried from {source}" + (", and began" if id_ in began else "")
        if id_ not in done:
            # What ended when nobody was left to tell may be known all the same.
            if source is not None and id_ in announced:
                yield f"resumed, {id_} is carried over, and had ended as {announced[id_]}"
        elif id_ in same:
            if id_ in began:
                yield f"{id_} had succeeded, and was begun again when the run was resumed"
            elif source is None and told["outcome"] != "cached":
                yield f"{id_} had succeeded, and is {_described(told)} in the resumed run, not carried over"


def _unchanged(done: set[str], expected: Expected) -> set[str]:
    """Those that have the same key when the run is resumed: nothing that is part of it is made again.

    What takes a result of a task that runs again may have another key, and so may whoever takes from that; files may be
    written by any of them.
    """
    same = done if done >= expected.tasks.keys() else done - expected.reading
    while True:
        changed = {task for task in same if not expected.takes.get(task, frozenset()) <= same}
        if not changed:
            return same
        same = same - changed


_JUDGES: dict[int, Callable[[Evidence, Expected], Iterator[str]]] = {
    1: _one_outcome,
    2: _right_outcome,
    3: _dead_in_time,
    4: _nothing_left,
    5: _ends,
    6: _neighbours,
    7: _callbacks,
    8: _agree,
    9: _resume,
}


_BY_JOURNAL = frozenset({1, 2, 3, 6, 7})
"""The promises for which the journal is looked at."""


def _described(told: Mapping[str, Any]) -> str:
    reason = f" ({told['reason']})" if told.get("reason") else ""
    attempts = told["attempts"]
    error = attempts[-1].get("error") if attempts else None
    return f"{told['outcome']}{reason}" + (f", {error['type']}: {error['message'][:200]}" if error else "")


def _or(names: set[str] | frozenset[str]) -> str:
    return " or ".join(sorted(names))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
