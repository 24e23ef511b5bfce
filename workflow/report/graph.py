"""``graph.json``: what a report that is made later needs of the plan, by the names of tasks.

So it is small however large a matrix is, unless its instances differ in whether they may fail.  ``report.json`` does
not have it: its fields are a contract of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from workflow.plan.plan import Status
from workflow.plan.tasks import Group, Tasks
from workflow.report.regular import read_regular
from workflow.report.writing import write_whole

GRAPH = "graph.json"


class NeedPart(TypedDict):
    """One other task by its name, and how it has to end."""

    task: str
    status: Status


class NamePart(TypedDict):
    """What the file says of a task."""

    needs: list[NeedPart]
    allow_failure: bool | list[str]
    """The ids of those that are allowed to fail, where that is said of some of its instances."""


Graph = dict[str, NamePart]
"""By name, in the order of the plan."""


def graph_of(tasks: Tasks) -> Graph:
    """What needs what, by name: what any of its instances needs; those that are skipped need nothing."""
    graph: Graph = {}
    for group in tasks.groups:
        part = graph.setdefault(group.name, NamePart(needs=[], allow_failure=_allowed(group)))
        known = {(need["task"], need["status"]): need for need in part["needs"]}
        for needs in group.needs_of_any():
            for need in needs:
                if (need.name, need.status) not in known:
                    known[need.name, need.status] = NeedPart(task=need.name, status=need.status)
        part["needs"] = list(known.values())
    return graph


def _allowed(group: Group) -> bool | list[str]:
    if group.alike("allow_failure"):
        return group[0].allow_failure
    ids = [task.id for task in group.views() if task.allow_failure]
    return ids if 0 < len(ids) < len(group) else bool(ids)


def write_graph(path: Path, graph: Graph) -> None:
    """Keep it: the whole of it, or nothing.  Raises OSError."""
    write_whole(path, [json.dumps(graph), "\n"], private=True)


def read_graph(path: Path) -> Graph | None:
    """Answer what was kept.  Whoever has hurt that file gets a report without it."""
    try:
        graph = json.loads(read_regular(path))
        return {
            str(name): NamePart(
                needs=[NeedPart(task=str(need["task"]), status=_STATUS[need["status"]]) for need in part["needs"]],
                allow_failure=_read_allowed(part["allow_failure"]),
            )
            for name, part in graph.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _read_allowed(value: object) -> bool | list[str]:
    return [str(id_) for id_ in value] if isinstance(value, list) else bool(value)


_STATUS: dict[str, Status] = {"success": "success", "failure": "failure", "any": "any"}
