"""Runs as they can be seen afterwards, or while they go on, by another process.

What is known of a run lies in three places.  A run that has ended has ``report.json``, which says everything.  One that
goes on, or was killed, has not; its manifest says what it is, and how its tasks ended stands in the ledger, which a
task's end reaches before anybody is told of it.  Where the ledger knows nothing of it, a file of another version or one
that is broken, the events say the same except for the matrix.  All three are read a task at a time, because there may
be a million of them.

Whether it goes on is not written down anywhere: it is asked of the kernel, which holds a lock for whoever runs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from workflow.outcome import Outcome
from workflow.report.graph import read_graph
from workflow.report.material import Document, Material, RunPart, TaskPart, Unreadable, read_material
from workflow.report.records import Verdict, iso
from workflow.report.regular import open_regular, read_regular
from workflow.report.shapes import FORMAT, run_shape
from workflow.run.database import Unusable
from workflow.run.folder import RunFolder, is_alive
from workflow.run.ledger import KnownRun, Ledger
from workflow.run.planned import read_planned
from workflow.run.running import NAME as RUNNING_FILE
from workflow.run.running import RunningNow, read_running

RUNNING = "running"
KILLED = "killed"
KILLED_CODE = 137
"""What a shell calls the exit of a command that SIGKILL ended."""
_HEAD_MAX = 1 << 22
"""Bytes of a line of a report that is read for its head."""


Wanted = Callable[[bytes], bool]


@dataclass(frozen=True)
class PastRun:
    """One run.  What is in it was written by others, so reading it further may raise Unreadable."""

    folder: RunFolder
    head: RunPart
    """As in a report; ``status`` may also be ``running`` or ``killed``, and then it ended when it was last heard of."""
    counts: Mapping[str, int]
    """How many of its tasks ended in each way until now."""
    planned: int
    """How many tasks it has."""
    known: KnownRun | None = None
    """What the ledger says of it."""
    reported: bool = False
    """Whether it has a report that can be read."""

    @property
    def status(self) -> str:
        """How it stands."""
        return self.head["status"]

    @property
    def is_over(self) -> bool:
        """Whether it has ended by itself, and a report says how."""
        return self.status not in (RUNNING, KILLED)

    def tasks(self, wanted: Wanted = lambda _text: True) -> Iterator[TaskPart]:
        """The tasks that have ended, in the order of the plan as far as that is known.  Raises Unreadable.

        ``wanted`` is asked about the text of each, which is made out only then; for some runs it is not asked.
        """
        if self.reported:
            return read_tasks(self.folder.report, wanted)
        if self.known is not None:
            return _tasks_of_ledger(self.folder.path.parent.parent, self.known.number, wanted)
        return tasks_of_events(self.folder.events)


@contextmanager
def _looked_at(state_dir: Path) -> Iterator[Ledger | None]:
    """The ledger, to be looked at; None where there is none that can be.  What is wrong with it ends the block."""
    ledger: Ledger | None = None
    with suppress(Unusable):
        ledger = Ledger(state_dir, create=False)
    try:
        with suppress(Unusable):
            yield ledger
    finally:
        if ledger is not None:
            ledger.close()


def past_runs(state_dir: Path) -> list[PastRun]:
    """All runs of a state folder, the newest first; also those of which nothing but a row is left."""
    from workflow.run.lookup import run_ids

    rows: dict[str, KnownRun] = {}
    counts: dict[str, Mapping[str, int]] = {}
    with _looked_at(state_dir) as ledger:
        if ledger is not None:
            rows = {known.run.id: known for known in ledger.runs()}
            counts = {id_: ledger.counts(known.number) for id_, known in rows.items() if known.verdict is None}
    ids = sorted({*run_ids(state_dir), *rows}, reverse=True)
    return [_past(RunFolder(id_, state_dir / "runs" / id_), rows.get(id_), counts.get(id_, {})) for id_ in ids]


def past_run(folder: RunFolder, state_dir: Path) -> PastRun:
    """One of them."""
    known: KnownRun | None = None
    counts: Mapping[str, int] = {}
    with _looked_at(state_dir) as ledger:
        if ledger is not None:
            known = next((each for each in ledger.matching(folder.id) if each.run.id == folder.id), None)
            counts = {} if known is None else ledger.counts(known.number)
    return _past(folder, known, counts)


def _past(folder: RunFolder, known: KnownRun | None, ended: Mapping[str, int]) -> PastRun:
    """``ended`` is how many of its tasks the ledger knows to have ended in each way."""
    alive = is_alive(folder.path)  # before the report is looked for: a run that ends just now has written it
    report = read_head(folder.report)
    if report is not None:
        head, counts = report
        return PastRun(folder, head, counts, sum(counts.values()), known, reported=True)
    if known is not None and known.verdict is not None and known.counts is not None:
        shape = cast(RunPart, run_shape(known.run, known.verdict))
        return PastRun(folder, shape, known.counts, known.run.tasks, known)
    status = RUNNING if alive else KILLED
    heard_at = _heard_at(folder)
    if known is not None:
        duration_s = max(0.0, heard_at - known.run.started_at)
        verdict = Verdict(KILLED_CODE, status, None, known.run.started_at + duration_s, duration_s)
        return PastRun(folder, cast(RunPart, run_shape(known.run, verdict)), ended, known.run.tasks, known)
    shape, planned = _head_of_manifest(folder, status, heard_at)
    return PastRun(folder, shape, _counts_of_events(folder.events), planned)


def _heard_at(folder: RunFolder) -> float:
    """When the run last wrote something, as far as that can be told."""
    heard_at = 0.0
    for path in (folder.events, folder.manifest, folder.path / RUNNING_FILE, folder.path):
        with suppress(OSError):
            heard_at = max(heard_at, path.stat().st_mtime)
    return heard_at


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A task of a run without a report whose end is not known."""

    id: str
    had_begun: bool
    """As far as the run has told: of the last moment it has not."""

    @property
    def name(self) -> str:
        """What the file calls it."""
        return self.id.partition("@")[0]


def unfinished(past: PastRun) -> list[Unfinished]:
    """Of a run without a report the tasks whose end is not known, in the order of the plan.  Raises Unreadable."""
    if past.reported:
        return []
    begun: dict[str, None] = {}
    for event in read_events(past.folder.events):
        if event["event"] == "task_started":
            begun[event["task"]] = None
    begun.update({each.id: None for each in read_running(past.folder.path)})
    planned = read_planned(past.folder.path) or begun
    ended = {task["id"] for task in past.tasks()}
    return [Unfinished(id_, id_ in begun) for id_ in planned if id_ not in ended]


def _cut_off(task: Unfinished, status: str, log: str | None) -> TaskPart:
    if status != KILLED:
        reason = "how it ended could not be written down"
    elif task.had_begun:
        reason = "the run was killed before it ended"
    else:
        reason = "the run was killed before it began, or at that moment"
    return TaskPart(
        id=task.id, name=task.name, matrix=None, outcome=Outcome.CANCELLED.value, reason=reason, flaky=False,
        carried_from=None, duration_s=None, attempts=[], callback=None, log=log,
    )  # fmt: skip


def log_of(running: RunningNow, past: PastRun) -> str | None:
    """Where the output of a task that runs, or ran to the last, is, relative to the run folder."""
    root = f"{past.folder.path.resolve()}/"
    if running.file is None or not running.file.startswith(root):
        return None
    size = running.size
    if past.status == KILLED:  # what it printed after it was looked at last: nobody came after it
        with suppress(OSError):
            size = max(size, Path(running.file).stat().st_size - running.offset)
    return f"{running.file.removeprefix(root)}#{running.offset}+{size}" if size else None


def material_of_past(past: PastRun) -> Material:
    """What reports of a run are made of.  Raises Unreadable, also for a run that goes on."""
    if past.status == RUNNING:
        raise Unreadable(f"the run {past.folder.id} goes on: its reports are made when it ends; see workflow show")
    if past.folder.report.exists():
        return read_material(past.folder.path.resolve())
    if past.known is None and not past.folder.manifest.exists() and not past.folder.events.exists():
        raise Unreadable(f"the run {past.folder.id} was killed before it left anything that could be told")
    tasks = list(past.tasks())
    counts = {outcome.value: 0 for outcome in Outcome}
    logs = {each.id: log_of(each, past) for each in read_running(past.folder.path)}
    tasks += [_cut_off(each, past.status, logs.get(each.id)) for each in unfinished(past)]
    places = {id_: place for place, id_ in enumerate(read_planned(past.folder.path))}
    tasks.sort(key=lambda task: places.get(task["id"], -1))
    for task in tasks:
        counts[task["outcome"]] += 1
    document = Document(format=FORMAT, run=past.head, counts=counts, tasks=tasks)
    return Material(document, past.folder.path.resolve(), read_graph(past.folder.graph))


# report.json


def read_head(path: Path) -> tuple[RunPart, dict[str, int]] | None:
    """The run and the counts of a report, without its tasks; None where there is none that can be read."""
    try:
        with open_regular(path) as file:
            lines = [file.readline(_HEAD_MAX) for _ in range(3)]
        head = json.loads(lines[1].partition(b":")[2].rstrip(b",\n"))
        counts = json.loads(lines[2].partition(b":")[2].rstrip(b",\n"))
        return _checked_head(head), {str(outcome): int(number) for outcome, number in counts.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, IndexError):
        return None


def _checked_head(head: Any) -> RunPart:
    """The head, if everything in it that is shown is what it has to be.  Raises ValueError, TypeError, KeyError."""
    for key in ("id", "file", "plan_hash", "status", "started_at", "finished_at", "host", "python", "version"):
        if not isinstance(head[key], str):
            raise TypeError(key)
    datetime.fromisoformat(head["started_at"])
    float(head["duration_s"]), int(head["exit_code"]), int(head["pool"]), list(map(str, head["argv"])), head["name"]
    return cast(RunPart, head)


def read_tasks(path: Path, wanted: Wanted = lambda _text: True) -> Iterator[TaskPart]:
    """The tasks of a report that are wanted, one by one.  Raises Unreadable."""
    try:
        with open_regular(path) as file:
            for line in file:
                if line.strip() == b'"tasks": [':
                    break
            else:
                raise ValueError("it has no tasks")  # noqa: TRY301  told as of the rest of what is in it
            for line in file:
                text = line.strip()
                done = text.endswith(b"]}")
                text = text.removesuffix(b"]}") if done else text.removesuffix(b",")
                if text and wanted(text):
                    yield checked_task(json.loads(text))
                if done:
                    return
            raise ValueError("it is cut off")  # noqa: TRY301  as above
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable(f"{path} is not a report that this version of workflow reads: {error}") from error


def checked_task(task: Any) -> TaskPart:
    """The task, if everything in it that is shown is what it has to be.  Raises ValueError, TypeError, KeyError."""
    Outcome(task["outcome"])
    texts = [task["id"], task["name"]]
    optional = [task["reason"], task["log"], task["carried_from"]]
    for attempt in task["attempts"]:
        Outcome(attempt["outcome"])
        datetime.fromisoformat(attempt["started_at"])
        float(attempt["duration_s"]), int(attempt["number"]), int(attempt["left"])
        optional += [attempt["signal"], *_error_texts(attempt["error"])]
        attempt["exit_code"], attempt["pid"], attempt["peak_rss_bytes"], attempt["cpu_s"]
    callback = task["callback"]
    if callback is not None:
        texts += [callback["name"], callback["outcome"]]
        optional += _error_texts(callback["error"])
    wrong = [each for each in texts if not isinstance(each, str)]
    if wrong or not all(each is None or isinstance(each, str) for each in optional):
        raise TypeError(f"task {task['id']!r}")
    if task["duration_s"] is not None:
        float(task["duration_s"])
    return cast(TaskPart, task)


def _error_texts(error: Any) -> list[object]:
    if error is None:
        return []
    if not isinstance(error["type"], str) or not isinstance(error["message"], str):
        raise TypeError("an error")
    return [error["traceback"], error["stack"]]


# Of runs without a report


def _tasks_of_ledger(state_dir: Path, number: int, wanted: Wanted) -> Iterator[TaskPart]:
    try:
        ledger = Ledger(state_dir, create=False)
        try:
            for row in ledger.ended(number):
                text = row.text
                if wanted(text.encode("ascii", "backslashreplace")):
                    yield checked_task(json.loads(text))
        finally:
            ledger.close()
    except Unusable as error:
        raise Unreadable(str(error)) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable(f"what the ledger says of the run is no account of tasks: {error}") from error


def _head_of_manifest(folder: RunFolder, status: str, heard_at: float) -> tuple[RunPart, int]:
    """What the run is, as far as that is known; its folder is, at least."""
    facts: dict[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(read_regular(folder.manifest))
        facts = found if isinstance(found, dict) else {}

    def text(value: object, default: str) -> str:
        return value if isinstance(value, str) else default

    def number(value: object, default: int) -> int:
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    python, engine = facts.get("python"), facts.get("engine")
    started_at = text(facts.get("started_at"), "")
    try:
        started_s = datetime.fromisoformat(started_at).timestamp()
    except ValueError:
        started_s = _started_at(folder.id) or heard_at
    duration_s = max(0.0, heard_at - started_s)
    name, git, argv = facts.get("name"), facts.get("git"), facts.get("argv")
    head = RunPart(
        id=folder.id,
        name=name if isinstance(name, str) else None,
        file=text(facts.get("file"), "?"),
        plan_hash=text(facts.get("plan_hash"), "?"),
        status=status,
        exit_code=KILLED_CODE,
        started_at=iso(started_s),
        finished_at=iso(started_s + duration_s),
        duration_s=round(duration_s, 6),
        engine="local",
        pool=number(engine.get("pool"), 1) if isinstance(engine, dict) else 1,
        host=text(facts.get("host"), "?"),
        python=text(python.get("version"), "?") if isinstance(python, dict) else "?",
        version=text(facts.get("version"), "?"),
        git=git if isinstance(git, str) else None,
        argv=[str(word) for word in argv] if isinstance(argv, list) else [],
        seed=number(facts.get("seed"), 0),
    )
    return head, number(facts.get("tasks"), 0)


def _started_at(id_: str) -> float | None:
    """What an id says of it."""
    with suppress(ValueError):
        return datetime.strptime(f"{id_[:15]}+0000", "%Y%m%d-%H%M%S%z").timestamp()
    return None


def tasks_of_events(path: Path) -> Iterator[TaskPart]:
    """The tasks that have ended, in the order in which they did; what a callback did is not told.

    Raises Unreadable.
    """
    attempts: dict[str, list[dict[str, object]]] = {}
    for event in read_events(path):
        task = event["task"]
        if event["event"] == "attempt_finished":
            attempts.setdefault(task, []).append({"number": event["attempt"], **event})
        elif event["event"] == "task_finished":
            try:
                yield checked_task(
                    {
                        "id": task,
                        "name": task.partition("@")[0],
                        "matrix": None,
                        "outcome": event["outcome"],
                        "reason": event["reason"],
                        "flaky": event["flaky"],
                        "carried_from": event.get("carried_from"),
                        "duration_s": event["duration_s"],
                        "attempts": [
                            {key: attempt[key] for key in _ATTEMPT_KEYS} for attempt in attempts.pop(task, [])
                        ],
                        "callback": None,
                        "log": event["log"],
                    }
                )
            except (ValueError, TypeError, KeyError) as error:
                raise Unreadable(f"{path} does not say how tasks ended: {error}") from error


_ATTEMPT_KEYS = (
    "number", "outcome", "started_at", "duration_s", "pid", "exit_code", "signal", "left", "peak_rss_bytes", "cpu_s",
    "error",
)  # fmt: skip


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a run so far, without a last one that is not whole yet.  Raises Unreadable."""
    try:
        with open_regular(path) as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                event = json.loads(line)
                if isinstance(event, dict) and isinstance(event.get("task"), (str, type(None))) and "event" in event:
                    yield event
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from error


def _counts_of_events(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    with suppress(Unreadable):
        for event in read_events(path):
            if event["event"] == "task_finished" and isinstance(event.get("outcome"), str):
                counts[event["outcome"]] = counts.get(event["outcome"], 0) + 1
    return counts
