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
        f'"duration_s": {seconds(attempt.duration_s)!r}, "pid": {"null" if attempt.pid is None else attempt.pid}, '
    )
    if (
        attempt.exit_code is None
        and attempt.error is None
        and attempt.peak_rss_bytes is None
        and attempt.cpu_s is None
        and attempt.signal is None
        and not attempt.left
    ):
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
_NOTHING_MORE = '"exit_code": null, "signal": null, "left": 0, "peak_rss_bytes": null, "cpu_s": null, "error": null'


def callback_text(callback: CallbackRecord) -> str:
    """Answer what became of a callback."""
    return encode(callback_shape(callback))


EndingTexts = tuple[str, str]
"""What an event and the report both say of how a task ended: the fields of it, and the value of ``duration_s``."""


def ending_texts(record: TaskRecord) -> EndingTexts:
    """Answer them, made once for both."""
    duration_s = record.duration_s
    how = (
        f'"outcome": {_OUTCOMES[record.outcome]}, "reason": {text_of(record.reason)}, '
        f'"flaky": {"true" if record.flaky else "false"}'
    )
    return how, "null" if duration_s is None else repr(round(duration_s, 6))


def task_head(record: TaskRecord, ending: EndingTexts | None = None) -> str:
    """Answer what does not change any more when a task has ended, without the brace that ends it (``head_shape``)."""
    how, took = ending or ending_texts(record)
    attempts = record.attempts
    if len(attempts) == 1:  # as most have
        (attempt,) = attempts
        told = f'{{"number": {attempt.number}, {attempt_text(attempt)}}}'
    else:
        told = ", ".join([f'{{"number": {each.number}, {attempt_text(each)}}}' for each in attempts])
    return (
        f'{{"id": {quoted(record.id)}, "name": {quoted(record.name)}, "matrix": {_matrix(record.matrix)}, '
        f'{how}, "carried_from": {text_of(record.carried_from)}, "duration_s": {took}, "attempts": [{told}]'
    )


def _matrix(matrix: Mapping[str, object] | None) -> str:
    if matrix is None:
        return "null"
    told = [f"{quoted(axis)}: {value if type(value) is int else _value(value)}" for axis, value in matrix.items()]
    return "{" + ", ".join(told) + "}"


def _value(value: object) -> str:
    kind = type(value)
    if kind is int or (kind is float and math.isfinite(value)):  # type: ignore[arg-type]  # a float it is
        return repr(value)
    return quoted(value) if kind is str else encode(finite(value))  # type: ignore[arg-type]  # a text it is
