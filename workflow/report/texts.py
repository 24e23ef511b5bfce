"""Records as the JSON text that ``report.json``, ``events.jsonl`` and the ledger hold: what ``shapes`` says, at once.

``json.dumps`` of a task's dictionaries takes longer than a short task runs, and the facts of an attempt are wanted
twice, in an event and in the report.  So the text is written by hand, with the encoder's own functions for what is in
it, and that of the last attempt is remembered.  The price is a second list of every field; a test holds the two
together, to the byte.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii

from workflow.outcome import Attempt, CallbackRecord, Outcome
from workflow.report.records import TaskRecord, iso
from workflow.report.shapes import callback_shape, error_shape, finite, seconds

quoted = encode_basestring_ascii
"""Of a text."""
encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode
"""Of anything: ASCII only, as lone surrogates could not be written as UTF-8."""
_OUTCOMES = {outcome: f'"{outcome.value}"' for outcome in Outcome}


def text_of(value: str | None) -> str:
    """Answer a text that may be missing."""
    return "null" if value is None else quoted(value)


def number_of(value: float | None) -> str:
    """Answer a number that may be missing, and is finite."""
    return "null" if value is None else repr(value)


def attempt_text(attempt: Attempt) -> str:
    """Answer the fields of ``attempt_shape``, without the braces around them."""
    global _last  # noqa: PLW0603  a memo, replaced as a whole
    last, text = _last
    if attempt is last:
        return text
    text = (
        f'"outcome": {_OUTCOMES[attempt.outcome]}, "started_at": "{iso(attempt.started_at)}", '
        f'"duration_s": {seconds(attempt.duration_s)!r}, "pid": {number_of(attempt.pid)}, '
    )
    facts = attempt.exit_code, attempt.signal, attempt.peak_rss_bytes, attempt.cpu_s, attempt.error
    if facts == _NO_FACTS and not attempt.left:
        text += _NOTHING_MORE
    else:
        error = "null" if attempt.error is None else encode(error_shape(attempt.error))
        text += (
            f'"exit_code": {number_of(attempt.exit_code)}, "signal": {text_of(attempt.signal)}, '
            f'"left": {attempt.left}, "peak_rss_bytes": {number_of(attempt.peak_rss_bytes)}, '
            f'"cpu_s": {number_of(attempt.cpu_s)}, "error": {error}'
        )
    _last = attempt, text
    return text


_last: tuple[Attempt | None, str] = None, ""
_NO_FACTS = None, None, None, None, None
_NOTHING_MORE = '"exit_code": null, "signal": null, "left": 0, "peak_rss_bytes": null, "cpu_s": null, "error": null'


def callback_text(callback: CallbackRecord) -> str:
    """Answer what became of a callback."""
    return encode(callback_shape(callback))


def task_head(record: TaskRecord) -> str:
    """Answer what does not change any more when a task has ended, without the brace that ends it (``head_shape``)."""
    attempts = ", ".join([f'{{"number": {each.number}, {attempt_text(each)}}}' for each in record.attempts])
    return (
        f'{{"id": {quoted(record.id)}, "name": {quoted(record.name)}, "matrix": {_matrix(record.matrix)}, '
        f'"outcome": {_OUTCOMES[record.outcome]}, "reason": {text_of(record.reason)}, '
        f'"flaky": {"true" if record.flaky else "false"}, "carried_from": {text_of(record.carried_from)}, '
        f'"duration_s": {number_of(seconds(record.duration_s))}, "attempts": [{attempts}]'
    )


def _matrix(matrix: Mapping[str, object] | None) -> str:
    if matrix is None:
        return "null"
    return "{" + ", ".join([f"{quoted(axis)}: {_value(value)}" for axis, value in matrix.items()]) + "}"


def _value(value: object) -> str:
    kind = type(value)
    if kind is int or (kind is float and math.isfinite(value)):  # type: ignore[arg-type]  # a float it is
        return repr(value)
    return quoted(value) if kind is str else encode(finite(value))  # type: ignore[arg-type]  # a text it is
