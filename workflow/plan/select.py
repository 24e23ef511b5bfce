"""A part of a plan: what was asked for, and everything that needs to run before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from workflow.plan.build import count_failures
from workflow.plan.plan import Plan, PlannedTask
from workflow.plan.printing import plan_hash


def select(plan: Plan, *, globs: Sequence[str], tags: Sequence[str]) -> Plan:
    """The tasks whose id or name matches one of ``globs`` and that have one of ``tags``, and what they need.

    An empty sequence asks for nothing in particular; with both empty the plan stays as it is.  The result may have
    no tasks.  A percentage in ``max_failures`` is counted again, of the tasks that are left.
    """
    if not globs and not tags:
        return plan
    by_id = {task.id: task for task in plan.tasks}
    waiting = [task for task in plan.tasks if _asked_for(task, globs, tags)]
    kept = {task.id for task in waiting}
    seen: set[int] = set()  # tasks with the same need share the tuple of its instances: it is walked once
    while waiting:
        for need in waiting.pop().needs:
            if id(need.every) in seen:
                continue
            seen.add(id(need.every))
            for needed in need.every:  # those that ``if`` removed cost nothing, and ``items`` lists them
                if needed not in kept:
                    kept.add(needed)
                    waiting.append(by_id[needed])
    tasks = tuple(task for task in plan.tasks if task.id in kept)
    settings = replace(plan.settings, max_failures=count_failures(plan.settings.max_failures_written, len(tasks)))
    selected = replace(plan, tasks=tasks, settings=settings)
    return replace(selected, hash=plan_hash(selected))


def _asked_for(task: PlannedTask, globs: Sequence[str], tags: Sequence[str]) -> bool:
    matches = not globs or any(fnmatchcase(task.id, glob) or fnmatchcase(task.name, glob) for glob in globs)
    return matches and (not tags or any(tag in task.tags for tag in tags))
