"""``workflow chaos``: whether the promises hold when things go wrong."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import existing, tell, variables_option
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.harness.pipeline import Control, Hypothesis, Subject
    from workflow.harness.rules import Rule
    from workflow.harness.scenario import Result, Scenario

PRESETS = ("smoke", "full")
_PATH = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_PATH, required=False)
@click.option("--list", "listing", is_flag=True, help="Show the scenarios and the kinds of faults, and run nothing.")
@click.option("--scenario", "globs", multiple=True, metavar="GLOB", help="Only scenarios that match.")
@click.option("--preset", type=click.Choice(PRESETS), help="smoke: those of a minute; full: all (the default).")
@click.option(
    "--inject",
    "injections",
    multiple=True,
    metavar="KIND:GLOB[:P]",
    help="Into FILE: a fault for the tasks that match, for each with this probability.",
)
@click.option("--faults", type=_PATH, metavar="FAULTS.toml", help="The same from a file, with what is expected.")
@click.option(
    "--sweep",
    metavar="KIND|POINT",
    help="Into FILE: at the first task, the second, … until a run meets none.  Without FILE: at each hit of the points "
    "of the engine that match this glob; POINT:stop stops the process, POINT:kill kills it (the default).",
)
@click.option("--seed", type=click.IntRange(0), help="What is drawn is drawn from this (drawn itself, and told).")
@click.option("--repeat", type=click.IntRange(1), default=1, metavar="N", help="All of it N times, with growing seeds.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), metavar="N", help="Scenarios at a time (one for each CPU).")
@click.option(
    "--json", "as_json", is_flag=True, help="Results as JSON on standard output, the table on standard error."
)
@click.option("--junit", type=_PATH, metavar="OUT.xml", help="Write the results as JUnit XML too.")
@variables_option
def chaos(
    file: Path | None,
    globs: tuple[str, ...],
    preset: str | None,
    injections: tuple[str, ...],
    faults: Path | None,
    sweep: str | None,
    seed: int | None,
    repeat: int,
    jobs: int | None,
    junit: Path | None,
    variables: dict[str, str],
    *,
    listing: bool,
    as_json: bool,
) -> int:
    """Inject faults, and check that nine promises hold all the same.

    Without FILE, the catalogue: batches that hang, crash and flood, whose processes are killed, stopped and starved.
    With FILE, that pipeline, left as it is, with faults put into its tasks: it is run without any first, then with.

    Exit code: 0 every check held, 5 one did not, 2 usage or an invalid file, 4 the harness itself failed,
    129/130/143 SIGHUP/SIGINT/SIGTERM.
    """  # fmt: skip
    if listing:
        return _list()
    if junit is not None and not junit.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(junit.parent)!r}", param_hint="--junit")
    show = partial(_show, junit=junit, as_json=as_json)
    if file is None:
        if injections or faults or variables:
            raise click.UsageError("--inject, --faults and --var are for a pipeline: workflow chaos FILE …")
        if sweep is not None and (globs or preset):
            raise click.UsageError("--sweep goes without --scenario and --preset")
        return show(*(_points(sweep, seed, repeat, jobs) if sweep else _catalogue(globs, preset, seed, repeat, jobs)))
    if globs or preset or jobs:
        raise click.UsageError("--scenario, --preset and -j are for the catalogue, which needs no FILE")
    return show(*_pipeline(existing(file), injections, faults, sweep, seed, repeat, variables))


def _list() -> int:
    from workflow.harness.catalogue import SCENARIOS
    from workflow.harness.kinds import KINDS

    width = max(len(name) for name in [*KINDS, *(scenario.id for scenario in SCENARIOS)])
    tell("scenarios (s: also in --preset smoke)")
    for scenario in SCENARIOS:
        tell(f"  {'s' if scenario.smoke else ' '} {scenario.id:<{width}}  {scenario.fault}: {scenario.must}")
    tell("\nkinds of faults, for --inject KIND:GLOB[:PROBABILITY], --sweep KIND and faults files")
    for kind in KINDS.values():
        only = "" if len(kind.tasks) == 4 else f" (for tasks with {' or '.join(sorted(kind.tasks))})"
        tell(f"    {kind.id:<{width}}  {kind.what}: {kind.outcome}{only}")
    return ExitCode.SUCCEEDED


# What is to be checked: a heading, the seed, the widest name, and the results as they come.
_Checks = tuple[str, int, int, "Iterator[Result]"]


def _catalogue(
    globs: Sequence[str], preset: str | None, seed: int | None, repeat: int, jobs: int | None
) -> _Checks:  # fmt: skip
    from workflow.engine.system import usable_cpus
    from workflow.harness.rules import new_seed
    from workflow.harness.scenario import check
    from workflow.harness.session import run_checks

    chosen = _chosen(globs, preset)
    seed = new_seed() if seed is None else seed
    jobs = usable_cpus() if jobs is None else jobs
    turns = [(scenario, seed + turn) for turn in range(repeat) for scenario in chosen]
    checks = [partial(lambda *one: [check(*one)], scenario, of) for scenario, of in turns]
    heading = f"{len(checks)} scenario{'s' if len(checks) != 1 else ''}, seed {seed}, {jobs} at a time"
    return heading, seed, max(len(scenario.id) for scenario in chosen), run_checks(checks, jobs)


def _points(sweep: str, seed: int | None, repeat: int, jobs: int | None) -> _Checks:
    from workflow.engine.system import usable_cpus
    from workflow.harness.points import NoPoint, parse_sweep, sweep_point
    from workflow.harness.session import run_checks

    try:
        points, action = parse_sweep(sweep)
    except NoPoint as error:
        raise click.BadParameter(str(error), param_hint="--sweep") from error
    seed = 0 if seed is None else seed
    jobs = usable_cpus() if jobs is None else jobs
    checks = [partial(sweep_point, point, action, seed + turn) for turn in range(repeat) for point in points]
    heading = f"{action} at {len(points)} points of the engine, at each hit, {jobs} at a time"
    return heading, seed, max(map(len, points)) + 10, run_checks(checks, jobs)


def _chosen(globs: Sequence[str], preset: str | None) -> list[Scenario]:
    from fnmatch import fnmatchcase

    from workflow.diagnostics.suggest import did_you_mean
    from workflow.harness.catalogue import SCENARIOS

    ids = [scenario.id for scenario in SCENARIOS]
    for glob in globs:
        if not any(fnmatchcase(id_, glob) for id_ in ids):
            hint = did_you_mean(glob, ids) or "workflow chaos --list shows them"
            raise click.BadParameter(f"no scenario matches {glob!r}; {hint}", param_hint="--scenario")
    meant = [each for each in SCENARIOS if not globs or any(fnmatchcase(each.id, glob) for glob in globs)]
    chosen = [each for each in meant if each.smoke or preset != "smoke"]
    if not chosen:
        raise click.UsageError("none of these scenarios is in --preset smoke; leave that out")
    return chosen


def _pipeline(
    file: Path, injections: Sequence[str], faults: Path | None, sweep: str | None, seed: int | None, repeat: int,
    variables: dict[str, str],
) -> _Checks:  # fmt: skip
    from workflow.harness.faults_file import load_faults
    from workflow.harness.pipeline import Hypothesis, Subject
    from workflow.harness.rules import BadRule, check_rules, new_seed, parse_rule, sweep_rule
    from workflow.plan.build import load_plan

    if not (injections or faults or sweep):
        hint = "for example --inject crash.segv:*:0.1, or --sweep hang.sleep"
        raise click.UsageError(f"there is nothing to inject into {str(file)!r}; {hint}")
    if sweep and (injections or faults):
        raise click.UsageError("--sweep injects by itself: it goes without --inject and --faults")
    plan = load_plan(file, variables)
    table = load_faults(existing(faults)) if faults is not None else None
    try:
        rules = [*(table.rules() if table else ()), *map(parse_rule, injections)]
        check_rules(rules, plan)
        if sweep:
            rules = [sweep_rule(sweep, plan)]
    except BadRule as error:
        raise click.UsageError(str(error)) from error
    if seed is None:
        seed = table.seed if table is not None and table.seed is not None else new_seed()
    arguments = tuple(part for name, value in variables.items() for part in ("--var", f"{name}={value}"))
    subject = Subject(file.absolute(), plan, arguments)
    again = ["workflow", "chaos", str(file), *arguments]
    if sweep:
        width = max(len(task.id) for task in plan.tasks) + len(sweep) + 4
        return f"{sweep} at each task of {file} in turn", seed, width, _sweep(subject, rules[0], seed, again)
    again += [part for rule in injections for part in ("--inject", rule)]
    again += ["--faults", str(faults)] if faults is not None else []
    hypothesis = table.hypothesis() if table is not None else Hypothesis()
    results = _inject(subject, rules, hypothesis, range(seed, seed + repeat), again)
    return f"faults into {file}, seed {seed}", seed, len(file.name) + 20, results


def _inject(
    subject: Subject, rules: Sequence[Rule], hypothesis: Hypothesis, seeds: Iterable[int], again: Sequence[str]
) -> Iterator[Result]:
    from workflow.harness.pipeline import applicable, check_pipeline
    from workflow.harness.rules import draw

    control = _control(subject)
    for seed in seeds:
        struck = applicable(control, draw(rules, subject.plan, seed))
        faults = sum(map(len, struck.values()))
        name = f"{subject.file.name}, {faults} fault{'s' if faults != 1 else ''}"
        reproduce = shlex.join([*again, "--seed", str(seed)])
        yield check_pipeline(subject, control, struck, name, seed, reproduce, hypothesis)


def _sweep(subject: Subject, rule: Rule, seed: int, again: Sequence[str]) -> Iterator[Result]:
    from workflow.harness.pipeline import sweep

    reproduce = shlex.join([*again, "--sweep", rule.kind])
    yield from sweep(subject, _control(subject), rule, seed, reproduce)


def _control(subject: Subject) -> Control:
    from workflow.harness.pipeline import run_control

    click.echo("a run without faults, to compare with …", err=True)
    control = run_control(subject)
    click.echo(f"… took {control.took_s:.1f} s and left with exit code {control.evidence.exit_code}", err=True)
    return control


def _show(
    heading: str, seed: int, width: int, results: Iterator[Result], *, junit: Path | None, as_json: bool
) -> int:  # fmt: skip
    """Show results as they come, then what they come to."""
    from workflow.harness.experiment import Interrupted
    from workflow.harness.pipeline import NoControl
    from workflow.harness.results import as_json as text_of
    from workflow.harness.results import header, line, story, summary, write_junit

    out = sys.stderr if as_json else sys.stdout
    plain = (getattr(out, "encoding", None) or "ascii").lower().replace("-", "") != "utf8"
    say = partial(click.echo, file=out) if as_json else tell
    say(heading)
    taken: list[Result] = []
    problem: str | None = None
    with _signals() as arrived:
        try:
            say(header(width))
            for result in results:
                taken.append(result)
                say(line(result, width, ascii_only=plain))
                if not result.passed:
                    say(story(result))
        except NoControl as error:
            problem = f"{error}; workflow run says more"
        except Interrupted:
            pass
    say(summary(taken))
    if as_json:
        tell(text_of(taken, seed))
    if junit is not None:
        try:
            write_junit(taken, junit)
        except OSError as error:
            problem = f"cannot write {junit}: {error.strerror or error}"
    if problem is not None:
        click.echo(f"workflow: {problem}", err=True)
    if arrived:
        return ExitCode.of_signal(arrived[0])
    if problem is not None or any(result.error is not None for result in taken):
        return ExitCode.BROKEN
    return ExitCode.SUCCEEDED if taken and all(result.passed for result in taken) else ExitCode.NOT_HELD


@contextmanager
def _signals() -> Iterator[list[int]]:
    """While checks run, a signal ends what they run, and is told; the second ends the command."""
    from workflow.harness.session import interrupt

    arrived: list[int] = []

    def take(number: int, _frame: object) -> None:
        arrived.append(number)
        interrupt()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, take) for number in numbers}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
