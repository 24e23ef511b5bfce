"""``workflow run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli import completing
from workflow.cli.arguments import (
    WORKERS,
    Given,
    existing,
    file_argument,
    file_options,
    root_option,
    selected,
    selection_options,
    tell,
)
from workflow.cli.leaving import keep_code
from workflow.cli.report import check_outs
from workflow.info_task import SEEDS
from workflow.report.formats import KNOWN
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.cli.settings import Settings
    from workflow.plan.plan import Plan
    from workflow.report.terminal import Terminal
    from workflow.run.conductor import RunResult
    from workflow.run.engine import EngineFactory

CI_GRACE_MAX_S = 5.0
"""What tasks are given to end in, at most, where a build server waits to take the machine back."""


@click.command()
@click.pass_obj
@file_argument
@click.option("-j", "--jobs", type=WORKERS, metavar="N", help="Workers (what the file says, or one per CPU).")
@file_options
@root_option
@selection_options
@click.option(
    "--seed",
    type=click.IntRange(0, SEEDS - 1),
    metavar="N",
    help="What random numbers of the tasks are drawn from (drawn, and recorded).",
)
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@click.option(
    "--report", "reports", multiple=True, metavar="OUT", type=click.Path(dir_okay=False, path_type=Path),
    help=f"Write a report here too, as the name ends: {KNOWN}.",
)  # fmt: skip
@click.option("--events", metavar="FILE|-", help="Write the events here too; - is standard output.")
@click.option(
    "--force",
    metavar="[GLOB]",
    is_flag=False,
    flag_value="*",
    help="Run tasks whose id or name matches (all) although they are cached; --force=GLOB before FILE.",
)
@click.option("--resume", is_flag=True, help="Complete the latest run of FILE: what succeeded there is not run again.")
@click.option(
    "--resume-from", metavar="RUN", shell_complete=completing.run_ids,
    help="The same for a run by its id, the beginning of one, or latest.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Only failures and the end.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Output of all tasks as it comes (of a flood above max_log the middle is cut, and marked), and tracebacks.",
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), help="Whether to use colour (auto).")
@click.option(
    "--state-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are recorded (.workflow beside FILE).",
)  # fmt: skip
def run(
    engine: EngineFactory | None,
    file: Path,
    jobs: int | None,
    seed: int | None,
    given: Given,
    globs: tuple[str, ...],
    tags: tuple[str, ...],
    reports: tuple[Path, ...],
    events: str | None,
    force: str | None,
    resume_from: str | None,
    color: str | None,
    state_dir: Path | None,
    *,
    resume: bool,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run the tasks of FILE (pipeline.toml).

    Exit code: 0 all succeeded, 1 a task did not, 2 usage or an invalid file, 3 nothing selected, 4 the engine failed,
    124 the run's own time limit, 129/130/143 SIGHUP/SIGINT/SIGTERM.
    """
    from workflow.cli.settings import settings

    if quiet and verbose:
        raise click.UsageError("-q and -v exclude each other")
    if resume and resume_from is not None:
        raise click.UsageError("--resume is the latest run of FILE, --resume-from the one it names: say one of them")
    check_outs(reports, "--report")
    verbosity = "quiet" if quiet else "verbose" if verbose else None
    said = {"jobs": jobs, "state_dir": state_dir, "color": color, "verbosity": verbosity}
    if force is not None and Path(force).suffix in (".toml", ".json") and _left_out("file"):
        force, file = "*", Path(force)  # as in ``run --force pipeline.toml``
    how = settings(said, existing(file))
    plan, keep = _plan(given, file, how, whole=not (globs or tags))
    if force is not None:
        _check_force(plan, force)
    whole = plan
    chosen = selected(plan, globs, tags)
    if chosen is None:
        return ExitCode.NOTHING_SELECTED
    plan = chosen
    if dry_run and (resume or resume_from is not None):
        from workflow.cli.inspect import tell_resume

        return tell_resume(plan, how.state_dir, resume_from, force=force, seed=seed)
    if dry_run:
        from workflow.plan.printing import plan_text

        tell(plan_text(plan).removesuffix("\n"))
        return ExitCode.SUCCEEDED

    from workflow.cli.sweep import Sweep
    from workflow.engine.parent import MultiProcess
    from workflow.report.console import Console
    from workflow.run.conductor import RunOptions, run_plan
    from workflow.run.folder import STATE_DIR
    from workflow.run.resume import CannotResume, Resume

    sweep = Sweep()
    options = RunOptions(
        state_dir=how.state_dir or plan.root / STATE_DIR,
        jobs=how.jobs,
        seed=seed,
        argv=tuple(sys.argv),
        reports=tuple(path.absolute() for path in reports),
        events=_events(events),
        after_start=sweep.start,
        grace_max_s=CI_GRACE_MAX_S if _in_ci() else None,
        force=force,
        resume=Resume(resume_from) if resume or resume_from is not None else None,
        keep_results=_wanted_later(whole) if whole is not plan else frozenset(),
    )
    console = Console(_terminal(how), how.verbosity)
    try:
        result = run_plan(plan, options, console, engine or MultiProcess, keep_code)
    except CannotResume as error:
        raise click.ClickException(str(error)) from None
    keep(result.mask.text)
    if result.problem is not None and result.problem != result.verdict.reason:  # which the console has told
        click.echo(f"workflow: {result.problem}", err=True)
    if result.warning is not None:
        click.echo(f"workflow: nothing is cached: {result.mask.text(result.warning)}", err=True)
    for line in sweep.told():
        click.echo(f"workflow: {result.mask.text(line)}", err=True)
    if engine is None:  # a run under faults is no step of anybody's
        _tell_github(result, plan)
    return result.exit_code


def _plan(
    given: Given, file: Path, how: Settings, *, whole: bool
) -> tuple[Plan, Callable[[Callable[[str], str]], None]]:
    """The plan, and what keeps it for the next run once this one has a folder for it.

    If not the ``whole`` of it is to be run, a large one, which is not kept, has no hash: that takes a while.
    """
    from workflow.plan import kept
    from workflow.plan.saved import looks_saved
    from workflow.run.folder import STATE_DIR

    if looks_saved(file) or given.root is not None:
        return given.plan(file), lambda _mask: None
    state_dir = how.state_dir or Path(os.path.realpath(file)).parent / STATE_DIR
    folder, name = state_dir / kept.FOLDER, kept.same_request(file, given.variables, given.profile, given.sets)
    plan = kept.read_kept(folder, name)
    if plan is not None:
        return plan, lambda _mask: None
    from workflow.plan.build import hashed_plan, load_plan_and_facts

    made, facts = load_plan_and_facts(file, given.variables, profile=given.profile, sets=given.sets, hashed=False)
    if whole or len(made.tasks) <= kept.TASKS_MAX:
        made = hashed_plan(made)
    return made, lambda mask: None if facts is None else kept.keep(folder, name, facts, made, mask)


def _wanted_later(whole: Plan) -> frozenset[str]:
    """The tasks whose results are taken in the whole plan: a run of all of it may complete one of a part."""
    from workflow.run.results import taken_by_others

    return taken_by_others(whole.tasks)


def _left_out(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.DEFAULT


def _check_force(plan: Plan, glob: str) -> None:
    from itertools import chain

    from workflow.plan.ids import meant
    from workflow.plan.select import matches

    if not matches(plan, glob):
        near = meant(glob, dict.fromkeys(chain(plan.tasks.names, plan.tasks.ids())))
        raise click.BadParameter(f"no task matches {glob!r}" + (f", {near}" if near else ""), param_hint="--force")


def _tell_github(result: RunResult, plan: Plan) -> None:
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from workflow.report.github import annotation_lines, append_summary
    from workflow.report.graph import graph_of
    from workflow.report.material import material_of

    records = dict(enumerate(result.records))
    material = material_of(result.run, result.verdict, records, graph_of(plan.tasks), Path(result.run.folder))
    for line in annotation_lines(material):
        click.echo(line, err=True)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            append_summary(material, Path(summary))
        except OSError as error:
            click.echo(f"workflow: the summary of this step cannot be written: {error}", err=True)


def _terminal(how: Settings) -> Terminal:
    """The live view where a person looks at it, and lines everywhere else."""
    from workflow.report.live import LiveTerminal
    from workflow.report.terminal import Terminal

    dumb = os.environ.get("TERM", "dumb") in {"", "dumb", "unknown"}
    if sys.stderr.isatty() and not dumb and not _in_ci() and how.verbosity != "quiet":
        return LiveTerminal(sys.stderr, how.color)
    return Terminal(sys.stderr, how.color)


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def _events(target: str | None) -> Path | int | None:
    if target is None:
        return None
    return 1 if target == "-" else Path(target).absolute()
