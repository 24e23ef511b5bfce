"""The last thing a run does: write down how it ended, in every place that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workflow.report.events import EventLog
from workflow.report.json_report import write_report
from workflow.report.records import RunRecord, TaskRecord, Verdict, count
from workflow.run.exit_code import ExitCode
from workflow.run.folder import RunFolder, disk_problem

STATUS = {
    ExitCode.SUCCEEDED: "succeeded",
    ExitCode.FAILED: "failed",
    ExitCode.BROKEN: "broken",
    ExitCode.TIMED_OUT: "timed_out",
    ExitCode.HUNG_UP: "interrupted",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of writing it down."""

    verdict: Verdict
    """As it was, or ``broken``."""
    report: Path | None
    """The report in the run folder; None when it could not be written."""
    problem: str | None


def write_ending(
    run: RunRecord,
    verdict: Verdict,
    records: Mapping[int, TaskRecord],
    events: EventLog,
    folder: RunFolder,
    copies: Sequence[Path],
) -> Ending:
    """Write the copies of the report, the last event, and the run's own report: last, because it knows of all others.

    A place that cannot be written makes the run ``broken``, but hinders no other place.
    """
    problems: list[str] = []
    for path in copies:
        try:
            write_report(path, run, verdict, records)
        except OSError as error:
            problems.append(disk_problem(error, path))
            verdict = _broken(verdict, problems[0])
    events.run_finished(verdict, count(records))
    try:
        events.flush()
    except OSError as error:
        problems.append(disk_problem(error, folder.events))
        verdict = _broken(verdict, problems[0])
    events.close()
    report: Path | None = None
    try:
        write_report(folder.report, run, verdict, records)
        report = folder.report
    except OSError as error:
        problems.append(disk_problem(error, folder.report))
        verdict = _broken(verdict, problems[0])
    return Ending(verdict, report, problems[0] if problems else None)


def _broken(verdict: Verdict, reason: str) -> Verdict:
    if verdict.status in {"interrupted", "broken"}:
        return verdict
    return replace(verdict, exit_code=ExitCode.BROKEN, status=STATUS[ExitCode.BROKEN], reason=verdict.reason or reason)
