"""Random processes of live runs are killed, stopped, continued and signalled at random moments, run after run.

Each round has a seed of its own, the first one's and one more each time, so any of them can be had again by itself.
What had to come of a round follows from whom its blows hit (see ``aftermath``).  A blow that came too late, when the
run had ended, is no failure as long as another one hit; a round in which none did tested nothing, and is none.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from workflow.harness import journal
from workflow.harness import schedule as schedules
from workflow.harness.aftermath import expected_after
from workflow.harness.batch import Batch
from workflow.harness.evidence import OUTCOMES, Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Interrupted, perform
from workflow.harness.folders import place
from workflow.harness.oracle import Verdict, judge
from workflow.harness.pipeline import Control, Subject, expected_of_run, run_of, without_its_own
from workflow.harness.scenario import Result, details_of
from workflow.harness.schedule import Schedule
from workflow.plan.plan import Plan

LONGEST_S = 60.0


def soak(duration_s: float, seed: int, step: int = 1, keep: Path | None = None) -> Iterator[Result]:
    """Rounds until that much time is over; at least one.  The schedule of a broken one is kept in a folder.

    The seeds are ``seed``, ``seed + step`` and so on, so that several can be at it side by side.
    """
    yield from _rounds(duration_s, seed, step, lambda of: replay(schedules.draw(of), keep))


def soak_pipeline(subject: Subject, control: Control, duration_s: float, seed: int, again: str) -> Iterator[Result]:
    """The same with a user's own pipeline."""
    yield from _rounds(duration_s, seed, 1, lambda of: _hurt_pipeline(subject, control, of, f"{again} --seed {of}"))


def replay(schedule: Schedule, keep: Path | None = None, kept: Path | None = None) -> Result:
    """Do once what a schedule says, and judge it.  ``keep``: the folder for the schedule, should it be broken.

    ``kept``: where the schedule is kept already.
    """
    batch = Batch(schedule.kinds, pool=schedule.pool, neighbours=schedule.neighbours, neighbour_s=0.01, timeout_s=1.5)

    def act(folder: Path) -> tuple[Evidence, Expected]:
        expected = batch.expected(longest_s=LONGEST_S + 3 * len(schedule.kinds))
        evidence = perform(batch.run(folder, schedule.blows), expected, folder)
        return evidence, expected_after(expected, evidence)

    reproduce = f"workflow chaos --soak 1s --seed {schedule.seed}"
    if kept is not None:
        reproduce = f"workflow chaos --replay {kept}"
    result = _round(act, schedule.seed, reproduce, schedules.told(schedule.blows))
    if result.passed or keep is None:
        return result
    path = keep / f"chaos-schedule-{schedule.seed}.json"
    try:
        schedules.write(schedule, path)
    except OSError as error:
        return replace(result, details=f"{result.details}\nits schedule cannot be kept in {path}: {error}")
    return replace(result, reproduce=f"workflow chaos --replay {path}")


def _rounds(duration_s: float, seed: int, step: int, hurt: Callable[[int], Result]) -> Iterator[Result]:
    end = time.monotonic() + duration_s
    while True:
        yield hurt(seed)
        seed += step
        if time.monotonic() >= end:
            return


def _hurt_pipeline(subject: Subject, control: Control, seed: int, reproduce: str) -> Result:
    blows = schedules.draw_blows(seed, len(subject.plan.tasks), schedules.PLAIN_MOMENTS)

    def act(folder: Path) -> tuple[Evidence, Expected]:
        limit_s = subject.longest_s or 60 + 10 * control.took_s
        evidence = perform(replace(run_of(subject, {}), blows=blows), Expected({}, longest_s=limit_s), folder)
        undisturbed = expected_of_run(subject.plan, control, {}, evidence, limit_s)
        tasks = _excusing_what_follows(subject.plan, control, undisturbed.tasks, evidence)
        undisturbed = replace(undisturbed, tasks=tasks)
        return without_its_own(evidence, control), _of_any_callback(expected_after(undisturbed, evidence), undisturbed)

    return _round(act, seed, reproduce, schedules.told(blows))


def _excusing_what_follows(
    plan: Plan, control: Control, expected: Mapping[str, ExpectedTask], evidence: Evidence
) -> dict[str, ExpectedTask]:
    """Whatever is behind a task that ended otherwise than without blows may come to anything; that one may not."""
    tasks = dict(expected)
    other = {id_ for id_, task in evidence.tasks.items() if task["outcome"] != control.evidence.tasks[id_]["outcome"]}
    for task in plan.tasks:
        if any(id_ in other for need in task.needs for id_ in need.ids):
            other.add(task.id)
            tasks[task.id] = ExpectedTask(OUTCOMES - {"cached"})
    return tasks


def _round(act: Callable[[Path], tuple[Evidence, Expected]], seed: int, reproduce: str, blows: list[str]) -> Result:
    began_s = time.monotonic()
    name = f"round of seed {seed}"
    try:
        with place() as folder:
            evidence, expected = act(folder)
            verdicts = _judge(evidence, expected)
    except Interrupted:
        raise
    except Exception:  # noqa: BLE001  whatever it is, the other rounds are to be run
        return Result(name, seed, (), time.monotonic() - began_s, reproduce, traceback.format_exc())
    held = all(verdict.finding.passes for verdict in verdicts)
    details = (
        "" if held else "\n".join([details_of(evidence, verdicts), "its schedule:", *(f"  {blow}" for blow in blows)])
    )
    return Result(
        name, seed, verdicts, time.monotonic() - began_s, reproduce, None, details, tuple(blows)
    )  # fmt: skip


def _judge(evidence: Evidence, expected: Expected) -> tuple[Verdict, ...]:
    fired = any(entry.what == journal.FIRED for entry in evidence.journal)
    if any(blow.signal != "SIGCONT" for blow in evidence.struck) or (fired and not evidence.missed):
        evidence = replace(evidence, missed=())
    elif not evidence.missed:
        evidence = replace(evidence, missed=("any blow or fault at all",))
    return judge(evidence, expected)


def _of_any_callback(expected: Expected, undisturbed: Expected) -> Expected:
    """Without a callback for what ended otherwise than without blows: whether it has one for that, nobody knows."""
    tasks = {
        id_: replace(task, callback=None) if task.outcomes != undisturbed.tasks[id_].outcomes else task
        for id_, task in expected.tasks.items()
    }
    return replace(expected, tasks=tasks)
