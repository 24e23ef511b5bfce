"""What the commands have in common that look at runs: ``runs``, ``show``, ``logs`` and ``report``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workflow.cli.arguments import DEFAULT_FILE

if TYPE_CHECKING:
    from workflow.report.material import TaskPart
    from workflow.report.terminal import Terminal
    from workflow.run.folder import RunFolder
    from workflow.run.past import PastRun
    from workflow.run.running import RunningNow

Command = TypeVar("Command", bound=Callable[..., Any])


def state_dir_option(command: Command) -> Command:
    """``--state-dir DIR``."""
    return click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where runs are recorded (.workflow in this folder).",
    )(command)


def the_state_dir(given: Path | None) -> Path:
    """Where runs are recorded, as the command line, the environment or the project says."""
    from workflow.cli.settings import settings
    from workflow.run.folder import STATE_DIR

    return settings({"state_dir": given}, Path(DEFAULT_FILE)).state_dir or Path(STATE_DIR)


def the_terminal() -> Terminal:
    """Standard output, in colour where that is wanted."""
    from workflow.cli.settings import settings
    from workflow.report.terminal import Terminal

    return Terminal(sys.stdout, settings({}, Path(DEFAULT_FILE)).color)


def is_run(word: str) -> bool:
    """Whether a word means a run: no task's name begins with a digit."""
    return word == "latest" or word[:1].isdigit()


def the_run(state_dir: Path, name: str | None) -> PastRun:
    """The run that is meant.  Raises UsageError."""
    from workflow.run.folder import LATEST
    from workflow.run.lookup import NoSuchRun, find_run
    from workflow.run.past import past_run

    try:
        return past_run(find_run(state_dir, LATEST if name is None else name), state_dir)
    except NoSuchRun as error:
        raise click.UsageError(str(error)) from error


def no_such_task(past: PastRun, name: str, known: Sequence[str]) -> click.UsageError:
    """What to raise for a task that the run has not."""
    from workflow.diagnostics.suggest import did_you_mean

    near = did_you_mean(name, known)
    return click.UsageError(f"there is no task {name!r} in the run {past.folder.id}" + (f", {near}" if near else ""))


def matches(name: str, id_: str, task_name: str) -> bool:
    """Whether a task is meant by what somebody typed: its id, or its name."""
    return name in (id_, task_name)


def tasks_of(past: PastRun, name: str) -> tuple[list[TaskPart], list[str]]:
    """The tasks that have ended and are meant; where there are none, the names of all.  Raises UsageError."""
    from workflow.report.material import Unreadable

    said = json.dumps(name).strip('"').encode("ascii")
    try:
        found = [
            task for task in past.tasks(lambda text: said in text) if matches(name, task["id"], task["name"])
        ]  # fmt: skip
        names = {} if found else {task["id"] if "@" in name else task["name"]: None for task in past.tasks()}
    except Unreadable as error:
        raise click.UsageError(str(error)) from error
    return found, list(names)


def waiting_of(past: PastRun, name: str, running: Iterable[RunningNow]) -> list[str]:
    """The ids of the tasks that are meant and of which nothing is known but that they were planned.

    Raises UsageError.
    """
    from workflow.report.material import Unreadable
    from workflow.run.past import unfinished

    begun = {each.id for each in running}
    try:
        return [each.id for each in unfinished(past) if matches(name, each.id, each.name) and each.id not in begun]
    except Unreadable as error:
        raise click.UsageError(str(error)) from error


def waiting_line(past: PastRun, name: str, waiting: Sequence[str]) -> str:
    """What to say of them: of one by its id, of more by their number."""
    who = waiting[0] if len(waiting) == 1 else f"{len(waiting)} instances of {name}"
    if past.status == "running":
        return f"{who} {'has' if len(waiting) == 1 else 'have'} not begun, or a moment ago"
    if past.status == "killed":
        return f"{who} had not begun when the run was killed, or at that moment"
    return f"how {who} ended could not be written down"


def names_planned(folder: RunFolder) -> list[str]:
    """The names and ids of all tasks of a run without a report, as far as they are known."""
    from workflow.run.planned import read_planned

    ids = read_planned(folder.path)
    return list(dict.fromkeys([*(id_.partition("@")[0] for id_ in ids), *ids]))
