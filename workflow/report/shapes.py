"""Records as the plain dictionaries that ``report.json`` and ``events.jsonl`` hold, field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.report.records import RunRecord, TaskRecord, Verdict, iso

FORMAT = 1
"""Version of report.json."""


def error_shape(error: ErrorRecord | None) -> dict[str, object] | None:
    """Answer what went wrong."""
    if error is None:
        return None
    return {"type": error.type, "message": error.message, "traceback": error.traceback, "stack": error.stack}


def attempt_shape(attempt: Attempt) -> dict[str, object]:
    """Answer the facts of an attempt, without its number: reports and events name that differently."""
    return {
        "outcome": attempt.outcome.value,
        "started_at": iso(attempt.started_at),
        "duration_s": seconds(attempt.duration_s),
        "pid": attempt.pid,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "left": attempt.left,
        "peak_rss_bytes": attempt.peak_rss_bytes,
        "cpu_s": attempt.cpu_s,
        "error": error_shape(attempt.error),
    }


def callback_shape(callback: CallbackRecord) -> dict[str, object]:
    """Answer what became of a callback."""
    return {"name": callback.name, "outcome": callback.outcome.value, "error": error_shape(callback.error)}


def task_shape(record: TaskRecord) -> dict[str, object]:
    """Answer a task of the report."""
    callback = None if record.callback is None else callback_shape(record.callback)
    return {**head_shape(record), "callback": callback, "log": record.log}


def head_shape(record: TaskRecord) -> dict[str, object]:
    """Answer what does not change any more when it has ended; its callback may still run, and print."""
    return {
        "id": record.id,
        "name": record.name,
        "matrix": None if record.matrix is None else {axis: finite(value) for axis, value in record.matrix.items()},
        "outcome": record.outcome.value,
        "reason": record.reason,
        "flaky": record.flaky,
        "carried_from": record.carried_from,
        "duration_s": seconds(record.duration_s),
        "attempts": [{"number": attempt.number, **attempt_shape(attempt)} for attempt in record.attempts],
    }


def attempt_of(shape: Mapping[str, Any]) -> Attempt:
    """Answer the attempt of which a report tells.  Raises KeyError, TypeError or ValueError for another shape."""
    return Attempt(
        number=shape["number"],
        outcome=Outcome(shape["outcome"]),
        started_at=datetime.fromisoformat(shape["started_at"]).timestamp(),
        duration_s=shape["duration_s"],
        pid=shape["pid"],
        exit_code=shape["exit_code"],
        signal=shape["signal"],
        left=shape["left"],
        peak_rss_bytes=shape["peak_rss_bytes"],
        cpu_s=shape["cpu_s"],
        error=None if shape["error"] is None else ErrorRecord(**shape["error"]),
    )


def callback_of(shape: Mapping[str, Any]) -> CallbackRecord:
    """Answer the callback of which a report tells.  Raises as ``attempt_of``."""
    error = None if shape["error"] is None else ErrorRecord(**shape["error"])
    return CallbackRecord(shape["name"], Outcome(shape["outcome"]), error)


def run_shape(run: RunRecord, verdict: Verdict) -> dict[str, object]:
    """Answer the head of the report."""
    return {
        "id": run.id,
        "name": run.name,
        "file": run.file,
        "plan_hash": run.plan_hash,
        "status": verdict.status,
        "exit_code": verdict.exit_code,
        "started_at": iso(run.started_at),
        "finished_at": iso(verdict.finished_at),
        "duration_s": seconds(verdict.duration_s),
        "engine": run.engine,
        "pool": run.pool,
        "host": run.host,
        "python": run.python,
        "version": run.version,
        "git": run.git,
        "argv": list(run.argv),
        "seed": run.seed,
    }


def seconds(value: float | None) -> float | None:
    """Answer a duration without digits that no clock here measures."""
    return None if value is None else round(value, 6) if value > 0.0 else 0.0


def finite(value: object) -> object:
    """Answer a value that JSON can say: TOML has infinities and NaN, JSON has not, so they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return value
