"""``workflow doctor``: whether a run would work here, and what earlier ones left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from workflow import __version__
from workflow.cli.arguments import WORKERS, tell
from workflow.cli.sweep import ended_line
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.engine.machine import Fact, Trial
    from workflow.engine.marks import Ended

_SIGNS = {"good": "ok", "weak": "--", "missing": "!!", "info": "  "}


@click.command()
@click.option("-j", "--jobs", type=WORKERS, metavar="N", help="Judge for so many workers (one per CPU).")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(jobs: int | None, *, as_json: bool) -> int:
    """Say what this machine offers and whether a run would work; end what earlier runs left.

    Exit code: 0 a run would work, 4 it would not.
    """
    from workflow.engine.machine import gather, try_pool
    from workflow.engine.marks import end_leftovers
    from workflow.engine.memory import remove_leftovers
    from workflow.engine.system import usable_cpus

    pool = jobs or usable_cpus()
    facts = gather(pool)
    trial = try_pool(pool)
    ended = end_leftovers()
    remove_leftovers()
    problems = find_problems(facts, trial)
    tell(as_json_text(facts, trial, ended, problems) if as_json else as_text(facts, trial, ended, problems))
    return ExitCode.BROKEN if problems else ExitCode.SUCCEEDED


def find_problems(facts: Sequence[Fact], trial: Trial) -> list[str]:
    """Why a run would not work."""
    problems = [f"{fact.name}: {fact.value}; {fact.without}" for fact in facts if fact.state == "missing"]
    if trial.problem is not None:
        problems.append(trial.problem)
    return problems


def as_text(facts: Sequence[Fact], trial: Trial, ended: Sequence[Ended], problems: Sequence[str]) -> str:
    """For people."""
    width = max(len(fact.name) for fact in facts)
    lines = [f"workflow {__version__}", ""]
    for fact in facts:
        lines.append(f"{_SIGNS[fact.state]} {fact.name:{width}}  {fact.value}")
        if fact.without is not None:
            lines.append(f"   {'':{width}}  {fact.without}")
    lines.append("")
    workers = "1 worker" if trial.pool == 1 else f"{trial.pool} workers"
    if trial.problem is None:
        lines.append(f"a pool of {workers} started, ran a task and ended in {trial.duration_s:.2f} s")
    lines += [ended_line(one) for one in ended]
    if problems:
        lines += ["a run would not work here:", *(f"  {problem}" for problem in problems)]
    else:
        lines.append("a run works here")
    return "\n".join(lines)


def as_json_text(facts: Sequence[Fact], trial: Trial, ended: Sequence[Ended], problems: Sequence[str]) -> str:
    """For programs."""
    told = {
        "version": __version__,
        "works": not problems,
        "problems": list(problems),
        "facts": [asdict(fact) for fact in facts],
        "trial": asdict(trial),
        "ended": [one._asdict() for one in ended],
    }
    return json.dumps(told, indent=2)
