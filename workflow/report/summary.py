"""The end of a run, for a person: how many of what, and what to look at first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from workflow.outcome import Outcome
from workflow.report.alike import LISTED_MAX, Failure, entries, told
from workflow.report.records import TaskRecord, Verdict
from workflow.report.tails import output_tail
from workflow.report.terminal import Terminal, human_s, neutral
from workflow.report.whereabouts import whereabouts

_LIKE_MAX = 2
"""Failures that are named of those for which one stands."""
_RETOLD_MAX = 3
"""Failures of which it is told once more where they were and what they printed last."""
_LAST_LINES = 5
_LAST_BYTES = 4096
_ORDER = (
    (Outcome.SUCCEEDED, "green"),
    (Outcome.CACHED, "green"),
    (Outcome.FAILED, "red"),
    (Outcome.TIMED_OUT, "red"),
    (Outcome.CRASHED, "red"),
    (Outcome.MEMORY_EXCEEDED, "red"),
    (Outcome.CANCELLED, "yellow"),
    (Outcome.SKIPPED, "yellow"),
)
T = TypeVar("T")


def summary(
    terminal: Terminal,
    records: Sequence[TaskRecord],
    verdict: Verdict,
    folder: str,
    beside: str,
    report: str | None,
    seen: Collection[str] = (),
) -> list[str]:
    """Answer the lines: failures, those that caused most skips first, then counts, then where to read more.

    ``beside`` is the folder that paths in tracebacks are shown relative to.  Of the first failures it is told once more
    where they were and what they printed last, but of ``seen``: ids of those of which that is still on the screen.
    """
    lines: list[str] = []
    failures = _failures(records)
    if failures:
        lines += ["", terminal.style("what went wrong:" if verdict.exit_code else "allowed failures:", "bold")]
        listed, rest = told(failures, LISTED_MAX)
        for number, failure in enumerate(listed):
            lines.append(_failure(terminal, failure, folder))
            if number < _RETOLD_MAX and failure.id not in seen:
                lines += _details(terminal, failure.task, folder, beside)
        if rest:
            lines.append(left_out(rest, ", in the report"))
    bad_callbacks = sum(1 for record in records if record.callback and record.callback.outcome.is_failure)
    if bad_callbacks:
        word = "callback" if bad_callbacks == 1 else "callbacks"
        lines.append(terminal.style(f"{bad_callbacks} {word} did not succeed; the tasks' outcomes stand", "yellow"))
    if verdict.reason is not None:
        lines.append(terminal.style(f"the run did not end by itself: {neutral(verdict.reason)}", "yellow"))
    lines.append(_counts(terminal, records) + f" in {human_s(verdict.duration_s)}")
    if report is not None:
        lines.append(f"report: {neutral(shown(report))}")
    return lines


def shown(path: str) -> str:
    """Answer a path as a person would type it here."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the working folder is gone
        return path
    return path if relative.startswith(os.pardir + os.sep) else relative


def likewise(like: Sequence[str]) -> str:
    """Answer how many failures one stands for, and which come first among them."""
    named = ", ".join(neutral(id_) for id_ in like[:_LIKE_MAX])
    return f"{len(like)} more like it: {named}" + (", …" if len(like) > _LIKE_MAX else "")


def left_out(failures: Sequence[Failure[T]], where: str = "") -> str:
    """Answer how many failures are not named."""
    return f"  … and {sum(1 + len(failure.like) for failure in failures)} more{where}"


def _failures(records: Sequence[TaskRecord]) -> list[Failure[TaskRecord]]:
    skipped = Counter(record.cause for record in records if record.cause is not None)
    failed = (record for record in records if record.outcome.is_failure)
    return entries(Failure(record, record.id, record.kind, skipped[record.id]) for record in failed)


def _failure(terminal: Terminal, failure: Failure[TaskRecord], folder: str) -> str:
    record = failure.task
    text = f"  {neutral(record.id)} {terminal.style(record.outcome.value, 'red')}"
    if record.headline:
        text += f": {neutral(record.headline)}"
    if failure.like:
        text += f" (and {likewise(failure.like)})"
    if record.allow_failure:
        text += " (allowed)"
    if failure.skipped:
        text += f" ({failure.skipped} skipped because of {'them' if failure.like else 'it'})"
    if record.log is not None:
        text += terminal.style(f"  {neutral(shown(f'{folder}/{record.log}'))}", "dim")
    return text


def _details(terminal: Terminal, record: TaskRecord, folder: str, beside: str) -> list[str]:
    error = record.attempts[-1].error if record.attempts else None
    lines = [] if error is None else [f"    {neutral(line)}" for line in whereabouts(error, beside)]
    tail = output_tail(Path(folder), record.log, failed=True, lines=_LAST_LINES, max_bytes=_LAST_BYTES)
    if tail is not None:
        lines += [terminal.style("    | ", "dim") + neutral(line) for line in tail.text.split("\n")]
    return lines


def _counts(terminal: Terminal, records: Sequence[TaskRecord]) -> str:
    counts = Counter(record.outcome for record in records)
    parts = [terminal.style(f"{counts[outcome]} {outcome}", colour) for outcome, colour in _ORDER if counts[outcome]]
    flaky = sum(1 for record in records if record.flaky)
    if flaky:
        parts.append(f"{flaky} flaky")
    return ", ".join(parts)
