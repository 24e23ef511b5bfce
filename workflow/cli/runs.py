"""``workflow runs``: which runs there were, and which of them are kept."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import tell
from workflow.cli.looking import state_dir_option, the_state_dir, the_terminal
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.report.terminal import Terminal
    from workflow.run.past import PastRun
    from workflow.run.retention import Removed


@click.command(short_help="List the runs, or delete old ones.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.option(
    "--keep",
    "newest",
    type=click.IntRange(0),
    metavar="N",
    help="Delete all runs but the newest N, with what they left; those that go on stay as well.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Delete what belongs to no run: rows of runs whose folders are gone, folders of runs that never began, "
    "unfinished files, kept results and plans that nothing leads to any more.",
)
@state_dir_option
def runs(newest: int | None, state_dir: Path | None, *, as_json: bool, prune: bool) -> int:
    """List the runs, the newest first: when, how it ended, how long it took, how many of its tasks succeeded.

    A run is running as long as its process lives; one that ended without a word was killed.  Every RUN of the other
    commands is an id of this list, a beginning of one that no other has, or latest.
    """
    if prune and newest is not None:
        raise click.UsageError("--keep and --prune exclude each other")
    if as_json and (prune or newest is not None):
        raise click.UsageError(f"--json and {'--prune' if prune else '--keep'} exclude each other")
    where = the_state_dir(state_dir)
    if prune or newest is not None:
        from workflow.run import retention

        return _tell_removed(retention.prune(where) if newest is None else retention.keep(where, newest), prune=prune)
    from workflow.run.lookup import no_runs
    from workflow.run.past import past_runs

    found = past_runs(where)
    if as_json:
        tell(json.dumps({"format": 1, "runs": [_as_json(run) for run in found]}, indent=1))
        return ExitCode.SUCCEEDED
    if not found:
        click.echo(str(no_runs(where)), err=True)
        return ExitCode.SUCCEEDED
    for line in _table(found, the_terminal()):
        tell(line)
    return ExitCode.SUCCEEDED


def _tell_removed(removed: Removed, *, prune: bool) -> int:
    for problem in removed.problems:
        click.echo(f"workflow: {problem}", err=True)
    count = len(removed.runs)
    said = [f"{count} {'run' if count == 1 else 'runs'}"] if count or not prune else []
    if removed.files or prune:
        said.append(f"{removed.files} {'thing' if removed.files == 1 else 'things'} that belonged to no run")
    tell(f"deleted {' and '.join(said)}, {removed.size / 1e6:.1f} MB")
    return ExitCode.BROKEN if removed.problems else ExitCode.SUCCEEDED


def _as_json(run: PastRun) -> dict[str, object]:
    head = run.head
    return {
        "id": head["id"],
        "status": head["status"],
        "exit_code": head["exit_code"] if run.is_over else None,
        "name": head["name"],
        "file": head["file"],
        "plan_hash": head["plan_hash"],
        "started_at": head["started_at"],
        "finished_at": head["finished_at"] if run.is_over else None,
        "duration_s": head["duration_s"],
        "tasks": run.planned,
        "counts": {outcome: number for outcome, number in run.counts.items() if number},
        "folder": str(run.folder.path.absolute()),
    }


def _table(found: list[PastRun], terminal: Terminal) -> list[str]:
    from workflow.report.telling import status_colour
    from workflow.report.terminal import neutral

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    rows = [("RUN", "BEGAN", "STATUS", "TOOK", "DONE", "WHAT")]
    rows += [_row(run) for run in found]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row, run in zip(rows, [None, *found], strict=True):
        id_, began, status, took, done, what = row
        start = f"{id_:<{widths[0]}}  {began:>{widths[1]}}  "
        middle = f"  {took:>{widths[3]}}  {done:>{widths[4]}}  "
        room = None if width is None else max(8, width - len(start) - widths[2] - len(middle))
        shown = neutral(what)
        if room is not None and len(shown) > room:
            shown = f"{shown[: room - 1]}…"
        if run is None:
            lines.append(terminal.style(f"{start}{status:<{widths[2]}}{middle}{shown}", "bold"))
        else:
            lines.append(f"{start}{terminal.style(f'{status:<{widths[2]}}', status_colour(status))}{middle}{shown}")
    return lines


def _row(run: PastRun) -> tuple[str, str, str, str, str, str]:
    from datetime import datetime

    from workflow.report.terminal import human_s, neutral

    head = run.head
    began_s = datetime.fromisoformat(head["started_at"]).timestamp()
    took_s = time.time() - began_s if head["status"] == "running" else head["duration_s"]
    good = run.counts.get("succeeded", 0) + run.counts.get("cached", 0)
    what = head["name"] or Path(head["file"]).name
    return (
        run.folder.id,
        _ago(time.time() - began_s),
        neutral(head["status"]),
        human_s(max(0.0, took_s)),
        f"{good}/{run.planned}",
        what,
    )


def _ago(seconds: float) -> str:
    """How long ago, in the largest unit of which there are two: ``90s ago``, ``3h ago``."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{int(seconds / size)}{unit} ago"
    return f"{int(max(0.0, seconds))}s ago"
