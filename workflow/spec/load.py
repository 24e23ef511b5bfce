"""A pipeline file to a ``Pipeline``, or to everything that is wrong with it.

The order: parse, variables, [defaults] under each task, then the models.  Defaults are laid under a task key by key
where both have a table, and replaced otherwise.  A mistake in a value that came from [defaults] is shown there, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.interpolate import interpolate, interpolate_task, templates_in
from workflow.spec.models import KINDS, PipelineTable, TaskTable
from workflow.spec.pipeline import Mention, Pipeline, TaskSpec, place_in_defaults, place_of, raise_mistakes
from workflow.spec.reference import Reference, describe
from workflow.spec.slips import meant_table, stray_keys
from workflow.spec.source import Source, read_source
from workflow.spec.translate import translate
from workflow.spec.values import NAME
from workflow.spec.variables import read_variables

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
_SECTIONS = ("pipeline", "vars", "defaults", "tasks")


def load_pipeline(path: Path, *, variables: Mapping[str, str] = NO_VARIABLES) -> Pipeline:
    """Read and check a file; ``variables`` override those of its [vars].

    Raises InvalidPipeline with all mistakes; also when the file cannot be read.
    """
    source = read_source(path)
    pipeline, mistakes = check_document(source, variables)
    raise_mistakes(source, mistakes)
    return pipeline


def check_document(source: Source, variables: Mapping[str, str]) -> tuple[Pipeline, list[Mistake]]:
    """Check a parsed file: what could be made of it, and what is wrong with the rest."""
    document = source.document
    mistakes: list[Mistake] = []
    for key, value in document.items():
        if key not in _SECTIONS:
            mistakes.append(_unknown_section(key))
        elif not isinstance(value, dict):
            one = "[tasks.NAME], each a table of its own" if key == "tasks" else f"[{key}], in single brackets"
            help_ = f"write {one}" if isinstance(value, list) else None
            mistakes.append(Mistake("bad-value", (key,), f"must be a table, not {describe(value)}", help_))
    values = read_variables(_table(document, "vars"), variables, mistakes)
    settings = _settings(_table(document, "pipeline"), values, mistakes)
    defaults = interpolate_task(_table(document, "defaults"), ("defaults",), values, mistakes)
    _, found = _validate(TaskTable, defaults, ("defaults",))
    found = [replace(each, place=place_in_defaults(document, each.place[1:])) for each in found]
    _add_news(found, mistakes, mistakes)
    context = _Context(document, defaults, values, tuple(each for each in mistakes if each.place[:1] == ("defaults",)))
    tasks: dict[str, TaskSpec] = {}
    written = _table(document, "tasks")
    for name, table in written.items():
        spec = _task(name, table, context, mistakes)
        if spec is not None:
            tasks[name] = spec
    if not written and isinstance(document.get("tasks", {}), dict):
        help_ = 'a task is a table: [tasks.hello] with cmd = ["echo", "hello"]'
        mistakes.append(Mistake("no-tasks", (), "there are no tasks in this file", help_, line=1))
    mistakes = stray_keys(source.text, document, TaskTable.model_fields, KINDS, mistakes)
    broken = frozenset(written) - set(tasks)
    mentions = tuple(mention for name in written if name in broken for mention in _mentions(name, context))
    return Pipeline(source, settings or PipelineTable(), tasks, broken, mentions), mistakes


def _table(document: Mapping[str, object], key: str) -> dict[str, object]:
    table = document.get(key)
    return table if isinstance(table, dict) else {}


def _unknown_section(key: str) -> Mistake:
    near, help_ = meant_table(key, _SECTIONS)
    if key in PipelineTable.model_fields:
        near, help_ = None, f"'{key}' is a key of the table [pipeline]"
    elif key in TaskTable.model_fields:
        near, help_ = None, f"'{key}' is a key of a task: it stands in a table [tasks.NAME]"
    elif near is None:
        help_ = "a file has the tables [pipeline], [vars], [defaults] and [tasks.NAME]"
    return Mistake("unknown-key", (key,), "unknown key" + (f", {near}" if near else ""), help_, at_key=True)


def _settings(table: dict[str, object], values: Mapping[str, object], mistakes: list[Mistake]) -> PipelineTable | None:
    before = len(mistakes)
    ready = {
        key: interpolate(value, ("pipeline", key), values, mistakes) if key in PipelineTable.model_fields else value
        for key, value in table.items()
    }
    settings, found = _validate(PipelineTable, ready, ("pipeline",))
    _add_news(found, mistakes[before:], mistakes)
    if settings is not None and settings.halt == "never" and settings.max_failures is not None:
        headline = 'does nothing beside halt = "never"'
        help_ = 'write halt = "soon" or "now", or leave one of the two out'
        mistakes.append(Mistake("contradiction", ("pipeline", "max_failures"), headline, help_, at_key=True))
    return settings


@dataclass(frozen=True, slots=True)
class _Context:
    """What a task is checked against."""

    document: dict[str, object]
    defaults: dict[str, object]
    values: Mapping[str, object]
    wrong_defaults: tuple[Mistake, ...]


def _task(name: str, table: object, context: _Context, mistakes: list[Mistake]) -> TaskSpec | None:
    place: Place = ("tasks", name)
    document = context.document
    before = len(mistakes)
    if not NAME.fullmatch(name):
        headline = "the name of a task is made of letters, digits, '_' and '-', and begins with a letter or '_'"
        mistakes.append(Mistake("bad-name", place, headline, at_key=True))
    if not isinstance(table, dict):
        help_ = None
        if name in TaskTable.model_fields:
            help_ = f"'{name}' is a key of a task: it stands in a table [tasks.NAME]"
        mistakes.append(Mistake("bad-value", place, f"must be a table, not {describe(table)}", help_))
        return None
    told = len(mistakes)
    own = interpolate_task(table, place, context.values, mistakes)
    merged = _laid_over(context.defaults, own)
    checked, found = _validate(TaskTable, merged, place)
    if found:
        known = (*context.wrong_defaults, *mistakes[told:])
        _add_news([_at_home(document, name, mistake) for mistake in found], known, mistakes)
    mistakes.extend(_combinations(name, merged, document))
    if checked is None or len(mistakes) > before:
        return None
    references = tuple(
        (place_of(document, name, path), reference)
        for path, template in templates_in(merged, ())
        for reference in template.references
    )
    unknown = _unknown_axes(references, checked)
    mistakes.extend(unknown)
    return None if unknown else TaskSpec(name, checked, references)


def _mentions(name: str, context: _Context) -> list[Mention]:
    """Which tasks a refused one names.  What cannot be read is passed over: it was told when the task was refused."""
    document = context.document
    table = _table(_table(document, "tasks"), name)
    merged = _laid_over(context.defaults, interpolate_task(table, ("tasks", name), context.values, []))
    needs = merged.get("needs", [])
    mentions = []
    for number, need in enumerate(needs if isinstance(needs, list) else [needs]):
        needed = need.get("task") if isinstance(need, dict) else need
        if isinstance(needed, str) and NAME.fullmatch(needed):
            mentions.append(Mention(name, needed, place_of(document, name, ("needs", number)), None))
    for path, template in templates_in(merged, ()):
        place = place_of(document, name, path)
        references = (each for each in template.references if each.namespace == "tasks")
        mentions.extend(Mention(name, each.path[0], place, each) for each in references)
    return mentions


def _laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Tables key by key, everything else replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _laid_over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


_Model = TypeVar("_Model", bound=BaseModel)


def _validate(model: type[_Model], table: dict[str, object], place: Place) -> tuple[_Model | None, list[Mistake]]:
    """The checked table, or None and why."""
    try:
        return model.model_validate(table), []
    except ValidationError as error:
        return None, translate(error, place, model)


def _add_news(found: Sequence[Mistake], known: Sequence[Mistake], mistakes: list[Mistake]) -> None:
    """Append what was found, but not what is wrong only because a string in the same value could not be read."""
    broken = [mistake.place for mistake in known if mistake.place]
    mistakes.extend(mistake for mistake in found if not any(_overlap(mistake.place, place) for place in broken))


def _overlap(one: Place, other: Place) -> bool:
    return one[: len(other)] == other or other[: len(one)] == one


def _at_home(document: dict[str, object], name: str, mistake: Mistake) -> Mistake:
    """The mistake at the place where its value is written, which may be in [defaults]."""
    path = mistake.place[2:]
    return replace(mistake, place=place_of(document, name, path)) if path else mistake


def _combinations(name: str, merged: Mapping[str, object], document: dict[str, object]) -> list[Mistake]:
    """What no single key can tell: keys that do not go together."""
    kinds = [kind for kind in KINDS if kind in merged]
    if not kinds:
        help_ = "exactly one of module, call, cmd and shell says what runs"
        return [Mistake("no-kind", ("tasks", name), "does not say what to run", help_, at_key=True)]
    mistakes: list[Mistake] = []
    if len(kinds) > 1:
        place = place_of(document, name, (kinds[1],))
        headline = f"'{kinds[0]}' says already what the task runs"
        if place[0] == "defaults" or place_of(document, name, (kinds[0],))[0] == "defaults":
            headline += ", one of them in [defaults]"
        mistakes.append(Mistake("two-kinds", place, headline, "keep one of the two", at_key=True))
    for key in ("args", "kwargs"):
        if key in merged and kinds[0] in ("cmd", "shell"):
            help_ = (
                "a command's arguments are part of its array" if kinds[0] == "cmd" else "values go into the line itself"
            )
            headline = f"is for module and call, this task has {kinds[0]}"
            mistakes.append(Mistake("misplaced-key", place_of(document, name, (key,)), headline, help_, at_key=True))
    if "on" in merged and "module" in kinds:
        headline = "is not for a task with module"
        help_ = "a Model has callback and error_callback of its own"
        mistakes.append(Mistake("misplaced-key", place_of(document, name, ("on",)), headline, help_, at_key=True))
    return mistakes


def _unknown_axes(references: tuple[tuple[Place, Reference], ...], table: TaskTable) -> list[Mistake]:
    axes = table.matrix.names if table.matrix else ()
    mistakes: list[Mistake] = []
    for place, reference in references:
        if reference.namespace != "matrix" or reference.path[0] in axes:
            continue
        if table.matrix is None:
            headline, help_ = f"{reference}: the task has no matrix", None
        else:
            near = did_you_mean(reference.path[0], axes)
            headline = f"{reference}: there is no axis {reference.path[0]!r}" + (f", {near}" if near else "")
            help_ = f"the axes are {', '.join(axes)}"
        mistakes.append(Mistake("unknown-axis", place, headline, help_, needle=str(reference)))
    return mistakes
