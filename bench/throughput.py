"""Tasks per second: no-op tasks pushed one by one, ours beside the pools that people use.

Each candidate runs the same: so many tasks, each pushed by a call of its own, each with a result and a callback that
is really called, a time limit of 10 s on each where the candidate has such a thing.  The pool is up and warm before
the clock starts; the clock stops when the pushing process knows that every callback has run.  For the others the
callback runs in the pushing process, in a thread.  Ours runs in the dispatcher process, and its end is reported back
(``on_callback``), so for us the clock includes that way too.

The garbage collector is as Python starts it, for everybody.
"""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import importlib.util
import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bench.interleaved import (
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

LIMIT_S = 10
WARM_UP_TASKS = 200
BASE = "Pool.apply_async"


class Countdown:
    """Called once for each task, by any thread; ``wait`` returns after the last."""

    def __init__(self) -> None:
        self._left = 0
        self._lock = threading.Lock()
        self._done = threading.Event()

    def start(self, count: int) -> None:
        self._left = count
        self._done.clear()

    def __call__(self, _of_task: object) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self._done.set()

    def wait(self) -> None:
        self._done.wait()


# A candidate, given the size of its pool and whom to call for each task, is a pool to be entered, and a function of
# the open pool that pushes one task.
Push = Callable[[int], object]


class Ours(AbstractContextManager[Push]):
    def __init__(self, pool: int, countdown: Countdown) -> None:
        self._pool = MultiProcess(pool, on_callback=countdown)

    def __enter__(self) -> Push:
        self._pool.start()
        push = self._pool.push
        return lambda value: push(InfoTask("bench.noop.Same", LIMIT_S, value))

    def __exit__(self, *_error: object) -> None:
        self._pool.stop()


class OfMultiprocessing(AbstractContextManager[Push]):
    def __init__(self, pool: int, countdown: Countdown) -> None:
        self._pool = multiprocessing.Pool(pool)
        self._countdown = countdown

    def __enter__(self) -> Push:
        apply_async, countdown = self._pool.apply_async, self._countdown
        return lambda value: apply_async(same, (value,), callback=countdown)

    def __exit__(self, *_error: object) -> None:
        self._pool.close()
        self._pool.join()


class OfFutures(AbstractContextManager[Push]):
    def __init__(self, pool: int, countdown: Countdown) -> None:
        self._pool = concurrent.futures.ProcessPoolExecutor(pool)
        self._countdown = countdown

    def __enter__(self) -> Push:
        submit, countdown = self._pool.submit, self._countdown
        return lambda value: submit(same, value).add_done_callback(countdown)

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown()


class OfPebble(AbstractContextManager[Push]):
    def __init__(self, pool: int, countdown: Countdown) -> None:
        import pebble

        self._pool: Any = pebble.ProcessPool(pool)
        self._countdown = countdown

    def __enter__(self) -> Push:
        schedule, countdown = self._pool.schedule, self._countdown
        return lambda value: schedule(same, args=(value,), timeout=LIMIT_S).add_done_callback(countdown)

    def __exit__(self, *_error: object) -> None:
        self._pool.close()
        self._pool.join()


class OfBilliard(AbstractContextManager[Push]):
    def __init__(self, pool: int, countdown: Countdown) -> None:
        import billiard

        self._pool = billiard.Pool(pool, timeout=LIMIT_S)  # without it the limit of a task is not looked at
        self._countdown = countdown

    def __enter__(self) -> Push:
        apply_async, countdown = self._pool.apply_async, self._countdown
        return lambda value: apply_async(same, (value,), callback=countdown, timeout=LIMIT_S)

    def __exit__(self, *_error: object) -> None:
        self._pool.close()
        self._pool.join()


CANDIDATES: dict[str, Callable[[int, Countdown], AbstractContextManager[Push]]] = {
    "workflow.MultiProcess": Ours,
    BASE: OfMultiprocessing,
    "ProcessPoolExecutor": OfFutures,
    "pebble": OfPebble,
    "billiard": OfBilliard,
}


def measure(candidate: str, tasks: int, pool: int) -> dict[str, float]:
    """Seconds for so many tasks, in this process."""
    countdown = Countdown()
    with CANDIDATES[candidate](pool, countdown) as push:
        countdown.start(WARM_UP_TASKS)
        for value in range(WARM_UP_TASKS):
            push(value)
        countdown.wait()
        gc.collect()
        countdown.start(tasks)
        began = time.perf_counter()
        _handles = [push(value) for value in range(tasks)]  # kept, as a program does that wants its results
        pushed = time.perf_counter()
        countdown.wait()
        ended = time.perf_counter()
    return {"seconds": ended - began, "pushing_seconds": pushed - began}


def main() -> None:
    arguments = parser(__doc__ or "", repetitions=7)
    arguments.add_argument("--tasks", type=int, default=20_000, help="tasks in each measurement (20000)")
    arguments.add_argument("--pool", type=int, default=2, help="workers (2)")
    arguments.add_argument("--only", choices=list(CANDIDATES), action="append", help="a candidate, beside the base")
    arguments.add_argument("--measure", choices=list(CANDIDATES), help="one measurement of this one, in this process")
    given = arguments.parse_args()
    if given.measure is not None:
        print(json.dumps(measure(given.measure, given.tasks, given.pool)))
        return

    missing = [name for name in ("pebble", "billiard") if importlib.util.find_spec(name) is None]
    chosen = [name for name in CANDIDATES if name == BASE or not given.only or name in given.only]

    def tasks_per_second(name: str) -> float | None:
        options = ("--measure", name, "--tasks", str(given.tasks), "--pool", str(given.pool))
        numbers = run_module("bench.throughput", *options)
        return given.tasks / numbers["seconds"] if numbers else None

    measures = {name: functools.partial(tasks_per_second, name) for name in chosen if name not in missing}
    taken = take_turns(measures, given.repetitions)
    found = {name: (spread([value for value in values if value]), values) for name, values in taken.items()}
    beside = {name: spread(ratios(values, taken[BASE])) for name, values in taken.items()}
    if given.json:
        results = {
            name: {"tasks_per_s": values, "ratio": ratio._asdict() if (ratio := beside[name]) else None}
            for name, (_, values) in found.items()
        }
        sizes = {"tasks": given.tasks, "pool": given.pool, "repetitions": given.repetitions}
        print(json.dumps({**this_machine(), **sizes, "base": BASE, "missing": missing, "results": results}, indent=2))
        return
    rows = [["", "tasks/s median", f"ratio to {BASE}: min", "median", "max"]]
    for name, (speed, _) in found.items():
        ratio = beside[name]
        rows.append(
            [
                name,
                f"{speed.median:,.0f}" if speed else "failed",
                *([f"{value:.2f}" for value in ratio] if ratio else ["-"] * 3),
            ]
        )
    show(rows)
    for name in missing:
        print(f"{name}: not installed, so not measured")


if __name__ == "__main__":
    main()
