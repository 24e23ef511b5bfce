"""One HTML file that holds everything, for a person with a browser: opened from disk, mailed, kept by a build server.

Nothing in it comes from elsewhere, and nothing that a task has named or printed can act in it.  Three things see to
that, each enough by itself: the template escapes whatever is put into it; the tasks are JSON in a block that no browser
runs, without any ``<``, and the script only ever makes text nodes of them; and a policy in the head allows exactly the
one script and the one style sheet whose hashes it names.

What needs no script (how it went, what went wrong, with errors and the ends of logs) is there without it, so it is seen
at once, also where scripts are forbidden.  The table shows only the rows that are in sight: 100,000 tasks are no
problem for it; for their logs there is a bound.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from workflow.outcome import ErrorRecord, Outcome
from workflow.report.alike import Failure, told
from workflow.report.graph import NamePart
from workflow.report.material import (
    AttemptPart,
    ErrorPart,
    Material,
    TaskPart,
    error_of,
    headline_of,
    title_of,
)
from workflow.report.tails import output_tail
from workflow.report.terminal import human_s, neutral
from workflow.report.whereabouts import account, whereabouts

PAGE = Path(__file__).parent / "page"
SHOWN_FAILURES = 20
"""Failures that are told of without a script; one that stands for others that are alike counts once."""
LIKE_MAX = 20
"""Failures that are named of those for which one stands."""
FAILURE_LINES = 200
FAILURE_BYTES = 16 * 1024
FAILURES_MAX = 8 * 1024 * 1024
"""Output of all failures together."""
OTHER_LINES = 20
OTHER_BYTES = 2 * 1024
OTHERS_MAX = 4 * 1024 * 1024
ERROR_CHARS = 32 * 1024
ERRORS_MAX = 16 * 1024 * 1024
OUTCOMES = tuple(outcome.value for outcome in Outcome)
_FLAKY = 1
_ALLOWED = 2
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def html_pieces(material: Material) -> Iterator[str]:
    """Answer the text of the page, bit by bit."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["human"] = human_s
    environment.filters["clean"] = _clean
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    document = material.document
    failures, more = told(material.failures, SHOWN_FAILURES)
    callbacks = [task for task in document["tasks"] if _failed_callback(task)]
    yield from environment.get_template("page.html").generate(
        title=title_of(document),
        run=document["run"],
        counts={outcome: number for outcome in OUTCOMES if (number := document["counts"].get(outcome, 0))},
        total=len(document["tasks"]),
        flaky=sum(task["flaky"] for task in document["tasks"]),
        callbacks=callbacks[:SHOWN_FAILURES],
        more_callbacks=max(0, len(callbacks) - SHOWN_FAILURES),
        ending=material.ending,
        failures=[_shown(material, failure) for failure in failures],
        more_failures=sum(1 + len(failure.like) for failure in more),
        signs=SIGNS,
        script=Markup(script),  # noqa: S704  ours
        style=Markup(style),  # noqa: S704  ours
        script_hash=_hash(script),
        style_hash=_hash(style),
        data=Markup(_safe(_encode(_data(material)))),  # noqa: S704  no markup is left in it
    )


SIGNS = {
    "succeeded": "✓",
    "failed": "✗",
    "timed_out": "◷",
    "crashed": "↯",
    "memory_exceeded": "▣",
    "cancelled": "⊘",
    "skipped": "↷",
    "cached": "≡",
}
"""For who does not see colours."""


def _safe(text: str) -> str:
    """JSON in which HTML finds nothing: all of these can only stand inside of its strings."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _clean(text: str) -> str:
    """Text for a block of lines, or of one."""
    return "\n".join(neutral(line) for line in text.split("\n"))


def _failed_callback(task: TaskPart) -> bool:
    return task["callback"] is not None and task["callback"]["outcome"] != Outcome.SUCCEEDED


def _shown(material: Material, failure: Failure[TaskPart]) -> dict[str, object]:
    task = failure.task
    error = error_of(task)
    where = []
    if error is not None:
        where = whereabouts(ErrorRecord(**error), material.document["run"]["file"].rpartition("/")[0])
    tail = output_tail(material.folder, task["log"], failed=True, lines=20, max_bytes=4096)
    return {
        "task": task,
        "allowed": failure.allowed,
        "skipped": failure.skipped,
        "alike": len(failure.like),
        "like": failure.like[:LIKE_MAX],
        "headline": headline_of(task) or "",
        "where": where,
        "account": account(ErrorRecord(**error))[-ERROR_CHARS:] if error is not None and where else None,
        "tail": tail,
    }


def _data(material: Material) -> dict[str, object]:
    """Rows instead of objects: they are many."""
    document = material.document
    zero = _epoch_s(document["run"]["started_at"])
    names: dict[str, int] = {}
    errors = _Errors()
    tasks = [_row(material, task, zero, names, errors) for task in document["tasks"]]
    return {
        "run": {"id": document["run"]["id"], "duration": document["run"]["duration_s"], "folder": str(material.folder)},
        "outcomes": OUTCOMES,
        "signs": SIGNS,
        "names": list(names),
        "tasks": tasks,
        "errors": errors.rows,
        "tails": _tails(material),
        "graph": None if material.graph is None else {name: _node(part) for name, part in material.graph.items()},
    }


def _node(part: NamePart) -> dict[str, object]:
    return {"needs": part["needs"], "allow_failure": bool(part["allow_failure"])}


def _row(material: Material, task: TaskPart, zero: float, names: dict[str, int], errors: _Errors) -> tuple[object, ...]:
    callback = task["callback"]
    return (
        task["id"],
        names.setdefault(task["name"], len(names)),
        OUTCOMES.index(task["outcome"]),
        _FLAKY * task["flaky"] + _ALLOWED * (Outcome(task["outcome"]).is_failure and material.allowed(task)),
        task["duration_s"],
        headline_of(task),
        [_attempt(attempt, zero, errors) for attempt in task["attempts"]],
        None if callback is None else (callback["name"], callback["outcome"], errors.place(callback["error"])),
        task["log"],
        task["carried_from"],
        task["matrix"],
    )


def _attempt(attempt: AttemptPart, zero: float, errors: _Errors) -> tuple[object, ...]:
    return (
        OUTCOMES.index(attempt["outcome"]),
        round(_epoch_s(attempt["started_at"]) - zero, 6),
        attempt["duration_s"],
        attempt["pid"],
        attempt["exit_code"],
        attempt["signal"],
        attempt["left"],
        attempt["peak_rss_bytes"],
        attempt["cpu_s"],
        errors.place(attempt["error"]),
    )


class _Errors:
    """Errors, each once: a thousand tasks that need the same server fail in the same way."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self._places: dict[tuple[str, str, str], int] = {}
        self._room = ERRORS_MAX

    def place(self, error: ErrorPart | None) -> int | None:
        if error is None:
            return None
        text = account(ErrorRecord(**error))
        if len(text) > ERROR_CHARS:
            text = text[: ERROR_CHARS // 4] + "\n… the middle is left out …\n" + text[-ERROR_CHARS * 3 // 4 :]
        row = (error["type"], error["message"][:ERROR_CHARS], text)
        if row not in self._places:
            if len(text) > self._room:
                row = (*row[:2], "… there is no room for it here; report.json has it …\n")
            self._room -= len(row[2])
            self._places[row] = len(self.rows)
            self.rows.append(row)
        return self._places[row]


def _tails(material: Material) -> dict[int, tuple[str, bool]]:
    """The ends of logs, by the places of the tasks; those of failures before all others have theirs."""
    tails: dict[int, tuple[str, bool]] = {}
    tasks = list(enumerate(material.document["tasks"]))
    kinds: list[tuple[bool, int, int, int]] = [
        (True, FAILURE_LINES, FAILURE_BYTES, FAILURES_MAX),
        (False, OTHER_LINES, OTHER_BYTES, OTHERS_MAX),
    ]
    for failed, lines, max_bytes, room in kinds:
        for number, task in tasks:
            if room <= 0:
                break
            if (not Outcome(task["outcome"]).is_success) is failed and task["log"] is not None:
                tail = output_tail(material.folder, task["log"], failed=failed, lines=lines, max_bytes=max_bytes)
                if tail is not None:
                    room -= len(tail.text)  # noqa: PLW2901  counted down
                    tails[number] = (tail.text, tail.cut)
    return tails


def _epoch_s(text: str) -> Any:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
