"""What a program of its own on the engine needs in order to be judged: an engine that injects, and its own account.

``workflow run`` leaves a report.  A program leaves what it likes, so here it keeps an account in the same shape: one
line for each task to which nothing more will happen, written by whoever is told of that, before the program is.  A
program that dies has an account of what it was told until then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workflow import ErrorRecord, Handle
from workflow.failpoints import FOLDER_VARIABLE
from workflow.harness.injection import FaultyEngine, read_injection

_FILE = "account"


def make_engine(pool: int | None = None, **options: Any) -> FaultyEngine:
    """The engine for a program under the harness; every task that is pushed to it needs an id."""
    return FaultyEngine(read_injection(Path(os.environ[FOLDER_VARIABLE])), pool, on_callback=keep, **options)


def read_account(folder: Path) -> dict[str, Any]:
    """What the program was told, as the ``tasks`` of a report."""
    try:
        lines = (folder / _FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        lines = [b""]
    return {"tasks": [json.loads(line) for line in lines[:-1]]}


def keep(handle: Handle) -> None:
    """Write down how a task ended."""
    outcome, callback = handle.outcome, handle.callback
    line = {
        "id": handle.id,
        "outcome": None if outcome is None else outcome.value,
        "reason": handle.reason,
        "attempts": [
            {
                "number": attempt.number,
                "outcome": attempt.outcome.value,
                "exit_code": attempt.exit_code,
                "signal": attempt.signal,
                "left": attempt.left,
                "error": _error(attempt.error),
            }
            for attempt in handle.attempts
        ],
        "callback": None if callback is None else {"outcome": callback.outcome.value, "error": _error(callback.error)},
    }
    path = os.path.join(os.environ[FOLDER_VARIABLE], _FILE)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)


def _error(error: ErrorRecord | None) -> Mapping[str, Any] | None:
    return None if error is None else asdict(error)
