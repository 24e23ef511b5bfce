"""The database of all runs."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from workflow.outcome import Outcome
from workflow.report.records import RunRecord, Verdict
from workflow.run.database import Unusable
from workflow.run.folder import hold, is_alive, new_run_folder
from workflow.run.ledger import KEYS_MAX, EndedRow, KnownRun, Ledger, Made, SettledRow
from workflow.run.schema import MIGRATIONS

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


RUN = RunRecord(
    "2026-1", "name", "/f/pipeline.toml", "sha256:1", 5.0, "local", 2, "host", 7, "3.10", "1", None, ("workflow",), 3,
    9, "",
)  # fmt: skip
ROW = EndedRow(0, "a", Outcome.SUCCEEDED, "key", '{"args": "1"}', '{"id": "a"', "logs/a.log", None, b"result", None)


def test_a_run_is_known_from_its_beginning_and_how_it_ended_from_its_end(tmp_path: Path) -> None:
    """One that has no end goes on, or was killed."""
    ledger = Ledger(tmp_path)
    first = ledger.begin_run(RUN, "/f")
    second = ledger.begin_run(replace(RUN, id="2026-2", file="/g/other.toml"), "/g")
    verdict = Verdict(1, "failed", None, 9.0, 4.0)
    ledger.finish_run(first, verdict, {"failed": 3})
    ended = KnownRun(
        first, "/f", "drawn", None, replace(RUN, folder=str(tmp_path / "runs" / "2026-1")), verdict, {"failed": 3}
    )
    assert [run.number for run in ledger.runs()] == [second, first]
    assert ledger.runs("/f/pipeline.toml") == [ended]
    assert ledger.runs("/g/other.toml")[0].verdict is None
    assert ledger.matching("2026-1") == [ended]
    assert [run.run.id for run in ledger.matching("2026-")] == ["2026-2", "2026-1"]
    assert ledger.matching("2027") == []
    ledger.close()


def test_endings_are_recorded_together_and_read_in_the_order_of_the_plan(tmp_path: Path) -> None:
    """However many; what became of a callback is added later."""
    ledger = Ledger(tmp_path)
    run, other = ledger.begin_run(RUN, "/f"), ledger.begin_run(replace(RUN, id="2026-2"), "/f")
    rows = [ROW._replace(place=place, task=f"a@{place}") for place in range(2500)]
    ledger.record_ended(other, [ROW])
    ledger.record_ended(run, rows[::-1], [SettledRow(7, '{"name": "callback"}', "logs/b.log")])
    read = list(ledger.ended(run))
    rows[7] = rows[7]._replace(callback='{"name": "callback"}', log="logs/b.log")
    assert read == rows
    assert read[7].text == '{"id": "a", "callback": {"name": "callback"}, "log": "logs/b.log"}'
    assert ledger.counts(run) == {"succeeded": 2500}
    with pytest.raises(Unusable):
        ledger.record_ended(run, [ROW._replace(place=5000), ROW])  # the second is there already
    assert ledger.counts(run) == {"succeeded": 2500}
    ledger.forget([run])
    assert list(ledger.ended(run)) == []
    assert list(ledger.ended(other)) == [ROW]
    assert [each.run.id for each in ledger.runs()] == ["2026-2"]
    ledger.close()


def test_a_database_of_the_first_schema_is_migrated_and_one_that_is_only_looked_at_has_no_runs(tmp_path: Path) -> None:
    """What it knew stays."""
    with sqlite3.connect(tmp_path / "runs.db") as db:
        MIGRATIONS[0](db)
        db.execute("PRAGMA user_version = 1")
    db.close()
    look = Ledger(tmp_path, create=False)
    assert look.runs() == []
    salt = look.salt
    look.close()
    ledger = Ledger(tmp_path)
    assert ledger.salt == salt
    assert ledger.begin_run(RUN, "/f") == 1
    ledger.close()


def test_a_row_of_a_run_that_is_spoiled_is_told(tmp_path: Path) -> None:
    """As a broken database, and not with a traceback."""
    ledger = Ledger(tmp_path)
    run = ledger.begin_run(RUN, "/f")
    ledger.record_ended(run, [ROW])
    with sqlite3.connect(tmp_path / "runs.db") as db:
        db.execute("UPDATE ended SET head = x'00'")
        db.execute("UPDATE run SET facts = '[]'")
    db.close()
    with pytest.raises(Unusable, match="is broken"):
        list(ledger.ended(run))
    with pytest.raises(Unusable, match="is broken"):
        ledger.runs()
    ledger.close()


def test_a_run_is_alive_as_long_as_somebody_holds_its_lock(tmp_path: Path) -> None:
    """And not because its folder is there."""
    folder = new_run_folder(tmp_path, 0.0)
    assert not is_alive(folder.path)
    held = hold(folder)
    assert is_alive(folder.path)
    assert is_alive(folder.path)
    os.close(held)
    assert not is_alive(folder.path)
    assert not is_alive(tmp_path / "nothing")


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
        db.execute("INSERT INTO made VALUES ('/elsewhere', 'a', 'k', '{', 'r', '{}', '{}', NULL, 1)")
    db.close()
    ledger = Ledger(tmp_path)
    with pytest.raises(Unusable, match="is broken"):
        ledger.made("/elsewhere", "a")
    ledger.close()
