"""A part of a plan: what was asked for, and everything that needs to run before it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import compress

from workflow.plan.plan import Plan, PlannedTask, count_failures
from workflow.plan.printing import plan_hash
from workflow.plan.tasks import Group, Part, Tasks


def select(plan: Plan, *, globs: Sequence[str], tags: Sequence[str]) -> Plan:
    """The tasks whose id or name matches one of ``globs`` and that have one of ``tags``, and what they need.

    An empty sequence asks for nothing in particular; with both empty the plan stays as it is.  The result may have
    no tasks.  A percentage in ``max_failures`` is counted again, of the tasks that are left.
    """
    if not globs and not tags:
        return plan
    waiting = [
        (group, number)
        for group in plan.tasks.groups
        for number, task in enumerate(group.views())
        if _asked_for(task, globs, tags)
    ]
    kept = {group: bytearray(len(group)) for group in plan.tasks.groups}
    for group, number in waiting:
        kept[group][number] = 1
    seen: dict[int, object] = {}  # tasks with the same need share the ids of its instances: they are walked once
    while waiting:
        group, number = waiting.pop()
        for need in group[number].needs:
            if id(need.every) in seen:
                continue
            seen[id(need.every)] = need.every
            for place in plan.tasks.numbers(need.every):  # skipped ones cost nothing, and ``items`` lists them
                needed, at = plan.tasks.where(place)
                if not kept[needed][at]:
                    kept[needed][at] = 1
                    waiting.append((needed, at))
    tasks = Tasks(_part(group, marks) for group, marks in kept.items())
    settings = replace(plan.settings, max_failures=count_failures(plan.settings.max_failures_written, len(tasks)))
    selected = replace(plan, tasks=tasks, settings=settings)
    return replace(selected, hash=plan_hash(selected))


def _part(group: Group, kept: bytearray) -> Group:
    if all(kept):
        return group
    return Part(group, array("I", compress(range(len(group)), kept)))


def _asked_for(task: PlannedTask, globs: Sequence[str], tags: Sequence[str]) -> bool:
    matches = not globs or any(fnmatchcase(task.id, glob) or fnmatchcase(task.name, glob) for glob in globs)
    return matches and (not tags or any(tag in task.tags for tag in tags))
