"""The contact sheet: all thumbnails beside one another, and a crossed-out field for each that could not be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import png

FIELD, COLUMNS = 176, 3
PAPER, PALE, CROSS = b"\xff\xff\xff", b"\xe4\xe7\xeb", b"\xd1\x49\x5b"
MISSING = 112


def sheet(shrunk: list[dict[str, Any]], file: str) -> dict[str, int]:
    """Write the sheet; what is returned is how many pictures are on it, and how many are not."""
    fields = [thumbnail(item["result"]) if item["result"] else missing() for item in shrunk]
    rows = [row for first in range(0, len(fields), COLUMNS) for row in beside(fields[first : first + COLUMNS])]
    png.write(Path(file), FIELD * COLUMNS, len(rows), rows)
    without = [f"{item['id']} {item['outcome']}" for item in shrunk if not item["result"]]
    print(f"{len(fields) - len(without)} pictures on {file}" + (f", without {', '.join(without)}" if without else ""))
    return {"pictures": len(fields) - len(without), "missing": len(without)}


def thumbnail(result: dict[str, Any]) -> list[bytes]:
    """Give the rows of a thumbnail, in the middle of its field."""
    return framed(list(png.rows(Path(result["file"]))), result["width"])


def missing() -> list[bytes]:
    """Give the rows of the field of a picture that is not there."""
    rows = []
    for y in range(MISSING):
        row = bytearray(PALE * MISSING)
        for x in (y, MISSING - 1 - y):
            row[3 * x : 3 * x + 3] = CROSS
        rows.append(bytes(row))
    return framed(rows, MISSING)


def framed(rows: list[bytes], width: int) -> list[bytes]:
    """Put a picture into the middle of a field."""
    left, top = (FIELD - width) // 2, (FIELD - len(rows)) // 2
    inner = [PAPER * left + row + PAPER * (FIELD - width - left) for row in rows]
    return [PAPER * FIELD] * top + inner + [PAPER * FIELD] * (FIELD - len(rows) - top)


def beside(fields: list[list[bytes]]) -> Iterator[bytes]:
    """Give the rows of some fields beside one another; where there are too few, paper."""
    for row in zip(*fields, strict=True):
        yield b"".join(row) + PAPER * FIELD * (COLUMNS - len(row))
