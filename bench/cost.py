"""Processor time per task of each process of ours, and how often it had to be woken.

Tasks per second depend on what else the machine does; the processor time that a task costs hardly does, so this is
the number to shorten.  Where all processors are busy the two say the same: a task that costs 14 µs in all processes
together takes 7 µs on two processors.  Voluntary context switches are counted because waking an idle process costs
more than a no-op task does.

With ``--beside`` another checkout is measured in turn with this one, and the ratios are this one to that one.  Linux
only: the clocks of other processes are read.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from bench.interleaved import parser, ratios, run_module, show, spread, take_turns, this_machine
from bench.throughput import LIMIT_S, WARM_UP_TASKS, Countdown
from workflow import InfoTask, MultiProcess

ROLES = ("parent", "dispatcher", "workers", "warden", "all")
Taken = dict[str, float]
"""What ``measure`` gives, by ``"role us"`` and ``"role switches"``."""


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    # The number of another process's clock, as clock_getcpuclockid(3) makes it: finer than the 10 ms of /proc/PID/stat.
    return time.clock_gettime(~pid << 3 | 2)


def switches(pid: int) -> int:
    """How often a thread of the process gave up its processor to wait."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found += int(line.split()[1])
    return found


def children(pid: int) -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def roles(workers: set[int]) -> dict[str, list[int]]:
    """The processes of a pool whose workers are known."""
    (guardian,) = children(os.getpid())
    (warden,) = children(guardian)
    dispatcher = [pid for pid in children(warden) if pid not in workers]
    return {"parent": [os.getpid()], "dispatcher": dispatcher, "workers": sorted(workers), "warden": [warden]}


def measure(tasks: int, pool: int) -> dict[str, float]:
    """Microseconds and switches per task of each role, and seconds in all, in this process."""
    countdown = Countdown()
    with MultiProcess(pool, on_callback=countdown) as opened:
        workers: set[int] = set()
        while len(workers) < pool:  # which of the processes are workers is told by what they ran
            countdown.start(WARM_UP_TASKS)
            warm_up = [opened.push(InfoTask("bench.noop.Same", LIMIT_S, value)) for value in range(WARM_UP_TASKS)]
            countdown.wait()
            workers.update(attempt.pid for handle in warm_up for attempt in handle.attempts if attempt.pid)
        processes = roles(workers)
        gc.collect()
        countdown.start(tasks)
        cpu = {role: sum(map(cpu_s, pids)) for role, pids in processes.items()}
        woken = {role: sum(map(switches, pids)) for role, pids in processes.items()}
        began = time.perf_counter()
        _handles = [opened.push(InfoTask("bench.noop.Same", LIMIT_S, value)) for value in range(tasks)]
        countdown.wait()
        seconds = time.perf_counter() - began
        found = {"seconds": seconds}
        for role, pids in processes.items():
            found[f"{role} us"] = (sum(map(cpu_s, pids)) - cpu[role]) / tasks * 1e6
            found[f"{role} switches"] = (sum(map(switches, pids)) - woken[role]) / tasks * 1000
    for unit in ("us", "switches"):
        found[f"all {unit}"] = sum(found[f"{role} {unit}"] for role in processes)
    return found


def column(taken: Sequence[Taken | None], name: str) -> list[float | None]:
    """One of the numbers, of each repetition."""
    return [None if numbers is None else numbers[name] for numbers in taken]


def report(taken: Sequence[Taken | None], beside: Sequence[Taken | None]) -> list[list[str]]:
    """A row for each role: microseconds and switches, and the ratio to the other checkout, if there is one."""
    head = ["", "µs per task: min", "median", "max", "switches per 1000"]
    rows = [[*head, "ratio: min", "median", "max"] if beside else head]
    for role in ROLES:
        time_us = spread([value for value in column(taken, f"{role} us") if value is not None])
        woken = spread([value for value in column(taken, f"{role} switches") if value is not None])
        ratio = spread(ratios(column(taken, f"{role} us"), column(beside, f"{role} us"))) if beside else None
        rows.append(
            [
                role,
                *([f"{value:.2f}" for value in time_us] if time_us else ["failed", "-", "-"]),
                f"{woken.median:.2f}" if woken else "-",
                *([f"{value:.2f}" for value in ratio] if ratio else ["-"] * 3 if beside else []),
            ]
        )
    return rows


def main() -> None:
    arguments = parser(__doc__ or "", repetitions=7)
    arguments.add_argument("--tasks", type=int, default=200_000, help="tasks in each measurement (200000)")
    arguments.add_argument("--pool", type=int, default=2, help="workers (2)")
    arguments.add_argument("--beside", metavar="FOLDER", help="another checkout, to be compared with")
    arguments.add_argument("--measure", action="store_true", help="one measurement, in this process")
    given = arguments.parse_args()
    if given.measure:
        print(json.dumps(measure(given.tasks, given.pool)))
        return

    options = ("--measure", "--tasks", str(given.tasks), "--pool", str(given.pool))
    candidates = {"here": functools.partial(run_module, "bench.cost", *options)}
    if given.beside is not None:
        tree = str(Path(given.beside).resolve())
        candidates["beside"] = functools.partial(run_module, "bench.cost", *options, tree=tree)
    taken = take_turns(candidates, given.repetitions)
    if given.json:
        sizes = {"tasks": given.tasks, "pool": given.pool, "repetitions": given.repetitions}
        print(json.dumps({**this_machine(), **sizes, "results": taken}, indent=2))
        return
    show(report(taken["here"], taken.get("beside", [])))


if __name__ == "__main__":
    main()
