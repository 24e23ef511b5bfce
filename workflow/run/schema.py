"""The tables of ``runs.db``, as steps from each number of the schema to the next.

``ended`` has one row for each task of a run that has ended.  Its number holds the number of the run in the upper half
and the task's place in the plan in the lower: rows of one run lie together, in the order of the plan, and without a
second index to keep, which would double what writing one costs.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable

PLACES = 1 << 32
"""Numbers that a run has for its tasks."""


def _first(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
    db.execute("INSERT INTO meta VALUES ('salt', ?)", (secrets.token_bytes(32),))
    db.execute(
        "CREATE TABLE made (root TEXT NOT NULL, task TEXT NOT NULL, key TEXT NOT NULL, parts TEXT NOT NULL, "
        "run TEXT NOT NULL, outputs TEXT NOT NULL, stamps TEXT NOT NULL, result TEXT, at INTEGER NOT NULL, "
        "PRIMARY KEY (root, task, key)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX made_result ON made (result)")


def _second(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TABLE run (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, root TEXT NOT NULL, "
        "file TEXT NOT NULL, name TEXT, plan_hash TEXT NOT NULL, seed INTEGER NOT NULL, tasks INTEGER NOT NULL, "
        "started_at REAL NOT NULL, facts TEXT NOT NULL, seed_from TEXT NOT NULL, "
        "resumed INTEGER, finished_at REAL, duration_s REAL, status TEXT, "
        "exit_code INTEGER, reason TEXT, counts TEXT)"
    )
    db.execute("CREATE INDEX run_file ON run (file)")
    db.execute(
        "CREATE TABLE ended (at INTEGER PRIMARY KEY, task TEXT NOT NULL, outcome TEXT NOT NULL, key TEXT, parts TEXT, "
        "head TEXT NOT NULL, log TEXT, callback TEXT, result BLOB, stored TEXT, outputs TEXT)"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second)
"""From each schema to the next; the first from an empty file."""
