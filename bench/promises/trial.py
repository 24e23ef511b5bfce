"""One trial: a program of its own, watched from outside, and nothing of it left on the machine."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

from bench.interleaved import ENVIRONMENT
from bench.promises.judge import Finding, judge
from bench.promises.notes import STARTED
from bench.promises.pools import POOLS
from bench.promises.scenarios import BOUND_S, GONE_S, SCENARIOS, Promise
from workflow.harness import journal
from workflow.harness.census import SHARED_MEMORY
from workflow.harness.evidence import Expected
from workflow.harness.experiment import Run, perform
from workflow.harness.folders import place


class Trial(NamedTuple):
    """What came of one."""

    finding: Finding
    seconds: float


def asked_of(pool: str, scenario: str) -> frozenset[Promise]:
    """What that pool is asked in that scenario; nothing, when it has nothing that this is about."""
    made = POOLS[pool]
    return SCENARIOS[scenario].asked_of(limit=made.limit, callback_limit=made.callback_limit)


def try_it(pool: str, scenario: str) -> Trial:
    """Run it and judge it.  Everything with its mark is dead when this returns."""
    what = SCENARIOS[scenario]
    run = Run(
        ("-m", "bench.promises.program", pool, scenario),
        program=True,
        blows=() if what.blow is None else (what.blow,),
        environment={"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]},
    )
    began = time.monotonic()
    with place() as folder:
        try:
            evidence = perform(run, Expected({}, longest_s=BOUND_S, gone_s=GONE_S, report=False), folder)
        finally:
            _remove_shared_memory(folder)
    seconds = time.monotonic() - began
    return Trial(judge(evidence, what, asked_of(pool, scenario)), seconds)


def _remove_shared_memory(folder: Path) -> None:
    """What the trial left, now that all its processes are dead: pieces whose name holds the pid of one of them."""
    started = {str(e.pid) for e in journal.Reader(str(folder / "chaos")).news() if e.what == STARTED}
    for path in Path(SHARED_MEMORY).iterdir():
        if not started.isdisjoint(re.findall(r"\d+", path.name)):
            path.unlink(missing_ok=True)
