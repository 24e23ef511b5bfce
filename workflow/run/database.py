"""``runs.db`` as a file: opened, migrated, and written in short transactions, or refused with a sentence.

One SQLite database for all runs of a state folder, in WAL mode, so that a run that reads does not wait for one that
writes.  ``user_version`` is the number of the schema; ``MIGRATIONS`` (``schema``) has a step from each number to the
next, all done in one transaction, so that two runs that open an old database at once are two that migrate it once.

Nothing is repaired or thrown away here: a database of a newer version, or one that is broken, is left as it is for
whoever knows what to do about it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from workflow.errors import WorkflowError
from workflow.run.schema import MIGRATIONS

NAME = "runs.db"
BUSY_S = 10.0
_TRY_MS = 100
"""How long SQLite waits, in the course of a run, before Python may hear signals again."""
_PAUSE_S = 0.005


class Unusable(WorkflowError):
    """The database cannot be read or written; why, and what to do about it."""


class Database:
    """The open database.  What is built on it raises Unusable, and may be called from any thread."""

    def __init__(self, state_dir: Path, *, create: bool = True) -> None:
        self.folder = state_dir
        self._create = create
        self.busy_s = BUSY_S
        """How long to wait for another run that writes."""
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
        if self._version() > len(MIGRATIONS):  # before anything is changed
            raise Unusable(
                f"{self._path} was made by a newer version of workflow (schema {self._version()}, this one knows up to "
                f"{len(MIGRATIONS)})"
            )
        if self._version() < 0:
            raise Unusable(self._broken(f"schema {self._version()}"))
        if create:
            self._patiently("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._migrate()
            self._db.execute(f"PRAGMA busy_timeout = {_TRY_MS}")
        elif self._version() == 0:
            raise Unusable(f"{self._path} holds nothing yet")
        ((self.salt,),) = self._db.execute("SELECT value FROM meta WHERE name = 'salt'").fetchall()
        """What secrets are digested with."""
        self.schema = self._version()
        """Its number: lower than the newest only where nothing is to be written."""
        if not isinstance(self.salt, bytes):
            raise ValueError("its salt is no salt")  # noqa: TRY004  as of the rest of what is in it

    def close(self) -> None:
        """Let it go."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _version(self) -> int:
        ((version,),) = self._db.execute("PRAGMA user_version").fetchall()
        return int(version)

    def _migrate(self) -> None:
        if self._version() >= len(MIGRATIONS):
            return
        with self._transaction():
            for number in range(self._version(), len(MIGRATIONS)):  # asked again: another run may have been faster
                MIGRATIONS[number](self._db)
                self._db.execute(f"PRAGMA user_version = {number + 1}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._patiently("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _patiently(self, statement: str) -> None:
        """Wait for others in between, and not in SQLite, where nothing would be heard of a signal."""
        until = time.monotonic() + self.busy_s
        while True:
            try:
                self._db.execute(statement)
            except sqlite3.OperationalError as error:
                if not _is_busy(str(error)) or time.monotonic() >= until:
                    raise
                time.sleep(_PAUSE_S)  # some statements do not wait at all
            else:
                return

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                raise Unusable(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"cannot {'write' if self._create else 'read'} {self._path}: {error.strerror or error}"
        text = str(error)
        if _is_busy(text):
            return f"{self._path} is locked by another process, for longer than {BUSY_S:g} s"
        if isinstance(error, sqlite3.OperationalError) and "no such" not in text:
            return f"cannot {'write' if self._create else 'read'} {self._path}: {text}"
        return self._broken(text)

    def _broken(self, text: str) -> str:
        return f"{self._path} is broken ({text}): move it away, and what it knew is made again"


def _is_busy(text: str) -> bool:
    return "locked" in text or "busy" in text
