"""A pipeline file to a ``Pipeline``, or to everything that is wrong with it.

The order: parse, merge the layers of the file (``document``), variables, then the layers of each task, [defaults]
below, the templates it extends, its own table on top, and then the models.  Layers are laid over each other key by
key where both have a table, and replaced otherwise.  A mistake in a value of a lower layer is shown there, once.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec import checks
from workflow.spec.checks import LimitTable, SecretTable, checked
from workflow.spec.condition import Name
from workflow.spec.document import SECTIONS, Document, read_document
from workflow.spec.interpolate import Names, interpolate, interpolate_task, templates_in
from workflow.spec.models import KINDS, PipelineTable, TaskTable, keys_of
from workflow.spec.pipeline import Layer, Mention, Pipeline, TaskSpec, laid_over, place_of, raise_mistakes
from workflow.spec.reference import Reference, describe
from workflow.spec.slips import OF_TASK, meant_key, meant_table, stray_keys
from workflow.spec.translate import translate
from workflow.spec.values import NAME
from workflow.spec.variables import read_variables


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about the file."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Override those of its [vars]."""
    profile: str | None = None
    sets: tuple[str, ...] = ()
    """``KEY=VALUE`` each, laid over everything else."""


NOTHING_GIVEN = Given()


def load_pipeline(path: Path, given: Given = NOTHING_GIVEN) -> Pipeline:
    """Read and check a file.

    Raises InvalidPipeline with all mistakes; also when the file cannot be read.
    """
    document, mistakes = read_document(path, profile=given.profile, sets=given.sets)
    pipeline, more = check_document(document, given.variables)
    raise_mistakes(document, [*mistakes, *more])
    return pipeline


def check_document(document: Document, variables: Mapping[str, str]) -> tuple[Pipeline, list[Mistake]]:
    """Check a parsed file: what could be made of it, and what is wrong with the rest."""
    value = document.value
    mistakes: list[Mistake] = []
    for key, section in value.items():
        if key not in SECTIONS:
            mistakes.append(_unknown_section(key))
        elif not isinstance(section, dict):
            one = "[tasks.NAME], each a table of its own" if key == "tasks" else f"[{key}], in single brackets"
            help_ = f"write {one}" if isinstance(section, list) else None
            mistakes.append(Mistake("bad-value", (key,), f"must be a table, not {describe(section)}", help_))
    environ = Names({}, os.environ)
    known = read_variables(_table(value, "vars"), variables, environ, mistakes)
    names = Names(known, os.environ, tuple(_table(value, "secrets")), environ.read)
    settings = _settings(_table(value, "pipeline"), names, mistakes)
    limits = cast("dict[str, LimitTable]", _section(value, "limits", _limits(), names, mistakes))
    secrets = cast("dict[str, SecretTable]", _section(value, "secrets", _secrets(), names, mistakes))
    before = len(mistakes)
    layers = _shared_layers(value, names, mistakes)
    context = _Context(value, layers, names, limits, tuple(mistakes[before:]))
    tasks: dict[str, TaskSpec] = {}
    written = _table(value, "tasks")
    for name, table in written.items():
        spec = _task(name, table, context, mistakes)
        if spec is not None:
            tasks[name] = spec
    elsewhere = any(key not in SECTIONS and meant_table(key, SECTIONS).near == _TASKS_MEANT for key in value)
    if not written and isinstance(value.get("tasks", {}), dict) and not elsewhere:  # which was told
        help_ = 'a task is a table: [tasks.hello] with cmd = ["echo", "hello"]'
        mistakes.append(Mistake("no-tasks", (), "there are no tasks in this file", help_, line=1))
    mistakes = stray_keys(document, keys_of(TaskTable), KINDS, mistakes)
    # Where [defaults] say what runs, a profile may add a task without a kind of its own.
    there = None if {*KINDS, "extends"} & set(_table(value, "defaults")) else written
    _check_profiles(_table(value, "profiles"), names, there, mistakes)
    broken = frozenset(written) - set(tasks)
    refused = {name: tasks[name].refused if name in tasks else keys_of(TaskTable) for name in written}
    mentions = tuple(mention for name, keys in refused.items() if keys for mention in _mentions(name, context, keys))
    pipeline = Pipeline(
        document, settings or PipelineTable(), limits, secrets, tasks, broken, mentions, context.layers_of, names.read,
        known,
    )  # fmt: skip
    return pipeline, mistakes


_TASKS_MEANT = "did you mean 'tasks'?"


def _table(document: Mapping[str, object], key: str) -> dict[str, object]:
    table = document.get(key)
    return table if isinstance(table, dict) else {}


def _unknown_section(key: str) -> Mistake:
    near, help_ = meant_table(key, SECTIONS)
    if key in keys_of(PipelineTable):
        near, help_ = None, f"'{key}' is a key of the table [pipeline]"
    elif key in keys_of(TaskTable):
        near, help_ = None, f"'{key}' is a key of a task: it stands in a table [tasks.NAME]"
    elif near is None:
        help_ = f"a file has the tables {', '.join(f'[{each}]' for each in SECTIONS[:-1])} and [tasks.NAME]"
    return Mistake("unknown-key", (key,), "unknown key" + (f", {near}" if near else ""), help_, at_key=True)


def _settings(table: dict[str, object], names: Names, mistakes: list[Mistake]) -> PipelineTable | None:
    before = len(mistakes)
    known = keys_of(PipelineTable)
    ready = {
        key: interpolate(value, ("pipeline", key), names, mistakes) if key in known else value
        for key, value in table.items()
    }
    settings, found = _validate(PipelineTable, ready, ("pipeline",))
    _add_news(found, mistakes[before:], mistakes)
    wrong = {mistake.place[:2] for mistake in mistakes[before:]}
    written = ("max_failures" in table and ("pipeline", "max_failures") not in wrong) and ready.get("halt") == "never"
    if written:
        headline = 'does nothing beside halt = "never"'
        help_ = 'write halt = "soon" or "now", or leave one of the two out'
        mistakes.append(Mistake("contradiction", ("pipeline", "max_failures"), headline, help_, at_key=True))
    return settings


@cache
def _limits() -> TypeAdapter[Any]:
    return TypeAdapter(dict[str, Annotated[LimitTable, checked(checks.limit)]])


@cache
def _secrets() -> TypeAdapter[Any]:
    return TypeAdapter(dict[str, Annotated[SecretTable, checked(checks.secret)]])


def _section(
    document: Mapping[str, object], key: str, adapter: TypeAdapter[Any], names: Names, mistakes: list[Mistake]
) -> dict[str, object]:
    """A table whose every entry is of one kind.  Entries that are wrong are left out."""
    table: dict[str, object] = {}
    for name, written in _table(document, key).items():
        place: Place = (key, name)
        if not NAME.fullmatch(name):
            headline = "a name is made of letters, digits, '_' and '-', and begins with a letter or '_'"
            mistakes.append(Mistake("bad-name", place, headline, at_key=True))
        before = len(mistakes)
        ready = interpolate(written, place, names, mistakes)
        try:
            entry = adapter.validate_python({name: ready})
        except ValidationError as error:
            _add_news(translate(error, (key,), PipelineTable), mistakes[before:], mistakes)
        else:
            table.update(entry)
    return table


def _shared_layers(document: Mapping[str, object], names: Names, mistakes: list[Mistake]) -> dict[str | None, Layer]:
    """[defaults], under None, and the templates by their names, checked by themselves."""
    written: dict[str | None, tuple[Place, object]] = {None: (("defaults",), document.get("defaults", {}))}
    for name, table in _table(document, "templates").items():
        written[name] = (("templates", name), table)
    layers: dict[str | None, Layer] = {}
    for key, (place, table) in written.items():
        if key is not None and not NAME.fullmatch(key):
            headline = "the name of a template is made of letters, digits, '_' and '-', and begins with a letter or '_'"
            mistakes.append(Mistake("bad-name", place, headline, at_key=True))
        if not isinstance(table, dict):
            if key is not None:  # of a section the caller has said so
                mistakes.append(Mistake("bad-value", place, f"must be a table, not {describe(table)}"))
            layers[key] = Layer(place, {}, {})
            continue
        if key is not None and "extends" in table:
            headline = "a template does not extend another"
            help_ = 'a task names several, from left to right: extends = ["base", "heavy"]'
            mistakes.append(Mistake("misplaced-key", (*place, "extends"), headline, help_, at_key=True))
        own = {name: value for name, value in table.items() if key is None or name != "extends"}
        layers[key] = _checked_layer(place, own, names, mistakes)
    return layers


def _checked_layer(place: Place, table: dict[str, object], names: Names, mistakes: list[Mistake]) -> Layer:
    told = len(mistakes)
    ready = interpolate_task(table, place, names, mistakes)
    _, found = _validate(TaskTable, ready, place)
    _add_news([_reached(table, place, each) for each in found], mistakes[told:], mistakes)
    return Layer(place, table, ready)


def _reached(table: dict[str, object], place: Place, mistake: Mistake) -> Mistake:
    """A mistake as deep as the file goes: below that, a variable stands for the value."""
    layer = Layer(place, table, table)
    path = mistake.place[len(place) :]
    return replace(mistake, place=layer.place_of(path) or place) if path else mistake


def _check_profiles(
    profiles: Mapping[str, object], names: Names, tasks: Mapping[str, object] | None, mistakes: list[Mistake]
) -> None:
    """A profile that is not asked for today has no mistakes either: its keys are checked one table at a time."""
    for name, profile in profiles.items():
        place: Place = ("profiles", name)
        if not isinstance(profile, dict):
            mistakes.append(Mistake("bad-value", place, f"must be a table, not {describe(profile)}"))
            continue
        for section, table in profile.items():
            here: Place = (*place, section)
            if section not in SECTIONS or section == "profiles":
                near = did_you_mean(section, SECTIONS)
                help_ = f"a profile has keys of the file, such as [profiles.{name}.defaults]"
                headline = "unknown key" + (f", {near}" if near else "")
                mistakes.append(Mistake("unknown-key", here, headline, None if near else help_, at_key=True))
            elif not isinstance(table, dict):
                mistakes.append(Mistake("bad-value", here, f"must be a table, not {describe(table)}"))
            elif section == "pipeline":
                _check_profile_settings(here, table, names, mistakes)
            elif section == "defaults":
                _checked_layer(here, table, names, mistakes)
            elif section in ("tasks", "templates"):
                for each, task in table.items():
                    if (
                        section == "tasks"
                        and tasks is not None
                        and each not in tasks
                        and not (isinstance(task, dict) and {*KINDS, "extends"} & set(task))
                    ):
                        near = did_you_mean(each, tasks)
                        message = f"there is no task {each!r}" + (f", {near}" if near else "")
                        mistakes.append(Mistake("unknown-task", (*here, each), message, at_key=True))
                    if isinstance(task, dict):
                        _checked_layer((*here, each), task, names, mistakes)
                    else:
                        headline = f"must be a table, not {describe(task)}"
                        mistakes.append(Mistake("bad-value", (*here, each), headline))


def _check_profile_settings(place: Place, table: dict[str, object], names: Names, mistakes: list[Mistake]) -> None:
    if "include" in table:
        headline = "what is included does not depend on the profile"
        mistakes.append(Mistake("misplaced-key", (*place, "include"), headline, at_key=True))
    told = len(mistakes)
    ready = {key: interpolate(value, (*place, key), names, mistakes) for key, value in table.items()}
    _, found = _validate(PipelineTable, ready, place)
    _add_news([_reached(table, place, each) for each in found], mistakes[told:], mistakes)


@dataclass(slots=True)
class _Context:
    """What a task is checked against."""

    document: dict[str, object]
    shared: dict[str | None, Layer]
    names: Names
    limits: Mapping[str, LimitTable]
    wrong_below: tuple[Mistake, ...]
    """Mistakes in [defaults] and templates, which have been told."""
    layers_of: dict[str, tuple[Layer, ...]] = field(default_factory=dict)
    """Of each task, the nearest first."""


def _task(name: str, table: object, context: _Context, mistakes: list[Mistake]) -> TaskSpec | None:
    place: Place = ("tasks", name)
    before = len(mistakes)
    if not NAME.fullmatch(name):
        headline = "the name of a task is made of letters, digits, '_' and '-', and begins with a letter or '_'"
        mistakes.append(Mistake("bad-name", place, headline, at_key=True))
    if not isinstance(table, dict):
        help_ = None
        if name in keys_of(TaskTable):
            help_ = f"'{name}' is a key of a task: it stands in a table [tasks.NAME]"
        mistakes.append(Mistake("bad-value", place, f"must be a table, not {describe(table)}", help_))
        return None
    told = len(mistakes)
    own = Layer(place, table, interpolate_task(table, place, context.names, mistakes))
    templates = _extended(name, own, context, mistakes)
    layers = context.layers_of[name] = (own, *(templates or ()), context.shared[None])
    merged: dict[str, object] = {}
    for layer in reversed(layers):
        merged = laid_over(merged, layer.ready)
    checked, found = _validate(TaskTable, merged, place)
    if found:
        known = (*context.wrong_below, *mistakes[told:])
        _add_news([_at_home(layers, mistake) for mistake in found], known, mistakes)
    mistakes.extend(_combinations(merged, layers))
    if templates is None or not NAME.fullmatch(name):
        return None  # who knows what the task would be
    refused: set[str] = set()
    if checked is None or len(mistakes) > before:
        wrong = [_at_home(layers, mistake) for mistake in found] + mistakes[before:]
        refused = _keys_at(layers, [*wrong, *context.wrong_below]) | _perhaps_meant(merged)
        checked = _without(merged, refused, place)
    if checked is None:
        return None
    references = _references(merged, layers, refused)
    wrong = _unknown_axes(references, checked) if "matrix" not in refused else []
    wrong += _limits_of(checked, layers, context.limits, refused)
    asked = _asked(checked, place_of(layers, ("if",)), context.names, wrong, matrix="matrix" not in refused)
    mistakes.extend(wrong)
    if wrong:
        refused |= _keys_at(layers, wrong)
        checked = _without(merged, refused, place)
        references = _references(merged, layers, refused)
    return None if checked is None else TaskSpec(name, checked, references, asked, frozenset(refused))


def _references(
    merged: Mapping[str, object], layers: tuple[Layer, ...], refused: Container[str]
) -> tuple[tuple[Place, Reference], ...]:
    return tuple(
        (place_of(layers, path), reference)
        for path, template in templates_in(merged, ())
        if path[0] not in refused
        for reference in template.references
    )


def _keys_at(layers: Sequence[Layer], mistakes: Sequence[Mistake]) -> set[str]:
    """The keys of the task that mistakes are about."""
    places = [(mistake.place, layer.place) for mistake in mistakes for layer in layers]
    return {str(place[len(base)]) for place, base in places if len(place) > len(base) and place[: len(base)] == base}


def _perhaps_meant(merged: Mapping[str, object]) -> set[str]:
    """Keys that are not there, but may have been meant by one that nobody knows, or by one in a table below."""
    known = keys_of(TaskTable)
    unknown = [key for key in merged if key not in known]
    below = {
        key for inner in ("env", "kwargs", "matrix") if isinstance(table := merged.get(inner), dict) for key in table
    }
    return {
        key
        for key in known
        if key not in merged and (key in below or any(meant_key(each, (key,), OF_TASK) for each in unknown))
    }


def _without(merged: Mapping[str, object], refused: Container[str], place: Place) -> TaskTable | None:
    """What is left of a task, for the sake of the mistakes in that: it is never run."""
    rest = {key: value for key, value in merged.items() if key not in refused}
    if not set(KINDS) & set(rest):
        rest["cmd"] = ["true"]
    return _validate(TaskTable, rest, place)[0]


def _asked(
    table: TaskTable, place: Place, names: Names, mistakes: list[Mistake], *, matrix: bool
) -> dict[Name, object]:
    """The values of vars and env that its ``if`` names.  What is asked of the matrix, its instances answer."""
    values: dict[Name, object] = {}
    for name in table.if_.names if table.if_ else ():
        if name.namespace == "matrix":
            mistakes.extend(_unknown_axis(place, name.text, name.path[0], table, name.text) if matrix else ())
        elif name.namespace == "env":
            values[name] = names.variable(name.path[0])
        else:
            try:
                values[name] = names.value(Reference("vars", name.path))
            except LookupError as error:
                help_ = None if names.variables else "variables are declared in a table [vars]"
                headline = f"{name.text}: {error.args[0]}"
                mistakes.append(Mistake("unknown-variable", place, headline, help_, needle=name.text))
    return values


def _extended(name: str, own: Layer, context: _Context, mistakes: list[Mistake]) -> list[Layer] | None:
    """The templates of a task, the nearest first; None where one of them is not there."""
    from_defaults = "extends" not in own.ready
    written = (context.shared[None] if from_defaults else own).ready.get("extends", [])
    layers: list[Layer] = []
    missing = False
    known = {key: layer for key, layer in context.shared.items() if key is not None}
    for number, each in enumerate(
        [written] if isinstance(written, str) else written if isinstance(written, list) else []
    ):
        if not isinstance(each, str) or not NAME.fullmatch(each):
            missing = True  # its check says so
            continue
        if each in known:
            layers.insert(0, known[each])
            continue
        missing = True
        near = did_you_mean(each, known)
        headline = f"there is no template {each!r}" + (f", {near}" if near else "")
        help_ = (
            None
            if near
            else (f"the file has {', '.join(known)}" if known else "a template is a table [templates.NAME]")
        )
        path: Place = ("extends", number)
        layer = context.shared[None] if from_defaults else own
        mistakes.append(Mistake("unknown-template", layer.place_of(path) or ("tasks", name), headline, help_))
    return None if missing else layers


def _mentions(name: str, context: _Context, refused: Container[str]) -> list[Mention]:
    """Which tasks are named where a task was refused.  What cannot be read is passed over: that was told there."""
    layers = context.layers_of.get(name)
    if layers is None:
        return []
    merged: dict[str, object] = {}
    for layer in reversed(layers):
        merged = laid_over(merged, layer.ready)
    needs = merged.get("needs", []) if "needs" in refused else []
    mentions = []
    for number, need in enumerate(needs if isinstance(needs, list) else [needs]):
        needed = need.get("task") if isinstance(need, dict) else need
        if isinstance(needed, str) and NAME.fullmatch(needed):
            mentions.append(Mention(name, needed, place_of(layers, ("needs", number)), None))
    for path, template in templates_in(merged, ()):
        if path[0] not in refused:
            continue
        place = place_of(layers, path)
        references = (each for each in template.references if each.namespace == "tasks")
        mentions.extend(Mention(name, each.path[0], place, each) for each in references)
    return mentions


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


def _at_home(layers: tuple[Layer, ...], mistake: Mistake) -> Mistake:
    """The mistake at the place where its value is written, which may be in a lower layer."""
    path = mistake.place[2:]
    return replace(mistake, place=place_of(layers, path)) if path else mistake


def _combinations(merged: Mapping[str, object], layers: tuple[Layer, ...]) -> list[Mistake]:
    """What no single key can tell: keys that do not go together."""
    place = layers[0].place
    kinds = [kind for kind in KINDS if kind in merged]
    if not kinds:
        help_ = "exactly one of module, call, cmd and shell says what runs"
        return [Mistake("no-kind", place, "does not say what to run", help_, at_key=True)]
    mistakes: list[Mistake] = []
    if len(kinds) > 1:
        homes = [place_of(layers, (kind,)) for kind in kinds]
        headline = f"'{kinds[0]}' says already what the task runs"
        below = next((home for home in homes[:2] if home[0] != "tasks"), None)
        if below is not None:
            headline += f", one of them in [{below[0] if below[0] == 'defaults' else '.'.join(map(str, below[:2]))}]"
        mistakes.append(Mistake("two-kinds", homes[1], headline, "keep one of the two", at_key=True))
    for key in ("args", "kwargs"):
        if key in merged and kinds[0] in ("cmd", "shell"):
            help_ = (
                "a command's arguments are part of its array" if kinds[0] == "cmd" else "values go into the line itself"
            )
            headline = f"is for module and call, this task has {kinds[0]}"
            mistakes.append(Mistake("misplaced-key", place_of(layers, (key,)), headline, help_, at_key=True))
    if "on" in merged and "module" in kinds:
        headline = "is not for a task with module"
        help_ = "a Model has callback and error_callback of its own"
        mistakes.append(Mistake("misplaced-key", place_of(layers, ("on",)), headline, help_, at_key=True))
    return mistakes


def _limits_of(
    table: TaskTable, layers: tuple[Layer, ...], limits: Mapping[str, LimitTable], refused: Container[str]
) -> list[Mistake]:
    """What is wrong with the limits of a task that each are right by themselves."""
    mistakes: list[Mistake] = []
    for number, (name, count) in enumerate(table.uses.items()):
        path: Place = ("uses", name) if isinstance(layers[0].ready.get("uses", {}), dict) else ("uses", number)
        place = place_of(layers, path)
        if name not in limits:
            near = did_you_mean(name, limits)
            headline = f"there is no limit {name!r}" + (f", {near}" if near else "")
            help_ = None if near else "limits are declared in a table [limits], such as db = 1"
            mistakes.append(Mistake("unknown-limit", place, headline, help_))
        elif count > limits[name].tokens:
            headline = f"takes {count} of {name!r}, which has {limits[name].tokens}: it could never start"
            mistakes.append(Mistake("above-limit", place, headline))
    timeout, deadline = None if "timeout" in refused else table.timeout, table.deadline
    if isinstance(timeout, float) and isinstance(deadline, float) and timeout > deadline:
        place = place_of(layers, ("deadline",))
        if "timeout" in {key for layer in layers for key in layer.ready}:
            headline = f"is shorter than the timeout of one attempt, {timeout:g} s"
            help_ = "the deadline is for all attempts together: lower timeout or raise deadline"
            mistakes.append(Mistake("contradiction", place, headline, help_))
    warn_after = table.warn_after
    if isinstance(timeout, float) and isinstance(warn_after, float) and warn_after >= timeout:
        # A common warn_after in a lower layer is no mistake of a task that has a shorter timeout.
        from_ = next(number for number, layer in enumerate(layers) if "warn_after" in layer.ready)
        if not any("timeout" in layer.ready for layer in layers[:from_]):
            headline = f"can never be told: an attempt ends at its timeout, {timeout:g} s"
            place = place_of(layers, ("warn_after",))
            mistakes.append(Mistake("contradiction", place, headline, "lower warn_after or raise timeout"))
    return mistakes


def _unknown_axes(references: tuple[tuple[Place, Reference], ...], table: TaskTable) -> list[Mistake]:
    return [
        mistake
        for place, reference in references
        if reference.namespace == "matrix"
        for mistake in _unknown_axis(place, str(reference), reference.path[0], table, str(reference))
    ]


def _unknown_axis(place: Place, said: str, axis: str, table: TaskTable, needle: str) -> list[Mistake]:
    axes = table.matrix.names if table.matrix else ()
    if axis in axes:
        return []
    if table.matrix is None:
        return [Mistake("unknown-axis", place, f"{said}: the task has no matrix", needle=needle)]
    near = did_you_mean(axis, axes)
    headline = f"{said}: there is no axis {axis!r}" + (f", {near}" if near else "")
    return [Mistake("unknown-axis", place, headline, f"the axes are {', '.join(axes)}", needle=needle)]
