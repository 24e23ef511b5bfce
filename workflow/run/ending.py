"""The last thing a run does: write down how it ended, in every place that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workflow.report.events import EventLog
from workflow.report.formats import report_pieces, suffix_of
from workflow.report.graph import Graph
from workflow.report.json_report import write_report
from workflow.report.records import RunRecord, TaskRecord, Verdict, count
from workflow.report.writing import write_whole
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
    graph: Graph,
    copies: Sequence[Path],
    finish_run: Callable[[Verdict], str | None],
    texts: Callable[[], Iterable[str]],
) -> Ending:
    """Write what is wanted elsewhere, the last event, and the run's own report: last, because it knows of all others.

    ``finish_run`` writes the end into the ledger, and answers why that was not possible; ``texts`` are the tasks as
    ``report.json`` has them.

    A place that cannot be written makes the run ``broken``, but hinders no other place.
    """
    problems: list[str] = []
    counts = count(records)
    for path in copies:
        problem = _write(path, run, verdict, records, graph, folder, texts)
        if problem is not None:
            problems.append(problem)
            verdict = broken(verdict, problems[0])
    problem = finish_run(verdict)
    if problem is not None:
        problems.append(problem)
        verdict = broken(verdict, problems[0])
    events.run_finished(verdict, counts)
    try:
        events.flush()
    except OSError as error:
        problems.append(disk_problem(error, folder.events))
        verdict = broken(verdict, problems[0])
        finish_run(verdict)
    events.close()
    report: Path | None = None
    try:
        write_report(folder.report, run, verdict, counts, texts(), private=True)
        report = folder.report
    except OSError as error:
        problems.append(disk_problem(error, folder.report))
        verdict = broken(verdict, problems[0])
        finish_run(verdict)
    return Ending(verdict, report, problems[0] if problems else None)


def _write(
    path: Path,
    run: RunRecord,
    verdict: Verdict,
    records: Mapping[int, TaskRecord],
    graph: Graph,
    folder: RunFolder,
    texts: Callable[[], Iterable[str]],
) -> str | None:
    """Write one report, and answer why that was not possible."""
    try:
        if suffix_of(path) == ".json":
            write_report(path, run, verdict, count(records), texts())
        else:
            from workflow.report.material import material_of  # milliseconds, for those who want it

            write_whole(path, report_pieces(path, material_of(run, verdict, records, graph, folder.path)))
    except OSError as error:
        return disk_problem(error, path)
    except Exception as error:  # noqa: BLE001  a mistake of ours in one report must not cost the others
        return f"cannot write {path}: {type(error).__name__}: {error}"
    return None


def broken(verdict: Verdict, reason: str) -> Verdict:
    """The verdict of a run that could not be written down for that reason; one that ended otherwise before stays so."""
    if verdict.status in {"interrupted", "broken"}:
        return verdict
    return replace(verdict, exit_code=ExitCode.BROKEN, status=STATUS[ExitCode.BROKEN], reason=reason)
