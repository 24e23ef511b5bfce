"""Markdown: for a comment, a chat, or the summary of a step on GitHub.

Everything that a task or a file has named or printed stands in a code span or a fenced block, where nothing has a
meaning, and whose fence is longer than any that the content holds.  So no output can end its block, mention a person or
make a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from workflow.outcome import ErrorRecord, Outcome
from workflow.report.alike import Failure, told
from workflow.report.material import Material, TaskPart, error_of, headline_of, title_of
from workflow.report.tails import output_tail
from workflow.report.terminal import human_s, neutral
from workflow.report.whereabouts import account, whereabouts

DETAILED_MAX = 50
"""Failures that are shown with their errors; one that stands for others that are alike counts once."""
LISTED_MAX = 500
"""Failures that are named."""
LIKE_MAX = 10
"""Failures that are named of those for which one stands."""
SLOWEST = 10
_ERROR_LINES = 60
_TAIL_LINES = 20
_BLOCK_BYTES = 16 * 1024
_SPAN_MAX = 300
SIGNS = {
    Outcome.SUCCEEDED: "✅",
    Outcome.CACHED: "✅",
    Outcome.FAILED: "❌",
    Outcome.TIMED_OUT: "⏱️",
    Outcome.CRASHED: "💥",
    Outcome.MEMORY_EXCEEDED: "🧠",
    Outcome.CANCELLED: "🚫",
    Outcome.SKIPPED: "⏭️",
}


def markdown_pieces(material: Material, *, detailed: int = DETAILED_MAX, listed: int = LISTED_MAX) -> Iterator[str]:
    """Answer the text, bit by bit.  ``detailed`` and ``listed`` bound how much there is of it."""
    yield from _head(material)
    failures = material.failures
    if failures:
        yield "\n## What went wrong\n" if material.document["run"]["exit_code"] else "\n## Allowed failures\n"
    shown, rest = told(failures, detailed)
    for failure in shown:
        yield from _failure(material, failure)
    if rest:
        yield "\n"
        named, rest = told(rest, listed)
        for failure in named:
            said = headline_of(failure.task)
            yield f"- {_title(failure)}" + (f": {_span(said)}" if said else "") + "\n"
        if rest:
            yield f"- and {sum(1 + len(failure.like) for failure in rest):,} more\n"
    yield from _callbacks(material, listed)
    yield from _flaky(material, listed)
    yield from _slowest(material)


def _head(material: Material) -> Iterator[str]:
    document = material.document
    run = document["run"]
    sign = "✅" if run["exit_code"] == 0 else "❌"
    yield f"# {sign} {_span(title_of(document))}: {run['status'].replace('_', ' ')}\n\n"
    tasks = _number(len(document["tasks"]), "task")
    facts = [f"{tasks} in {human_s(run['duration_s'])}", f"exit code {run['exit_code']}", f"run {_span(run['id'])}"]
    if run["git"]:
        facts.append(f"commit {_span(run['git'][:12])}")
    yield " · ".join(facts) + "\n\n"
    if material.ending:
        yield f"The run did not end by itself: {_span(material.ending)}\n\n"
    yield "| outcome | tasks |\n|:--|--:|\n"
    for outcome in Outcome:
        number = document["counts"].get(outcome.value, 0)
        if number:
            yield f"| {SIGNS[outcome]} {outcome.value.replace('_', ' ')} | {number:,} |\n"


def _failure(material: Material, failure: Failure[TaskPart]) -> Iterator[str]:
    task = failure.task
    yield f"\n### {_title(failure)}\n\n"
    said = headline_of(task)
    error = error_of(task)
    if said:
        yield f"{_span(said)}\n"
    if failure.like:
        named = ", ".join(_span(id_) for id_ in failure.like[:LIKE_MAX])
        yield f"\nLike it: {named}" + (", …" if len(failure.like) > LIKE_MAX else "") + "\n"
    if error is not None:
        record = ErrorRecord(**error)
        folder = material.document["run"]["file"].rpartition("/")[0]
        where = whereabouts(record, folder)
        for line in where:
            yield f"\n{_span(line)}\n"
        if where:  # else there is nothing in it but the line above
            yield "\n" + fenced(account(record), last=_ERROR_LINES)
    tail = output_tail(material.folder, task["log"], failed=True, lines=_TAIL_LINES, max_bytes=_BLOCK_BYTES)
    if tail is not None:
        words = f"The last lines of {_span(task['log'] or '')}" if tail.cut else "What it printed"
        yield f"\n{words}:\n\n" + fenced(tail.text)


def _title(failure: Failure[TaskPart]) -> str:
    task = failure.task
    outcome = Outcome(task["outcome"])
    text = f"{SIGNS[outcome]} {_span(task['id'])} {outcome.value.replace('_', ' ')}"
    if task["duration_s"] is not None:
        text += f" after {human_s(task['duration_s'])}"
    if len(task["attempts"]) > 1:
        text += f", {len(task['attempts'])} attempts"
    if failure.like:
        text += f" (and {len(failure.like):,} more like it)"
    if failure.allowed:
        text += " (allowed)"
    if failure.skipped:
        text += f" ({failure.skipped:,} skipped because of {'them' if failure.like else 'it'})"
    return text


def _callbacks(material: Material, listed: int) -> Iterator[str]:
    lines = []
    for task in material.document["tasks"]:
        callback = task["callback"]
        if callback is not None and callback["outcome"] != Outcome.SUCCEEDED:
            error = callback["error"]
            why = "" if error is None else f": {_span(error['message'] or error['type'])}"
            outcome = callback["outcome"].replace("_", " ")
            lines.append(f"- {_span(callback['name'])} of {_span(task['id'])} {outcome}{why}\n")
    yield from _section("Callbacks that did not succeed", "The outcomes of their tasks stand.", lines, listed)


def _flaky(material: Material, listed: int) -> Iterator[str]:
    tasks = [task for task in material.document["tasks"] if task["flaky"]]
    lines = [f"- {_span(task['id'])} succeeded at attempt {len(task['attempts'])}\n" for task in tasks]
    yield from _section("Flaky", None, lines, listed)


def _section(title: str, words: str | None, lines: Sequence[str], listed: int) -> Iterator[str]:
    if not lines:
        return
    yield f"\n## {title}\n\n" + (f"{words}\n\n" if words else "")
    yield from lines[:listed]
    if len(lines) > listed:
        yield f"- and {len(lines) - listed:,} more\n"


def _slowest(material: Material) -> Iterator[str]:
    tasks = [task for task in material.document["tasks"] if task["duration_s"] is not None]
    if len(tasks) < 2:
        return
    tasks.sort(key=lambda task: -(task["duration_s"] or 0.0))
    yield "\n## The slowest\n\n| task | took | attempts | cpu | memory |\n|:--|--:|--:|--:|--:|\n"
    for task in tasks[:SLOWEST]:
        cells = (_cell(task["id"]), human_s(task["duration_s"] or 0.0), str(len(task["attempts"])), *_used(task))
        yield f"| {' | '.join(cells)} |\n"


def _used(task: TaskPart) -> tuple[str, str]:
    last = task["attempts"][-1]
    memory = last["peak_rss_bytes"]
    cpu_s = last["cpu_s"]
    return "" if cpu_s is None else human_s(cpu_s), "" if memory is None else f"{memory / 2**20:,.0f} MiB"


def fenced(text: str, *, last: int | None = None, max_chars: int = _BLOCK_BYTES) -> str:
    """A block in which nothing has a meaning; the last so many lines of a long text."""
    lines = [neutral(line) for line in text.rstrip("\n").split("\n")]
    if last is not None and len(lines) > last:
        lines = ["…", *lines[-last:]]
    body = "\n".join(lines)
    if len(body) > max_chars:
        body = "…" + body[-max_chars:]
    fence = "`" * max(3, _longest(body) + 1)
    return f"{fence}text\n{body}\n{fence}\n"


def _span(text: str) -> str:
    """A span of code, on one line."""
    text = neutral(" ".join(text.split()))
    if len(text) > _SPAN_MAX:
        text = text[:_SPAN_MAX] + "…"
    if not text:
        return ""
    fence = "`" * (_longest(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(text: str) -> str:
    """The same in a table, where a bar would end the cell and a backslash before it would not help."""
    return _span(text.replace("|", "¦"))


def _longest(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")
