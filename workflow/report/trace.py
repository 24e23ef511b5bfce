"""A trace of the run in Chrome's Trace Event Format, for Perfetto (ui.perfetto.dev) and chrome://tracing.

A row for each worker process, a slice for each attempt, an arrow from what a task waited for last to its start.  Times
are microseconds since the start of the run: both viewers show them as they are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise

from workflow.outcome import Outcome
from workflow.report.material import AttemptPart, Graph, Material, TaskPart, headline_of, title_of

_PROCESS = 1
_NOWHERE = 0
"""The row of attempts that never reached a worker, and of callbacks: no process has this id."""
_COLOURS = {
    Outcome.SUCCEEDED: "good",
    Outcome.CACHED: "good",
    Outcome.FAILED: "terrible",
    Outcome.TIMED_OUT: "bad",
    Outcome.CRASHED: "terrible",
    Outcome.MEMORY_EXCEEDED: "bad",
    Outcome.CANCELLED: "grey",
}
"""Names that chrome://tracing knows; Perfetto has colours of its own."""
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


class _Slice:
    """An attempt, in microseconds."""

    __slots__ = ("attempt", "end", "row", "start", "task")

    def __init__(self, task: TaskPart, attempt: AttemptPart, start: int) -> None:
        self.task = task
        self.attempt = attempt
        self.start = start
        self.end = start + round(attempt["duration_s"] * 1e6)
        self.row = attempt["pid"] or _NOWHERE


def trace_pieces(material: Material) -> Iterator[str]:
    """Answer the text, an event a line."""
    run = material.document["run"]
    other = {key: run[key] for key in ("id", "name", "file", "status", "exit_code", "started_at", "host", "version")}
    yield f'{{"displayTimeUnit": "ms",\n "otherData": {_encode(other)},\n "traceEvents": ['
    separator = "\n  "
    for event in _events(material):
        yield separator + _encode(event)
        separator = ",\n  "
    yield "]}\n"


def _events(material: Material) -> Iterator[Mapping[str, object]]:
    document = material.document
    zero = _microseconds(document["run"]["started_at"])
    slices = [
        _Slice(task, attempt, _microseconds(attempt["started_at"]) - zero)
        for task in document["tasks"]
        if task["carried_from"] is None  # it was not run in this run
        for attempt in task["attempts"]
    ]
    callbacks = list(_callbacks(material, zero))
    yield _name("process_name", _NOWHERE, title_of(document))
    rows: dict[int, list[_Slice]] = defaultdict(list)
    for each in slices:
        rows[each.row].append(each)
    for place, row in enumerate(sorted(rows, key=lambda row: min(each.start for each in rows[row]))):
        yield _name("thread_name", row, f"worker {row}" if row else "no worker")
        yield {"ph": "M", "name": "thread_sort_index", "pid": _PROCESS, "tid": row, "args": {"sort_index": place}}
        _keep_apart(rows[row])
    for each in slices:
        yield _complete(each)
    if callbacks:
        row = max(rows, default=0) + 1
        yield _name("thread_name", row, "callbacks, when they had ended")
        for ended, args in callbacks:
            name = f"{args['name']} of {args['task']}"
            yield {"ph": "i", "s": "t", "name": name, "cat": "callback", "pid": _PROCESS, "tid": row, "ts": ended,
                   "args": args}  # fmt: skip
    if material.graph is not None:
        yield from _arrows(slices, material.graph)


def _keep_apart(row: list[_Slice]) -> None:
    """A worker runs one task at a time, but clocks are read by several: an overlap would be drawn as nesting."""
    row.sort(key=lambda each: each.start)
    for earlier, later in pairwise(row):
        if earlier.end > later.start:
            earlier.end = max(earlier.start, later.start)


def _complete(each: _Slice) -> Mapping[str, object]:
    task, attempt = each.task, each.attempt
    outcome = Outcome(attempt["outcome"])
    args: dict[str, object] = {"task": task["id"], "attempt": attempt["number"], "outcome": outcome.value}
    for key in ("exit_code", "signal", "peak_rss_bytes", "cpu_s"):
        if attempt[key] is not None:
            args[key] = attempt[key]
    if attempt["left"]:
        args["left"] = attempt["left"]
    if attempt["error"] is not None:
        args["error"] = (headline_of({**task, "attempts": [attempt], "reason": None}) or "")[:500]
    event = {
        "ph": "X", "name": task["id"], "cat": f"task,{outcome.value}", "pid": _PROCESS, "tid": each.row,
        "ts": each.start, "dur": each.end - each.start, "args": args,
    }  # fmt: skip
    colour = _COLOURS.get(outcome)
    return event if colour is None else {**event, "cname": colour}


def _callbacks(material: Material, zero: int) -> Iterator[tuple[int, dict[str, object]]]:
    """When callbacks had ended, which only the events say."""
    try:
        with (material.folder / "events.jsonl").open(encoding="ascii") as lines:
            for line in lines:
                if '"event": "callback_finished"' in line:
                    event = json.loads(line)
                    args = {"task": event["task"], "name": event["name"], "outcome": event["outcome"]}
                    yield _microseconds(event["time"]) - zero, args
    except (OSError, ValueError, LookupError, TypeError):  # the trace is without them
        return


def _arrows(slices: list[_Slice], graph: Graph) -> Iterator[Mapping[str, object]]:
    """One for each need of each task, from the instance that ended last before the task began: the one it waited for.

    An arrow for each pair would be a million for two matrices of a thousand.
    """
    from bisect import bisect_right

    ends: dict[str, list[_Slice]] = defaultdict(list)
    for each in slices:
        if each.attempt is each.task["attempts"][-1]:
            ends[each.task["name"]].append(each)
    for found in ends.values():
        found.sort(key=lambda each: each.end)
    times = {name: [each.end for each in found] for name, found in ends.items()}
    number = 0
    for each in slices:
        part = graph.get(each.task["name"])
        if part is None or each.attempt is not each.task["attempts"][0]:
            continue
        for need in part["needs"]:
            at = bisect_right(times.get(need["task"], []), each.start + _LENIENT_US)
            if at:
                number += 1
                came = ends[need["task"]][at - 1]
                flow = {"name": "needs", "cat": "needs", "id": number, "pid": _PROCESS}
                # Bound to the slice that encloses it, so inside of the one it comes from.
                yield {**flow, "ph": "s", "tid": came.row, "ts": max(came.start, came.end - 1)}
                yield {**flow, "ph": "f", "bp": "e", "tid": each.row, "ts": max(each.start, came.end)}


_LENIENT_US = 1000


def _name(kind: str, row: int, name: str) -> Mapping[str, object]:
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": row, "args": {"name": name}}


def _microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1e6)
