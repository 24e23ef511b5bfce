"""The promises that each pool keeps, when tasks, workers, callbacks and the program itself fail.

Each trial is a program of its own, watched from outside; see ../README.md.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from bench.interleaved import parser, show, this_machine
from bench.promises.pools import POOLS, version_of
from bench.promises.scenarios import BOUND_S, GRACE_S, LIMIT_S, SCENARIOS
from bench.promises.table import Facts, is_kept, legend, markdown, rows_of
from bench.promises.trial import Trial, asked_of, try_it
from workflow.harness import experiment

JOBS = 6
"""Most of the trials that take long do nothing but wait for what does not come."""


def main() -> int:
    arguments = parser(__doc__ or "", repetitions=2)
    arguments.add_argument("--pool", choices=list(POOLS), action="append", help="only this one; may be repeated")
    arguments.add_argument("--scenario", metavar="GLOB", default="*", help="only these faults")
    arguments.add_argument("--jobs", type=int, default=JOBS, help=f"trials at the same time ({JOBS})")
    arguments.add_argument("--markdown", action="store_true", help="print the block that the README holds")
    given = arguments.parse_args()

    chosen = {name: version_of(name) for name in given.pool or POOLS}
    versions = {name: version for name, version in chosen.items() if version is not None}
    pools, missing = list(versions), [name for name in chosen if name not in versions]
    ids = [id_ for id_ in SCENARIOS if fnmatchcase(id_, given.scenario)]
    began = time.monotonic()
    trials: dict[str, dict[str, list[Trial]]] = {pool: {id_: [] for id_ in ids} for pool in pools}
    turns = [turn for _ in range(given.repetitions) for turn in _turns(pools, ids)]
    try:
        _try_all(turns, given.jobs, trials)
    except KeyboardInterrupt:
        return 130
    results = {
        pool: {id_: [trial.finding for trial in made] for id_, made in cells.items()} for pool, cells in trials.items()
    }
    facts = Facts(
        command=" ".join(["python -m bench.promises", *sys.argv[1:]]),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        cpus=len(os.sched_getaffinity(0)),
        versions=versions,
    )
    if given.json:
        sizes = {"repetitions": given.repetitions, "jobs": given.jobs, "seconds": time.monotonic() - began}
        bounds = {"limit_s": LIMIT_S, "grace_s": GRACE_S, "bound_s": BOUND_S}
        told = {pool: {id_: _told(made) for id_, made in cells.items()} for pool, cells in trials.items()}
        print(
            json.dumps(
                {**this_machine(), **facts._asdict(), **sizes, **bounds, "missing": missing, "results": told}, indent=2
            )
        )
        return 0
    if given.markdown:
        print(markdown(results, facts))
    else:
        show(rows_of(results))
        print()
        print("\n".join(legend()))
    for name in missing:
        print(f"{name}: not installed, so not tried", file=sys.stderr)
    print(f"{len(turns)} trials in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def _turns(pools: Sequence[str], ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every pool in every scenario that it is asked in; those that follow one another are at different faults.

    Else the trials that keep a processor busy would all run at the same time.
    """
    for step in range(len(ids)):
        for number, pool in enumerate(pools):
            id_ = ids[(step + number * len(ids) // len(pools)) % len(ids)]
            if asked_of(pool, id_):
                yield pool, id_


def _try_all(turns: Sequence[tuple[str, str]], jobs: int, trials: dict[str, dict[str, list[Trial]]]) -> None:
    with concurrent.futures.ThreadPoolExecutor(jobs) as threads:
        try:
            waiting = {threads.submit(try_it, pool, id_): (pool, id_) for pool, id_ in turns}
            for number, done in enumerate(concurrent.futures.as_completed(waiting), 1):
                pool, id_ = waiting[done]
                trial = done.result()
                trials[pool][id_].append(trial)
                if sys.stderr.isatty():
                    print(f"\r{number}/{len(turns)} {pool} {id_:<40}", end="", file=sys.stderr, flush=True)
        except BaseException:
            experiment.interrupted.set()
            threads.shutdown(cancel_futures=True)
            raise
    if sys.stderr.isatty():
        print("\r" + " " * 70 + "\r", end="", file=sys.stderr, flush=True)


def _told(made: Sequence[Trial]) -> list[dict[str, object]] | None:
    """Of one cell; None where nothing was asked."""
    if not made:
        return None
    return [
        {
            "kept": is_kept([trial.finding]),
            "broken": {promise.value: list(reasons) for promise, reasons in trial.finding.broken.items()},
            "unjudged": trial.finding.unjudged or None,
            "seconds": round(trial.seconds, 2),
        }
        for trial in made
    ]


if __name__ == "__main__":
    sys.exit(main())
