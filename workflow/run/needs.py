"""What a task waits for, as the decisions of a run take it: one need for each task of the file that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from workflow.plan.plan import PlannedTask


class Need(NamedTuple):
    """All instances of one other task, and how they have to end."""

    name: str
    ids: tuple[str, ...]
    status: Literal["success", "failure", "any"]
    """All of them succeeded; at least one failed, once all ended; all ended."""


def needs_of(tasks: Sequence[PlannedTask]) -> list[tuple[Need, ...]]:
    """Answer the needs of each task.  Instances that share their needs in the plan share them here."""
    known: dict[int, tuple[Need, ...]] = {}
    needs = []
    for task in tasks:
        grouped = known.get(id(task.needs))
        if grouped is None:
            grouped = known[id(task.needs)] = _grouped(task.needs)
        needs.append(grouped)
    return needs


def _grouped(ids: tuple[str, ...]) -> tuple[Need, ...]:
    instances: dict[str, list[str]] = {}
    for each in ids:
        instances.setdefault(each.partition("@")[0], []).append(each)
    return tuple(Need(name, tuple(group), "success") for name, group in instances.items())
