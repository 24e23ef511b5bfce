"""``planned.txt``: the ids of all tasks of a run, one a line in the order of the plan, as long as it has no report.

A run that is killed must be able to say what it never came to, and nothing else that it leaves can: the ledger and the
events know what began, and the manifest knows names, but not what a matrix came to at that moment, when a glob may have
matched other files.  To write the whole plan would say more than anybody asks for; the ids of a million tasks take
0.7 s.  The file goes when the report is there, which lists every task.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from workflow.report.regular import read_regular
from workflow.report.writing import write_whole

NAME = "planned.txt"
_PIECE = 1000


def write_planned(folder: Path, ids: Iterable[str]) -> None:
    """Write them: all of them, or nothing.  Raises OSError."""
    write_whole(folder / NAME, _pieces(iter(ids)), lasting=False, private=True)


def _pieces(ids: Iterator[str]) -> Iterator[str]:
    while piece := list(islice(ids, _PIECE)):
        yield "\n".join([*piece, ""])


def read_planned(folder: Path) -> list[str]:
    """What was written; nothing where it is gone, or is no such file."""
    try:
        return read_regular(folder / NAME).decode("ascii").split("\n")[:-1]
    except (OSError, ValueError):
        return []


def remove_planned(folder: Path) -> None:
    """Every task is in the report."""
    with contextlib.suppress(OSError):
        (folder / NAME).unlink()
