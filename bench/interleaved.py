"""Measuring several candidates side by side: what the benchmarks of this folder share.

One number on one machine says little, and two numbers taken a minute apart say less: the machine was busier then.  So
the candidates take turns, a repetition is one turn of each, and what is reported is the ratio within a repetition.
Each measurement is a process of its own, which prints its numbers as JSON: no candidate sees the heap, the threads or
the leftovers of another, and one that hangs or fails is a gap in the table instead of its end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

MEASUREMENT_S_MAX = 120
_ROOT = str(Path(__file__).resolve().parents[1])
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH")))),
}
"""Of every measurement: this tree, with its bytecode; an installed package is not compiled at each start either."""
Taken = TypeVar("Taken")
"""What a measurement gives: a number, or several by name."""


class Spread(NamedTuple):
    """Least, middle and greatest of what the repetitions gave."""

    min: float
    median: float
    max: float


def spread(values: Sequence[float]) -> Spread | None:
    """None when there is nothing to be spread."""
    return Spread(min(values), statistics.median(values), max(values)) if values else None


def take_turns(candidates: Mapping[str, Callable[[], Taken | None]], repetitions: int) -> dict[str, list[Taken | None]]:
    """Measure each candidate once in every repetition; who begins changes from repetition to repetition.

    One turn of each goes before and does not count: it fills the caches of bytecode and of files.
    """
    for measure in candidates.values():
        measure()
    taken: dict[str, list[Taken | None]] = {name: [] for name in candidates}
    names = list(candidates)
    for repetition in range(repetitions):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(candidates[name]())
            if sys.stderr.isatty():
                print(f"\r{repetition + 1}/{repetitions} {name:<50}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
    return taken


def ratios(values: Sequence[float | None], base: Sequence[float | None]) -> list[float]:
    """Of each repetition in which both were measured."""
    return [value / beside for value, beside in zip(values, base, strict=True) if value and beside]


def run_module(module: str, *arguments: str, tree: str = _ROOT) -> dict[str, float] | None:
    """The JSON object that a measurement prints; None, with its last words on stderr, when it fails.

    ``tree`` is the checkout of which the module and the package are taken, when it is not this one.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            cwd=tree,
            env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join((tree, ENVIRONMENT["PYTHONPATH"]))},
            capture_output=True,
            timeout=MEASUREMENT_S_MAX,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        print(f"{' '.join(arguments)}: no end within {MEASUREMENT_S_MAX} s", file=sys.stderr)
        return None
    try:
        numbers: dict[str, float] = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.strip().splitlines() or ["(it said nothing)"]
        print(f"{' '.join(arguments)}: exit code {done.returncode}: {words[-1]}", file=sys.stderr)
        return None
    return numbers


def this_machine() -> dict[str, object]:
    """What a reader of the numbers should know about where they were taken."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"python": platform.python_version(), "system": platform.platform(), "cpus": cpus, "load": os.getloadavg()}


def parser(doc: str, *, repetitions: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc.partition("\n")[0])
    made.add_argument("--repetitions", type=int, default=repetitions, help=f"turns of each candidate ({repetitions})")
    made.add_argument("--json", action="store_true", help="print everything as one JSON object")
    return made


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
