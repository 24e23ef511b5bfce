"""What the commands have in common that look at runs: ``runs``, ``show``, ``logs`` and ``report``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workflow.cli.arguments import DEFAULT_FILE

if TYPE_CHECKING:
    from workflow.report.material import TaskPart
    from workflow.report.terminal import Terminal
    from workflow.run.folder import RunFolder
    from workflow.run.past import PastRun, Unfinished
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
    from workflow.plan.ids import meant

    near = meant(name, known)
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


def waiting_of(past: PastRun, name: str, running: Iterable[RunningNow]) -> list[Unfinished]:
    """The tasks that are meant, have not ended, and are not among those of which it is known what they do.

    Raises UsageError.
    """
    from workflow.report.material import Unreadable
    from workflow.run.past import unfinished

    begun = {each.id for each in running}
    try:
        return [each for each in unfinished(past) if matches(name, each.id, each.name) and each.id not in begun]
    except Unreadable as error:
        raise click.UsageError(str(error)) from error


def waiting_lines(past: PastRun, name: str, waiting: Sequence[Unfinished]) -> Iterator[str]:
    """What to say of them: of one by its id, of more by their number."""
    for had_begun in (True, False):
        ids = [each.id for each in waiting if each.had_begun is had_begun]
        if ids:
            who = ids[0] if len(ids) == 1 else f"{len(ids)} instances of {name}"
            yield _waiting_line(past.status, who, one=len(ids) == 1, had_begun=had_begun)


def _waiting_line(status: str, who: str, *, one: bool, had_begun: bool) -> str:
    if status == "running":
        has = "has" if one else "have"
        return f"{who} {has} begun" if had_begun else f"{who} {has} not begun yet"
    if status == "killed":
        what = f"{'was' if one else 'were'} cut off" if had_begun else "had not begun"
        return f"{who} {what} when the run was killed"
    return f"how {who} ended could not be written down"


def names_planned(folder: RunFolder) -> list[str]:
    """The names and ids of all tasks of a run without a report, as far as they are known."""
    from workflow.run.planned import read_planned

    ids = read_planned(folder.path)
    return list(dict.fromkeys([*(id_.partition("@")[0] for id_ in ids), *ids]))
