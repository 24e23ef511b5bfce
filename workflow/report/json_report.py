"""``report.json``: the whole account of a run, written in one piece or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from workflow.report.records import RunRecord, TaskRecord, Verdict, count
from workflow.report.shapes import run_shape, task_shape

FORMAT = 1
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def write_report(path: Path, run: RunRecord, verdict: Verdict, records: Mapping[int, TaskRecord]) -> None:
    """Write the report to ``path``, replacing what is there at once: a reader sees the old file or the whole new one.

    Raises OSError when that is not possible; ``path`` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for piece in pieces(run, verdict, records):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def pieces(run: RunRecord, verdict: Verdict, records: Mapping[int, TaskRecord]) -> Iterator[str]:
    """Answer the text of the report bit by bit: a task a line, so that it can be looked at, and never all in memory."""
    counts = {outcome.value: number for outcome, number in count(records).items()}
    yield f'{{"format": {FORMAT},\n "run": {_text(run_shape(run, verdict))},\n "counts": {_text(counts)},\n "tasks": ['
    separator = "\n  "
    for number in sorted(records):
        yield separator + _text(task_shape(records[number]))
        separator = ",\n  "
    yield "]}\n"


def _text(value: object) -> str:
    # ASCII only: lone surrogates, which file names and output may hold, could not be written as UTF-8.
    return _encode(value)
