"""Milliseconds until something happens: an import, a pool's first result and its stop, a run of one task.

Whole processes are measured from outside, from their start to their end, beside ``python -c pass``.  A pool is
measured inside a fresh process, from ``start()`` to the first result and through ``stop()``, beside
``multiprocessing.Pool``, which forks the process that runs it where ours starts processes that know nothing of it.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.interleaved import (
    ENVIRONMENT,
    MEASUREMENT_S_MAX,
    parser,
    ratios,
    run_module,
    show,
    spread,
    take_turns,
    this_machine,
)
from bench.noop import same
from workflow import InfoTask, MultiProcess

PIPELINE = '[tasks.one]\ncmd = ["true"]\n'


def pool_of_ours() -> dict[str, float]:
    """Start, first result, stop."""
    began = time.perf_counter()
    pool = MultiProcess(2)
    pool.start()
    pool.push(InfoTask("bench.noop.Same", 10, 1)).result(MEASUREMENT_S_MAX)
    first = time.perf_counter()
    pool.stop()
    return {"first result": (first - began) * 1000, "stop": (time.perf_counter() - first) * 1000}


def pool_of_multiprocessing() -> dict[str, float]:
    """The same; its ``stop`` is ``close`` and ``join``."""
    began = time.perf_counter()
    pool = multiprocessing.Pool(2)
    pool.apply_async(same, (1,)).get(MEASUREMENT_S_MAX)
    first = time.perf_counter()
    pool.close()
    pool.join()
    return {"first result": (first - began) * 1000, "stop": (time.perf_counter() - first) * 1000}


POOLS: dict[str, Callable[[], dict[str, float]]] = {
    "MultiProcess(2)": pool_of_ours,
    "multiprocessing.Pool(2)": pool_of_multiprocessing,
}


def process_ms(command: Sequence[str], cwd: str) -> float | None:
    """A whole process, from outside; None, with its last words on stderr, when it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=MEASUREMENT_S_MAX,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["(it said nothing)"]
        print(f"{' '.join(command[1:])}: exit code {done.returncode}: {words[-1]}", file=sys.stderr)
        return None
    return took * 1000


def pool_ms(name: str, moment: str) -> float | None:
    """One of the numbers of a pool in a process of its own."""
    numbers = run_module("bench.startup", "--measure", name)
    return numbers[moment] if numbers else None


def report(taken: Mapping[str, Sequence[float | None]], bases: Mapping[str, str]) -> list[list[str]]:
    """A row for each candidate: milliseconds, and the ratio to what stands beside it."""
    rows = [["ms", "min", "median", "max", "ratio: min", "median", "max", "to"]]
    for name, values in taken.items():
        times = spread([value for value in values if value is not None])
        ratio = spread(ratios(values, taken[bases[name]])) if name in bases else None
        rows.append(
            [
                name,
                *([f"{value:.1f}" for value in times] if times else ["failed", "-", "-"]),
                *([f"{value:.2f}" for value in ratio] if ratio else ["", "", ""]),
                bases.get(name, ""),
            ]
        )
    return rows


def main() -> None:
    arguments = parser(__doc__ or "", repetitions=11)
    arguments.add_argument("--measure", choices=list(POOLS), help="one measurement of this one, in this process")
    given = arguments.parse_args()
    if given.measure is not None:
        print(json.dumps(POOLS[given.measure]()))
        return

    python = sys.executable
    with tempfile.TemporaryDirectory(prefix="workflow-bench-") as folder:
        Path(folder, "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
        processes = {
            "python -c pass": ("-c", "pass"),
            "import workflow": ("-c", "import workflow"),
            "import workflow, use MultiProcess": ("-c", "from workflow import InfoTask, MultiProcess"),
            "workflow run, one task": ("-m", "workflow", "run"),
        }
        candidates: dict[str, Callable[[], float | None]] = {
            name: functools.partial(process_ms, (python, *words), folder) for name, words in processes.items()
        }
        bases = {name: "python -c pass" for name in processes if name != "python -c pass"}
        for moment in ("first result", "stop"):
            for name in POOLS:
                candidates[f"{name}: {moment}"] = functools.partial(pool_ms, name, moment)
        ours, theirs = POOLS
        bases |= {f"{ours}: {moment}": f"{theirs}: {moment}" for moment in ("first result", "stop")}
        taken = take_turns(candidates, given.repetitions)
    if given.json:
        results = {
            name: {
                "ms": values,
                "base": bases.get(name),
                "ratio": ratio._asdict()
                if name in bases and (ratio := spread(ratios(values, taken[bases[name]])))
                else None,
            }
            for name, values in taken.items()
        }
        print(json.dumps({**this_machine(), "repetitions": given.repetitions, "results": results}, indent=2))
        return
    show(report(taken, bases))


if __name__ == "__main__":
    main()
