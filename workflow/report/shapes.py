"""Records as the plain dictionaries that ``report.json`` and ``events.jsonl`` hold, field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from json.encoder import encode_basestring_ascii
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
    shape: dict[str, object] = json.loads(f"{{{attempt_text(attempt)}}}")
    return shape


def attempt_text(attempt: Attempt) -> str:
    """The same as JSON without braces: what the report and the event of an attempt have in common.

    Put together by hand, as everything that is written for each of a million tasks: the encoder of the standard
    library takes four times as long to begin with.
    """
    error = "null" if attempt.error is None else json.dumps(error_shape(attempt.error))
    return (
        f'"outcome": "{attempt.outcome.value}", "started_at": "{iso(attempt.started_at)}", '
        f'"duration_s": {number(seconds(attempt.duration_s))}, "pid": {number(attempt.pid)}, '
        f'"exit_code": {number(attempt.exit_code)}, "signal": {text(attempt.signal)}, "left": {number(attempt.left)}, '
        f'"peak_rss_bytes": {number(attempt.peak_rss_bytes)}, "cpu_s": {number(attempt.cpu_s)}, "error": {error}'
    )


def number(value: float | None) -> str:
    """Answer a number as JSON."""
    return "null" if value is None else repr(value)


def text(value: str | None) -> str:
    """Answer a text as JSON."""
    return "null" if value is None else encode_basestring_ascii(value)


def callback_shape(callback: CallbackRecord) -> dict[str, object]:
    """Answer what became of a callback."""
    return {"name": callback.name, "outcome": callback.outcome.value, "error": error_shape(callback.error)}


def task_shape(record: TaskRecord) -> dict[str, object]:
    """Answer a task of the report."""
    shape: dict[str, object] = json.loads(record_text(record))
    return shape


def record_text(record: TaskRecord) -> str:
    """The same as JSON."""
    callback = None if record.callback is None else json.dumps(callback_shape(record.callback))
    return task_text(task_head(record), callback, record.log)


def task_head(record: TaskRecord) -> str:
    """Answer the beginning of its text, which is certain when it has ended; ``task_text`` makes it whole."""
    matrix = "null"
    if record.matrix is not None:
        matrix = json.dumps({axis: _finite(value) for axis, value in record.matrix.items()})
    attempts = ", ".join([f'{{"number": {each.number}, {attempt_text(each)}}}' for each in record.attempts])
    return (
        f'{{"id": {text(record.id)}, "name": {text(record.name)}, "matrix": {matrix}, '
        f'"outcome": "{record.outcome.value}", "reason": {text(record.reason)}, '
        f'"flaky": {"true" if record.flaky else "false"}, "carried_from": {text(record.carried_from)}, '
        f'"duration_s": {number(seconds(record.duration_s))}, "attempts": [{attempts}]'
    )


def task_text(head: str, callback: str | None, log: str | None) -> str:
    """Answer a task of the report from its beginning, and what its callback, which may end later, has added."""
    return f'{head}, "callback": {callback or "null"}, "log": {text(log)}}}'


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
    return None if value is None else round(max(0.0, value), 6)


def _finite(value: object) -> object:
    """Answer a value that JSON can say: TOML has infinities and NaN, JSON has not, so they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return value
