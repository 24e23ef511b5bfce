"""Executors beside one another: calls per second, elements of ``map`` per second, and large arguments and results.

What is measured, each in a warm pool, and until the last result is there, unpickled, in the process that asked:

- ``submit``: no-ops, submitted one by one; the futures are kept and then asked.
- ``map``: no-ops, 256 to a chunk.
- ``argument``, ``result``: blocks of bytes to a call that returns their length, and from one that makes them.
- ``both``: the same block there and back.
- ``array``: an array of numpy's of 100 MB there and another back, each read once; and how often the worker had the
  first, and this process the second, in its memory at its peak.

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
from bench.noop import block, ones, same, warm, weigh
from workflow import WorkflowExecutor

LIMIT_S = 10
CHUNK = 256
BLOCK_BYTES = 10_000_000
BLOCKS = 40
ARRAY_BYTES = 100_000_000
ARRAYS = 4
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


def array(executor: Executor, _calls: int) -> int:
    data = ones(ARRAY_BYTES)
    for _ in range(ARRAYS):
        executor.submit(weigh, data).result()
        executor.submit(ones, ARRAY_BYTES).result().sum()
    return 2 * ARRAYS * ARRAY_BYTES


def copies(executor: Executor) -> dict[str, float]:
    """Of an array, in whoever receives it."""
    before = executor.submit(warm).result()
    warm()
    data = ones(ARRAY_BYTES)
    with_data = weigh(data)
    theirs = executor.submit(weigh, data).result() - before
    result = executor.submit(ones, ARRAY_BYTES).result()
    return {"worker": theirs / ARRAY_BYTES, "program": (weigh(result) - with_data) / ARRAY_BYTES}


WORKS: dict[str, Callable[[Executor, int], int]] = {
    "submit": submit,
    "map": map_chunks,
    "argument": argument,
    "result": result,
    "both": both,
    "array": array,
}
"""Each gives how much it did: calls, elements or bytes."""


def measure(candidate: str, work: str, calls: int, pool: int) -> dict[str, float]:
    """How much a second, in this process; of arrays also how many are in memory."""
    with CANDIDATES[candidate](pool) as executor:
        concurrent.futures.wait([executor.submit(same, value) for value in range(WARM_UP_CALLS)])
        found = copies(executor) if work == "array" else {}
        gc.collect()
        began = time.perf_counter()
        done = WORKS[work](executor, calls)
        return {"per_second": done / (time.perf_counter() - began), **found}


def main() -> None:
    arguments = parser(__doc__ or "", repetitions=7)
    arguments.add_argument("--calls", type=int, default=20_000, help="calls in each measurement of submit (20000)")
    arguments.add_argument("--pool", type=int, default=2, help="workers (2)")
    arguments.add_argument("--work", choices=list(WORKS), action="append", help="what is measured (all)")
    arguments.add_argument("--measure", choices=list(CANDIDATES), help="one measurement of this one, in this process")
    given = arguments.parse_args()
    works = given.work or [work for work in WORKS if work != "array" or importlib.util.find_spec("numpy")]
    if given.measure is not None:
        print(json.dumps(measure(given.measure, works[0], given.calls, given.pool)))
        return

    missing = [name for name in ("loky",) if importlib.util.find_spec(name) is None]

    in_memory: dict[str, tuple[float, float]] = {}

    def per_second(name: str, work: str) -> float | None:
        options = ("--measure", name, "--work", work, "--calls", str(given.calls), "--pool", str(given.pool))
        numbers = run_module("bench.executors", *options)
        if numbers and "worker" in numbers:
            in_memory[name] = numbers["worker"], numbers["program"]
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
        print(
            json.dumps(
                {
                    **this_machine(),
                    **sizes,
                    "base": BASE,
                    "missing": missing,
                    "results": results,
                    "in_memory": in_memory,
                },
                indent=2,
            )
        )
        return
    show(rows)
    for name, (worker, program) in in_memory.items():
        print(
            f"{name}: an array is {worker:.1f} times in the worker's memory, and {program:.1f} times in the program's"
        )
    for name in missing:
        print(f"{name}: not installed, so not measured")


def _readable(work: str, per_second: float) -> str:
    return f"{per_second:,.0f}" if work in ("submit", "map") else f"{per_second / 1e9:.2f} GB"


if __name__ == "__main__":
    main()
