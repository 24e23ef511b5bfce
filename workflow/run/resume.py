"""Which tasks need not run, because a run that this one completes has run them.

A task is carried over when it succeeded there and its key is the same now.  Everything else runs again: what went
wrong, was cancelled or skipped, what has no durable end there, and what has another key.  So do three more, because
who comes after them would not find what it needs: a task whose result others take and that was not kept or is damaged,
one whose outputs are gone or were changed since, and one that ``--force`` names.

The run that is completed may itself have completed another and have been killed before it had carried everything
over.  So a task that did not begin there is looked for in the run before, and so on: the newest run in which it began
says how it ended.  The same holds where the latest run of a file was of some of its tasks only: who has mended one task
by ``--select`` and then completes the night means the night before it.  A run that was killed is not looked behind:
what is missing in it was to be done, whatever had been done the day before.

Alternatives: to copy everything at the beginning of a run (a second for a million tasks, and it would claim successes
that nobody has compared with what is to be run now), or to go on in the folder of the old run (its report, its events
and its logs would be of two runs, and its id in the environment of the new tasks).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from workflow.errors import WorkflowError
from workflow.outcome import Outcome
from workflow.plan.key import Parts, changes
from workflow.plan.plan import Settings
from workflow.run.database import Unusable
from workflow.run.folder import LATEST, is_alive
from workflow.run.ledger import EndedRow, KnownRun, Ledger, SeedFrom
from workflow.run.logs import SHARED
from workflow.run.stored import Stored


class Resume(NamedTuple):
    """To complete an earlier run."""

    run: str | None
    """Its id, the beginning of it, or ``latest``; None is the latest of the same file."""


class CannotResume(WorkflowError):
    """There is no run to complete, or not one; the message says what to do."""


class Carried(NamedTuple):
    """A task that need not run."""

    row: EndedRow
    """How it ended."""
    folder: Path
    """Of the run that says so."""
    stored: Stored | None
    """Its result, brought over; None where it is in ``row``, or where it has none that others take."""


@dataclass(frozen=True, slots=True)
class _Row:
    row: EndedRow
    run: KnownRun


class Earlier:
    """The run that is completed, and those that it completed."""

    def __init__(self, ledger: Ledger, runs: list[KnownRun]) -> None:
        """``runs`` has the newest first."""
        self._ledger = ledger
        self._runs = runs
        self._places: dict[int, dict[str, int]] = {}  # of runs with another plan
        self.carried = 0
        self.again: Counter[str] = Counter()
        """Why tasks run again, and how many."""

    @property
    def run(self) -> KnownRun:
        """The one that is completed."""
        return self._runs[0]

    def ended(self) -> dict[str, int]:
        """How many of its tasks ended in each way.  Raises Unusable."""
        return self._ledger.counts(self.run.number)

    def carried_from(self, carried: Carried) -> str:
        """The run that has really run it."""
        before = json.loads(carried.row.head + "}").get("carried_from")
        return before if isinstance(before, str) else carried.folder.name

    def parts(self, place: int, task: str) -> Parts:
        """The parts of the key that a task had there.  Raises Unusable."""
        found = self._find(place, task)
        parts: Parts = json.loads((found and found.row.parts) or "{}")
        return parts

    def stored(self, place: int, task: str) -> bool:
        """Whether it left a large result there, which ``find`` reads."""
        with contextlib.suppress(Unusable, ValueError, TypeError, LookupError):  # ``find`` says so too
            found = self._find(place, task)
            return found is not None and found.row.stored is not None
        return False

    def find(
        self, place: int, task: str, parts: Parts | None, key: str | None, results: Path | None
    ) -> Carried | list[str]:
        """What is carried over, whatever its outputs; or why it runs again.

        ``results`` is the folder into which a large result is brought; None where nobody takes it.  Raises Unusable.
        """
        found = self._find(place, task)
        if found is None:
            return ["it did not end there"]
        row = found.row
        if row.outcome is not Outcome.SUCCEEDED:
            return [f"it {_THERE[row.outcome]} there"]
        if key is None or parts is None:
            return ["it has no key that can be compared"]
        if row.key != key:
            return changes(json.loads(row.parts or "{}"), parts) or ["its key is made in another way now"]
        folder = Path(found.run.run.folder)
        if results is None or row.result is not None:
            return Carried(row, folder, None)
        if row.stored is None:
            return ["its result is taken by others, and was not kept"]
        stored = _bring(row, folder, results)
        if stored is None:
            return ["its result, which others take, is gone or damaged"]
        return Carried(row, folder, stored)

    def _find(self, place: int, task: str) -> _Row | None:
        """How it ended in the newest run in which it began; otherwise in the newest."""
        first: _Row | None = None
        for run in self._runs:
            row = self._row(run, place, task)
            if row is None:
                continue
            if row.outcome not in _NOT_BEGUN or json.loads(row.head + "}")["attempts"]:
                return _Row(row, run)
            first = first or _Row(row, run)
        return first

    def _row(self, run: KnownRun, place: int, task: str) -> EndedRow | None:
        row = self._ledger.ended_at(run.number, place)
        if row is not None and row.task == task:
            return row
        places = self._places.get(run.number)
        if places is None:
            places = self._places[run.number] = self._ledger.places(run.number)
        return self._ledger.ended_at(run.number, places[task]) if task in places else None


def earlier_of(ledger: Ledger, file: Path, root: Path, tasks: int, resume: Resume) -> Earlier:
    """The run to complete; ``tasks`` is how many there are now.

    One of another file is refused, unless that lies in the same folder, as a saved plan may: what a key says of paths
    and modules is relative to it.
    Raises CannotResume, Unusable.
    """
    wanted = resume.run
    runs = ledger.runs(str(file)) if wanted is None else ledger.runs() if wanted == LATEST else ledger.matching(wanted)
    place = ledger.folder / "runs.db"
    if not runs:
        what = f"no run of {file}" if wanted is None else "no run" if wanted == LATEST else f"no run {wanted!r}"
        raise CannotResume(f"there is {what} in {place} to resume: run it without --resume, or say --state-dir")
    if len(runs) > 1 and wanted not in (None, LATEST):
        names = ", ".join(run.run.id for run in runs[:5]) + (", …" if len(runs) > 5 else "")
        raise CannotResume(f"{wanted!r} is the beginning of {len(runs)} runs ({names}): write more of it")
    chain = [runs[0]]
    if os.path.realpath(chain[0].run.file) != os.path.realpath(file) and chain[0].root != str(root):
        raise CannotResume(
            f"run {chain[0].run.id} is of {chain[0].run.file}, and not of {file}: say which run of this file to resume"
        )
    if chain[0].verdict is None and is_alive(Path(chain[0].run.folder)):
        raise CannotResume(
            f"run {chain[0].run.id} still goes on (process {chain[0].run.pid}): wait for its end, or end it"
        )
    _add_completed(ledger, chain)
    for run in runs[1:] if wanted is None else ():
        if chain[-1].verdict is None or chain[-1].run.tasks >= tasks or is_alive(Path(run.run.folder)):
            break
        if run.number < chain[-1].number:
            chain.append(run)
            _add_completed(ledger, chain)
    return Earlier(ledger, chain)


def _add_completed(ledger: Ledger, chain: list[KnownRun]) -> None:
    """Add the run that the last one has completed, and so on."""
    while chain[-1].resumed is not None:
        before = ledger.numbered(chain[-1].resumed)
        if before is None or before.number >= chain[-1].number:  # a spoiled row must not lead round in a circle
            return
        chain.append(before)


def seed_of(given: int | None, settings: Settings, earlier: Earlier | None) -> tuple[int, SeedFrom]:
    """The seed of a run, and who chose it; ``given`` is what the command line says.

    A run that completes another has its seed, unless somebody says another now: so what is still to be run comes out
    as it would have.
    """
    before = None if earlier is None else earlier.run
    if given is not None:
        return given, "option"
    if before is not None and before.seed_from == "option":
        return before.run.seed, "option"
    if settings.seed is not None:
        return settings.seed, "file"
    return int.from_bytes(os.urandom(4), "big") if before is None else before.run.seed, "drawn"


def stored_there(row: EndedRow, folder: Path) -> Stored | None:
    """The large result of a task in the folder of its run; None where that is gone."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        size, checksum = json.loads(row.stored or "")
        path = folder / "results" / f"{row.task}.pickle"
        if path.lstat().st_size == size:
            return Stored(row.task, str(path), size, checksum)
    return None


def bring_log(log: str | None, old: Path, new: Path) -> str | None:
    """Have a log of one run folder in another too, and answer where; None if it is not there.

    By a hard link where that can be, so that it costs nothing, and stays when the old run is deleted.  A file that
    tasks share gets the name of its run before its own, and so does one that is called as such a file may be in the new
    run, which would be written to.  Raises OSError.
    """
    if log is None:
        return None
    path, mark, part = log.partition("#")
    name = Path(path).name
    if path != f"logs/{name}":
        return None  # no run has written that
    if (mark or name in SHARED) and not name[:1].isdigit():
        name = f"{old.name}.{name}"
    target = new / "logs" / name
    if not target.exists():
        try:
            _link(old / path, target)
        except FileNotFoundError:
            return None
    return f"logs/{name}{mark}{part}"


def _bring(row: EndedRow, old: Path, results: Path) -> Stored | None:
    there = stored_there(row, old)
    if there is None or not there.is_whole():
        return None
    target = results / Path(there.path).name
    try:
        results.mkdir(mode=0o700, exist_ok=True)
        if not target.exists():
            _link(Path(there.path), target)
    except OSError:
        return None
    return Stored(row.task, str(target), there.size, there.checksum)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without, or a rule against it
        shutil.copyfile(source, target, follow_symlinks=False)
        target.chmod(0o600)


_NOT_BEGUN = frozenset({Outcome.SKIPPED, Outcome.CANCELLED})
_THERE: Mapping[Outcome, str] = {
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "timed out",
    Outcome.CRASHED: "crashed",
    Outcome.MEMORY_EXCEEDED: "exceeded its memory",
    Outcome.CANCELLED: "was cancelled",
    Outcome.SKIPPED: "was skipped",
    Outcome.CACHED: "was cached",
}
