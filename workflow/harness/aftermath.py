"""What a run still has to come to, after it was hit from outside by blows whose victims nobody knew before.

Pure: what was expected and the evidence in, what is to be expected now out.  A blow buys what it justifies, and no
more; what that is follows from who was hit:

- A worker dies of it: the one attempt that it was in the middle of is *crashed*, by that signal.  Which attempt that
  was, the journal says; where it says that another was begun in that worker later, the pardon goes to that one.
  If that was being ended already, its outcome stands, and only its stack may be missing.
- A worker is stopped: that attempt may reach its limit.
- The dispatcher dies of it: no task notices.  The one callback that it was in the middle of is *crashed*.
- A process that a task has started dies of it: that attempt may fail, or be crashed.
- The guardian or the warden dies of it or is stopped: the run may end with exit code 4 and say so, and then whatever
  had not ended is *cancelled*, and a callback that was owed is *crashed* for that reason: what would have struck there
  had no chance, unless the callback was passed over.  If it ends with another code, nothing at all is pardoned.
- The parent is interrupted (SIGINT, SIGTERM, SIGHUP): the run may end with 128 and that signal's number, and then
  whatever had not ended is *cancelled*.
- The parent dies of it: there is no report, and its exit code is that signal.

Nearly always the evidence says which of the possible victims it was, so what comes out is mostly not looser but
*other* than what went in: a crash that was pardoned must have that signal, and the run must have failed for it.  Two
attempts that crashed for one blow, or one that crashed in a worker that nobody hit, stay what they are: broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from workflow.harness import journal
from workflow.harness.evidence import Evidence, Expected, ExpectedTask, Struck
from workflow.harness.kinds import KINDS

ENGINE_FAILED = "the engine failed"
"""What a run says that has lost one of those that guard it."""
NOT_CALLED = "EngineError"
"""Type of the error that a callback is told with which was owed, or in the middle, when the engine failed."""
SETTLED_S = 2.0
"""So long after it returned, the end of a task is known to the parent, on a slow machine too."""

_STOP = frozenset({"SIGSTOP", "SIGTSTP"})
_HARMLESS = frozenset({"SIGCONT", "SIGCHLD", "SIGWINCH", "SIGURG"})
_ACTIONS = {"kill": "SIGKILL", "stop": "SIGSTOP"}
_INTERRUPTS = {"SIGHUP": 1, "SIGINT": 2, "SIGTERM": 15}
_GUARDS = frozenset({"guardian", "warden"})
_CALLED: frozenset[str | None] = frozenset({"succeeded"})


class _Attempt(NamedTuple):
    task: str
    number: int


def expected_after(expected: Expected, evidence: Evidence) -> Expected:
    """Answer what the blows that hit have left of an expectation."""
    tasks = dict(expected.tasks)
    failed = set[str]()
    pardoned = set[_Attempt]()
    killed = set[int]()
    blows = (*evidence.struck, *_at_point(evidence))
    for blow in blows:
        if blow.signal in _HARMLESS or blow.pid in killed:
            continue  # who is dead already loses nothing more
        if blow.signal not in _STOP:
            killed.add(blow.pid)
        if blow.role == "worker":
            _worker_was_hit(blow, evidence, tasks, pardoned, failed)
        elif blow.role == "task":
            _child_was_hit(blow, evidence, tasks, pardoned, failed)
        elif blow.role == "dispatcher":
            _dispatcher_was_hit(blow, evidence, tasks)
    expected = replace(expected, tasks=tasks)
    _skip(tasks, evidence, failed)
    if any(not tasks[id_].allow_failure for id_ in failed):
        expected = replace(expected, exit_codes=expected.exit_codes - {0} | {1})
    elif tasks and all(task.outcomes == {"succeeded"} for task in tasks.values()):
        expected = replace(expected, exit_codes=expected.exit_codes - {1} | {0})
    guard_hit = [blow for blow in blows if blow.role in _GUARDS and blow.signal not in _HARMLESS]
    if guard_hit and evidence.exit_code == 4:
        expected = _engine_failed(expected, evidence, guard_hit[0].at_s)
    for blow in blows:
        number = _INTERRUPTS.get(blow.signal)
        if number is not None and blow.role in ("parent", "group") and evidence.exit_code == 128 + number:
            expected = _interrupted(expected, evidence, blow.at_s, 128 + number)
            break
    parent_hit = [blow for blow in blows if blow.role in ("parent", "group") and blow.signal == "SIGKILL"]
    if parent_hit:
        expected = _parent_died(expected, evidence)
    return expected


def _at_point(evidence: Evidence) -> Iterator[Struck]:
    """What struck at a point of the engine, as if it had come from outside.  An exit is no signal, and not pardoned."""
    if evidence.point is None:
        return
    point, action, pid = evidence.point.split()
    if action in _ACTIONS:
        at_s = max((one.last_s for one in evidence.sightings if one.pid == int(pid)), default=evidence.ended_s)
        role = point.partition(".")[0]
        yield Struck(at_s, "dispatcher" if role == "callback" else role, int(pid), _ACTIONS[action])


# -- workers and what is below them --------------------------------------------------------------------------------


def _worker_was_hit(
    blow: Struck, evidence: Evidence, tasks: dict[str, ExpectedTask], pardoned: set[_Attempt], failed: set[str]
) -> None:
    stopped = blow.signal in _STOP
    outcome = "timed_out" if stopped else "crashed"
    told = {
        attempt: facts
        for attempt, facts in _told(evidence)
        if facts["pid"] == blow.pid and facts["outcome"] == outcome and (stopped or facts["signal"] == blow.signal)
    }
    answered = set() if _was_stopped(evidence, "dispatcher") else _ended_before(blow.at_s - SETTLED_S, evidence)
    for attempt in _in_the_middle(blow, evidence, told):
        if attempt in told and attempt.task in tasks and attempt not in pardoned | answered:
            pardoned.add(attempt)
            error = {"error": "TaskTimeout"} if stopped else {"error": "TaskCrashed", "signal": blow.signal}
            _pardon(attempt, outcome, evidence, tasks, failed, error)
            return
    if not stopped:
        _lost_its_stack(blow, evidence, tasks)


def _lost_its_stack(blow: Struck, evidence: Evidence, tasks: dict[str, ExpectedTask]) -> None:
    """Who was being ended anyway has that outcome, but dies before it could say where it was."""
    for attempt, facts in _told(evidence):
        ended = facts["pid"] == blow.pid and facts["outcome"] in ("timed_out", "memory_exceeded", "cancelled")
        if ended and attempt.task in tasks and attempt in tuple(_in_the_middle(blow, evidence, ()))[:1]:
            tasks[attempt.task] = replace(tasks[attempt.task], stack="")


def _child_was_hit(
    blow: Struck, evidence: Evidence, tasks: dict[str, ExpectedTask], pardoned: set[_Attempt], failed: set[str]
) -> None:
    told = dict(_told(evidence))
    for attempt in _above(blow, evidence, tasks):
        outcome = told[attempt]["outcome"] if attempt in told else None
        if outcome in ("failed", "crashed") and attempt not in pardoned and attempt.task in tasks:
            pardoned.add(attempt)
            _pardon(attempt, outcome, evidence, tasks, failed, {})
        elif outcome == "succeeded" and "succeeded" not in tasks[attempt.task].outcomes:
            # It only waited for what was killed, and went on: what it hung in is over.
            task = tasks[attempt.task]
            tasks[attempt.task] = ExpectedTask(
                frozenset({"succeeded"}), task.callback, task.faults, needs=task.needs, allow_failure=task.allow_failure
            )
        elif attempt.task in tasks:
            tasks[attempt.task] = replace(tasks[attempt.task], left=None)  # it may be what would have been left
        return


def _above(blow: Struck, evidence: Evidence, tasks: Mapping[str, ExpectedTask]) -> tuple[_Attempt, ...]:
    """Which attempt had started the process that was hit, the likeliest first.

    One that has left its parent and was never seen before that could be of any attempt that was in the middle then;
    of those it is the one that succeeded and should have hung.
    """
    begun = [e for e in evidence.journal if e.what in (journal.BEGAN, journal.FIRED) and e.at_s <= blow.at_s]
    workers = {pid for one in evidence.sightings if one.pid == blow.pid for pid in (one.worker, one.parent)}
    below = [_Attempt(e.task, e.attempt) for e in reversed(begun) if e.pid in workers]
    if below:
        return tuple(below[:1])
    over, told = _ended_before(blow.at_s, evidence), dict(_told(evidence))
    middle = dict.fromkeys(_Attempt(e.task, e.attempt) for e in reversed(begun) if e.task in tasks)
    return tuple(
        each
        for each in middle
        if each not in over
        and told.get(each, {}).get("outcome") == "succeeded"
        and "succeeded" not in tasks[each.task].outcomes
    )[:1]


def _in_the_middle(blow: Struck, evidence: Evidence, told: Iterable[_Attempt]) -> Iterator[_Attempt]:
    """Which attempt a worker was in the middle of when it was hit, the likeliest first.

    Between the moment when an attempt counts as begun and its first line in the journal lies its import; what has
    died there has no line, and so must be one of those that are told of and not noted.
    """
    noted = [e for e in evidence.journal if e.what in (journal.BEGAN, journal.FIRED) and e.attempt]
    here = [e for e in noted if e.pid == blow.pid]
    before = [_Attempt(e.task, e.attempt) for e in here if e.at_s <= blow.at_s]
    after = [_Attempt(e.task, e.attempt) for e in here if e.at_s > blow.at_s]
    if blow.signal in _STOP:
        yield from (*before[-1:], *after[:1])
    else:
        yield from (*after[-1:], *before[-1:])[:1]  # the signal may be a moment on its way
    elsewhere = {_Attempt(e.task, e.attempt) for e in noted}
    yield from (attempt for attempt in told if attempt not in elsewhere)


def _ended_before(at_s: float, evidence: Evidence) -> set[_Attempt]:
    return {_Attempt(e.task, e.attempt) for e in evidence.journal if e.what == journal.ENDED and e.at_s < at_s}


def _was_stopped(evidence: Evidence, role: str) -> bool:
    return any(blow.role == role and blow.signal in _STOP for blow in evidence.struck)


def _pardon(
    attempt: _Attempt,
    outcome: str,
    evidence: Evidence,
    tasks: dict[str, ExpectedTask],
    failed: set[str],
    details: Mapping[str, str],
) -> None:
    id_, task = attempt.task, tasks[attempt.task]
    told = evidence.tasks[id_]
    if told["attempts"][-1]["number"] != attempt.number:
        if task.attempts_more < task.retries:
            task = replace(task, attempts_more=task.attempts_more + 1)
        tasks[id_] = _without_unfired(id_, task, evidence)
    elif told["outcome"] == outcome:
        failed.add(id_)
        fits_any = task.callback is None or task.callback == {None}
        # Hit before its class was loaded, it has nobody to call: that is told as a callback that failed.
        loaded = any(entry.task == id_ and entry.what in (journal.BEGAN, journal.FIRED) for entry in evidence.journal)
        called = _CALLED if loaded else _CALLED | {"failed"}
        tasks[id_] = ExpectedTask(
            outcomes=frozenset({outcome}),
            callback=None if fits_any else (task.callback or frozenset()) | called,
            attempts=task.attempts,
            attempts_more=task.attempts_more,
            retries=task.retries,
            needs=task.needs,
            allow_failure=task.allow_failure,
            **details,  # type: ignore[arg-type]
        )


def _without_unfired(id_: str, task: ExpectedTask, evidence: Evidence) -> ExpectedTask:
    """What struck at the attempt that was hit had no chance, and need not have come to what it comes to."""
    fired = {entry.detail for entry in evidence.journal if entry.what == journal.FIRED and entry.task == id_}
    faults = tuple(kind for kind in task.faults if kind in fired)
    if faults == task.faults:
        return task
    return ExpectedTask(
        outcomes=task.outcomes | {"succeeded"},
        callback=task.callback,
        faults=faults,
        attempts_more=task.attempts_more,
        retries=task.retries,
        needs=task.needs,
        allow_failure=task.allow_failure,
    )


def _skip(tasks: dict[str, ExpectedTask], evidence: Evidence, failed: set[str]) -> None:
    """What needs a task that a blow ended is skipped, and so is what needs that."""
    lost = set(failed)
    while True:
        more = {
            id_
            for id_, task in tasks.items()
            if id_ not in lost
            and not lost.isdisjoint(task.needs)
            and evidence.tasks.get(id_, {}).get("outcome") == "skipped"
        }
        if not more:
            return
        lost |= more
        for id_ in more:
            tasks[id_] = replace(
                ExpectedTask(frozenset({"skipped"}), frozenset({None})),
                needs=tasks[id_].needs,
                allow_failure=tasks[id_].allow_failure,
            )


# -- the engine's own ----------------------------------------------------------------------------------------------


def _dispatcher_was_hit(blow: Struck, evidence: Evidence, tasks: dict[str, ExpectedTask]) -> None:
    """One callback may have been in the middle, and is told as crashed, or as late when it was only stopped."""
    outcomes = ("crashed", "timed_out") if blow.signal in _STOP else ("crashed",)
    # One that was only owed when the engine failed later was in the middle of nothing.
    told = {
        id_: task["callback"]["outcome"]
        for id_, task in evidence.tasks.items()
        if task["callback"]
        and task["callback"]["outcome"] in outcomes
        and (task["callback"].get("error") or {}).get("type") != NOT_CALLED
    }
    begun = [entry for entry in evidence.journal if entry.what == journal.CALLBACK]
    here = [entry.task for entry in begun if entry.pid == blow.pid and entry.at_s <= blow.at_s]
    unnoted = sorted(told.keys() - {entry.task for entry in begun})
    for id_ in (*here[-1:], *unnoted):
        task = tasks.get(id_)
        if task is None or id_ not in told:
            continue
        faults = _fired_callback_faults(id_, task, evidence)
        if (task.callback is None or told[id_] in task.callback) and faults == task.faults:
            continue  # it had to come to that anyway, and came to it by itself
        callback = None if task.callback is None else frozenset({told[id_]})
        tasks[id_] = replace(task, callback=callback, callback_error=None, faults=faults)
        return


def _fired_callback_faults(id_: str, task: ExpectedTask, evidence: Evidence) -> tuple[str, ...]:
    """Its faults without those of a callback that were kept from firing.

    One whose callback was begun, and was over when its process began the next, had its chance.
    """
    fired = {entry.detail for entry in evidence.journal if entry.what == journal.FIRED and entry.task == id_}
    begun = [entry for entry in evidence.journal if entry.what == journal.CALLBACK]
    last = {entry.pid: entry.task for entry in begun}
    if any(entry.task == id_ and last[entry.pid] != id_ for entry in begun):
        return task.faults
    return tuple(kind for kind in task.faults if KINDS[kind].stage != "callback" or kind in fired)


def _engine_failed(expected: Expected, evidence: Evidence, at_s: float) -> Expected:
    """It could not go on: what had not ended by then is cancelled, and callbacks that were owed are not called."""
    stopped = any(blow.signal in _STOP for blow in evidence.struck)
    settled = set() if stopped else {attempt.task for attempt in _ended_before(at_s - SETTLED_S, evidence)}
    passed_over = set() if stopped else _passed_over(evidence)
    tasks = {}
    for id_, task in expected.tasks.items():
        told = evidence.tasks.get(id_, {})
        error = ((told.get("callback") or {}).get("error") or {}).get("type")
        if told.get("outcome") == "cancelled" and id_ not in settled:
            tasks[id_] = ExpectedTask(frozenset({"cancelled"}), frozenset({None}))
        elif task.callback is not None and error == NOT_CALLED and id_ not in passed_over:
            faults = _fired_callback_faults(id_, task, evidence)
            tasks[id_] = replace(task, callback=frozenset({"crashed"}), callback_error=NOT_CALLED, faults=faults)
        else:
            tasks[id_] = task
    return replace(expected, tasks=tasks, exit_codes=frozenset({4}), says=expected.says or ENGINE_FAILED)


def _passed_over(evidence: Evidence) -> set[str]:
    """Tasks that returned, and whose callback was not begun although that of a much later one was.

    Callbacks begin in the order in which tasks end, so these were not only owed when the engine failed.
    """
    begun = {entry.task for entry in evidence.journal if entry.what == journal.CALLBACK}
    ended = {entry.task: entry.at_s for entry in evidence.journal if entry.what == journal.ENDED}
    latest_s = max((at_s for id_, at_s in ended.items() if id_ in begun), default=0.0)
    return {id_ for id_, at_s in ended.items() if id_ not in begun and at_s < latest_s - SETTLED_S}


def _interrupted(expected: Expected, evidence: Evidence, at_s: float, code: int) -> Expected:
    """It was told to end: what had not ended by then is cancelled, and callbacks that are late are given up."""
    settled = {attempt.task for attempt in _ended_before(at_s - SETTLED_S, evidence)}
    tasks = {}
    for id_, task in expected.tasks.items():
        outcome = evidence.tasks.get(id_, {}).get("outcome")
        if outcome == "cancelled" and id_ not in settled:
            tasks[id_] = ExpectedTask(frozenset({"cancelled"}))
        else:
            given_up: frozenset[str | None] = frozenset({"timed_out"})
            callback = None if task.callback is None else task.callback | given_up
            tasks[id_] = replace(task, callback=callback, callback_error=None)
    return replace(expected, tasks=tasks, exit_codes=frozenset({code}))


def _parent_died(expected: Expected, evidence: Evidence) -> Expected:
    """It cannot report any more; what was told before must be right all the same."""
    tasks = {id_: _if_fired(id_, task, evidence) for id_, task in expected.tasks.items()}
    return replace(expected, tasks=tasks, exit_codes=frozenset({-9}), report=False, says="")


def _if_fired(id_: str, task: ExpectedTask, evidence: Evidence) -> ExpectedTask:
    fired = {entry.detail for entry in evidence.journal if entry.what == journal.FIRED and entry.task == id_}
    return replace(task, faults=tuple(kind for kind in task.faults if kind in fired))


def _told(evidence: Evidence) -> Iterator[tuple[_Attempt, Mapping[str, Any]]]:
    for id_, task in evidence.tasks.items():
        for facts in task["attempts"]:
            yield _Attempt(id_, facts["number"]), facts
