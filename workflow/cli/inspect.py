"""``workflow validate`` and ``workflow plan``: look at a file, run nothing."""

from __future__ import annotations

from pathlib import Path

import click

from workflow.cli.arguments import (
    Given,
    existing,
    file_argument,
    file_options,
    nothing_selected,
    root_option,
    selection_options,
    tell,
)
from workflow.run.exit_code import ExitCode


@click.command()
@file_argument
@file_options
@root_option
def validate(file: Path, given: Given) -> int:
    """Check FILE (pipeline.toml) and everything in it; show all mistakes at once."""
    checked = given.plan(existing(file))
    tasks = "1 task" if len(checked.tasks) == 1 else f"{len(checked.tasks)} tasks"
    tell(f"{file}: {tasks}, no mistakes")
    return ExitCode.SUCCEEDED


@click.command()
@file_argument
@file_options
@root_option
@selection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON: the same on every machine.")
def plan(
    file: Path,
    given: Given,
    globs: tuple[str, ...],
    tags: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Show what a run of FILE (pipeline.toml) would do, in its order."""
    from workflow.plan.printing import plan_json, plan_text
    from workflow.plan.select import select

    planned = given.plan(existing(file))
    if globs or tags:
        whole, planned = planned, select(planned, globs=globs, tags=tags)
        if not planned.tasks:
            nothing_selected(whole, globs, tags)
            return ExitCode.NOTHING_SELECTED
    tell((plan_json if as_json else plan_text)(planned).removesuffix("\n"))
    return ExitCode.SUCCEEDED
