"""Which task needs which, and an order in which prerequisites come first.

All on the tasks of the file, not on their instances: a matrix of a hundred thousand is one node.  Nothing here
recurses, so a chain of any length is fine.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.plan.plan import Status
from workflow.spec.checks import NeedTable
from workflow.spec.matrix import Like
from workflow.spec.pipeline import Mention, Pipeline, TaskSpec
from workflow.spec.reference import Reference


class Edge(NamedTuple):
    """One need, as the file has it."""

    status: Status
    place: Place
    needle: str | None
    """The reference, if the need is implied by one."""
    match: tuple[str, ...] = ()
    """Axes that pair instances; empty is all with all."""
    orders_only: bool = False
    """Whether only the plan needs it, for the values of an axis, and the run does not."""
    file: str | None = None
    """The input, if the need is implied by one."""


Edges = dict[str, dict[str, Edge]]
"""Task to what it needs."""

_LONGEST_SHOWN = 12


def read_edges(pipeline: Pipeline) -> tuple[Edges, list[Mistake]]:
    """The edges between tasks that exist, and what is wrong with the others."""
    mistakes: list[Mistake] = []
    edges: Edges = {name: {} for name in pipeline.tasks}
    for name, spec in pipeline.tasks.items():
        for number, need in enumerate(spec.table.needs):
            place = pipeline.place(name, "needs", number)
            mistakes += _add(pipeline, edges, spec, need.task, Edge(need.status, place, None, need.match))
            mistakes += _unmatched(pipeline, spec, need, place)
        for place, reference in spec.references:
            if reference.namespace == "tasks":
                needed = reference.path[0]
                written = edges[name].get(needed)  # of needs, or of a reference before this one
                edge = Edge(
                    written.status if written else "success", place, str(reference), written.match if written else ()
                )
                wrong = _add(pipeline, edges, spec, needed, edge)
                mistakes += wrong or _without_result(pipeline, spec, reference, edge, place)
        for axis, written_axis in spec.table.matrix.axes.items() if spec.table.matrix else ():
            if isinstance(written_axis, Like):
                place = pipeline.place(name, "matrix", axis, "like")
                mistakes += _like(pipeline, edges, spec, axis, written_axis.task, place)
    for mention in pipeline.mentions:
        mistakes += _mentioned(pipeline, edges, mention)
    return edges, mistakes


def _mentioned(pipeline: Pipeline, edges: Edges, mention: Mention) -> list[Mistake]:
    """What is wrong with a name in what was refused: there is no edge from it, so no cycle either."""
    needle = str(mention.reference) if mention.reference else None
    if mention.task not in pipeline.tasks and mention.task not in pipeline.broken:
        return [_unknown(pipeline, mention.by, mention.task, mention.place, needle)]
    spec = pipeline.tasks.get(mention.by)
    if mention.reference is None or spec is None:
        return []
    edge = edges[mention.by].get(mention.task, Edge("success", mention.place, None))
    return _without_result(pipeline, spec, mention.reference, edge, mention.place)


def _unknown(pipeline: Pipeline, by: str, needed: str, place: Place, needle: str | None) -> Mistake:
    near = did_you_mean(needed, [name for name in (*pipeline.tasks, *pipeline.broken) if name != by])
    headline = f"there is no task {needed!r}" + (f", {near}" if near else "")
    return Mistake("unknown-task", place, headline, needle=needle)


def _unmatched(pipeline: Pipeline, spec: TaskSpec, need: NeedTable, place: Place) -> list[Mistake]:
    """Axes of a ``match`` that one of the two has not."""
    needed = pipeline.tasks.get(need.task)
    if needed is None or not need.match:
        return []
    place = (*place, "match")
    mistakes = []
    for axis in need.match:
        for each in (spec, needed):
            axes = each.table.matrix.names if each.table.matrix else ()
            if axis in axes or "matrix" in each.refused:
                continue
            near = did_you_mean(axis, axes)
            headline = f"{each.name!r} has no axis {axis!r}" + (f", {near}" if near else "")
            help_ = f"its axes are {', '.join(axes)}" if axes else "it has no matrix"
            mistakes.append(Mistake("unknown-axis", place, headline, help_))
            break
    return mistakes


def _like(pipeline: Pipeline, edges: Edges, spec: TaskSpec, axis: str, task: str, place: Place) -> list[Mistake]:
    """An axis with the values of another task's."""
    target = pipeline.tasks.get(task)
    if target is None:
        return [] if task in pipeline.broken else [_unknown(pipeline, spec.name, task, place, None)]
    if task == spec.name:
        return [Mistake("cycle", place, f"{task!r} takes an axis from itself")]
    axes = target.table.matrix.names if target.table.matrix else ()
    if "matrix" in target.refused:
        return []
    if axis not in axes:
        near = did_you_mean(axis, axes)
        headline = f"{task!r} has no axis {axis!r}" + (f", {near}" if near else "")
        return [
            Mistake("unknown-axis", place, headline, f"its axes are {', '.join(axes)}" if axes else "it has no matrix")
        ]
    edges[spec.name].setdefault(task, Edge("success", place, None, orders_only=True))
    return []


def _without_result(
    pipeline: Pipeline, spec: TaskSpec, reference: Reference, edge: Edge, place: Place
) -> list[Mistake]:
    """Why ``${tasks.x.result}`` can never have a value; it may still have none when the time comes."""
    needed, part = reference.path[:2]
    target = pipeline.tasks.get(needed)
    if part != "result" or target is None or "needs" in spec.refused:  # which may match
        return []
    if target.table.matrix is not None and not set(target.table.matrix.names) <= set(edge.match):
        headline = f"{reference}: {needed!r} has a matrix, so there is no one result"
        help_ = f"${{tasks.{needed}.results}} lists those of the instances that succeeded"
        if edge.match:
            headline = f"{reference}: several instances of {needed!r} have the same {', '.join(edge.match)}"
            help_ += "; or match all its axes"
        return [Mistake("result-of-matrix", place, headline, help_, needle=str(reference))]
    if edge.status == "failure":
        headline = f"{reference}: this task runs only when {needed!r} went wrong, and then there is no result"
        return [Mistake("contradiction", place, headline, needle=str(reference))]
    return []


def _add(pipeline: Pipeline, edges: Edges, spec: TaskSpec, needed: str, edge: Edge) -> list[Mistake]:
    """Add the edge, or say why there is none."""
    place, needle = edge.place, edge.needle
    if needed == spec.name:
        help_ = "[defaults] says so for every task: write needs = [] here" if place[0] == "defaults" else None
        return [Mistake("cycle", place, f"{needed!r} needs itself", help_, needle=needle)]
    if needed in pipeline.tasks:
        first = edges[spec.name].setdefault(needed, edge)
        if first.status != edge.status:
            headline = f"{needed!r} is needed already, with status {first.status!r} and not {edge.status!r}"
            return [Mistake("contradiction", place, headline, "keep one of the two")]
        if first.match != edge.match:
            headline = f"{needed!r} is needed already, with {_matching(first)} and not {_matching(edge)}"
            return [Mistake("contradiction", place, headline, "keep one of the two")]
    elif needed not in pipeline.broken:
        return [_unknown(pipeline, spec.name, needed, place, needle)]
    return []


def _matching(edge: Edge) -> str:
    return f"match = [{', '.join(edge.match)}]" if edge.match else "all its instances"


def order(edges: Edges) -> tuple[list[str], list[Mistake]]:
    """All tasks, prerequisites first, otherwise in the order given; the cycles, where there are any."""
    number = {name: position for position, name in enumerate(edges)}
    names = list(edges)
    waiting = {name: len(needed) for name, needed in edges.items()}
    needed_by = _reversed(edges)
    ready = [number[name] for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    ordered: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        ordered.append(name)
        for dependent in needed_by[name]:
            waiting[dependent] -= 1
            if waiting[dependent] == 0:
                heapq.heappush(ready, number[dependent])
    if len(ordered) == len(names):
        return ordered, []
    done = set(ordered)
    rest = {name: [each for each in edges[name] if each not in done] for name in names if name not in done}
    return ordered, [_cycle_mistake(cycle, edges, number) for cycle in _cycles(rest)]


def _reversed(edges: Mapping[str, object]) -> dict[str, list[str]]:
    needed_by: dict[str, list[str]] = {name: [] for name in edges}
    for name, needed in edges.items():
        for each in needed if isinstance(needed, (dict, list)) else ():
            needed_by[each].append(name)
    return needed_by


def _cycles(rest: dict[str, list[str]]) -> list[list[str]]:
    """Cycles that share no task, one at least of each knot.  In ``rest`` every task needs one of ``rest``."""
    cycles: list[list[str]] = []
    removed: set[str] = set()
    for first in rest:
        path: dict[str, int] = {}
        name: str | None = first
        while name is not None and name not in removed and name not in path:
            path[name] = len(path)
            name = next((each for each in rest[name] if each not in removed), None)
        if name is not None and name in path:
            cycles.append(list(path)[path[name] :])
        removed.update(path)  # walked to its end: it leads to a cycle that is told, or to nothing more
    return cycles


def _cycle_mistake(cycle: list[str], edges: Edges, number: Mapping[str, int]) -> Mistake:
    at = min(range(len(cycle)), key=lambda position: number[cycle[position]])
    cycle = cycle[at:] + cycle[:at]
    shown = [*cycle, cycle[0]]
    if len(shown) > _LONGEST_SHOWN:
        left_out = len(shown) - _LONGEST_SHOWN
        shown = [*shown[: _LONGEST_SHOWN - 2], f"({left_out:,} more)", *shown[-2:]]
    edge = edges[cycle[0]][cycle[1]]
    headline = f"tasks need each other in a circle: {' → '.join(shown)}"
    steps = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    files = [
        f"{name} reads {file!r}, which {needed} makes" for name, needed in steps if (file := edges[name][needed].file)
    ]
    return Mistake("cycle", edge.place, headline, "; ".join(files[:3]) or None, needle=edge.needle)
