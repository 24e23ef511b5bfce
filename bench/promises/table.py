"""What the trials came to, as a table for a terminal and as the block that the README holds.  Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.promises.judge import Finding
from bench.promises.scenarios import (
    BOUND_S,
    GRACE_S,
    LATE_S,
    LIMIT_S,
    PROMISES,
    SCENARIOS,
    WORKERS,
    Promise,
)

Cell = Sequence[Finding]
"""The findings of the repetitions; none where nothing is asked."""
Results = Mapping[str, Mapping[str, Cell]]
"""By pool, and by scenario."""


class Facts(NamedTuple):
    """Where and how the results came about."""

    command: str
    python: str
    system: str
    cpus: int
    versions: Mapping[str, str]
    """By pool."""


BEGIN = "<!-- promises: begin, printed by `python -m bench.promises --markdown` -->"
END = "<!-- promises: end -->"
NOT_ASKED = "\N{EN DASH}"
COLUMNS: Mapping[Promise, str] = {
    Promise.OUTCOME: "one outcome",
    Promise.RIGHT: "the right one",
    Promise.DEAD: "dead in time",
    Promise.LEFT: "nothing left",
    Promise.ENDS: "ends",
    Promise.NEIGHBOURS: "others unhurt",
}


def is_kept(cell: Cell) -> bool:
    """Whether every repetition kept everything."""
    return all(finding.held for finding in cell)


def text_of(cell: Cell) -> str:
    """A mark and the letters of what was lost; of each repetition, where they differ."""
    if not cell:
        return NOT_ASKED
    codes = [f"✗ {finding.code}" if finding.code else "✓" for finding in cell]
    return codes[0] if len(set(codes)) == 1 else " / ".join(codes)


def rows_of(results: Results) -> list[list[str]]:
    """For the terminal: the pools side by side, a line for each fault, and how many each stands."""
    ids = [id_ for id_ in SCENARIOS if any(id_ in cells for cells in results.values())]
    rows = [["", *results]]
    rows += [[id_, *(text_of(cells[id_]) for cells in results.values())] for id_ in ids]
    rows.append(["keeps everything in", *(_kept_of(cells) for cells in results.values())])
    return rows


def legend() -> list[str]:
    """What the letters and marks stand for."""
    lines = [f"✗ {promise.value}  not kept: {sentence}" for promise, sentence in PROMISES.items()]
    return ["✓    every promise that is asked was kept", *lines,
            "✗ ?  the fault did not strike, so nothing was shown",
            "a / b  the repetitions differ",
            f"{NOT_ASKED}    not asked: the pool has no time limit for tasks"]  # fmt: skip


def markdown(results: Results, facts: Facts) -> str:
    """The block of the README, its two comment lines included."""
    head = ["pool", "keeps everything in", *COLUMNS.values()]
    lines = [BEGIN, _line(head), _line(["---"] * len(head))]
    for pool, cells in results.items():
        losses = [_losses(cells, promise) for promise in COLUMNS]
        lines.append(_line([f"`{pool}` {facts.versions[pool]}", _kept_of(cells), *losses]))
    repetitions = max((len(cell) for cells in results.values() for cell in cells.values()), default=0)
    lines += ["", _how_to_read(results, repetitions), "", _how_made(facts), END]
    return "\n".join(lines)


def _how_to_read(results: Results, repetitions: int) -> str:
    cells = [cell for of_pool in results.values() for cell in of_pool.values() if cell]
    differ = sum(len({finding.code for finding in cell}) > 1 for cell in cells)
    return _wrapped(
        "Each pool was given the same faults: tasks that hang or crash, harmful payloads and callbacks, the end of the "
        "program. A cell says in how many faults of which group the promise was lost. A fault counts as kept when each "
        f"of {repetitions} repetitions kept every promise; they differed in {differ} of {len(cells)} cases. Hanging "
        f"tasks are asked only of a pool that can limit their time; {NOT_ASKED} stands for one that cannot."
    )


def _how_made(facts: Facts) -> str:
    return _wrapped(
        f"`{facts.command}` on Python {facts.python}, {facts.system}, {facts.cpus} processors. Pools of {WORKERS}; "
        f"what hangs has {LIMIT_S:g} s, a grace of {GRACE_S:g} s and {LATE_S:g} s more, a whole program "
        f"{BOUND_S:g} s. The faults, what exactly is asked, and how each pool is used: "
        "[bench/README.md](bench/README.md)."
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _kept_of(cells: Mapping[str, Cell]) -> str:
    asked = [cell for cell in cells.values() if cell]
    return f"{sum(map(is_kept, asked))} of {len(asked)}"


def _losses(cells: Mapping[str, Cell], promise: Promise) -> str:
    """By group, in how many of its faults; a dash where it was never asked."""
    if not any(cells[id_] and promise in SCENARIOS[id_].asks for id_ in cells):
        return NOT_ASKED
    groups = Counter(
        id_.partition(".")[0] for id_, cell in cells.items() if any(promise in finding.broken for finding in cell)
    )
    return ", ".join(f"{group} {count}" for group, count in groups.items())
