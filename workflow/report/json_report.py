"""``report.json``: the whole account of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.report.records import RunRecord, TaskRecord, Verdict, count
from workflow.report.shapes import FORMAT, record_text, run_shape
from workflow.report.writing import write_whole

if TYPE_CHECKING:
    from workflow.report.material import Material

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def write_report(path: Path, run: RunRecord, verdict: Verdict, records: Mapping[int, TaskRecord]) -> None:
    """Write the report to ``path``: the whole of it, or nothing.  Raises OSError."""
    counts = {outcome.value: number for outcome, number in count(records).items()}
    tasks = (record_text(records[number]) for number in sorted(records))
    write_whole(path, _text(FORMAT, run_shape(run, verdict), counts, tasks))


def json_pieces(material: Material) -> Iterator[str]:
    """Answer the text of a report that was read, bit by bit: what ``write_report`` wrote."""
    document = material.document
    return _text(document["format"], document["run"], document["counts"], map(_encode, document["tasks"]))


def _text(version: int, run: object, counts: object, tasks: Iterable[str]) -> Iterator[str]:
    """A task a line, so that it can be looked at; never all in memory.

    ASCII only: lone surrogates could not be written as UTF-8.
    """
    yield f'{{"format": {version},\n "run": {_encode(run)},\n "counts": {_encode(counts)},\n "tasks": ['
    separator = "\n  "
    for task in tasks:
        yield separator + task
        separator = ",\n  "
    yield "]}\n"
