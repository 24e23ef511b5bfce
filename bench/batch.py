"""What a run of a file costs beside make, ninja, xargs and doit: a batch, a chain, one task; and functions.

Whole processes, from their start to their end, with all that a run does: folder, ledger, events, logs and report.  Ours
gives each command a session of its own and captures what it prints, the others do neither.  What is not installed is
left out.  Beside the time there is the processor time of all processes together, which depends less on what else the
machine does.  With ``--beside`` another checkout takes turns with this one.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from bench.interleaved import ENVIRONMENT, parser, ratios, show, spread, take_turns, this_machine

OURS = "workflow"
BESIDE = "workflow, the other"
JOBS = 2


class Case(NamedTuple):
    """A batch, and what is typed to run it."""

    name: str
    tasks: int
    files: Mapping[str, str]
    commands: Mapping[str, Sequence[str]]
    """By program; ours is the same for all."""


class Taken(NamedTuple):
    """What one run took."""

    seconds: float
    cpu_s: float


def batch_of_commands(tasks: int) -> Case:
    """They do not need each other."""
    numbers = " ".join(map(str, range(tasks)))
    ninja = "".join(f"build {number}: run\n" for number in range(tasks))
    doit = (
        "def task_batch():\n"
        f"    for number in range({tasks}):\n"
        '        yield {"name": str(number), "actions": ["true"]}\n'
    )  # fmt: skip
    files = {
        "pipeline.toml": f"[tasks.batch]\nmatrix.n = {{ range = [0, {tasks}] }}\ntimeout = '1m'\ncmd = ['true']\n",
        "Makefile": f"NUMBERS = {numbers}\nall: $(NUMBERS)\n.PHONY: all $(NUMBERS)\n$(NUMBERS):\n\t@true\n",
        "build.ninja": f"rule run\n  command = true\n{ninja}",
        "numbers": numbers,
        "dodo.py": doit,
    }
    commands = {
        "make": ("make", f"-j{JOBS}"),
        "ninja": ("ninja", f"-j{JOBS}", "--quiet"),
        "xargs": ("xargs", "-n1", f"-P{JOBS}", "-a", "numbers", "true"),
        "doit": (sys.executable, "-m", "doit", "-n", str(JOBS), "-P", "thread"),
    }
    return Case(f"{tasks} commands", tasks, files, commands)


def chain_of_commands(tasks: int) -> Case:
    """Each needs the one before it."""
    pipeline, make, doit = [], [f"all: t{tasks - 1}\n"], []
    for number in range(tasks):
        before = f"t{number - 1}" if number else ""
        pipeline.append(f"[tasks.t{number}]\ncmd = ['true']\nneeds = {[before] if before else []}\n")
        make.append(f".PHONY: t{number}\nt{number}: {before}\n\t@true\n")
        doit.append(f'def task_t{number}(): return {{"actions": ["true"], "task_dep": {[before] if before else []}}}\n')
    files = {"pipeline.toml": "".join(pipeline), "Makefile": "".join(make), "dodo.py": "".join(doit)}
    return Case(
        f"a chain of {tasks}", tasks, files, {"make": ("make", f"-j{JOBS}"), "doit": (sys.executable, "-m", "doit")}
    )


def one_command() -> Case:
    """What a start and an end take."""
    files = {
        "pipeline.toml": "[tasks.one]\ncmd = ['true']\n",
        "Makefile": "one:\n\t@true\n",
        "dodo.py": "def task_one(): return {'actions': ['true']}\n",
    }
    return Case("one command", 1, files, {"make": ("make",), "doit": (sys.executable, "-m", "doit")})


def batch_of_functions(tasks: int) -> Case:
    """Functions that do nothing: what is left is what is ours."""
    pipeline = f"[tasks.f]\nmatrix.n = {{ range = [0, {tasks}] }}\ncall = 'noop:f'\nargs = ['${{matrix.n}}']\n"
    return Case(f"{tasks} functions", tasks, {"pipeline.toml": pipeline, "noop.py": "def f(n): pass\n"}, {})


def run(command: Sequence[str], folder: str, tree: str | None = None) -> Taken | None:
    """A whole process, from outside; None when it fails."""
    environment = dict(ENVIRONMENT)
    if tree is not None:
        environment["PYTHONPATH"] = os.pathsep.join((tree, environment["PYTHONPATH"]))
    said = Path(folder, "said")
    streams = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1)]
    streams.append((os.POSIX_SPAWN_OPEN, 2, str(said), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    began = time.perf_counter()
    command = ("env", "-C", folder, *command)
    _pid, status, usage = os.wait4(os.posix_spawnp("env", command, environment, file_actions=streams), 0)
    took = time.perf_counter() - began
    if status:
        words = said.read_text(errors="replace").strip().splitlines() or ["(it said nothing)"]
        print(f"{command[3:]}: exit code {os.waitstatus_to_exitcode(status)}: {words[-1]}", file=sys.stderr)
        return None
    return Taken(took, usage.ru_utime + usage.ru_stime)


def candidates(case: Case, folder: str, beside: str | None) -> dict[str, Callable[[], Taken | None]]:
    """Ours, and whoever else is there."""
    for name, text in case.files.items():
        Path(folder, name).write_text(text, encoding="ascii")
    ours = (sys.executable, "-m", "workflow", "run", "--quiet", "--jobs", str(JOBS))
    found: dict[str, Callable[[], Taken | None]] = {OURS: functools.partial(run, ours, folder)}
    if beside is not None:
        found[BESIDE] = functools.partial(run, ours, folder, str(Path(beside).resolve()))
    for name, command in case.commands.items():
        there = find_spec(name) if command[0] == sys.executable else shutil.which(command[0])
        if there is not None:
            found[name] = functools.partial(run, command, folder)
    return found


def report(case: Case, taken: Mapping[str, Sequence[Taken | None]]) -> list[list[str]]:
    """A row for each program: what a task took, and how much of that ours took in the same repetition."""
    rows = [[case.name, "tasks/s", "µs a task: min", "median", "max", "CPU µs", "ours to it: time", "CPU"]]
    for name, runs in taken.items():
        done = [each for each in runs if each is not None]
        seconds = spread([each.seconds / case.tasks * 1e6 for each in done])
        cpu = spread([each.cpu_s / case.tasks * 1e6 for each in done])
        if seconds is None or cpu is None:
            rows.append([name, "failed", *[""] * 6])
            continue
        row = [name, f"{1e6 / seconds.median:.0f}", *(f"{value:.0f}" for value in seconds), f"{cpu.median:.0f}"]
        for field in range(2):
            of_ours = [None if each is None else each[field] for each in taken[OURS]]
            ratio = spread(ratios(of_ours, [None if each is None else each[field] for each in runs]))
            row.append("" if name == OURS or ratio is None else f"{ratio.median:.2f}")
        rows.append(row)
    return rows


def main() -> None:
    arguments = parser(__doc__ or "", repetitions=7)
    arguments.add_argument("--commands", type=int, default=10_000, help="of the batch (10000)")
    arguments.add_argument("--chain", type=int, default=200, help="commands of the chain (200)")
    arguments.add_argument("--functions", type=int, default=50_000, help="of the other batch (50000)")
    arguments.add_argument("--beside", metavar="FOLDER", help="another checkout, to be compared with")
    given = arguments.parse_args()
    results: dict[str, dict[str, list[Taken | None]]] = {}
    for case in (
        batch_of_functions(given.functions),
        batch_of_commands(given.commands),
        chain_of_commands(given.chain),
        one_command(),
    ):
        with tempfile.TemporaryDirectory(prefix="workflow-bench-") as folder:
            taken = take_turns(candidates(case, folder, given.beside), given.repetitions)
        results[case.name] = taken
        if not given.json:
            show(report(case, taken))
            print(flush=True)
    if given.json:
        shown = {
            name: {who: [each and each._asdict() for each in runs] for who, runs in taken.items()}
            for name, taken in results.items()
        }
        print(json.dumps({**this_machine(), "repetitions": given.repetitions, "results": shown}, indent=2))


if __name__ == "__main__":
    main()
