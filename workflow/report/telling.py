"""A run and its tasks in words, for somebody who asks about them afterwards: ``workflow show``.

Everything foreign goes through ``neutral``, as on the console of the run itself.
"""

from __future__ import annotations

import heapq
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from workflow.outcome import ErrorRecord, Outcome
from workflow.report.alike import LISTED_MAX, told
from workflow.report.graph import Graph
from workflow.report.material import (
    AttemptPart,
    Document,
    ErrorPart,
    Material,
    RunPart,
    TaskPart,
    headline_of,
    root_of,
    title_of,
)
from workflow.report.standing import COLOURS, OUTCOME_WIDTH
from workflow.report.summary import left_out, likewise, shown
from workflow.report.tails import output_tail
from workflow.report.terminal import Terminal, human_s, neutral
from workflow.report.whereabouts import account, of_the_user

SLOWEST = 5
FLAKY_MAX = 20
TAIL_LINES = 20
TAIL_BYTES = 16 * 1024


def status_colour(status: str) -> str:
    """Of a run, as it is shown."""
    return "green" if status == "succeeded" else "cyan" if status == "running" else "red"


@dataclass
class Digest:
    """What there is to say of all tasks of a run, gathered in one pass over them."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[TaskPart] = field(default_factory=list)
    roots: Counter[str] = field(default_factory=Counter)
    """By the id of a failure, how many tasks were skipped because of it."""
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    """Seconds and ids; in between, so that the first of equals counts, where it stood, below 0."""
    flaky: list[TaskPart] = field(default_factory=list)
    flaky_count: int = 0
    carried: int = 0
    bad_callbacks: list[str] = field(default_factory=list)
    ending: str | None = None
    """Why the run ended before all tasks had run."""

    def plain(self, text: bytes) -> bool:
        """Take in a task that succeeded at once, and of which there is nothing else to say; answer whether it is one.

        It is looked at as it is written (``json_report``): most tasks of a large run are so, and to make them out
        would take ten times as long.  Within a string of JSON no quotation mark stands by itself, so nothing that a
        task has said looks like this.
        """
        at = text.find(_PLAIN)
        if at < 0 or text.rfind(_NO_CALLBACK) < at:
            return False
        begin = at + len(_PLAIN)
        took = text[begin : text.find(b",", begin)]
        id_ = _ID.match(text)
        if id_ is None:
            return False
        try:
            took_s = None if took == b"null" else float(took)
        except ValueError:
            return False
        self.counts[Outcome.SUCCEEDED.value] += 1
        if took_s is not None and (len(self.slowest) < SLOWEST or took_s > self.slowest[0][0]):
            self.took(took_s, str(json.loads(id_[1])))
        return True

    def took(self, took_s: float, id_: str) -> None:
        """Take in how long a task took."""
        item = (took_s, -sum(self.counts.values()), id_)
        (heapq.heappush if len(self.slowest) < SLOWEST else heapq.heappushpop)(self.slowest, item)


_PLAIN = b'"outcome": "succeeded", "reason": null, "flaky": false, "carried_from": null, "duration_s": '
_NO_CALLBACK = b'"callback": null, "log": '
_ID = re.compile(rb'\{"id": ("(?:[^"\\]|\\.)*"), ')


def digest(tasks: Callable[[Callable[[bytes], bool]], Iterable[TaskPart]]) -> Digest:
    """See ``Digest``; ``tasks`` answers those about whose text it was told that they are wanted."""
    found = Digest()
    for task in tasks(lambda text: not found.plain(text)):
        outcome = Outcome(task["outcome"])
        found.counts[outcome.value] += 1
        if outcome.is_failure:
            found.failures.append(task)
        elif outcome is Outcome.SKIPPED and (root := root_of(task)) is not None:
            found.roots[root] += 1
        elif outcome is Outcome.CANCELLED and found.ending is None:
            found.ending = task["reason"]
        if task["flaky"]:
            found.flaky_count += 1
            if len(found.flaky) < FLAKY_MAX:
                found.flaky.append(task)
        found.carried += task["carried_from"] is not None
        callback = task["callback"]
        if callback is not None and callback["outcome"] != Outcome.SUCCEEDED.value:
            found.bad_callbacks.append(f"{callback['name']} of {task['id']} {callback['outcome']}")
        if task["duration_s"] is not None and task["carried_from"] is None:
            found.took(task["duration_s"], task["id"])
    return found


def run_lines(
    terminal: Terminal,
    run: RunPart,
    planned: int,
    found: Digest,
    folder: Path,
    graph: Graph | None,
    running: Sequence[tuple[str, int, float]],
    waiting: Sequence[str] = (),
) -> Iterator[str]:
    """A run as a whole; ``running`` is the id, attempt and seconds of each task that runs now, or ran to the last.

    ``waiting`` are the ids of those of which nothing is known when it was killed.
    """
    document = Document(format=1, run=run, counts={}, tasks=[])
    status = terminal.style(neutral(run["status"]).replace("_", " "), status_colour(run["status"]))
    code = "" if run["status"] in ("running", "killed") else f", exit code {run['exit_code']}"
    took = f"for {human_s(run['duration_s'])}" if run["status"] == "running" else f"after {human_s(run['duration_s'])}"
    yield terminal.style(f"run {neutral(run['id'])}: {neutral(title_of(document))}", "bold") + (
        f", {status} {took}{code}"
    )
    if run["argv"]:
        yield f"  command  {neutral(_command(run['argv']))}"
    yield f"  file     {neutral(shown(run['file']))}"
    yield f"  began    {_local(run['started_at'])} on {neutral(run['host'])}"
    facts = [f"seed {run['seed']}", f"pool of {run['pool']}", f"workflow {run['version']}", f"Python {run['python']}"]
    facts += [f"commit {run['git'][:12]}"] if run["git"] else []
    yield f"  with     {neutral(', '.join(facts))}"
    yield f"  folder   {neutral(shown(str(folder)))}"
    if running:
        yield terminal.style("running:" if run["status"] == "running" else "when it was killed, there ran:", "bold")
        for id_, attempt, since_s in running[:LISTED_MAX]:
            again = f", attempt {attempt}" if attempt > 1 else ""
            yield f"  {neutral(id_)}" + (f" (for {human_s(since_s)}{again})" if run["status"] == "running" else again)
        if len(running) > LISTED_MAX:
            yield f"  … and {len(running) - LISTED_MAX} more"
    if waiting:
        yield terminal.style("there had not begun, or at that moment:", "bold")
        yield from (f"  {neutral(id_)}" for id_ in waiting[:LISTED_MAX])
        if len(waiting) > LISTED_MAX:
            yield f"  … and {len(waiting) - LISTED_MAX} more"
    yield from _failures(terminal, run, found, folder, graph)
    for said in found.bad_callbacks[:LISTED_MAX]:
        yield terminal.style(neutral(said), "yellow")
    if found.ending is not None:
        yield terminal.style(f"it did not end by itself: {neutral(found.ending)}", "yellow")
    if found.flaky:
        yield terminal.style("flaky:", "bold")
        for task in found.flaky:
            yield f"  {neutral(task['id'])} succeeded at attempt {len(task['attempts'])}"
        if found.flaky_count > len(found.flaky):
            yield f"  … and {found.flaky_count - len(found.flaky)} more"
    if sum(found.counts.values()) > 1 and found.slowest:
        yield terminal.style("slowest:", "bold")
        for took_s, _, id_ in sorted(found.slowest, key=lambda item: (-item[0], -item[1])):
            yield f"  {human_s(took_s):>6}  {neutral(id_)}"
    yield _counts(terminal, run, planned, found)


def _failures(terminal: Terminal, run: RunPart, found: Digest, folder: Path, graph: Graph | None) -> Iterator[str]:
    material = Material(Document(format=1, run=run, counts={}, tasks=[]), folder, graph)
    failures = material.entries(found.failures, found.roots)
    if not failures:
        return
    allowed = all(failure.allowed for failure in failures)
    yield terminal.style("allowed failures:" if allowed else "what went wrong:", "bold")
    listed, rest = told(failures, LISTED_MAX)
    for failure in listed:
        task = failure.task
        text = f"  {neutral(task['id'])} {terminal.style(task['outcome'], 'red')}"
        said = headline_of(task)
        text += f": {neutral(said)}" if said else ""
        text += f" (and {likewise(failure.like)})" if failure.like else ""
        text += " (allowed)" if failure.allowed and not allowed else ""
        if failure.skipped:
            text += f" ({failure.skipped} skipped because of {'them' if failure.like else 'it'})"
        yield text
        if task["log"] is not None:
            yield terminal.style(f"    log: {_path(folder, task['log'])}", "dim")
    if rest:
        yield left_out(rest)


def _counts(terminal: Terminal, run: RunPart, planned: int, found: Digest) -> str:
    parts = [
        terminal.style(f"{found.counts[outcome.value]} {outcome.value}", COLOURS.get(outcome, "red"))
        for outcome in Outcome
        if found.counts[outcome.value]
    ]
    left = planned - sum(found.counts.values())
    if left > 0:
        parts.append(f"{left} {'still to end' if run['status'] == 'running' else 'without an end'}")
    if found.carried:
        parts.append(f"{found.carried} carried over")
    return ", ".join(parts) or "no tasks"


def _command(argv: Sequence[str]) -> str:
    return shlex.join([Path(argv[0]).name, *argv[1:]])


def _local(when: str) -> str:
    return f"{datetime.fromisoformat(when).astimezone():%Y-%m-%d %H:%M:%S %z}"


# A task


def task_line(terminal: Terminal, task: TaskPart) -> str:
    """A task in one line."""
    took = "" if task["duration_s"] is None else human_s(task["duration_s"])
    outcome = Outcome(task["outcome"])
    word = terminal.style(f"{outcome.value:<{OUTCOME_WIDTH}}", COLOURS.get(outcome, "red"))
    text = f"{word} {took:>6}  {neutral(task['id'])}"
    said = None if outcome.is_success else headline_of(task)
    return text + (f": {neutral(said)}" if said else "")


def task_lines(terminal: Terminal, task: TaskPart, folder: Path) -> Iterator[str]:
    """All that is known of a task."""
    outcome = Outcome(task["outcome"])
    text = terminal.style(neutral(task["id"]), "bold") + " "
    text += terminal.style(outcome.value.replace("_", " "), COLOURS.get(outcome, "red"))
    text += "" if task["duration_s"] is None else f" after {human_s(task['duration_s'])}"
    yield text + (" (flaky)" if task["flaky"] else "")
    if task["matrix"]:
        yield f"  matrix   {neutral(', '.join(f'{axis} = {_value(value)}' for axis, value in task['matrix'].items()))}"
    if task["reason"]:
        yield f"  reason   {neutral(task['reason'])}"
    if task["carried_from"]:
        yield f"  carried over from run {neutral(task['carried_from'])}"
    for attempt in task["attempts"]:
        yield from _attempt(terminal, attempt)
    callback = task["callback"]
    if callback is not None:
        word = terminal.style(callback["outcome"].replace("_", " "), _colour(callback["outcome"]))
        yield f"  {neutral(callback['name'])} {word}"
        yield from _error(terminal, callback["error"])
    if task["log"] is not None:
        yield f"  log      {_path(folder, task['log'])}"
        tail = output_tail(folder, task["log"], failed=outcome.is_failure, lines=TAIL_LINES, max_bytes=TAIL_BYTES)
        if tail is not None:
            if tail.cut:
                yield terminal.style("    | …", "dim")
            for line in tail.text.split("\n"):
                yield terminal.style("    | ", "dim") + neutral(line)


def _attempt(terminal: Terminal, attempt: AttemptPart) -> Iterator[str]:
    outcome = attempt["outcome"]
    facts = [f"began {_local(attempt['started_at'])}", f"took {human_s(attempt['duration_s'])}"]
    for name, key in (("process", "pid"), ("exit code", "exit_code"), ("signal", "signal")):
        value: object = attempt[key]  # type: ignore[literal-required]  # they are keys of it
        facts += [] if value is None else [f"{name} {value}"]
    if attempt["peak_rss_bytes"] is not None:
        facts.append(f"memory {attempt['peak_rss_bytes'] / 2**20:.1f} MiB")
    if attempt["cpu_s"] is not None:
        facts.append(f"CPU {human_s(attempt['cpu_s'])}")
    if attempt["left"]:
        facts.append(f"left {attempt['left']} {'process' if attempt['left'] == 1 else 'processes'} behind, killed")
    word = terminal.style(outcome.replace("_", " "), _colour(outcome))
    yield f"  attempt {attempt['number']} {word}: {neutral(', '.join(facts))}"
    yield from _error(terminal, attempt["error"])


def _error(terminal: Terminal, error: ErrorPart | None) -> Iterator[str]:
    """An error with the user's frames of its traceback, or the stacks in which it was killed."""
    if error is not None:
        told = of_the_user(account(ErrorRecord(**error)))
        yield from (terminal.style("    ! ", "dim") + neutral(line) for line in told.split("\n"))


def _colour(outcome: str) -> str:
    return COLOURS.get(Outcome(outcome), "red")


def _path(folder: Path, log: str) -> str:
    return neutral(shown(f"{folder}/{log}"))


def _value(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
