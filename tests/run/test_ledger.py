"""The database of all runs."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from workflow.run.ledger import KEYS_MAX, Ledger, Made, Unusable

MADE = Made("a", "k", {"args": "1"}, "run-1", {"out": "d"}, {"out": (1, 2, 3, 4, 5)}, "r")


def test_what_is_recorded_is_found_the_newest_first(tmp_path: Path) -> None:
    """By root and task, in a file that nobody else can read."""
    ledger = Ledger(tmp_path)
    ledger.record("/root", MADE)
    ledger.record("/root", replace(MADE, key="other"))
    assert [made.key for made in ledger.made("/root", "a")] == ["other", "k"]
    assert ledger.made("/root", "a")[1] == MADE
    assert ledger.made("/elsewhere", "a") == []
    ledger.close()
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    again = Ledger(tmp_path, create=False)
    assert again.made("/root", "a")[1] == MADE
    assert len(again.salt) == 32
    again.close()


def test_old_keys_are_forgotten_with_the_results_nobody_else_has(tmp_path: Path) -> None:
    """One task cannot fill the disk."""
    ledger = Ledger(tmp_path)
    gone = [
        name
        for number in range(KEYS_MAX + 2)
        for name in ledger.record("/", replace(MADE, key=str(number), result="shared" if number else "first"))
    ]
    assert len(ledger.made("/", "a")) == KEYS_MAX
    assert gone == ["first"]
    ledger.close()


def test_two_that_open_a_new_database_at_once_migrate_it_once(tmp_path: Path) -> None:
    """Each sees one salt."""
    salts: list[bytes] = []

    def use() -> None:
        ledger = Ledger(tmp_path)
        salts.append(ledger.salt)
        ledger.record("/", replace(MADE, key=threading.current_thread().name))
        ledger.close()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(salts) == 8
    assert len(set(salts)) == 1
    ledger = Ledger(tmp_path)
    assert len(ledger.made("/", "a")) == 8
    ledger.close()


def test_a_look_makes_no_database(tmp_path: Path) -> None:
    """``plan --why`` leaves nothing."""
    with pytest.raises(Unusable, match="there is no"):
        Ledger(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_is_spoiled_is_told(tmp_path: Path) -> None:
    """And does not end the run with a traceback."""
    Ledger(tmp_path).close()
    with sqlite3.connect(tmp_path / "runs.db") as db:
        db.execute("INSERT INTO made VALUES ('/', 'a', 'k', '{', 'r', '{}', '{}', NULL, 1)")
    db.close()
    ledger = Ledger(tmp_path)
    with pytest.raises(Unusable, match="is broken"):
        ledger.made("/", "a")
    ledger.close()
