"""``workflow chaos``: whether the promises hold when things go wrong."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import Given, NoOutput, existing, file_options, tell
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.harness.pipeline import Control, Hypothesis, Subject
    from workflow.harness.rules import Rule
    from workflow.harness.scenario import Result, Scenario
    from workflow.harness.session import Check

_LIST_WIDTH = 100
PRESETS = ("smoke", "full", "soak")
SOAK_S = 600.0
"""Of ``--preset soak``."""
_PATH = click.Path(dir_okay=False, path_type=Path)
_EXAMPLES = """\b
Examples:
  workflow chaos --preset smoke
  workflow chaos pipeline.toml --inject 'crash.segv:fetch@*:0.1' --seed 7
  workflow chaos pipeline.toml --sweep hang.sleep
"""


@click.command(epilog=_EXAMPLES)
@click.argument("file", type=_PATH, required=False)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="Catalogue: smoke, under a minute; full (the default); soak: full, all points of the engine, ten minutes of "
    "random blows.",
)
@click.option("--scenario", "globs", multiple=True, metavar="GLOB", help="Catalogue: only scenarios that match.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 64), metavar="N", help="Catalogue: so many at a time (one for each CPU)."
)
@click.option(
    "--inject",
    "injections",
    multiple=True,
    metavar="KIND:GLOB[:P]",
    help="FILE: this fault into tasks that match, each with probability P (1).",
)
@click.option("--faults", type=_PATH, metavar="TOML", help="FILE: the same from a file, with what is expected.")
@click.option(
    "--sweep",
    metavar="KIND|POINT",
    help="FILE: a run with this fault at each task in turn, and one with none.  Without FILE: the same at each hit of "
    "the points of the engine that match; POINT:stop stops its process, POINT:kill kills it (the default).",
)
@click.option(
    "--soak",
    metavar="DURATION",
    help="Kill, stop and signal random processes of live runs (of FILE) at random moments, as the seed has it.",
)
@click.option("--replay", type=_PATH, metavar="JSON", help="Do again what --soak has kept of a broken round.")
@file_options
@click.option("--seed", type=click.IntRange(0), metavar="N", help="What chances are drawn from (drawn, and told).")
@click.option(
    "--repeat", type=click.IntRange(1, 10_000), default=1, metavar="N", help="All of it N times, with growing seeds."
)
@click.option("--junit", type=_PATH, metavar="XML", help="Write the results as JUnit XML too.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on stdout; the table goes to stderr.")
@click.option("--list", "listing", is_flag=True, help="Show all scenarios, kinds of faults and points.")
def chaos(
    file: Path | None,
    globs: tuple[str, ...],
    preset: str | None,
    injections: tuple[str, ...],
    faults: Path | None,
    sweep: str | None,
    soak: str | None,
    replay: Path | None,
    seed: int | None,
    repeat: int,
    jobs: int | None,
    junit: Path | None,
    given: Given,
    *,
    listing: bool,
    as_json: bool,
) -> int:
    """Inject faults, and check that nine promises hold all the same.

    Without FILE, the catalogue, against the engine on this machine: batches that hang, crash and flood, whose
    processes are killed, stopped and starved.

    With FILE, that pipeline: it is really run, once without any fault and then with faults put into its tasks. The
    file itself is left as it is.

    Exit code: 0 every check held, 5 one did not, 2 usage or an invalid file, 4 the harness itself failed or the
    pipeline does not run by itself, 129/130/143 SIGHUP/SIGINT/SIGTERM.
    """
    if listing:
        return _list_as_json() if as_json else _list()
    try:
        here = Path.cwd()
    except OSError:
        raise click.UsageError("the folder this was started in has been deleted; change to one that exists") from None
    if junit is not None and not (here / junit).parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(junit.parent)!r}", param_hint="--junit")
    if junit is not None and (here / junit).is_dir():
        raise click.BadParameter(f"{str(junit)!r} is a folder, not a file", param_hint="--junit")
    show = partial(_show, junit=junit, as_json=as_json)
    asked = {"--sweep": sweep, "--soak": soak, "--replay": replay, "--scenario": globs, "--preset": preset}
    modes = [name for name in ("--sweep", "--soak", "--replay") if asked[name] is not None]
    if len(modes) > 1 or (modes and (globs or preset)):
        other = next(name for name in asked if asked[name] and name != modes[0])
        raise click.UsageError(f"{modes[0]} and {other} exclude each other")
    if soak is not None and repeat > 1:
        raise click.UsageError("--soak goes on for as long as it says: it goes without --repeat")
    duration_s = None if soak is None else _duration_s(soak)
    if file is None:
        if injections or faults or given:
            raise click.UsageError(
                "--inject, --faults, --profile, --var and --set are for a pipeline: workflow chaos FILE …"
            )
        if replay is not None:
            return show(*_replay(existing(replay), repeat))
        if duration_s is not None:
            return show(*_soak(duration_s, seed, jobs))
        if sweep is not None:
            return show(*_points(sweep, seed, repeat, jobs))
        return show(*_catalogue(globs, preset, seed, repeat, jobs))
    if globs or preset or jobs or replay:
        raise click.UsageError("--scenario, --preset, --replay and -j are for the catalogue, which needs no FILE")
    return show(*_pipeline(existing(file), injections, faults, sweep, duration_s, seed, repeat, given))


def _duration_s(text: str) -> float:
    from workflow.spec.values import Refused, duration_s

    try:
        return duration_s(float(text) if text.replace(".", "", 1).isdecimal() else text)
    except Refused as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--soak") from error


def _list() -> int:
    from textwrap import wrap

    from workflow.failpoints import POINTS
    from workflow.harness.catalogue import SCENARIOS
    from workflow.harness.kinds import KINDS

    width = max(len(name) for name in [*KINDS, *(scenario.id for scenario in SCENARIOS)])

    def tell_one(name: str, text: str, mark: str = " ") -> None:
        lines = wrap(text, _LIST_WIDTH - width - 8)
        tell("\n".join(f"    {name:<{width}}  {mark} {line}" if not n else f"{'':<{width + 8}}{line}"
                        for n, line in enumerate(lines)))  # fmt: skip

    tell("scenarios (s: also in --preset smoke)")
    for scenario in SCENARIOS:
        tell_one(scenario.id, f"{scenario.fault}: {scenario.must}", "s" if scenario.smoke else " ")
    tell("\nkinds of faults, for --inject KIND:GLOB[:PROBABILITY], --sweep KIND and faults files")
    for kind in KINDS.values():
        only = "" if len(kind.tasks) == 4 else f" (for tasks with {' or '.join(sorted(kind.tasks))})"
        callback = f", its callback {kind.callback}" if kind.callback is not None else ""
        tell_one(kind.id, f"{kind.what}: {kind.outcome}{callback}{only}")
    tell("\npoints of the engine, for --sweep POINT[:kill|:stop]")
    for point, what in POINTS.items():
        tell_one(point, what)
    return ExitCode.SUCCEEDED


def _list_as_json() -> int:
    import json

    from workflow.failpoints import POINTS
    from workflow.harness.catalogue import SCENARIOS
    from workflow.harness.kinds import KINDS

    listed = {
        "scenarios": [
            {"id": each.id, "fault": each.fault, "must": each.must, "smoke": each.smoke} for each in SCENARIOS
        ],
        "kinds": [
            {
                "id": each.id,
                "what": each.what,
                "outcome": each.outcome,
                "callback": each.callback,
                "tasks": sorted(each.tasks),
            }
            for each in KINDS.values()
        ],
        "points": [{"id": point, "what": what} for point, what in POINTS.items()],
    }
    tell(json.dumps(listed, indent=2))
    return ExitCode.SUCCEEDED


# What is to be checked: a heading, the seed, the widest name, and the results as they come.
_Checks = tuple[str, int, int, "Generator[Result]"]


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
    checks: list[Check] = [partial(lambda *one: [check(*one)], scenario, of) for scenario, of in turns]
    heading = f"{len(checks)} scenario{'s' if len(checks) != 1 else ''}, seed {seed}, {jobs} at a time"
    width = max(len(scenario.id) for scenario in chosen)
    if preset == "soak":
        more, points = _point_checks("*", seed), _point_checks("*:stop", seed)
        checks += [*more, *points, *_soak_checks(SOAK_S, seed, jobs)]
        heading += f"; {len(more)} points of the engine, killed and stopped; {SOAK_S:g} s of random blows"
        width = max(width, 36)
    return heading, seed, width, run_checks(checks, jobs)


def _points(sweep: str, seed: int | None, repeat: int, jobs: int | None) -> _Checks:
    from workflow.engine.system import usable_cpus
    from workflow.harness.session import run_checks

    seed = 0 if seed is None else seed
    jobs = usable_cpus() if jobs is None else jobs
    checks = [check for turn in range(repeat) for check in _point_checks(sweep, seed + turn)]
    points = f"{len(checks)} point{'s' if len(checks) != 1 else ''}"
    return f"{sweep}: {points} of the engine, {jobs} at a time", seed, 36, run_checks(checks, jobs)


def _point_checks(sweep: str, seed: int) -> list[Check]:
    from workflow.harness.points import NoPoint, parse_sweep, sweep_point

    try:
        points, action = parse_sweep(sweep)
    except NoPoint as error:
        raise click.BadParameter(str(error), param_hint="--sweep") from error
    return [partial(sweep_point, point, action, seed) for point in points]


def _soak(duration_s: float, seed: int | None, jobs: int | None) -> _Checks:
    from workflow.engine.system import usable_cpus
    from workflow.harness.rules import new_seed
    from workflow.harness.session import run_checks

    seed = new_seed() if seed is None else seed
    jobs = usable_cpus() if jobs is None else jobs
    heading = f"{duration_s:g} s of random blows, seed {seed}, {jobs} at a time"
    return heading, seed, 24, run_checks(_soak_checks(duration_s, seed, jobs), jobs)


def _soak_checks(duration_s: float, seed: int, jobs: int) -> list[Check]:
    from workflow.harness.soak import soak

    return [partial(soak, duration_s, seed + number, jobs, Path.cwd()) for number in range(jobs)]


def _replay(path: Path, repeat: int) -> _Checks:
    from workflow.harness.schedule import BadSchedule, read
    from workflow.harness.session import run_checks
    from workflow.harness.soak import replay

    try:
        schedule = read(path)
    except BadSchedule as error:
        raise click.UsageError(str(error)) from error
    checks: list[Check] = [lambda: [replay(schedule, kept=path)] for _ in range(repeat)]
    return f"the schedule of {path}", schedule.seed, 24, run_checks(checks, 1)


def _chosen(globs: Sequence[str], preset: str | None) -> list[Scenario]:
    from fnmatch import fnmatchcase

    from workflow.diagnostics.suggest import did_you_mean_some
    from workflow.harness.catalogue import SCENARIOS

    ids = [scenario.id for scenario in SCENARIOS]
    for glob in globs:
        if not any(fnmatchcase(id_, glob) for id_ in ids):
            hint = did_you_mean_some(glob, ids) or "workflow chaos --list shows them"
            raise click.BadParameter(f"no scenario matches {glob!r}; {hint}", param_hint="--scenario")
    meant = [each for each in SCENARIOS if not globs or any(fnmatchcase(each.id, glob) for glob in globs)]
    chosen = [each for each in meant if each.smoke or preset != "smoke"]
    if not chosen:
        raise click.UsageError("none of these scenarios is in --preset smoke; leave that out")
    return chosen


def _pipeline(
    file: Path, injections: Sequence[str], faults: Path | None, sweep: str | None, soak_s: float | None,
    seed: int | None, repeat: int, given: Given,
) -> _Checks:  # fmt: skip
    from workflow.harness.faults_file import load_faults
    from workflow.harness.pipeline import Hypothesis, Subject
    from workflow.harness.rules import BadRule, check_rules, check_sweep, new_seed, parse_rule

    if not (injections or faults or sweep or soak_s):
        hint = "for example --inject 'crash.segv:*:0.1', or --sweep hang.sleep"
        raise click.UsageError(f"there is nothing to inject into {str(file)!r}; {hint}")
    if (sweep or soak_s) and (injections or faults):
        raise click.UsageError("--sweep and --soak strike by themselves: they go without --inject and --faults")
    plan = given.plan(file)
    table = load_faults(existing(faults), plan) if faults is not None else None
    try:
        rules = [parse_rule(text) for text in injections]
        check_rules(rules, plan)
        if sweep:
            check_sweep(sweep, plan)
    except BadRule as error:
        raise click.UsageError(str(error)) from error
    if seed is None:
        seed = table.seed if table is not None and table.seed is not None else new_seed()
    seeds = range(seed, seed + repeat)
    arguments = given.words
    subject = Subject(file.absolute(), plan, arguments)
    again = ["workflow", "chaos", str(file), *arguments]
    if soak_s is not None:
        results = _soak_pipeline(subject, soak_s, seed, shlex.join([*again, "--soak", "1s"]))
        return f"{soak_s:g} s of random blows at runs of {file}, seed {seed}", seed, 24, results
    if sweep:
        width = max(len(task.id) for task in plan.tasks) + len(sweep) + 4
        return f"{sweep} at each task of {file} in turn", seed, width, _sweep(subject, sweep, seeds, again)
    again += [part for rule in injections for part in ("--inject", rule)]
    again += ["--faults", str(faults)] if faults is not None else []
    hypothesis = table.hypothesis() if table is not None else Hypothesis()
    rules = [*(table.rules() if table is not None else ()), *rules]
    results = _inject(subject, rules, hypothesis, seeds, again)
    return f"faults into {file}, seed {seed}", seed, len(file.name) + 20, results


def _inject(
    subject: Subject, rules: Sequence[Rule], hypothesis: Hypothesis, seeds: Iterable[int], again: Sequence[str]
) -> Generator[Result]:
    from workflow.harness.pipeline import check_pipeline, drawn, name_of, untested

    control = _control(subject)
    for seed in seeds:
        struck = drawn(subject, control, rules, seed)
        reproduce = shlex.join([*again, "--seed", str(seed)])
        result = check_pipeline(subject, control, struck, name_of(subject, struck), seed, reproduce, hypothesis)
        yield result if struck else untested(result)


def _sweep(subject: Subject, kind: str, seeds: Iterable[int], again: Sequence[str]) -> Generator[Result]:
    from workflow.harness.pipeline import check_pipeline, sweep

    control = _control(subject)
    for seed in seeds:
        for struck in sweep(subject, control, kind):
            where = next(iter(struck), None)
            arguments = ["--sweep", kind] if where is None else ["--inject", f"{kind}:{where}"]
            reproduce = shlex.join([*again, *arguments])
            yield check_pipeline(subject, control, struck, f"{kind} at {where or 'none'}", seed, reproduce)


def _soak_pipeline(subject: Subject, duration_s: float, seed: int, again: str) -> Generator[Result]:
    from workflow.harness.pipeline import in_common
    from workflow.harness.soak import soak_pipeline

    # Twice, for the results: what a task returns anew each time is no loss when it is another under blows.
    yield from soak_pipeline(
        subject, in_common(subject.plan, _control(subject), _control(subject)), duration_s, seed, again
    )


def _control(subject: Subject) -> Control:
    from workflow.harness.pipeline import run_control

    click.echo("a run without faults, to compare with …", err=True)
    control = run_control(subject)
    wrong = [id_ for id_, task in control.evidence.tasks.items() if task["outcome"] not in ("succeeded", "skipped")]
    already = f"; not well even so: {', '.join(wrong[:5])}{' …' if len(wrong) > 5 else ''}" if wrong else ""
    code = control.evidence.exit_code
    click.echo(f"… took {control.took_s:.1f} s and left with exit code {code}{already}", err=True)
    return control


def _show(heading: str, seed: int, width: int, results: Generator[Result], *, junit: Path | None, as_json: bool) -> int:
    """Show results as they come, then what they come to."""
    from workflow.harness.experiment import Interrupted
    from workflow.harness.pipeline import NoControl
    from workflow.harness.results import as_json as text_of
    from workflow.harness.results import header, injected_lines, line, story, summary, write_junit
    from workflow.harness.session import interrupt
    from workflow.report.terminal import neutral

    out = sys.stderr if as_json else sys.stdout
    encoding = getattr(out, "encoding", None) or "ascii"
    plain = encoding.lower().replace("-", "") != "utf8"

    problem: str | None = None
    listening = True

    def say(text: str) -> None:
        """Say it.  Nobody to listen, and no file for the results: then the checks end, and that is no pass."""
        nonlocal listening, problem
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        try:
            if listening:
                click.echo(text, file=out)
        except BrokenPipeError:
            listening = False
            if junit is None:
                problem = "standard output was closed before the checks were over"
                interrupt()
        except OSError as error:
            raise NoOutput(f"cannot write what the checks come to: {error.strerror or error}") from error

    taken: list[Result] = []
    say(heading)
    with _signals() as arrived, closing(results):
        try:
            say(header(width))
            for result in results:
                taken.append(result)
                say(line(result, width, ascii_only=plain))
                for text in injected_lines(result):
                    say(text)
        except NoControl as error:
            problem = f"the pipeline does not run by itself: {error}; `workflow run` says more"
        except Interrupted:
            pass
    for result in taken:  # last, where it is looked for, and not between the lines of a table
        if not result.passed:
            told = "\n".join(map(neutral, story(result).split("\n")))  # it quotes what tasks have printed
            say(f"\n{result.name}, seed {result.seed}\n{told}")
    say(("" if all(result.passed for result in taken) else "\n") + summary(taken))
    if as_json:
        with suppress(BrokenPipeError):
            tell(text_of(taken, seed))
    if junit is not None:
        try:
            write_junit(taken, junit)
        except OSError as error:
            problem = f"cannot write {junit}: {error.strerror or error}"
    if problem is not None:
        click.echo(f"workflow: {problem}", err=True)
    if arrived:
        click.echo(f"workflow: ended by {signal.Signals(arrived[0]).name}", err=True)
        return ExitCode.of_signal(arrived[0])
    if any(not result.passed and result.error is None for result in taken):
        return ExitCode.NOT_HELD if not any(result.error is not None for result in taken) else ExitCode.BROKEN
    if problem is not None or any(result.error is not None for result in taken):
        return ExitCode.BROKEN
    return ExitCode.SUCCEEDED if taken else ExitCode.NOT_HELD


@contextmanager
def _signals() -> Iterator[list[int]]:
    """While checks run, a signal ends what they run, which takes no time to speak of, and is told."""
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
