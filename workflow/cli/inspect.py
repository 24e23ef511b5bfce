"""``workflow validate`` and ``workflow plan``: look at a file, run nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import (
    DEFAULT_FILE,
    Given,
    existing,
    file_argument,
    file_options,
    root_option,
    selected,
    selection_options,
    tell,
)
from workflow.cli.leaving import before_leaving
from workflow.cli.mistakes import tell_mistakes
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.diagnostics.formats import Format
    from workflow.plan.plan import Plan
    from workflow.run.why import Why


def _duration(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    from workflow.spec.values import Refused, duration_s

    try:
        return duration_s(float(value) if value.replace(".", "", 1).isdecimal() else value)
    except Refused as error:
        raise click.BadParameter(f"{error.headline}; {error.help}") from None


@click.command(short_help="Check FILE and show all mistakes in it at once.")
@file_argument
@file_options
@root_option
@click.option(
    "--output-format",
    "form",
    type=click.Choice(["full", "concise", "json", "github"]),
    default="full",
    show_default=True,
    help="How mistakes are told; json and github go to standard output.",
)
@click.option(
    "--import",
    "imports",
    is_flag=True,
    help="Also import what the tasks name, in a process that is thrown away, compare arguments with signatures, and "
    "look for programs and folders.",
)
@click.option(
    "--import-timeout",
    "import_limit",
    metavar="DURATION",
    default="30s",
    show_default=True,
    callback=_duration,
    help="The longest that the import of one module may take.",
)
def validate(file: Path, given: Given, form: Format, *, imports: bool, import_limit: float) -> int:
    """Check FILE (pipeline.toml) and everything in it; show all mistakes at once."""
    from workflow.diagnostics.mistake import InvalidPipeline

    if form == "full" and str(file) == DEFAULT_FILE:
        existing(file)  # a word about how to name another one
    try:
        checked = given.plan(file, hashed=False)
        if imports:
            _import(file, given, checked, import_limit)
    except InvalidPipeline as error:
        return tell_mistakes(error, form)
    if form == "json":
        tell("[]")
    elif form != "github":
        tasks = "1 task" if len(checked.tasks) == 1 else f"{len(checked.tasks)} tasks"
        tell(f"{file}: {tasks}, no mistakes")
    return ExitCode.SUCCEEDED


def _import(file: Path, given: Given, checked: Plan, limit_s: float) -> None:
    """Raise InvalidPipeline with what cannot be imported or called, and the programs and folders that are not there."""
    from workflow.plan.saved import looks_saved
    from workflow.run.imports import check_imports
    from workflow.run.programs import check_programs
    from workflow.spec import load
    from workflow.spec.pipeline import raise_mistakes

    if looks_saved(file):
        raise click.UsageError(f"--import is for a pipeline file; {file} is a saved plan")
    pipeline = load.load_pipeline(file, load.Given(given.variables, given.profile, given.sets))
    missing = check_programs(pipeline, checked)
    raise_mistakes(pipeline.document, [*missing, *check_imports(pipeline, checked, limit_s, before_leaving)])


@click.command()
@file_argument
@file_options
@root_option
@selection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON: the same on every machine, to be read or run.")
@click.option("--mermaid", "as_graph", is_flag=True, help="As a graph for Mermaid, a node a task of the file.")
@click.option("--why", is_flag=True, help="Say why each task would run, be cached or be skipped; with --json too.")
@click.option(
    "--state-dir", type=click.Path(file_okay=False, path_type=Path),
    help="With --why: where runs are recorded (.workflow beside FILE).",
)  # fmt: skip
def plan(
    file: Path,
    given: Given,
    globs: tuple[str, ...],
    tags: tuple[str, ...],
    state_dir: Path | None,
    *,
    as_json: bool,
    as_graph: bool,
    why: bool,
) -> int:
    """Show what a run of FILE (pipeline.toml) would do, in its order."""
    from workflow.plan.printing import plan_json_pieces, plan_text

    if as_graph and (as_json or why):
        raise click.UsageError(f"--mermaid and {'--json' if as_json else '--why'} exclude each other")
    if state_dir is not None and not why:
        raise click.UsageError("--state-dir is for --why")
    # Of a million tasks the hash takes a while: it is found while the JSON is written, or is that of the selected.
    later = as_json or as_graph or bool(globs or tags)
    planned = selected(given.plan(existing(file), hashed=not later), globs, tags)
    if planned is None:
        return ExitCode.NOTHING_SELECTED
    if why:
        return _tell_why(planned, file, state_dir, as_json=as_json)
    if as_graph:
        from workflow.plan.mermaid import mermaid

        tell(mermaid(planned).removesuffix("\n"))
        return ExitCode.SUCCEEDED
    if as_json:
        for piece in plan_json_pieces(planned):
            tell(piece, end="")
        return ExitCode.SUCCEEDED
    tell(plan_text(planned).removesuffix("\n"))
    return ExitCode.SUCCEEDED


def _tell_why(planned: Plan, file: Path, state_dir: Path | None, *, as_json: bool) -> int:
    import json

    from workflow.cli.settings import settings
    from workflow.run.folder import STATE_DIR
    from workflow.run.why import explain

    how = settings({"state_dir": state_dir}, file)
    told, problem = explain(planned, how.state_dir or planned.root / STATE_DIR)
    if problem is not None:
        click.echo(f"workflow: nothing is known of earlier runs: {problem}", err=True)
    if as_json:
        tasks = [
            {"id": each.id, "action": each.action, "reasons": list(each.reasons), "warnings": list(each.warnings)}
            for each in told
        ]
        tell(json.dumps({"format": 1, "tasks": tasks}, indent=2))
        return ExitCode.SUCCEEDED
    _tell_each(told)
    return ExitCode.SUCCEEDED


def _tell_each(told: Sequence[Why]) -> None:
    from workflow.report.terminal import neutral

    width = min(60, max(len(each.id) for each in told))
    for each in told:
        said = [*each.reasons, *(f"warning: {warning}" for warning in each.warnings)]
        tell(f"{each.id:<{width}}  {each.action:<6}  {neutral('; '.join(said))}")
    counts = {action: sum(each.action == action for each in told) for action in _WOULD}
    tell(", ".join(f"{count:,} {_WOULD[action]}" for action, count in counts.items() if count))


def tell_resume(planned: Plan, state_dir: Path | None, run: str | None, *, force: str | None, seed: int | None) -> int:
    """Tell what would become of each task if a run were completed."""
    from workflow.run.database import Unusable
    from workflow.run.folder import STATE_DIR, StateError
    from workflow.run.resume import CannotResume, Resume
    from workflow.run.why import explain_resume

    place = (state_dir or planned.root / STATE_DIR).absolute()
    try:
        earlier, told = explain_resume(planned, place, Resume(run), force=force, seed=seed)
    except CannotResume as error:
        raise click.ClickException(str(error)) from None
    except Unusable as error:
        raise StateError(str(error)) from error
    tell(f"run {earlier.run.id} would be completed")
    _tell_each(told)
    return ExitCode.SUCCEEDED


_WOULD = {
    "run": "would run",
    "cached": "would be cached",
    "carry": "would be carried over",
    "skip": "would be skipped",
}
