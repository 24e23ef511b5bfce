"""Functions that are called in workers."""

from __future__ import annotations

import os
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


def fail_first(path: str) -> str:
    if not os.path.exists(path):
        Path(path).touch()
        raise RuntimeError("the first time")
    return os.environ["WORKFLOW_ATTEMPT"]


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
