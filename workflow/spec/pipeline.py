"""A ``Pipeline``: what a file says, checked.  The second of the three types a task is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workflow.diagnostics.mistake import InvalidPipeline, Mistake, Place
from workflow.spec.models import PipelineTable, TaskTable
from workflow.spec.reference import Reference
from workflow.spec.source import Source


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of the file, [defaults] laid under it."""

    name: str
    table: TaskTable
    references: tuple[tuple[Place, Reference], ...]
    """To the matrix and to results, with where they stand in the file, in its order."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A task named by one that was refused: the name is checked although nothing else comes of it."""

    by: str
    task: str
    place: Place
    reference: Reference | None
    """None where it stands in ``needs``."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline file whose every key and value is as it must be.

    Whether its tasks fit together (prerequisites, cycles, the matrix) is found out by the plan.
    """

    source: Source
    settings: PipelineTable
    tasks: dict[str, TaskSpec]
    broken: frozenset[str]
    """Tasks that are in the file but not in ``tasks``, since they were refused; empty in a Pipeline that loaded."""
    mentions: tuple[Mention, ...] = ()
    """Which tasks the broken ones name, as far as they could be read."""

    def place(self, name: str, *path: str | int) -> Place:
        """Where a value of a task is written: in its table, in [defaults], or else the task itself."""
        return place_of(self.source.document, name, path)


def place_of(document: dict[str, object], name: str, path: Place) -> Place:
    """See ``Pipeline.place``."""
    tasks, defaults = document.get("tasks"), document.get("defaults")
    table = tasks.get(name) if isinstance(tasks, dict) else None
    # The last steps may be inside a value that a variable stands for: then the nearest that is written.
    while path:
        for base, start in ((("tasks", name), table), (("defaults",), defaults)):
            reached, goes_on_below = _reached(start, path)
            if reached and not goes_on_below:
                return (*base, *reached)
        path = path[:-1]
    return ("tasks", name)


def place_in_defaults(document: dict[str, object], path: Place) -> Place:
    """Where a value of [defaults] is written."""
    return ("defaults", *_reached(document.get("defaults"), path)[0])


def _reached(value: object, path: Place) -> tuple[Place, bool]:
    """As far as a path goes in what is written, and whether the rest may be in [defaults]: below tables only."""
    reached: list[str | int] = []
    for step in path:
        if isinstance(value, dict) and step == 0:
            continue  # one element of an array, without its brackets
        in_table = isinstance(value, dict) and step in value
        in_array = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not (in_table or in_array):
            return tuple(reached), isinstance(value, dict)
        value = value[step]  # type: ignore[index]  # it is one of the two
        reached.append(step)
    return tuple(reached), False


def raise_mistakes(source: Source, mistakes: Sequence[Mistake]) -> None:
    """Raise all of them as one InvalidPipeline, located; nothing when there are none."""
    if mistakes:
        from workflow.diagnostics.locate import locate

        raise InvalidPipeline(source.shown, locate(source.text, mistakes))
