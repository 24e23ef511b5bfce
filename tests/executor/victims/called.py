"""Functions that are called in workers."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any


class Refused(Exception):
    """With arguments of its own."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(what, number)
        self.number = number


def refuse(what: str) -> None:
    raise Refused(what, 7)


class Unsendable(Exception):
    """Its pickle, which knows the text alone, does not come back."""

    def __init__(self, *, number: int) -> None:
        super().__init__("seven")
        self.number = number


def refuse_by_name() -> None:
    """Raise what cannot travel."""
    raise Unsendable(number=7)


def sleep() -> None:
    """Take too long."""
    time.sleep(1000)


def pid() -> int:
    return os.getpid()


def hold(size: int) -> int:
    held = b"1" * size
    time.sleep(600)
    return len(held)


def mark_and_hang(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


def fail_first(path: str) -> str | None:
    if not os.path.exists(path):
        Path(path).touch()
        raise RuntimeError("the first time")
    return os.environ.get("WORKFLOW_ATTEMPT")


def variable(name: str) -> str | None:
    return os.environ.get(name)


def identity(value: Any) -> Any:
    return value


def hang_if(path: str) -> str:
    if path:
        mark_and_hang(path)
    return path


def mark_and_pause(path: str) -> str:
    Path(path).touch()
    time.sleep(0.5)
    return "paused"


_initialized: list[Any] = []


def initialize(*args: Any) -> None:
    _initialized.append(args)


def initialized() -> tuple[int, list[Any]]:
    return os.getpid(), _initialized


def die(how: str) -> None:
    if how == "raise":
        raise ValueError("on purpose")
    if how == "sys.exit":
        sys.exit(7)
    if how == "os._exit":
        os._exit(7)
    if how == "abort":
        os.abort()
    if how == "segv":
        ctypes.string_at(0)
    if how == "libc":
        ctypes.CDLL(None).exit(7)


def die_with(_data: bytes) -> None:
    os._exit(7)


class AtPickle:
    """Dies while it is pickled."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        die(self.how)


class AtUnpickle(AtPickle):
    """Dies while it is unpickled."""

    def __reduce__(self) -> Any:
        return die, (self.how,)


class AtDeath:
    """Dies when it is collected, in any process but the one that made it."""

    def __init__(self, how: str) -> None:
        self.how, self.maker = how, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.maker:
            die(self.how)


def make(kind: str, how: str) -> Any:
    return {"AtPickle": AtPickle, "AtUnpickle": AtUnpickle}[kind](how)


_kept: list[Any] = []


def keep_bomb(how: str) -> None:
    bomb = AtDeath(how)
    bomb.maker = 0
    _kept.append(bomb)


def drop_bomb() -> None:
    _kept.clear()


def large(size: int) -> bytes:
    return b"a" + bytes(size - 2) + b"z"
