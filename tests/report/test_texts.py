"""The text that is written by hand is what the encoder would make of the dictionaries, to the byte."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.report.events import EventLog
from workflow.report.json_report import record_text
from workflow.report.records import TaskRecord, iso
from workflow.report.shapes import attempt_shape, callback_shape, task_shape
from workflow.report.texts import ending_texts

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates, too
NUMBERS = st.floats(min_value=0, max_value=4e9)
ERRORS = st.builds(ErrorRecord, TEXTS, TEXTS, st.none() | TEXTS, st.none() | TEXTS)
ATTEMPTS = st.builds(
    Attempt,
    number=st.integers(1, 65_535),
    outcome=st.sampled_from(Outcome),
    started_at=NUMBERS,
    duration_s=st.floats(min_value=-1, max_value=1e6),
    pid=st.none() | st.integers(1, 1 << 22),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | TEXTS,
    left=st.integers(0, 65_535),
    peak_rss_bytes=st.none() | st.integers(0, 1 << 60),
    cpu_s=st.none() | NUMBERS,
    error=st.none() | ERRORS,
)
CALLBACKS = st.builds(CallbackRecord, TEXTS, st.sampled_from(Outcome), st.none() | ERRORS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.builds(
    TaskRecord,
    id=TEXTS,
    name=TEXTS,
    matrix=st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
    outcome=st.sampled_from(Outcome),
    reason=st.none() | TEXTS,
    attempts=st.lists(ATTEMPTS, max_size=3).map(
        lambda drawn: tuple(each._replace(number=number) for number, each in enumerate(drawn, 1))
    ),
    callback=st.none() | CALLBACKS,
    log=st.none() | TEXTS,
)


@given(RECORDS)
def test_a_task_of_the_report_is_its_shape(record: TaskRecord) -> None:
    assert record_text(record) == json.dumps(task_shape(record), allow_nan=False)


@given(RECORDS, TEXTS, st.none() | CALLBACKS, st.booleans())
def test_events_are_the_shapes_behind_what_every_line_has(
    tmp_path_factory: pytest.TempPathFactory,
    record: TaskRecord,
    run: str,
    callback: CallbackRecord | None,
    looked: bool,
) -> None:
    folder = tmp_path_factory.mktemp("events")
    lines = []

    def line(event: str, time: float, fields: dict[str, object]) -> None:
        head = {"v": 1, "event": event, "time": iso(time), "run": run, "task": record.id}
        lines.append(json.dumps({**head, **fields}, allow_nan=False) + "\n")

    log, short = EventLog(run, folder / "one"), EventLog(run, folder / "all")
    if looked:
        for each in log, short:
            each.task_started(record.id, 1, 0.5, 7)
        line("task_started", 0.5, {"attempt": 1, "pid": 7})
    for attempt in record.attempts:
        log.attempt_finished(record.id, attempt)
        if not (looked and attempt.number == 1):
            line("task_started", attempt.started_at, {"attempt": attempt.number, "pid": attempt.pid})
        ended_at = attempt.started_at + attempt.duration_s
        line("attempt_finished", ended_at, {"attempt": attempt.number, **attempt_shape(attempt)})
    log.task_finished(record, 7.5)
    last = record.attempts[-1] if record.attempts else None
    shape = task_shape(record)
    fields = {name: shape[name] for name in ("outcome", "reason", "flaky", "duration_s")}
    ended_at = 7.5 if last is None else last.started_at + last.duration_s
    line("task_finished", ended_at, {**fields, "attempts": len(record.attempts), "log": record.log})
    short.task_ended(record, 7.5, ending_texts(record))
    for each in log, short:
        if callback is not None:
            each.callback_finished(record.id, callback, 8.5)
        each.flush()
        each.close()
    if callback is not None:
        line("callback_finished", 8.5, callback_shape(callback))
    assert (folder / "one").read_text("ascii") == "".join(lines)
    assert (folder / "all").read_text("ascii") == "".join(lines)


@given(st.lists(st.floats(min_value=-1e9, max_value=4e9) | st.floats(min_value=100, max_value=103)))
def test_a_time_is_written_as_datetime_would_whatever_was_asked_before(times: list[float]) -> None:
    for time in times:
        told = datetime.fromtimestamp(time, timezone.utc).isoformat(timespec="microseconds")
        assert iso(time) == told


@pytest.mark.parametrize("time", [0.9999996, 1.9999994, 5e-7, 1.5e-6, 2.5e-6, 3.0, 1_700_000_000.9999999, -0.25])
def test_a_time_at_the_edge_of_a_second_is_written_as_datetime_would(time: float) -> None:
    for asked in (1.25, time, 0.5, time, time):
        told = datetime.fromtimestamp(asked, timezone.utc).isoformat(timespec="microseconds")
        assert iso(asked) == told
