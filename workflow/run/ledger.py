"""``runs.db``: which runs there were, how their tasks ended, and what was made from what.

A run writes down how its tasks ended before it tells anybody: what a turn of its loop has heard is one transaction.  In
WAL mode that is one ``write`` to a file, so what was told survives the death of every process of ours at any moment.

Under power loss less is promised.  ``synchronous = NORMAL`` waits for the disk only at a checkpoint, every few
megabytes: the database is whole afterwards, but may lack the last endings, and a run that is resumed then runs those
tasks again.  ``FULL`` would wait with every turn: 5 ms instead of 0.04 ms on the disk this was measured on, so that a
chain of short tasks would take six times as long.  Nothing else that a run leaves waits for the disk either.

A task that ended is kept as its text in ``report.json``: it is made once, for both, and a report can be made from the
ledger alone.  Only what a callback adds, which may end much later, is kept beside it.

Every method is one short transaction.  Whatever is wrong with the file, whoever asks gets ``Unusable`` with a sentence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from workflow.outcome import Outcome
from workflow.report.json_report import task_text
from workflow.report.records import RunRecord, Verdict
from workflow.run.database import Database
from workflow.run.schema import PLACES

KEYS_MAX = 10
"""Keys remembered for each task: who switches between two settings finds both again."""
_PIECE = 1000
"""Rows read at once."""


SeedFrom = Literal["option", "file", "drawn"]
"""Who chose the seed of a run: the command line, the pipeline file, or nobody."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a task made in an earlier run."""

    task: str
    key: str
    parts: Mapping[str, str]
    """Of the key."""
    run: str
    """Id of the run."""
    outputs: Mapping[str, str]
    """Digests by path."""
    stamps: Mapping[str, tuple[int, ...]]
    """Of the outputs that had rested when they were read: while a file still has it, its content is the same."""
    result: str | None
    """Digest of the kept result; None where it was not kept."""


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run, as the ledger knows it."""

    number: int
    """Runs that began later have larger ones."""
    root: str
    """Folder of its pipeline file."""
    seed_from: SeedFrom
    resumed: int | None
    """The run that it completed."""
    run: RunRecord
    verdict: Verdict | None
    """None while it goes on, and for ever when it was killed; ``folder.is_alive`` tells one from the other."""
    counts: Mapping[str, int] | None
    """How many of its tasks ended in each way; None as long as ``verdict`` is."""


class EndedRow(NamedTuple):
    """How a task of a run ended."""

    place: int
    """In the plan, from 0."""
    task: str
    outcome: Outcome
    key: str | None
    """None where it has none that could be compared."""
    parts: str | None
    """Of the key, as JSON."""
    head: str
    """The text of ``task_head``."""
    log: str | None
    callback: str | None
    """As JSON; None as long as it has not ended."""
    result: bytes | None
    """What it returned, pickled, when others take it; None also where it is in a file."""
    stored: str | None
    """Size and checksum of its file in the folder of the run's results, as JSON, where it is in one."""
    outputs: str | None = None
    """A digest of how its outputs looked when it had ended; None where it has none, or too many files to look at."""

    @property
    def text(self) -> str:
        """The task as ``report.json`` has it."""
        return task_text(self.head, self.callback, self.log)


class SettledRow(NamedTuple):
    """What became of the callback of a task that was recorded before."""

    place: int
    callback: str
    log: str | None
    """Of the task, its callback's output included."""


class Ledger(Database):
    """The open database."""

    @cached_property
    def _places(self) -> dict[str, str]:
        return {}

    def made(self, root: str, task: str) -> list[Made]:
        """What is known of a task, the newest first."""
        query = "SELECT key, parts, run, outputs, stamps, result FROM made WHERE root = ? AND task = ? ORDER BY at DESC"
        with self._told():
            rows = self._db.execute(query, (self._place(root), task)).fetchall()
            return [_made(task, *row) for row in rows]

    def record(self, root: str, made: Made) -> list[str]:
        """Keep what a task has made; answers the digests of results that nobody has any more."""
        root = self._place(root)
        values = (json.dumps(made.parts), made.run, json.dumps(made.outputs), json.dumps(made.stamps), made.result)
        with self._told(), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO made (root, task, key, parts, run, outputs, stamps, result, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
                "(SELECT coalesce(max(at), 0) + 1 FROM made WHERE root = ? AND task = ?))",
                (root, made.task, made.key, *values, root, made.task),
            )
            old = self._db.execute(
                "SELECT key, result FROM made WHERE root = ? AND task = ? ORDER BY at DESC LIMIT -1 OFFSET ?",
                (root, made.task, KEYS_MAX),
            ).fetchall()
            for key, _ in old:
                self._db.execute("DELETE FROM made WHERE root = ? AND task = ? AND key = ?", (root, made.task, key))
            gone = {result for _, result in old if result and _is_name(result)}
            return [each for each in gone if not self._kept(each)]

    def results(self) -> set[str]:
        """The digests of all results that somebody may still want."""
        with self._told():
            return {str(result) for (result,) in self._db.execute("SELECT DISTINCT result FROM made") if result}

    def roots(self) -> list[str]:
        """The folders of pipeline files whose tasks it remembers."""
        with self._told():
            rows = self._db.execute("SELECT DISTINCT root FROM made").fetchall()
            return [self._folder_at(str(place)) for (place,) in rows]

    def forget_root(self, root: str) -> None:
        """Delete what the tasks of files in that folder have made."""
        with self._told(), self._transaction():
            self._db.execute("DELETE FROM made WHERE root = ?", (self._place(root),))

    def _kept(self, result: str) -> bool:
        return self._db.execute("SELECT 1 FROM made WHERE result = ? LIMIT 1", (result,)).fetchone() is not None

    # Runs

    def begin_run(self, run: RunRecord, root: str, *, seed_from: SeedFrom = "drawn", resumed: int | None = None) -> int:
        """Record a run before it runs anything, and answer its number."""
        facts = {name: value for name, value in asdict(run).items() if name in _FACTS}
        facts[_HOME] = _below(root, str(self.folder))
        file = os.path.realpath(run.file)
        values = (run.id, root, file, run.name, run.plan_hash, run.seed, run.tasks, run.started_at, json.dumps(facts))
        with self._told(), self._transaction():
            done = self._db.execute(
                "INSERT INTO run (id, root, file, name, plan_hash, seed, tasks, started_at, facts, seed_from, resumed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, seed_from, resumed),
            )
            assert done.lastrowid is not None
            return done.lastrowid

    def record_ended(self, run: int, ended: Sequence[EndedRow], settled: Sequence[SettledRow] = ()) -> None:
        """Record how tasks ended, and then what became of callbacks: all of it, or nothing."""
        if not ended and not settled:
            return
        base = run * PLACES
        with self._told(), self._transaction():
            self._db.executemany(
                "INSERT INTO ended (at, task, outcome, key, parts, head, log, callback, result, stored, outputs) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(base + place, task, _NAMES[outcome], *rest) for place, task, outcome, *rest in ended],
            )
            if settled:
                self._db.executemany(
                    "UPDATE ended SET callback = ?, log = ? WHERE at = ?",
                    [(row.callback, row.log, base + row.place) for row in settled],
                )

    def finish_run(self, run: int, verdict: Verdict, counts: Mapping[str, int]) -> None:
        """Record how a run ended."""
        with self._told(), self._transaction():
            self._db.execute(
                "UPDATE run SET finished_at = ?, duration_s = ?, status = ?, exit_code = ?, reason = ?, counts = ? "
                "WHERE number = ?",
                (verdict.finished_at, verdict.duration_s, verdict.status, verdict.exit_code, verdict.reason,
                 json.dumps(counts), run),
            )  # fmt: skip

    def runs(self, file: str | None = None) -> list[KnownRun]:
        """All runs, or those of one pipeline file, the newest first."""
        if file is None:
            return self._runs("", ())
        file = os.path.realpath(file)
        # Those of another folder too: it may be this one, before it was moved.
        found = self._runs("WHERE file = ? OR root <> ?", (file, str(Path(file).parent)))
        return [known for known in found if os.path.realpath(known.run.file) == file]

    def numbered(self, run: int) -> KnownRun | None:
        """The run with this number, if it is still known."""
        return next(iter(self._runs("WHERE number = ?", (run,))), None)

    def matching(self, text: str) -> list[KnownRun]:
        """The run with this id; where there is none, those whose ids begin so, the newest first."""
        return self._runs("WHERE id = ?", (text,)) or self._runs("WHERE substr(id, 1, ?) = ?", (len(text), text))

    def counts(self, run: int) -> dict[str, int]:
        """How many tasks of a run have ended in each way until now."""
        query = "SELECT outcome, count(*) FROM ended WHERE at >= ? AND at < ? GROUP BY outcome"
        with self._told():
            rows = self._db.execute(query, (run * PLACES, (run + 1) * PLACES)).fetchall() if self._has_runs else ()
            return {str(outcome): int(number) for outcome, number in rows}

    def ended_at(self, run: int, place: int) -> EndedRow | None:
        """How the task at this place of its plan ended."""
        query = f"SELECT {_ENDED} FROM ended WHERE at = ?"  # noqa: S608  of ours
        with self._told():
            row = self._db.execute(query, (run * PLACES + place,)).fetchone()
            return None if row is None else _ended(run, *row)

    def places(self, run: int) -> dict[str, int]:
        """Where its tasks stood that have ended."""
        query = "SELECT at, task FROM ended WHERE at >= ? AND at < ?"
        with self._told():
            rows = self._db.execute(query, (run * PLACES, (run + 1) * PLACES))
            return {str(task): int(at) - run * PLACES for at, task in rows}

    def ended(self, run: int) -> Iterator[EndedRow]:
        """How its tasks ended, in the order of the plan; not all of it in memory."""
        for rows in self._pieces(run, _ENDED):
            with self._told():
                found = [_ended(run, *row) for row in rows]
            yield from found

    def texts(self, run: int) -> Iterator[tuple[int, str]]:
        """The same, as places in the plan, and what ``report.json`` says of the task there."""
        for rows in self._pieces(run, "at, head, callback, log"):
            yield from [(at - run * PLACES, task_text(head, callback, log)) for at, head, callback, log in rows]

    def _pieces(self, run: int, columns: str) -> Iterator[list[Any]]:
        after, until = run * PLACES - 1, (run + 1) * PLACES
        query = f"SELECT {columns} FROM ended WHERE at > ? AND at < ? ORDER BY at LIMIT ?"  # noqa: S608  of ours
        while self._has_runs:
            with self._told():
                rows = self._db.execute(query, (after, until, _PIECE)).fetchall()
            yield rows
            if len(rows) < _PIECE:
                return
            after = rows[-1][0]

    def forget(self, runs: Iterable[int]) -> None:
        """Delete what is known of runs; what they left on the disk is somebody else's to delete."""
        with self._told(), self._transaction():
            for run in runs:
                self._db.execute("DELETE FROM ended WHERE at >= ? AND at < ?", (run * PLACES, (run + 1) * PLACES))
                self._db.execute("DELETE FROM run WHERE number = ?", (run,))

    def _runs(self, where: str, values: tuple[object, ...]) -> list[KnownRun]:
        query = f"SELECT {_RUN} FROM run {where} ORDER BY number DESC"  # noqa: S608  of ours
        with self._told():
            rows = self._db.execute(query, values).fetchall() if self._has_runs else ()
            return [self._run(*row) for row in rows]

    def _run(
        self,
        number: int,
        id_: str,
        root: str,
        seed_from: SeedFrom,
        resumed: int | None,
        name: str | None,
        plan_hash: str,
        seed: int,
        tasks: int,
        started_at: float,
        facts: str,
        finished_at: float | None,
        duration_s: float,
        status: str,
        exit_code: int,
        reason: str | None,
        counts: str,
    ) -> KnownRun:
        known = {**json.loads(facts)}
        root, known["file"] = self._moved(root, known["file"], known.pop(_HOME, None))
        run = RunRecord(
            id=id_, name=name, plan_hash=plan_hash, started_at=started_at, tasks=tasks, seed=seed,
            folder=str(self.folder / "runs" / id_), **{**known, "argv": tuple(known["argv"])},
        )  # fmt: skip
        if finished_at is None:
            return KnownRun(number, root, seed_from, resumed, run, None, None)
        verdict = Verdict(exit_code, status, reason, finished_at, duration_s)
        return KnownRun(number, root, seed_from, resumed, run, verdict, json.loads(counts))

    def _place(self, root: str) -> str:
        """What the folder of a pipeline is called in what was made: relative to the ledger, where that lies in it."""
        place = self._places.get(root)
        if place is None:
            home = _below(root, str(self.folder))
            place = self._places[root] = root if home is None else f"{_HERE}{home}"
        return place

    def _folder_at(self, place: str) -> str:
        home = place.removeprefix(_HERE)
        here = os.path.realpath(self.folder)
        return here[: -len(home) - 1] or "/" if home != place and here.endswith(f"/{home}") else place

    def _moved(self, root: str, file: str, home: str | None) -> tuple[str, str]:
        """Where the folder of a pipeline is now, and its file: a project that is moved or copied takes its runs along.

        That can be told only where the ledger lies in that folder, and has come with it.
        """
        here = os.path.realpath(self.folder)
        if home is None or not here.endswith(f"/{home}"):
            return root, file
        now = here[: -len(home) - 1] or "/"
        if now == os.path.realpath(root):
            return root, file
        below = _below(root, file)
        return now, file if below is None else str(Path(now) / below)

    @property
    def _has_runs(self) -> bool:
        return self.schema > 1  # one that is only looked at may be old


def _below(folder: str, path: str) -> str | None:
    """The path relative to a folder that it lies in; None where it lies elsewhere."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
    return None if relative == "." or relative.split("/", 1)[0] == ".." else relative


_NAMES = {outcome: outcome.value for outcome in Outcome}
_HOME = "home"
"""Among the facts of a run: where the ledger lies below the folder of the pipeline."""
_HERE = "//"
"""Before the same, as the name of that folder in what was made: no path begins so that the system has made whole."""
_FACTS = frozenset({"engine", "pool", "file", "host", "pid", "python", "version", "git", "argv"})
_RUN = (
    "number, id, root, seed_from, resumed, name, plan_hash, seed, tasks, started_at, facts, "
    "finished_at, duration_s, status, exit_code, reason, counts"
)
_TEXT: tuple[type, ...] = (str, type(None))
_BYTES: tuple[type, ...] = (bytes, type(None))
_TYPES: tuple[tuple[type, ...], ...] = (_TEXT, _TEXT, (str,), _TEXT, _TEXT, _BYTES, _TEXT, _TEXT)
_ENDED = "at, task, outcome, key, parts, head, log, callback, result, stored, outputs"


def _ended(run: int, at: int, task: str, outcome: str, *rest: object) -> EndedRow:
    """A row; raises ValueError unless everything in it is what it has to be."""
    if not all(isinstance(value, types) for value, types in zip(rest, _TYPES, strict=True)):
        raise ValueError(f"a row of {task} is spoiled")
    return EndedRow(at - run * PLACES, task, Outcome(outcome), *cast("tuple[Any, ...]", rest))


def _made(task: str, key: object, parts: str, run: object, outputs: str, stamps: str, result: object) -> Made:
    """A row; raises ValueError unless everything in it is what it has to be."""
    if not isinstance(key, str) or not isinstance(run, str) or not (result is None or _is_name(result)):
        raise ValueError(f"a row of {task} is spoiled")
    made = _texts(task, outputs)
    looked: object = json.loads(stamps)
    if not isinstance(looked, dict) or not looked.keys() <= made.keys() or not all(map(_is_stamp, looked.values())):
        raise ValueError(f"a row of {task} is spoiled")
    at = {path: tuple(stamp) for path, stamp in looked.items()}
    return Made(task, key, _texts(task, parts), run, made, at, None if result is None else str(result))


def _texts(task: str, text: str) -> dict[str, str]:
    found: object = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"a row of {task} is spoiled")
    return found


def _is_stamp(value: object) -> bool:
    return isinstance(value, list) and len(value) == 5 and all(type(each) is int for each in value)


def _is_name(result: object) -> bool:
    """Whether it can be a file of the folder of kept results, and none elsewhere."""
    return isinstance(result, str) and result.isalnum()
