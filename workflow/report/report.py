"""``Report``: what came of a run, for the program that ran it or reads it later."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.errors import WorkflowError
from workflow.outcome import Outcome
from workflow.report.tails import log_range

if TYPE_CHECKING:
    from typing_extensions import Self

    from workflow.report import models
    from workflow.report.material import Material


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The account of one run: every task, every attempt, every error.

    ``run``, ``tasks`` and ``counts`` are what ``report.json`` holds, field by field.  A report is a collection of its
    tasks: ``for task in report``, ``len(report)``, ``report["fetch@de"]``.
    """

    run: models.Run
    """The run as a whole: its id, when, where and how it ran."""
    tasks: tuple[models.Task, ...]
    """Every task that was planned, in the order of the plan."""
    counts: Mapping[Outcome, int]
    """How many tasks ended in each way; every way is named."""
    folder: Path
    """What the run left: logs, events, ``report.json``."""
    problem: str | None = None
    """Why the engine or the disk failed, where they did (exit code 4)."""
    _by_id: dict[str, models.Task] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {task.id: task for task in self.tasks})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The report of a run that has ended: of its folder, of ``report.json`` in it, or of a copy of that.

        A copy that lies elsewhere has no logs.  Raises WorkflowError where there is no report that can be read.
        """
        from workflow.report.material import Unreadable, read_material

        place = Path(path)
        try:
            material = read_material(place.resolve(), absent=_why_absent(place))
        except Unreadable as error:
            raise WorkflowError(str(error)) from error
        return cls.of(material)

    @classmethod
    def of(cls, material: Material, problem: str | None = None) -> Self:
        """What other reports are made of, as objects."""
        from workflow.report import models

        document = models.Report.model_validate(material.document)
        return cls(document.run, document.tasks, document.counts, material.folder, problem)

    @property
    def exit_code(self) -> int:
        """What ``workflow run`` leaves with: 0 when every task ended as it should."""
        return self.run.exit_code

    @property
    def failed(self) -> tuple[models.Task, ...]:
        """Tasks that failed, timed out, crashed or exceeded their memory; those that were allowed to as well."""
        return tuple(task for task in self.tasks if task.outcome.is_failure)

    def outcome(self, task: str) -> Outcome:
        """How a task ended, by its id.  Raises KeyError, with what is near it, where there is no such task."""
        return self[task].outcome

    def __getitem__(self, task: str) -> models.Task:
        try:
            return self._by_id[task]
        except KeyError:
            from workflow.diagnostics.suggest import did_you_mean

            near = did_you_mean(str(task), self._by_id)
            message = f"no task of this run has the id {task!r}" + (f", {near}" if near else "")
            raise KeyError(message) from None

    def __contains__(self, task: object) -> bool:
        return task in self._by_id or task in self.tasks

    def __iter__(self) -> Iterator[models.Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def __hash__(self) -> int:
        return hash(self.run.id)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {outcome}" for outcome, number in self.counts.items() if number)
        return f"<Report of run {self.run.id}, {self.run.status}: {counts}>"

    def log(self, task: str) -> str:
        """What a task printed, and its errors; empty when it left nothing, or no log is there any more."""
        part = log_range(self.folder, self[task].log)
        if part is None:
            return ""
        descriptor, first, last = part
        with os.fdopen(descriptor, "rb") as file:
            file.seek(first)
            return file.read(max(0, last - first)).decode("utf-8", "replace")

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each task, its id as the index; of attempts, the last one's facts.

        A column ``matrix.AXIS`` for each axis.  Raises ImportError where pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            message = "Report.to_pandas() makes a pandas.DataFrame: install pandas for it"
            raise ImportError(message) from error
        rows = [_row(task) for task in self.tasks]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return pandas.DataFrame(rows, columns=columns, index=pandas.Index([task.id for task in self.tasks], name="id"))


def _why_absent(place: Path) -> str:
    """What to say of a path where no report is."""
    kept = "the folder of a run is .workflow/runs/ID beside its file, and .workflow/latest leads to the newest"
    if not place.exists():
        return f"there is no {str(place)!r}: {kept}"
    if (place / "runs").is_dir():
        return f"{place} holds the runs of a file, and is none: {place / 'latest'} leads to the newest"
    if not (place / "logs").is_dir():
        return f"{place} is not the folder of a run: {kept}"
    return (
        f"the run {place.resolve().name} has no report: it goes on, or it was killed (`workflow show` says which, and "
        "`workflow report` makes one of a run that was killed)"
    )


def _row(task: models.Task) -> dict[str, object]:
    last = task.attempts[-1] if task.attempts else None
    error = None if last is None else last.error
    return {
        "name": task.name,
        **{f"matrix.{axis}": value for axis, value in (task.matrix or {}).items()},
        "outcome": task.outcome.value,
        "reason": task.reason,
        "flaky": task.flaky,
        "duration_s": task.duration_s,
        "attempts": len(task.attempts),
        "started_at": None if last is None else task.attempts[0].started_at,
        "exit_code": None if last is None else last.exit_code,
        "signal": None if last is None else last.signal,
        "peak_rss_bytes": None if last is None else last.peak_rss_bytes,
        "cpu_s": None if last is None else last.cpu_s,
        "error": None if error is None else error.type,
        "message": None if error is None else error.message,
    }
