"""The tasks in the middle: tables are cleaned, put into a database, and joined there."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

SALES = """
    SELECT substr(orders.day, 1, 10) AS day, category, SUM(quantity * cents) AS cents, COUNT(*) AS orders, visits
    FROM orders JOIN stock USING (product) JOIN visits ON visits.day = substr(orders.day, 1, 10)
    GROUP BY 1, 2 ORDER BY 1, 2
"""


def clean(raw: str, cleaned: str) -> dict[str, int]:
    """Trim and lower what is written, drop what is there twice or has no value; say how much was dropped."""
    with Path(raw).open(newline="", encoding="utf-8") as lines:
        head, *rows = ([cell.strip().lower() for cell in row] for row in csv.reader(lines))
    kept = dict.fromkeys(tuple(row) for row in rows if "n/a" not in row)
    _write(Path(cleaned), [head, *kept])
    print(f"{len(kept)} rows, {len(rows) - len(kept)} dropped")
    return {"rows": len(kept), "dropped": len(rows) - len(kept)}


def load(cleaned: str, database: str) -> int:
    """Make the table anew.  That no other task writes at the same time, the file says: ``uses = "db"``."""
    file = Path(cleaned)
    with file.open(newline="", encoding="utf-8") as lines:
        head, *rows = csv.reader(lines)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"DROP TABLE IF EXISTS {file.stem}")
        connection.execute(f"CREATE TABLE {file.stem} ({', '.join(head)})")
        connection.executemany(f"INSERT INTO {file.stem} VALUES ({', '.join('?' * len(head))})", rows)  # noqa: S608
    return len(rows)


def join(database: str, sales: str) -> int:
    """Write what was sold, for each day and category."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(SALES)
        rows = [[column[0] for column in found.description], *found]
    _write(Path(sales), rows)
    return len(rows) - 1


def _write(file: Path, rows: Iterable[Iterable[object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines, lineterminator="\n").writerows(rows)
