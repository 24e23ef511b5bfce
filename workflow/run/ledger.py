"""``runs.db``: what earlier runs made, and from what.

One SQLite database for all runs of a state folder, in WAL mode, so that a run that reads does not wait for one that
writes.  Every access is one short transaction.  ``user_version`` is the number of the schema; ``_MIGRATIONS`` has a
step from each number to the next, done in one transaction, so that two runs that open an old database at once are
two that migrate it once.

Whatever is wrong with it, a batch can still run: whoever opens it gets ``Unusable`` with a sentence, and goes on
without.  Nothing is repaired or thrown away here: a database of a newer version, or one that is broken, is left as it
is for whoever knows what to do about it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow.errors import WorkflowError

NAME = "runs.db"
BUSY_S = 10.0
"""How long to wait for another run that writes."""
KEYS_MAX = 10
"""Keys remembered for each task: who switches between two settings finds both again."""


class Unusable(WorkflowError):
    """The database cannot be read or written; why, and what to do about it."""


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


class Ledger:
    """The open database.  Its methods raise Unusable, and may be called from any thread."""

    def __init__(self, state_dir: Path, *, create: bool = True) -> None:
        self._path = state_dir / NAME
        self._lock = threading.Lock()
        if not create and not self._path.exists():
            raise Unusable(f"there is no {self._path}")
        with self._told():
            self._regular()
            if create:
                # SQLite would make it, and its companions after it, readable for others.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            mode = "rw" if create else "ro"
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            self._db = sqlite3.connect(
                uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )  # fmt: skip
            try:
                self._open(create)
            except BaseException:
                self._db.close()
                raise

    def _regular(self) -> None:
        """Before SQLite opens it or what lies beside it: to open a pipe would block for ever."""
        for name in (NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal"):
            path = self._path.with_name(name)
            with contextlib.suppress(FileNotFoundError):
                mode = path.stat().st_mode
                if not stat.S_ISREG(mode):
                    what = (
                        "a folder"
                        if stat.S_ISDIR(mode)
                        else "a pipe"
                        if stat.S_ISFIFO(mode)
                        else "a device or a socket"
                    )
                    raise Unusable(f"{path} cannot be opened: it is {what}, and no file")

    def _open(self, create: bool) -> None:
        if self._version() > len(_MIGRATIONS):  # before anything is changed
            raise Unusable(
                f"{self._path} was made by a newer version of workflow (schema {self._version()}, this one knows up to "
                f"{len(_MIGRATIONS)})"
            )
        if self._version() < 0:
            raise Unusable(self._broken(f"schema {self._version()}"))
        if create:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._migrate()
        elif self._version() == 0:
            raise Unusable(f"{self._path} holds nothing yet")
        ((self.salt,),) = self._db.execute("SELECT value FROM meta WHERE name = 'salt'").fetchall()
        """What secrets are digested with."""
        if not isinstance(self.salt, bytes):
            raise ValueError("its salt is no salt")  # noqa: TRY004  as of the rest of what is in it

    def close(self) -> None:
        """Let it go."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def made(self, root: str, task: str) -> list[Made]:
        """What is known of a task, the newest first."""
        query = "SELECT key, parts, run, outputs, stamps, result FROM made WHERE root = ? AND task = ? ORDER BY at DESC"
        with self._told():
            rows = self._db.execute(query, (root, task)).fetchall()
            return [_made(task, *row) for row in rows]

    def record(self, root: str, made: Made) -> list[str]:
        """Keep what a task has made; answers the digests of results that nobody has any more."""
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

    def _kept(self, result: str) -> bool:
        return self._db.execute("SELECT 1 FROM made WHERE result = ? LIMIT 1", (result,)).fetchone() is not None

    def _version(self) -> int:
        ((version,),) = self._db.execute("PRAGMA user_version").fetchall()
        return int(version)

    def _migrate(self) -> None:
        if self._version() >= len(_MIGRATIONS):
            return
        with self._transaction():
            for number in range(self._version(), len(_MIGRATIONS)):  # asked again: another run may have been faster
                _MIGRATIONS[number](self._db)
                self._db.execute(f"PRAGMA user_version = {number + 1}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError, ValueError, TypeError, RecursionError) as error:
                raise Unusable(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{self._path} cannot be opened: {error.strerror or error}"
        text = str(error)
        if "locked" in text or "busy" in text:
            return f"{self._path} is locked by another process, for longer than {BUSY_S:g} s"
        if "readonly" in text or "unable to open" in text:
            return f"{self._path} cannot be written: {text}"
        if isinstance(error, sqlite3.OperationalError) and "no such" not in text:
            return f"{self._path}: {text}"
        return self._broken(text)

    def _broken(self, text: str) -> str:
        return f"{self._path} is broken ({text}): move it away, and what it knew is made again"


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


def _first(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
    db.execute("INSERT INTO meta VALUES ('salt', ?)", (secrets.token_bytes(32),))
    db.execute(
        "CREATE TABLE made (root TEXT NOT NULL, task TEXT NOT NULL, key TEXT NOT NULL, parts TEXT NOT NULL, "
        "run TEXT NOT NULL, outputs TEXT NOT NULL, stamps TEXT NOT NULL, result TEXT, at INTEGER NOT NULL, "
        "PRIMARY KEY (root, task, key)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX made_result ON made (result)")


_MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first,)
"""From each schema to the next; the first from an empty file."""
