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


def pid() -> int:
    return os.getpid()


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
