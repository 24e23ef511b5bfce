"""Executors beside one another: calls per second, elements of ``map`` per second, and large arguments and results.

What is measured, each in a warm pool, and until the last result is there, unpickled, in the process that asked:

- ``submit``: no-ops, submitted one by one; the futures are kept and then asked.
- ``map``: no-ops, 256 to a chunk.
- ``argument``, ``result``: blocks of bytes to a call that returns their length, and from one that makes them.
- ``both``: the same block there and back.

Ours has a limit of 10 s on each call; the others have no such thing.
"""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import importlib.util
import json
import time
from collections.abc import Callable
from concurrent.futures import Executor

from bench.interleaved import parser, ratios, run_module, show, spread, take_turns, this_machine
from bench.noop import block, same
from workflow import WorkflowExecutor

LIMIT_S = 10
CHUNK = 256
BLOCK_BYTES = 10_000_000
BLOCKS = 40
WARM_UP_CALLS = 200
BASE = "ProcessPoolExecutor"


def ours(pool: int) -> Executor:
    return WorkflowExecutor(pool, timeout=LIMIT_S)


def of_loky(pool: int) -> Executor:
    import loky

    executor: Executor = loky.ProcessPoolExecutor(pool)
    return executor


CANDIDATES: dict[str, Callable[[int], Executor]] = {
    "workflow.WorkflowExecutor": ours,
    BASE: concurrent.futures.ProcessPoolExecutor,
    "loky": of_loky,
}


def submit(executor: Executor, calls: int) -> int:
    futures = [executor.submit(same, value) for value in range(calls)]
    assert sum(future.result() for future in futures) == sum(range(calls))
    return calls


def map_chunks(executor: Executor, calls: int) -> int:
    assert sum(executor.map(same, range(5 * calls), chunksize=CHUNK)) == sum(range(5 * calls))
    return 5 * calls


def argument(executor: Executor, _calls: int) -> int:
    data = bytes(BLOCK_BYTES)
    for _ in range(BLOCKS):
        assert executor.submit(len, data).result() == BLOCK_BYTES
    return BLOCKS * BLOCK_BYTES


def result(executor: Executor, _calls: int) -> int:
    for _ in range(BLOCKS):
        assert len(executor.submit(block, BLOCK_BYTES).result()) == BLOCK_BYTES
    return BLOCKS * BLOCK_BYTES


def both(executor: Executor, _calls: int) -> int:
    data = bytes(BLOCK_BYTES)
    for _ in range(BLOCKS):
        assert len(executor.submit(same, data).result()) == BLOCK_BYTES  # type: ignore[arg-type]
    return 2 * BLOCKS * BLOCK_BYTES


WORKS: dict[str, Callable[[Executor, int], int]] = {
    "submit": submit,
    "map": map_chunks,
    "argument": argument,
    "result": result,
    "both": both,
}
"""Each gives how much it did: calls, elements or bytes."""


def measure(candidate: str, work: str, calls: int, pool: int) -> dict[str, float]:
    """How much a second, in this process."""
    with CANDIDATES[candidate](pool) as executor:
        concurrent.futures.wait([executor.submit(same, value) for value in range(WARM_UP_CALLS)])
        gc.collect()
        began = time.perf_counter()
        done = WORKS[work](executor, calls)
        return {"per_second": done / (time.perf_counter() - began)}


def main() -> None:
    arguments = parser(__doc__ or "", repetitions=7)
    arguments.add_argument("--calls", type=int, default=20_000, help="calls in each measurement of submit (20000)")
    arguments.add_argument("--pool", type=int, default=2, help="workers (2)")
    arguments.add_argument("--work", choices=list(WORKS), action="append", help="what is measured (all)")
    arguments.add_argument("--measure", choices=list(CANDIDATES), help="one measurement of this one, in this process")
    given = arguments.parse_args()
    works = given.work or list(WORKS)
    if given.measure is not None:
        print(json.dumps(measure(given.measure, works[0], given.calls, given.pool)))
        return

    missing = [name for name in ("loky",) if importlib.util.find_spec(name) is None]

    def per_second(name: str, work: str) -> float | None:
        options = ("--measure", name, "--work", work, "--calls", str(given.calls), "--pool", str(given.pool))
        numbers = run_module("bench.executors", *options)
        return numbers["per_second"] if numbers else None

    rows = [["", "a second, median", f"ratio to {BASE}: min", "median", "max"]]
    results: dict[str, object] = {}
    for work in works:
        measures = {name: functools.partial(per_second, name, work) for name in CANDIDATES if name not in missing}
        taken = take_turns(measures, given.repetitions)
        for name, values in taken.items():
            speed, ratio = spread([value for value in values if value]), spread(ratios(values, taken[BASE]))
            results[f"{work}: {name}"] = {"per_second": values, "ratio": ratio._asdict() if ratio else None}
            shown = "failed" if speed is None else _readable(work, speed.median)
            rows.append([f"{work}: {name}", shown, *([f"{each:.2f}" for each in ratio] if ratio else ["-"] * 3)])
    if given.json:
        sizes = {"calls": given.calls, "pool": given.pool, "repetitions": given.repetitions}
        print(json.dumps({**this_machine(), **sizes, "base": BASE, "missing": missing, "results": results}, indent=2))
        return
    show(rows)
    for name in missing:
        print(f"{name}: not installed, so not measured")


def _readable(work: str, per_second: float) -> str:
    return f"{per_second:,.0f}" if work in ("submit", "map") else f"{per_second / 1e9:.2f} GB"


if __name__ == "__main__":
    main()
