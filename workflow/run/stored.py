"""Large results on their way from task to task: as files in the run folder.

A result arrives in the parent as bytes, and who takes it may start much later: two hundred results of 5 MB would be a
gigabyte in the one process that must not die of its memory.  So a large one is written to a file at once, and what
is handed on is a ``Stored``: its name and size.  It is read and unpickled in the worker of the task that takes it; if
the file is gone or is no longer what was written, that is this task's failure, which says so.

A worker imports this module, so it imports almost nothing.
"""

from __future__ import annotations

import os
from pickle import loads
from zlib import crc32

LARGE_BYTES = 256 * 1024
"""Pickled results of more are stored."""
_PIECE = 1024 * 1024


class LostResult(Exception):
    """The file of a large result is not there, or is not what was written.

    Raised in the worker of the task that takes the result, before its own code runs, and is that task's failure; the
    fault is of whoever touched the run folder, or of the disk.
    """


class Stored:
    """A result in a file: where it is unpickled, it is what was returned."""

    __slots__ = ("checksum", "path", "problem", "size", "task")

    def __init__(self, task: str, path: str, size: int, checksum: int, problem: str | None = None) -> None:
        self.task = task
        self.path = path
        self.size = size
        self.checksum = checksum
        self.problem = problem
        """Why it could not be stored."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_load, (self.task, self.path, self.size, self.checksum))

    def is_whole(self) -> bool:
        """Whether the file is what was written; not all of it is in memory."""
        checksum = size = 0
        try:
            with open(self.path, "rb") as file:
                while piece := file.read(_PIECE):
                    checksum = crc32(piece, checksum)
                    size += len(piece)
        except OSError:
            return False
        return (size, checksum) == (self.size, self.checksum)

    def pickled(self) -> bytes:
        """What is in the file.  Raises LostResult."""
        return _read(self.task, self.path, self.size, self.checksum)


def store(task: str, folder: str, pickled: bytes) -> Stored:
    """Write a result to a file of its own that only we can read, whole or not at all; does not raise."""
    path = os.path.join(folder, f"{task}.pickle")
    beside = f"{path}.part"
    problem = None
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(pickled)
            os.replace(beside, path)
        except OSError:
            if os.path.exists(beside):
                os.unlink(beside)
            raise
    except OSError as error:
        problem = f"the result of {task} could not be written to {path}: {error.strerror or error}"
    return Stored(task, path, len(pickled), crc32(pickled), problem)


def _read(task: str, path: str, size: int, checksum: int) -> bytes:
    try:
        with open(path, "rb") as file:
            pickled = file.read()
    except OSError as error:
        message = f"the result of {task} cannot be read from {path}: {error.strerror or error}"
        raise LostResult(message) from None
    if len(pickled) != size or crc32(pickled) != checksum:
        message = f"the result of {task} in {path} is not what was written there: somebody has changed the file"
        raise LostResult(message)
    return pickled


def _load(task: str, path: str, size: int, checksum: int) -> object:
    return loads(_read(task, path, size, checksum))
