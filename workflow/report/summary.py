"""The end of a run, for a person: how many of what, and what to look at first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from workflow.outcome import Outcome
from workflow.report.records import TaskRecord, Verdict
from workflow.report.tails import output_tail
from workflow.report.terminal import Terminal, human_s, neutral
from workflow.report.whereabouts import whereabouts

LISTED_MAX = 20
"""Failures that are named one by one; when there are more, those of one task that are alike are named once."""
_RETOLD_MAX = 3
"""Failures of which it is told once more where they were and what they printed last."""
_ON_SCREEN = 10
"""Of a run of no more tasks, what was told as it happened is still to be seen."""
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


def summary(
    terminal: Terminal,
    records: Sequence[TaskRecord],
    verdict: Verdict,
    folder: str,
    beside: str,
    report: str | None,
) -> list[str]:
    """Answer the lines: failures, those that caused most skips first, then counts, then where to read more.

    ``beside`` is the folder that paths in tracebacks are shown relative to.
    """
    lines: list[str] = []
    failures = _failures(records)
    if failures:
        lines += ["", terminal.style("what went wrong:" if verdict.exit_code else "allowed failures:", "bold")]
        listed = failures[:LISTED_MAX]
        for number, failure in enumerate(listed):
            lines.append(_failure(terminal, failure, folder))
            if number < _RETOLD_MAX and len(records) > _ON_SCREEN:
                lines += _details(terminal, failure.record, folder, beside)
        told = sum(failure.alike for failure in listed)
        if len(failures) > len(listed):
            lines.append(f"  … and {sum(failure.alike for failure in failures) - told} more, in the report")
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


class _Failure(NamedTuple):
    """One that is named."""

    record: TaskRecord
    skipped: int
    """Tasks that were skipped because of it, or of one that it stands for."""
    alike: int
    """Itself, and those that it stands for."""


def _failures(records: Sequence[TaskRecord]) -> list[_Failure]:
    skipped = Counter(record.cause for record in records if record.cause is not None)
    failures = [_Failure(record, skipped[record.id], 1) for record in records if record.outcome.is_failure]
    if len(failures) > LISTED_MAX:
        failures = _grouped(failures)
    # Stable: among equals the order of the plan.  What was allowed to fail, and hindered nothing, comes last.
    return sorted(failures, key=lambda failure: (-failure.skipped, failure.record.allow_failure))


def _grouped(failures: Sequence[_Failure]) -> list[_Failure]:
    """Of the instances of a task that went wrong in the same way, the first: hundreds would hide what else there is."""
    groups: dict[tuple[object, ...], _Failure] = {}
    for failure in failures:
        record = failure.record
        key = (record.name, record.outcome, record.headline, record.allow_failure)
        first = groups.get(key, failure._replace(skipped=0, alike=0))
        groups[key] = first._replace(skipped=first.skipped + failure.skipped, alike=first.alike + 1)
    return list(groups.values())


def _failure(terminal: Terminal, failure: _Failure, folder: str) -> str:
    record, skipped, alike = failure
    text = f"  {neutral(record.id)} {terminal.style(record.outcome.value, 'red')}"
    if record.headline:
        text += f": {neutral(record.headline)}"
    if alike > 1:
        text += f" (so did {alike - 1} more of {record.name})"
    if record.allow_failure:
        text += " (allowed)"
    if skipped:
        text += f" ({skipped} skipped because of {'it' if alike == 1 else 'them'})"
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
