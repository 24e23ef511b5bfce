"""``report.json``: the whole account of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.outcome import Outcome
from workflow.report.records import RunRecord, TaskRecord, Verdict
from workflow.report.shapes import FORMAT, run_shape
from workflow.report.texts import callback_text, encode, task_head, text_of
from workflow.report.writing import write_whole

if TYPE_CHECKING:
    from workflow.report.material import Material


def write_report(
    path: Path,
    run: RunRecord,
    verdict: Verdict,
    counts: Mapping[Outcome, int],
    tasks: Iterable[str],
    *,
    private: bool = False,
) -> None:
    """Write the report to ``path``, if ``private`` for its owner alone: all of it, or nothing.  Raises OSError.

    ``tasks`` are as ``record_text`` answers them, in the order of the plan.
    """
    named = {outcome.value: number for outcome, number in counts.items()}
    write_whole(path, _text(FORMAT, run_shape(run, verdict), named, tasks), private=private)


def record_text(record: TaskRecord) -> str:
    """Answer a task of the report."""
    callback = None if record.callback is None else callback_text(record.callback)
    return task_text(task_head(record), callback, record.log)


def task_text(head: str, callback: str | None, log: str | None) -> str:
    """Answer a task of the report from its beginning, and what its callback may have changed."""
    return f'{head}, "callback": {callback or "null"}, "log": {text_of(log)}}}'


def json_pieces(material: Material) -> Iterator[str]:
    """Answer the text of a report that was read, bit by bit: what ``write_report`` wrote."""
    document = material.document
    return _text(document["format"], document["run"], document["counts"], map(encode, document["tasks"]))


def _text(version: int, run: object, counts: object, tasks: Iterable[str]) -> Iterator[str]:
    """A task a line, so that it can be looked at; never all in memory."""
    yield f'{{"format": {version},\n "run": {encode(run)},\n "counts": {encode(counts)},\n "tasks": ['
    separator = "\n  "
    for task in tasks:
        yield separator + task
        separator = ",\n  "
    yield "]}\n"
