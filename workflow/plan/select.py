"""A part of a plan: what was asked for, and everything that needs to run before it."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase, translate
from itertools import compress

from workflow.plan.plan import Plan, count_failures
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
        for number in _tagged(group, _asked_for(group, globs) if globs else range(len(group)), tags)
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


def matches(plan: Plan, glob: str) -> bool:
    """Whether there is a task whose id or name matches."""
    return any(True for group in plan.tasks.groups for _ in matching(group, glob))


def matching(group: Group, glob: str) -> Iterable[int]:
    """Those of a group whose id or name matches, as they rise.

    Their ids, maybe a million, are looked at only where something in them decides.
    """
    if fnmatchcase(group.name, glob):
        return range(len(group))
    beginning = _BEGINNING.match(glob)
    assert beginning is not None
    if beginning.end() == len(glob):
        number = group.find(glob)
        return () if number is None else (number,)
    begins, prefix = f"{group.name}@", beginning.group()
    if not (begins.startswith(prefix) or prefix.startswith(begins)):
        return ()
    fits = re.compile(translate(glob)).match
    return (number for number, id_ in enumerate(group.ids()) if fits(id_))


def _asked_for(group: Group, globs: Sequence[str]) -> Iterable[int]:
    """Those that match one of several, as they rise."""
    found = [matching(group, glob) for glob in globs]
    return found[0] if len(found) == 1 else sorted({number for numbers in found for number in numbers})


def _tagged(group: Group, numbers: Iterable[int], tags: Sequence[str]) -> Iterable[int]:
    """Those of them with one of these tags, or all when nothing is asked for."""
    if not tags:
        return numbers
    if group.alike("tags"):
        return numbers if any(tag in group[0].tags for tag in tags) else ()
    return (number for number in numbers if any(tag in group[number].tags for tag in tags))


_BEGINNING = re.compile(r"[^*?\[]*")
"""What a glob's matches all begin with."""
