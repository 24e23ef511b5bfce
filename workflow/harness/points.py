"""A fault at each named point of the engine, at its first hit, its second, its third … until a run meets none.

The batch is small and meets everything: a crash, a hang, a callback that fails and one that ends the dispatcher,
neighbours behind them.  What a death at a point may change follows from whose death it is, and from nothing finer: a
worker takes at most the task with it that it had begun, a dispatcher nothing but a callback it was in the middle of,
the supervisors end the run with a reason, the parent ends everything.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from workflow import WorkflowError
from workflow.diagnostics.suggest import did_you_mean
from workflow.failpoints import ACTIONS, POINTS
from workflow.harness.batch import Batch
from workflow.harness.evidence import Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Interrupted, perform
from workflow.harness.folders import place
from workflow.harness.scenario import Check, Result, Trial, details_of, judged

BATCH = Batch(
    ["hang.sleep", "crash.segv", "callback.raise", "callback.kill"],
    neighbours=8,
    neighbour_s=0.01,
    timeout_s=1.0,
    grace_s=0.2,
    extra="[defaults]\ntimeout = 8\n",
)
HITS_MAX = 100
"""More hits than any point of this batch has: a sweep that gets here does not end by itself, which is a defect."""
_UNBEGUN = frozenset({"worker.started", "worker.claimed"})
_ANSWERED = frozenset({"worker.answered"})


class NoPoint(WorkflowError):
    """There is no such point, or nothing of that kind can be done at it.  The fault is the command line's."""


def parse_sweep(text: str) -> tuple[tuple[str, ...], str]:
    """The points and the action that ``GLOB[:ACTION]`` means.  Raises NoPoint."""
    glob, _, action = text.partition(":")
    action = action or "kill"
    if action not in ACTIONS:
        raise NoPoint(f"{action!r} is nothing that can be done at a point; there are {', '.join(ACTIONS)}")
    # A parent that is stopped waits for whoever stopped it, as after Ctrl-Z: nothing has to come of that.
    able = [point for point in POINTS if action != "stop" or not point.startswith("parent.")]
    points = tuple(point for point in able if fnmatchcase(point, glob))
    if not points:
        hint = did_you_mean(glob, able) or "workflow chaos --list shows them"
        raise NoPoint(f"no point of the engine matches {glob!r}; {hint}")
    return points, action


def sweep_point(point: str, action: str, seed: int) -> Iterator[Result]:
    """Strike at each hit of the point, until a run meets none; that one is judged as a run without faults."""
    for hit in range(1, HITS_MAX + 1):
        result, fired = _check(point, action, hit, seed)
        yield result
        # A stopped process is only noticed after seconds, and does not differ from hit to hit.
        if not fired or result.error is not None or action == "stop":
            return
    began = f"{point}:{action}:{HITS_MAX}"
    yield Result(point, seed, (), 0.0, _again(point, action), f"{began} was still met: the sweep does not end")


def _check(point: str, action: str, hit: int, seed: int) -> tuple[Result, bool]:
    began_s = time.monotonic()
    name = f"{point} {action} {hit}"
    try:
        with place() as folder:
            run = BATCH.run(folder, point=f"{point}:{action}:{hit}")
            evidence = perform(run, _longest(action), folder)
            fired = evidence.point is not None
            trial = _trial(run, point, action, fired=fired)
        verdicts = judged(trial, evidence)
    except Interrupted:
        raise
    except Exception:  # noqa: BLE001  whatever it is, the other points are to be struck
        return Result(name, seed, (), time.monotonic() - began_s, _again(point, action), traceback.format_exc()), False
    held = all(verdict.finding.passes for verdict in verdicts)
    details = "" if held else details_of(evidence, verdicts)
    if not fired:
        name = f"{point} not met" if hit > 1 else f"{point} NEVER met"
    error = f"no run meets {point}: nothing was tested" if not fired and hit == 1 else None
    took_s = time.monotonic() - began_s
    return Result(name, seed, verdicts, took_s, _again(point, action), error, details), fired


def _again(point: str, action: str) -> str:
    return f"workflow chaos --sweep {point}:{action}"


def _longest(action: str) -> Expected:
    return replace(BATCH.expected(), longest_s=60.0 if action == "stop" else 30.0)


def _trial(run: object, point: str, action: str, *, fired: bool) -> Trial:
    expected = _longest(action)
    role = point.partition(".")[0]
    if not fired:
        return Trial(run, expected)  # type: ignore[arg-type]
    tasks = dict(expected.tasks)
    checks: dict[int, Check] = {}
    if role == "worker":
        if point not in _UNBEGUN | _ANSWERED:
            more = {"timed_out"} if action == "stop" else set()  # it is in the middle of a task, which has a limit
            tasks = {id_: _or_crashed(task, more) for id_, task in tasks.items()}
            checks[2] = _at_most_one
        expected = replace(expected, tasks=tasks)
    elif role in ("callback", "dispatcher"):
        crashed = frozenset({"crashed", "timed_out"})
        tasks = {id_: _or_not_called(task, crashed) for id_, task in tasks.items()}
        expected = replace(expected, tasks=tasks)
        checks[7] = _one_callback
    elif role in ("warden", "guardian"):
        tasks = {id_: _or_cancelled(task) for id_, task in tasks.items()}
        expected = replace(expected, tasks=tasks, exit_codes=frozenset({1, 4}))
        checks[5] = _with_a_reason
    elif role == "parent":
        code = 70 if action == "exit" else -9
        expected = replace(expected, tasks={}, exit_codes=frozenset({code}), report=False)
    return Trial(run, expected, checks)  # type: ignore[arg-type]


def _or_crashed(task: ExpectedTask, more: set[str] | frozenset[str] = frozenset()) -> ExpectedTask:
    return replace(
        task, outcomes=task.outcomes | {"crashed"} | more, callback=None, callback_error=None, signal=None,
        exit_code=None, error=None, says="", stack="", traceback="", left=None, faults=(),
    )  # fmt: skip


def _or_not_called(task: ExpectedTask, instead: frozenset[str]) -> ExpectedTask:
    faults = tuple(kind for kind in task.faults if not kind.startswith("callback."))
    return replace(task, callback=(task.callback or frozenset()) | instead, callback_error=None, faults=faults)


def _or_cancelled(task: ExpectedTask) -> ExpectedTask:
    return replace(_or_crashed(task), outcomes=task.outcomes | {"cancelled"}, attempts=None, digest=None)


def _at_most_one(evidence: Evidence) -> Iterator[str]:
    """A dying worker takes the one task with it that it had begun."""
    gone = [id_ for id_, task in evidence.tasks.items() if task["outcome"] == "crashed" and id_ != "crash_segv"]
    if len(gone) > 1:
        yield f"one worker died, and {len(gone)} tasks crashed: {', '.join(gone)}"


def _with_a_reason(evidence: Evidence) -> Iterator[str]:
    """Without its supervisors the engine ends, unless everything had ended before."""
    cancelled = [id_ for id_, task in evidence.tasks.items() if task["outcome"] == "cancelled"]
    if cancelled and evidence.exit_code != 4:
        yield f"{cancelled[0]} was cancelled, and the exit code is {evidence.exit_code}, not 4"
    if evidence.exit_code == 4 and "the engine failed: " not in evidence.stderr:
        yield "it left with exit code 4, and does not say why"


def _one_callback(evidence: Evidence) -> Iterator[str]:
    """A dying dispatcher takes the one callback with it that it had begun."""
    told = {id_: task["callback"]["outcome"] for id_, task in evidence.tasks.items() if task["callback"]}
    gone = [id_ for id_, outcome in told.items() if outcome in ("crashed", "timed_out") and id_ != "callback_kill"]
    if len(gone) > 1:
        yield f"one dispatcher died, and {len(gone)} callbacks are crashed: {', '.join(gone)}"
