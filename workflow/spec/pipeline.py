"""A ``Pipeline``: what a file says, checked.  The second of the three types a task is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workflow.diagnostics.mistake import InvalidPipeline, Mistake, Place
from workflow.spec.checks import LimitTable, SecretTable
from workflow.spec.condition import Name
from workflow.spec.document import Document
from workflow.spec.models import PipelineTable, TaskTable
from workflow.spec.reference import Reference


@dataclass(frozen=True, slots=True)
class Layer:
    """One of the tables that a task is made of: its own, a template, or [defaults]."""

    place: Place
    """In the document."""
    written: Mapping[str, object]
    ready: Mapping[str, object]
    """The same with variables in place."""

    def place_of(self, path: Place) -> Place | None:
        """Where a value is written here; None where this layer has nothing to say about it."""
        reached, _ = _reached(self.written, path)
        return (*self.place, *reached) if reached else None


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of the file, its layers laid over each other."""

    name: str
    table: TaskTable
    references: tuple[tuple[Place, Reference], ...]
    """All that wait, with where they stand in the document, in its order."""
    asked: Mapping[Name, object] = field(default_factory=dict)
    """Values of the vars and env that its ``if`` names."""
    refused: frozenset[str] = frozenset()
    """Keys with a mistake, and those that may have been meant by it: ``table`` is without them.

    Empty in a Pipeline that loaded.  What is left of such a task is planned for the sake of other mistakes in it.
    """


@dataclass(frozen=True, slots=True)
class Mention:
    """A task named in what was refused: the name is checked although nothing else comes of it."""

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

    document: Document
    settings: PipelineTable
    limits: Mapping[str, LimitTable]
    secrets: Mapping[str, SecretTable]
    tasks: dict[str, TaskSpec]
    broken: frozenset[str]
    """Tasks that are in the file but not in ``tasks``: nothing is left of them.  Empty in a Pipeline that loaded."""
    mentions: tuple[Mention, ...] = ()
    """Which tasks are named in what was refused, as far as it could be read."""
    layers: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)
    """Of each task, the nearest first."""
    environ: Mapping[str, str | None] = field(default_factory=dict)
    """What was read of the environment; None for a variable that is not set."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """The values of [vars], as the command line has overridden them."""

    def merged(self, name: str) -> dict[str, object]:
        """A task as its layers make it, with variables in place and before anything is checked."""
        merged: dict[str, object] = {}
        for layer in reversed(self.layers[name]):
            merged = laid_over(merged, layer.ready)
        return merged

    def place(self, name: str, *path: str | int) -> Place:
        """Where a value of a task is written: in its table, in a lower layer, or else the task itself."""
        return place_of(self.layers[name], path)


def place_of(layers: Sequence[Layer], path: Place) -> Place:
    """See ``Pipeline.place``."""
    # The last steps may be inside a value that a variable stands for: then the nearest that is written.
    while path:
        for layer in layers:
            reached, goes_on_below = _reached(layer.written, path)
            if reached and not goes_on_below:
                return (*layer.place, *reached)
        path = path[:-1]
    return layers[0].place


def laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Tables key by key, everything else replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = laid_over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _reached(value: object, path: Place) -> tuple[Place, bool]:
    """As far as a path goes in what is written, and whether the rest may be in a lower layer: below tables only."""
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


def raise_mistakes(document: Document, mistakes: Sequence[Mistake]) -> None:
    """Raise all of them as one InvalidPipeline, located; nothing when there are none."""
    if not mistakes:
        return
    from dataclasses import replace

    from workflow.diagnostics.locate import locate

    texts = {source.shown: source.text for source in document.sources}
    of_file: dict[str, list[Mistake]] = {shown: [] for shown in texts}
    for mistake in mistakes:
        home = mistake
        if mistake.file is None and mistake.place and mistake.line is None:
            origin = document.origin(mistake.place)
            shown = origin.layer if origin.source is None else origin.source.shown
            home = replace(mistake, place=origin.place, file=shown)
        of_file.setdefault(home.file or document.main.shown, []).append(home)
    located = [
        replace(mistake, file=None if shown == document.main.shown else shown)
        for shown, found in of_file.items()
        for mistake in (locate(texts[shown], found) if shown in texts else found)
    ]
    raise InvalidPipeline(document.main.shown, located)
