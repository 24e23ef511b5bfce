"""``workflow show``: what a task consists of, and where each part of it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli import completing
from workflow.cli.arguments import Given, existing, file_argument, file_options, tell
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.diagnostics.mistake import Place
    from workflow.spec.pipeline import Pipeline


@click.command(short_help="Show each value of a task and where it comes from.")
@click.argument("task", shell_complete=completing.task_names)
@file_argument
@file_options
@click.option("--resolved", is_flag=True, required=True, help="All values, defaults included, each with its origin.")
def show(task: str, file: Path, given: Given, *, resolved: bool) -> int:
    """Show each value of TASK as FILE (pipeline.toml) has it, variables filled in, and where it comes from.

    That is a line of a file, of the task itself, of [defaults], a template, a profile; or --set; or the default.
    """
    from workflow.diagnostics.suggest import did_you_mean
    from workflow.plan.saved import looks_saved
    from workflow.spec import load

    assert resolved  # click requires it
    if looks_saved(existing(file)):
        raise click.UsageError(f"{file} is a saved plan: it holds values, and not where they come from")
    pipeline = load.load_pipeline(file, load.Given(given.variables, given.profile, given.sets))
    name = task.partition("@")[0]
    if name not in pipeline.tasks:
        near = did_you_mean(task, pipeline.tasks)
        raise click.UsageError(f"there is no task {task!r} in {file}" + (f", {near}" if near else ""))
    rows = _rows(pipeline, name)
    keys, values = (min(48, max(len(row[at]) for row in rows)) for at in (0, 1))
    for key, value, origin in rows:
        tell(f"{key:<{keys}}  {value:<{values}}  {origin}".rstrip())
    return ExitCode.SUCCEEDED


def _rows(pipeline: Pipeline, name: str) -> list[tuple[str, str, str]]:
    """Key, value and origin; what is set in the order of the grammar, then what is not."""
    from workflow.spec.models import TaskTable, keys_of

    merged = pipeline.merged(name)
    lines = _Lines(pipeline)
    rows = [(name, "", lines.of(("tasks", name)))]
    for key in keys_of(TaskTable):
        if key in merged:
            for path, value in _leaves(merged[key], (key,)):
                place = pipeline.place(name, *path)
                rows.append((_dotted(path), _written(value), lines.of(place, _text_there(pipeline, place, value))))
    foreign = {"args", "kwargs"} if {"cmd", "shell"} & set(merged) else {"on"} if "module" in merged else set()
    rows += [(key, text, "default") for key, text in DEFAULTS.items() if key not in merged and key not in foreign]
    return rows


def _leaves(value: object, path: Place) -> list[tuple[Place, object]]:
    """Tables are made of layers key by key, so each of their values may come from elsewhere."""
    if isinstance(value, dict) and value:
        return [leaf for key, each in value.items() for leaf in _leaves(each, (*path, key))]
    return [(path, value)]


def _dotted(path: Place) -> str:
    return ".".join(map(str, path))


def _written(value: object) -> str:
    from workflow.spec.reference import Template

    def text(each: object) -> str:
        return str(each) if isinstance(each, Template) else repr(each)

    return json.dumps(value, ensure_ascii=False, default=text) if not isinstance(value, Template) else f'"{value}"'


def _text_there(pipeline: Pipeline, place: Place, value: object) -> str | None:
    """What stands in the file, where a variable stands for the value."""
    there: object = pipeline.document.value
    for step in place:
        try:
            there = there[step]  # type: ignore[index]  # a table or an array
        except (KeyError, IndexError, TypeError):
            return None
    return there if isinstance(there, str) and there != str(value) and "${" in there else None


class _Lines:
    """Where places of the document are written."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._document = pipeline.document

    def of(self, place: Place, written: str | None = None) -> str:
        from workflow.diagnostics.locate import locate
        from workflow.diagnostics.mistake import Mistake

        origin = self._document.origin(place)
        if origin.source is None:
            return origin.layer
        (found,) = locate(origin.source.text, [Mistake("", origin.place, "", at_key=True)])
        layers = {"defaults": "[defaults]", "templates": f"template {place[1]}" if len(place) > 1 else ""}
        where = [f"{origin.source.shown}:{found.line}"]
        if origin.layer != "file":
            where.append(origin.layer)
        if place[0] in layers:
            where.append(layers[str(place[0])])
        if written is not None:
            where.append(written)
        return ", ".join(where)


DEFAULTS = {
    "args": "[]",
    "kwargs": "{}",
    "timeout": '"1h"',
    "grace": '"5s"',
    "needs": "[]",
    "matrix": "none",
    "env": "{}",
    "cwd": "the folder of the file",
    "on": "none",
    "deadline": '"none"',
    "warn_after": '"none"',
    "retries": "0",
    "uses": "none",
    "priority": "0",
    "memory": '"none"',
    "seed": "from the run's seed and the id",
    "inputs": "[]",
    "outputs": "[]",
    "callback_timeout": '"30s"',
    "isolate": "false",
    "allow_failure": "false",
    "tags": "[]",
}
"""What holds where the file says nothing, of the keys that then have a value."""
