"""Tasks whose results, arguments and output are large, or have no manners."""

from __future__ import annotations

import os
import signal
import threading
import time

from workflow.harness import journal
from workflow.harness.victims import Harm
from workflow.model import Model

_MARK = b"<the beginning>", b"<the end>"
_CHUNK = 1 << 20
_GARBAGE: dict[str, bytes] = {
    "binary": b"\xff\x00\xc3(\x1b[2J\x1b]0;title\x07\xed\xa0\x80",
    "nul": b"\0" * 4096 + b"between\n",
    "control": b"\x1b[31m\x9b2J\rover\x08\x7f\xc2\x9b3J\xe2\x80\xaeturned\x1b[?1049h\n",
    "endless": b"no end of line ",
}


def sized(size: int) -> bytes:
    """So many bytes, with a beginning and an end that can be looked for."""
    return _MARK[0] + bytes(size - len(_MARK[0]) - len(_MARK[1])) + _MARK[1]


def size_of(*parts: bytes | list[bytes]) -> int:
    """How large they are together.  Raises Harm for one that did not arrive whole."""
    whole = [piece for part in parts for piece in (part if isinstance(part, list) else [part])]
    for piece in whole:
        if not (piece.startswith(_MARK[0]) and piece.endswith(_MARK[1])):
            message = f"{len(piece)} bytes arrived, and not as they were sent"
            raise Harm(message)
    return sum(map(len, whole))


class Huge(Model):
    """Returns so many bytes, and its callback holds them against that.  It notes itself, for a disguise would copy."""

    def runnable(self, size: int) -> bytes:
        """Answer ``sized(size)``."""
        task, attempt = os.environ["WORKFLOW_TASK_ID"], int(os.environ["WORKFLOW_ATTEMPT"])
        journal.note(journal.BEGAN, task, attempt)
        result = sized(size)
        journal.note(journal.ENDED, task, attempt, str(size))
        return result

    def callback(self, result: bytes) -> None:
        """Note its size, if it is whole."""
        journal.note(journal.CALLBACK, f"{size_of(result)} bytes", 0, "callback")

    def error_callback(self, error: BaseException) -> None:
        """Take the error."""


class HalfWritten(Huge):
    """Dies when half of its result is written to the file in which it is to travel.

    The GIL is let go for that one write, so a thread beside it can look how far it has come.
    """

    def runnable(self, size: int) -> bytes:
        """Answer ``sized(size)``, and do not survive it."""
        threading.Thread(target=_die_when_half_is_written, args=(size,), daemon=True).start()
        return super().runnable(size)


def _die_when_half_is_written(size: int) -> None:
    while True:
        for name in os.listdir("/proc/self/fd"):
            try:
                written = os.fstat(int(name)).st_size
            except OSError:
                continue  # the one that listed the folder
            if size // 4 < written < size:
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)


class Number(Model):
    """The least that a task can be."""

    def runnable(self, number: int) -> int:
        """Answer it."""
        return number


class Flood(Model):
    """Prints, from its task and from its callback."""

    def runnable(self, garbage: str, size: int, *, fails: bool = False) -> str:
        """Write so many bytes of this garbage to standard output, at once."""
        _flood(garbage, size)
        if fails:
            message = f"after the flood: {_GARBAGE['control'].decode(errors='replace')}"
            raise Harm(message)
        return "said"

    def callback(self, _result: object) -> None:
        """Print some more."""
        _flood("control", 2 * _CHUNK)

    def error_callback(self, error: BaseException) -> None:
        """Print the error as it is, and more."""
        os.write(1, str(error).encode(errors="replace"))
        _flood("binary", 2 * _CHUNK)


def _flood(garbage: str, size: int) -> None:
    pattern = _GARBAGE[garbage]
    part = memoryview((pattern * (_CHUNK // len(pattern) + 1))[:_CHUNK])
    while size > 0:
        size -= os.write(1, part[:size])
