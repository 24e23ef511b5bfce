"""Seconds of CPU and MiB to plan large pipelines, to decide about them and to run them, each in a process of its own.

``check`` is reading the file and finding that nothing in it is wrong, as ``workflow validate`` does; ``plan`` is making
the plan and its hash, for which every task is written as JSON; ``decide`` is what ``Admission`` does with it when
every task succeeds at once.  Both are CPU time, so that others on the machine do not count.  ``run`` is
``workflow run`` as a user has it, with tasks that do nothing, and in seconds of the clock.  The memory is the peak of
the process that plans and decides: of ``run`` that of the parent, without its workers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.interleaved import ENVIRONMENT, this_machine

MATRIX = '[tasks.each]\ncall = "noop:noop"\nmatrix.n = {{range = [0, {count}]}}\n'
FILES: dict[str, Callable[[int], str]] = {
    "matrix": lambda count: MATRIX.format(count=count),
    "arguments": lambda count: MATRIX.format(count=count) + 'args = ["${matrix.n}"]\ntimeout = "30s"\n',
    "fan in": lambda count: MATRIX.format(count=count) + '[tasks.last]\ncall = "noop:noop"\nneeds = "each"\n',
    "pairs": lambda count: (
        MATRIX.format(count=count // 2) + '[tasks.then]\ncall = "noop:noop"\nmatrix.n = {like = "each"}\n'
        'needs = {task = "each", match = "n"}\n'
    ),
    "if": lambda count: MATRIX.format(count=count) + 'if = "matrix.n != 7"\n',
    "chain": lambda count: "".join(
        f'[tasks.t{number}]\ncall = "noop:noop"\n' + (f'needs = "t{number - 1}"\n' if number else "")
        for number in range(count)
    ),
}


def plan(path: Path) -> dict[str, float]:
    from workflow.outcome import Outcome
    from workflow.plan.build import load_plan
    from workflow.run.admission import Admission
    from workflow.run.effects import Push
    from workflow.run.facts import TaskEnded

    load_plan(path, hashed=False)  # and all that is imported
    begun = time.process_time()
    load_plan(path, hashed=False)
    checked, checked_mib = time.process_time() - begun, peak_mib()
    begun = time.process_time()
    planned = load_plan(path)
    took = time.process_time() - begun
    peak = peak_mib()
    begun = time.process_time()
    admission = Admission(planned.tasks, planned.settings)
    waiting = admission.begin()
    while waiting:
        waiting = [
            more
            for effect in waiting
            if isinstance(effect, Push)
            for more in admission.handle(TaskEnded(effect.task, Outcome.SUCCEEDED))
        ]
    assert admission.finished
    decided = time.process_time() - begun
    checks = {"check_s": checked, "check_mib": checked_mib}
    return {**checks, "plan_s": took, "plan_mib": peak, "decide_s": decided, "decide_mib": peak_mib()}


def run(path: Path) -> dict[str, float]:
    from workflow.cli.main import main

    sys.argv = ["workflow", "run", "-q", str(path)]
    begun = time.perf_counter()
    with contextlib.suppress(SystemExit):
        main()
    return {"run_s": time.perf_counter() - begun, "run_mib": peak_mib()}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=100_000, help="tasks of each file (100000)")
    arguments.add_argument("--chain", type=int, default=10_000, help="tasks of the chain (10000)")
    arguments.add_argument("--only", choices=FILES, action="append", help="these files alone")
    arguments.add_argument("--run", action="store_true", help="run them, too")
    arguments.add_argument("--measure", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        what, file = given.measure
        print(json.dumps({"plan": plan, "run": run}[what](Path(file))), file=sys.stderr)
        return
    print(json.dumps(this_machine()))
    for name in given.only or FILES:
        count = given.chain if name == "chain" else given.tasks
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pipeline.toml")
            path.write_text(FILES[name](count), encoding="utf-8")
            Path(folder, "noop.py").write_text("def noop(*_args):\n    return None\n", encoding="utf-8")
            measured: dict[str, float] = {}
            for what in ("plan", "run") if given.run else ("plan",):
                command = [sys.executable, "-m", "bench.planning", "--measure", what, str(path)]
                ended = subprocess.run(command, env=ENVIRONMENT, check=True, text=True, stderr=subprocess.PIPE)
                measured |= json.loads(ended.stderr.strip().splitlines()[-1])
        shown = "  ".join(f"{key} {value:.2f}" for key, value in measured.items())
        print(f"{name:<10} {count:>9,} tasks  {shown}", flush=True)


if __name__ == "__main__":
    main()
