"""The trace, held against the format's own rules."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from workflow.report.trace import trace_pieces

STARTED = 1_700_000_000.0


def read(made: Any) -> dict[str, list[Any]]:
    document = json.loads("".join(trace_pieces(made)))
    assert document["displayTimeUnit"] == "ms"
    found = defaultdict(list)
    for event in document["traceEvents"]:
        assert {"ph", "pid", "tid", "name"} <= set(event)
        assert all(isinstance(event[key], int) for key in ("pid", "tid", "ts", "dur") if key in event)
        found[event["ph"]].append(event)
    assert all("dur" in event and event["dur"] >= 0 and event["ts"] >= 0 for event in found["X"])
    return found


def test_each_attempt_is_a_slice_in_the_row_of_its_worker(material: Callable[..., Any], record: Any) -> None:
    """With what is known of it."""
    found = read(material(record("a", "succeeded", "failed"), record("s", "skipped")))
    assert [(event["name"], event["tid"], event["ts"], event["dur"]) for event in found["X"]] == [
        ("a", 7, 0, 250_000),
        ("a", 7, 1_000_000, 250_000),
    ]
    assert found["X"][0]["args"] == {
        "task": "a", "attempt": 1, "outcome": "failed", "peak_rss_bytes": 1 << 20, "cpu_s": 0.5,
        "error": "ValueError: bad",
    }  # fmt: skip
    names = {event["name"]: event["args"]["name"] for event in found["M"] if "name" in event["args"]}
    assert names == {"process_name": "audit", "thread_name": "worker 7"}


def test_slices_of_one_row_do_not_overlap(material: Callable[..., Any], record: Any) -> None:
    """Which viewers would draw as one inside the other."""
    found = read(material(record("a"), record("b", at=STARTED + 0.2499), record("c", at=STARTED + 0.5)))
    ends = [(event["ts"], event["ts"] + event["dur"]) for event in found["X"]]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(ends))


def test_an_arrow_leads_from_what_was_waited_for(material: Callable[..., Any], record: Any) -> None:
    """The last instance, not each; from inside the slice it comes from into the slice it leads to."""
    records = [record(f"fetch@{n}", at=STARTED + n) for n in range(3)]
    found = read(material(*records, record("merge", at=STARTED + 4), needs={"merge": ["fetch"]}))
    (start,), (end,) = found["s"], found["f"]
    assert start["id"] == end["id"]
    assert start["cat"] == end["cat"]
    assert end["bp"] == "e"
    assert 2_000_000 <= start["ts"] <= 2_250_000
    assert end["ts"] == 4_000_000


def test_callbacks_are_where_the_events_have_them(material: Callable[..., Any], record: Any, tmp_path: Path) -> None:
    """In a row of their own."""
    event = {"event": "callback_finished", "time": "2023-11-14T22:13:21+00:00", "task": "a", "name": "callback",
             "outcome": "failed"}  # fmt: skip
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n")
    found = read(material(record("a")))
    (instant,) = found["i"]
    assert (instant["ts"], instant["name"], instant["tid"]) == (1_000_000, "callback of a", 8)


def test_any_name_can_be_in_it(material: Callable[..., Any], record: Any, hostile: tuple[str, ...]) -> None:
    """JSON says them all."""
    found = read(material(*[record(text, "failed", message=text) for text in hostile]))
    assert {event["name"] for event in found["X"]} == set(hostile)
