"""The parts of the engine themselves die, or are stopped.

Whoever is hit at a moment that is not his own takes whatever he is doing along, so most of these are judged by what
their blows justify (see ``aftermath``).  What is known before is held to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from workflow.harness.batch import CALLED, MODEL, Batch
from workflow.harness.blows import Blow, When
from workflow.harness.census import withheld_s
from workflow.harness.evidence import Evidence, ExpectedTask
from workflow.harness.faulty import Strike, digest_of
from workflow.harness.injection import Injected
from workflow.harness.neighbours import value_of
from workflow.harness.oracle import Unjudged
from workflow.harness.scenario import Scenario, Trial, of_batch

REPLACED_S = 1.0
"""By when a dead dispatcher has a successor."""
TREE_S = 0.5
"""By when what a dead worker's task had started is gone too."""
NOTICED_S = 3.0
"""By when a run has ended that has lost one of those that guard it."""
_WOKEN_S = 7.0
"""By when one that was stopped goes on; it is looked at every second, and not woken at once."""

_RETRIED = f"""
[tasks.retried]
module = "{MODEL}"
args = [7, 0.05]
"""
_SLOW = f"""
[tasks.slow]
module = "{MODEL}"
args = [7, 20]
"""
_LONG = "".join(f'[tasks.long{number}]\nmodule = "{MODEL}"\nargs = [{number}, 0.4]\n' for number in range(4))
_LONG_TASKS = {
    f"long{number}": ExpectedTask(callback=CALLED, attempts=1, digest=digest_of(value_of(number)))
    for number in range(4)
}
_FAILS = "crash.base_exception"
_FAILS_ONCE = Injected((Strike(_FAILS, 1),), retries=2, delay_s=0.3)
_ENDED = re.compile(r"^\[ *\d+/\d+\] (\w+) +(?:\d\S*s +)?([^\s:]+)", re.MULTILINE)
"""A line by which a run announces the end of a task."""


def _kill_dispatchers() -> Scenario:
    """Four while short tasks are queued, one while long ones run, one between two tries of a task."""
    moments = [When("began", "good@*", count) for count in (40, 120, 200, 280)]
    moments += [When("began", "long*", 2, 0.05), When("fired", "retried", 1, 0.1)]
    batch = Batch(
        ["hang.sleep"],
        pool=4,
        neighbours=400,  # so quick that they are sent ahead
        neighbour_s=0.001,
        timeout_s=1.0,
        victims_first=False,  # so that which worker has which long one is not the order in which they are told of
        extra=_RETRIED + _LONG,
        extra_tasks={
            "retried": ExpectedTask(callback=CALLED, faults=(_FAILS,), attempts=2, digest=digest_of(value_of(7))),
            **_LONG_TASKS,
        },
        extra_injected={"retried": _FAILS_ONCE},
    )
    return Scenario(
        "death.dispatcher",
        "the dispatcher is killed, six times: tasks queued, sent ahead, running, waiting to be tried again",
        "replaced within 1 s; nothing is crashed or run twice for it; limits and attempts are not forgotten",
        of_batch(
            batch,
            blows=[Blow("SIGKILL", "dispatcher", moment) for moment in moments],
            checks={5: _replaced},
            forgiving=True,
        ),
    )


def _kill_in_callback() -> Scenario:
    return Scenario(
        "death.dispatcher.callback",
        "the dispatcher is killed in the middle of a callback",
        "replaced within 1 s; that callback is crashed, and not repeated; the others are called",
        of_batch(
            Batch(
                ["callback.hang", "hang.sleep"],
                changes={"callback_hang": {"callback": frozenset({"crashed"}), "callback_error": "TaskCrashed"}},
                callback_timeout_s=20,
            ),
            blows=[Blow("SIGKILL", "dispatcher", When("callback", "callback_hang", 1, 0.1))],
            checks={5: _replaced},
        ),
    )


def _kill_parent(id_: str, fault: str, batch: Batch, *blows: Blow, smoke: bool = False) -> Scenario:
    return Scenario(
        id_,
        fault,
        "every process of the run is gone within 2 s; what had been announced is in events.jsonl, once",
        of_batch(
            batch,
            blows=blows,
            checks={8: _announced_is_durable},
            report=False,
            exit_codes=frozenset({-9}),
        ),
        smoke=smoke,
    )


def _both(folder: Path, draw: Random) -> Trial:
    """The parent is stopped first, so that it can do nothing about the death of the dispatcher."""
    moment = _STARTED._replace(delay_s=draw.uniform(0, 0.3))
    blows = [
        Blow(signal, role, moment)
        for signal, role in (("SIGSTOP", "parent"), ("SIGKILL", "dispatcher"), ("SIGKILL", "parent"))
    ]
    expected = _BUSY.expected(report=False, exit_codes=frozenset({-9}))
    return Trial(_BUSY.run(folder, blows), expected, {8: _announced_is_durable})


def _any(folder: Path, draw: Random) -> Trial:
    """A few workers and dispatchers, and perhaps one of those without which a run cannot go on."""
    batch = Batch(
        ["hang.setsid", "hang.gil"],
        pool=3,
        neighbours=150,
        neighbour_s=0.01,
        extra=_RETRIED,
        extra_tasks={
            "retried": ExpectedTask(callback=CALLED, faults=(_FAILS,), attempts=2, retries=2,
                                    digest=digest_of(value_of(7)))
        },
        extra_injected={"retried": _FAILS_ONCE},
    )  # fmt: skip
    roles = draw.choices(["worker", "dispatcher"], k=draw.randint(3, 6))
    roles += draw.choices([[], ["guardian"], ["warden"], ["parent"]], [3, 1, 1, 1])[0]
    moments = sorted(draw.sample(range(5, 140, 6), len(roles)))
    blows = [
        Blow("SIGKILL", role, When("began", "good@*", count, draw.uniform(0, 0.015)), pick=draw.random())
        for role, count in zip(roles, moments, strict=True)
    ]
    return Trial(batch.run(folder, blows), batch.expected(), {4: _trees_are_gone}, forgiving=True)


def _stop_then_kill() -> Scenario:
    batch = Batch(
        ["hang.sleep"],
        pool=3,
        neighbours=60,
        neighbour_s=0.01,
        extra=_SLOW,
        extra_tasks={
            "slow": ExpectedTask(frozenset({"crashed"}), CALLED, attempts=1, signal="SIGKILL", error="TaskCrashed")
        },
    )
    blows = [
        Blow("SIGSTOP", "dispatcher", When("began", "good@*", 10)),
        Blow("SIGKILL", "dispatcher", When("began", "good@*", 10, 0.4)),
        Blow("SIGSTOP", "worker of slow", When("began", "slow", 1, 0.05)),
        Blow("SIGKILL", "worker of slow", When("began", "slow", 1, 0.3)),
    ]
    return Scenario(
        "death.stop",
        "the dispatcher and a worker are stopped, and then killed",
        "as if they had been killed: the dispatcher is replaced, the worker's task crashed; limits are kept meanwhile",
        of_batch(batch, blows=blows, checks={4: _trees_are_gone, 5: _replaced}, forgiving=True),
    )


_GUARDED = Batch(["hang.setsid", "hang.gil"], pool=3, neighbours=60, neighbour_s=0.01, timeout_s=60)
_BUSY = Batch(["hang.sleep", "hang.gil", "hang.setsid", "hang.daemon"], pool=5, neighbours=60, timeout_s=60)
_SLEEPER = "sleep 1000"
_MIDDLE = When("children", _SLEEPER, 1, 0.05)
_STARTED = _MIDDLE._replace(count=2)
"""When what the victims start is there; in a session of its own, or forked twice."""


def _guard(id_: str, fault: str, *blows: Blow, smoke: bool = False) -> Scenario:
    return Scenario(
        id_,
        fault,
        "noticed: the run ends with exit code 4 and a reason, every task has an outcome, nothing is left",
        of_batch(
            _GUARDED,
            blows=blows,
            checks={5: _ended_soon},
            forgiving=True,
            exit_codes=frozenset({4}),
            longest_s=12.0,
        ),
        smoke=smoke,
    )


def _all_tiers(folder: Path, _draw: Random) -> Trial:
    """Stopped first, so that none of them can do anything about the death of another."""
    tiers = ("dispatcher", "guardian", "warden", "parent")  # the dispatcher would follow the warden by itself
    blows = [Blow(signal, role, _STARTED) for signal in ("SIGSTOP", "SIGKILL") for role in tiers]
    after = folder / "after.toml"
    after.write_text('[tasks.after]\ncmd = ["true"]\n', encoding="utf-8")
    run = replace(_BUSY.run(folder, blows), then=(str(after),))
    expected = _BUSY.expected(report=False, exit_codes=frozenset({-9}))
    return Trial(run, expected, {5: _second_succeeded, 8: _announced_is_durable})


# -- checks --------------------------------------------------------------------------------------------------------


def _replaced(evidence: Evidence) -> Iterator[str]:
    dispatchers = [one for one in evidence.sightings if one.role == "dispatcher"]
    replacers = {one.pid for one in evidence.sightings if one.role in ("parent", "warden")}
    for blow in evidence.struck:
        if blow.role != "dispatcher" or blow.signal != "SIGKILL":
            continue
        machine_s = withheld_s(evidence.samples, replacers, blow.at_s, blow.at_s + REPLACED_S)
        until_s = blow.at_s + REPLACED_S + machine_s
        if evidence.ended_s < until_s:
            continue
        if not any(blow.at_s < one.first_s <= until_s for one in dispatchers if one.pid != blow.pid):
            yield f"dispatcher {blow.pid} had no successor {REPLACED_S:g} s after it was killed"


def _trees_are_gone(evidence: Evidence) -> Iterator[str]:
    """What the task of a killed worker had started does not outlive it, although the run goes on."""
    for blow in evidence.struck:
        for one in evidence.sightings:
            late_s = one.last_s - blow.at_s
            if blow.signal == "SIGKILL" and blow.role == "worker" and one.worker == blow.pid and late_s > TREE_S:
                yield f"{one.role} {one.pid} ({one.command}) lived {late_s:.2f} s longer than its worker {blow.pid}"


def _announced_is_durable(evidence: Evidence) -> Iterator[str]:
    """What a person was told is there for whoever asks later."""
    announced = {task: outcome for outcome, task in _ENDED.findall(evidence.stderr)}
    durable = {event["task"]: event["outcome"] for event in evidence.events or () if event["event"] == "task_finished"}
    for task, outcome in announced.items():
        if durable.get(task) != outcome:
            yield f"{task} was announced as {outcome}, and is {durable.get(task)} in events.jsonl"


def _ended_soon(evidence: Evidence) -> Iterator[str]:
    late_s = evidence.ended_s - max((blow.at_s for blow in evidence.struck), default=evidence.ended_s)
    if late_s > NOTICED_S:
        yield f"it ended {late_s:.1f} s after it had lost its guard"


def _woken(evidence: Evidence) -> Iterator[str]:
    for blow in evidence.struck:
        stopped = [sample.at_s for sample in evidence.samples if sample.pid == blow.pid and sample.stopped]
        if not stopped:
            raise Unjudged(f"the {blow.role} was never seen stopped")
        if stopped[-1] > blow.at_s + _WOKEN_S:
            yield f"the {blow.role} was still stopped {stopped[-1] - blow.at_s:.1f} s later"


def _second_succeeded(evidence: Evidence) -> Iterator[str]:
    second = evidence.second
    if second is None or second.exit_code != 0:
        yield f"the run behind it left with {second and second.exit_code}: {second and second.stderr[-500:]}"


SCENARIOS = (
    _kill_dispatchers(),
    _kill_in_callback(),
    _kill_parent(
        "death.parent",
        "the parent is killed; workers sleep, hold the GIL, have children in their own sessions",
        _BUSY,
        Blow("SIGKILL", "parent", _STARTED),
        smoke=True,
    ),
    _kill_parent(
        "death.parent.idle",
        "the parent is killed while its workers have nothing to do",
        Batch(
            neighbours=10,
            extra=_RETRIED,
            extra_tasks={"retried": ExpectedTask(faults=(_FAILS,))},
            extra_injected={"retried": _FAILS_ONCE._replace(delay_s=100.0)},
        ),
        Blow("SIGKILL", "parent", When("fired", "retried", 1, 0.5)),
    ),
    Scenario(
        "death.both",
        "the parent and the dispatcher are killed at once",
        "every process of the run is gone within 2 s; what had been announced is in events.jsonl, once",
        _both,
    ),
    Scenario(
        "death.any",
        "processes of the engine drawn by the seed are killed, one at a time",
        "each costs what its death justifies and no more: a worker one task, a dispatcher none, a guard the run",
        _any,
    ),
    _stop_then_kill(),
    _guard("death.guardian", "the guardian is killed", Blow("SIGKILL", "guardian", _MIDDLE), smoke=True),
    _guard("death.guardian.warden", "the warden is killed", Blow("SIGKILL", "warden", _MIDDLE)),
    _guard(
        "death.guardian.both",
        "guardian and warden are killed at once",
        # Stopped first, so that neither can do anything about the death of the other.
        *(Blow(signal, role, _MIDDLE) for signal in ("SIGSTOP", "SIGKILL") for role in ("guardian", "warden")),
    ),
    Scenario(
        "death.guardian.stopped",
        "guardian and warden are stopped, for good",
        "noticed: they are made to go on, and so does the run; or it ends with exit code 4 and a reason",
        of_batch(
            replace(_GUARDED, timeout_s=_WOKEN_S + 1.0),
            blows=[Blow("SIGSTOP", role, _MIDDLE) for role in ("guardian", "warden")],
            checks={5: _woken},
            forgiving=True,
        ),
    ),
    Scenario(
        "death.guardian.continued",
        "guardian and warden are stopped for half a second, one after the other",
        "the run goes on, or ends with exit code 4 and a reason",
        of_batch(
            replace(_GUARDED, timeout_s=2.0),
            blows=[
                Blow("SIGSTOP", "guardian", _MIDDLE, 0.5),
                Blow("SIGSTOP", "warden", _MIDDLE._replace(delay_s=0.85), 0.5),
            ],
            forgiving=True,
        ),
    ),
    Scenario(
        "death.guardian.all",
        "all tiers die in one instant, in the middle of tasks with children in their own sessions",
        "the workers die too; what left their session is ended by its mark by the next run",
        _all_tiers,
    ),
)
