"""``graph.json``: what a report that is made later needs of the plan, by the names of tasks.

So it is small however large a matrix is.  ``report.json`` does not have it: its fields are a contract of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from workflow.plan.plan import Status
from workflow.plan.tasks import Tasks
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
    allow_failure: bool


Graph = dict[str, NamePart]
"""By name, in the order of the plan."""


def graph_of(tasks: Tasks) -> Graph:
    """What needs what, by name."""
    graph: Graph = {}
    for group in tasks.groups:
        if group.name not in graph:
            task = group[0]
            needs = [NeedPart(task=need.name, status=need.status) for need in task.needs]
            graph[task.name] = NamePart(needs=needs, allow_failure=task.allow_failure)
    return graph


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
                allow_failure=bool(part["allow_failure"]),
            )
            for name, part in graph.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


_STATUS: dict[str, Status] = {"success": "success", "failure": "failure", "any": "any"}
