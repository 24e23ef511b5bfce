"""``workflow show``: a run and its tasks, after it has ended or while it goes on; or what a task consists of."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli import completing
from workflow.cli.arguments import DEFAULT_FILE, Given, existing, file_options, tell
from workflow.cli.looking import (
    is_run,
    names_planned,
    no_such_task,
    state_dir_option,
    tasks_of,
    the_run,
    the_state_dir,
    the_terminal,
    waiting_line,
    waiting_of,
)
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.diagnostics.mistake import Place
    from workflow.report.terminal import Terminal
    from workflow.run.past import PastRun
    from workflow.run.running import RunningNow
    from workflow.spec.pipeline import Pipeline

EACH_MAX = 10
"""Instances of a task of which everything is shown; of more, a line each."""


@click.command(short_help="Show a run, or a task of it; or, with --resolved, where a task's values come from.")
@click.argument("words", nargs=-1, metavar="[RUN] [TASK]", shell_complete=completing.run_and_task)
@click.option(
    "--resolved",
    is_flag=True,
    help="show TASK --resolved [FILE]: each value of TASK as the file has it, variables filled in, defaults included, "
    "and where it comes from.",
)
@file_options
@state_dir_option
def show(words: tuple[str, ...], given: Given, state_dir: Path | None, *, resolved: bool) -> int:
    """Show RUN: how it stands, what went wrong and where its log is, what is flaky, what took longest.

    With TASK, an id or the name of all its instances: every attempt of it, with error, place, memory and processor
    time, its callback, and the end of its log.

    RUN is an id as ``workflow runs`` lists them, a beginning of one, or latest, which is also meant where none is
    given.  It may go on, or have been killed.
    """
    if resolved:
        return _show_resolved(words, given, state_dir)
    if given:
        raise click.UsageError("--profile, --var and --set are for show TASK --resolved")
    name, task = _run_and_task(words)
    past = the_run(the_state_dir(state_dir), name)
    if task is None:
        return _show_run(past)
    return _show_task(past, task)


def _run_and_task(words: tuple[str, ...]) -> tuple[str | None, str | None]:
    if len(words) > 2 or (len(words) == 2 and not is_run(words[0])):
        said = "what is shown is a run, and a task of it" if len(words) > 2 else "a run stands before the task"
        raise click.UsageError(f"{said}: [RUN] [TASK]; the id of a run begins with a digit, or say latest")
    if not words:
        return None, None
    if len(words) == 2:
        return words[0], words[1]
    return (words[0], None) if is_run(words[0]) else (None, words[0])


def _show_run(past: PastRun) -> int:
    from workflow.report.graph import read_graph
    from workflow.report.material import Unreadable
    from workflow.report.telling import digest, run_lines
    from workflow.run.past import KILLED, unfinished

    running = [] if past.is_over else _running(past)
    begun = {each.id for each in running}
    try:
        found = digest(past.tasks)
        waiting = [each.id for each in unfinished(past) if each.id not in begun] if past.status == KILLED else []
    except Unreadable as error:
        raise click.UsageError(str(error)) from error
    now = time.time()
    told = sorted(((each.id, each.attempt, max(0.0, now - each.started_at)) for each in running), key=lambda it: -it[2])
    head = past.head
    if past.status == "running":
        head["duration_s"] = max(0.0, now - datetime.fromisoformat(head["started_at"]).timestamp())
    folder = past.folder
    graph = read_graph(folder.graph)
    for line in run_lines(the_terminal(), head, past.planned, found, folder.path, graph, told, waiting):
        tell(line)
    return ExitCode.SUCCEEDED


def _show_task(past: PastRun, name: str) -> int:
    from workflow.report.telling import task_line, task_lines

    found, known = tasks_of(past, name)
    terminal = the_terminal()
    running = [] if past.is_over else [each for each in _running(past) if name in (each.id, each.id.partition("@")[0])]
    ended = {task["id"] for task in found}
    running = [each for each in running if each.id not in ended]
    waiting = waiting_of(past, name, running)
    if not found and not running and not waiting:
        raise no_such_task(past, name, [*known, *names_planned(past.folder)])
    each_whole = len(found) + len(running) <= EACH_MAX
    for task in found:
        for line in task_lines(terminal, task, past.folder.path) if each_whole else [task_line(terminal, task)]:
            tell(line)
    for now in running:
        for line in _running_lines(past, now, terminal):
            tell(line)
    if waiting:
        tell(waiting_line(past, name, waiting))
    if not each_whole:
        tell(f"{len(found) + len(running)} instances; the id of one, after the run, shows all that is known of it")
    return ExitCode.SUCCEEDED


def _running(past: PastRun) -> list[RunningNow]:
    from workflow.run.running import read_running

    return read_running(past.folder.path)


def _running_lines(past: PastRun, now: RunningNow, terminal: Terminal) -> list[str]:
    from workflow.report.tails import output_tail
    from workflow.report.telling import TAIL_BYTES, TAIL_LINES
    from workflow.report.terminal import human_s, neutral
    from workflow.run.past import log_of

    again = f", attempt {now.attempt}" if now.attempt > 1 else ""
    if past.status == "running":
        how = f"running for {human_s(max(0.0, time.time() - now.started_at))}{again}, process {now.pid}"
    else:
        how = f"was running when the run was killed{again}"
    lines = [f"{terminal.style(neutral(now.id), 'bold')} {terminal.style(how, 'cyan')}"]
    tail = output_tail(past.folder.path, log_of(now, past), failed=False, lines=TAIL_LINES, max_bytes=TAIL_BYTES)
    rows = [] if tail is None else tail.text.split("\n")
    return lines + [terminal.style("    | ", "dim") + neutral(row) for row in rows]


# Where values come from


def _show_resolved(words: tuple[str, ...], given: Given, state_dir: Path | None) -> int:
    from workflow.diagnostics.suggest import did_you_mean
    from workflow.plan.saved import looks_saved
    from workflow.spec import load

    if state_dir is not None:
        raise click.UsageError("--state-dir is for runs, and --resolved shows a file")
    if not 1 <= len(words) <= 2:
        raise click.UsageError("say which task: show TASK --resolved [FILE]")
    task, file = words[0], Path(words[1] if len(words) > 1 else DEFAULT_FILE)
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
