"""The table of the comparison, and the block of it that the README holds."""

from __future__ import annotations

import re
from pathlib import Path

from bench.promises.judge import Finding
from bench.promises.pools import OURS, POOLS
from bench.promises.scenarios import SCENARIOS, Promise
from bench.promises.table import BEGIN, COLUMNS, END, NOT_ASKED, Facts, Results, markdown, rows_of, text_of

ROOT = Path(__file__).resolve().parents[2]
KEPT = Finding()
LOST = Finding({Promise.OUTCOME: ("victim-0: 0 outcomes",), Promise.ENDS: ("it did not",)})
RESULTS: Results = {
    "a": {"hang.sleep": [KEPT, KEPT], "crash.segv": [LOST, LOST], "crash.exit": [KEPT, LOST]},
    "b": {"hang.sleep": [], "crash.segv": [KEPT, KEPT], "crash.exit": [Finding(unjudged="nothing struck"), KEPT]},
}
FACTS = Facts("python -m bench.promises --markdown", "3.11.7", "Linux 6.1", 2, {"a": "1.0", "b": "Python 3.11.7"})


def test_a_cell_says_what_was_lost_and_whether_it_always_was() -> None:
    """A mark and letters; both of them where the repetitions differ; a dash where nothing was asked."""
    assert text_of([KEPT, KEPT]) == "✓"
    assert text_of([LOST, LOST]) == "✗ OE"
    assert text_of([LOST, KEPT]) == "✗ OE / ✓"
    assert text_of([Finding(unjudged="it never began")]) == "✗ ?"
    assert text_of([]) == NOT_ASKED


def test_the_table_has_a_column_for_each_pool_and_a_line_for_each_fault() -> None:
    """And the number of faults at the end, of those that were asked: what differs is not kept."""
    rows = rows_of(RESULTS)
    assert rows[0] == ["", "a", "b"]
    assert [row[0] for row in rows[1:-1]] == ["hang.sleep", "crash.segv", "crash.exit"]
    assert rows[-1][1:] == ["1 of 3", "1 of 2"]


def test_the_block_counts_losses_by_group() -> None:
    """A fault counts for a promise when one repetition lost it; what was never asked is a dash."""
    lines = markdown(RESULTS, FACTS).splitlines()
    assert lines[0] == BEGIN
    assert lines[-1] == END
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    outcome, dead, ends = (2 + list(COLUMNS).index(p) for p in (Promise.OUTCOME, Promise.DEAD, Promise.ENDS))
    assert cells[0][:2] == ["`a` 1.0", "1 of 3"]
    assert cells[0][outcome] == cells[0][ends] == "crash 2"
    assert cells[1][outcome] == ""
    assert cells[1][dead] == NOT_ASKED
    assert "they differed in 2 of 5 cases" in markdown(RESULTS, FACTS)


def test_the_readme_holds_the_whole_block() -> None:
    """It was printed by the command that it names: every pool, every column, no number that is no count of faults."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count(BEGIN) == readme.count(END) == 1
    block = readme[readme.index(BEGIN) : readme.index(END)].splitlines()
    assert block[1] == "| " + " | ".join(["pool", "keeps everything in", *COLUMNS.values()]) + " |"
    rows = [line for line in block if line.startswith("| `")]
    assert [re.findall(r"`(.*?)`", row)[0] for row in rows] == list(POOLS)
    limitless = [name for name, pool in POOLS.items() if not pool.limit]
    hangs = sum(id_.startswith("hang.") for id_ in SCENARIOS)
    groups = "|".join(sorted({id_.partition(".")[0] for id_ in SCENARIOS}))
    losses = re.compile(rf"{NOT_ASKED}?|(?:{groups}) \d+(?:, (?:{groups}) \d+)*")
    for name, row in zip(POOLS, rows, strict=True):
        _, kept, *lost = [cell.strip() for cell in row.strip("|").split("|")]
        count, asked = map(int, kept.split(" of "))
        assert count <= asked == len(SCENARIOS) - (hangs if name in limitless else 0)
        assert all(losses.fullmatch(cell) for cell in lost), row
        assert any(lost) or count == asked
    assert any("`python -m bench.promises --markdown" in line for line in block)
    assert OURS in rows[0]
