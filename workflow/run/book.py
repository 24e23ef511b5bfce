"""The account of a run while it goes on: records, logs, events, and the console's lines, from what has ended.

Whatever is taken in is written at once or with the next ``announce``, which tells the console only after the ledger
and the events are with the operating system.  A disk that cannot take something does not stop the account: ``problem``
says so, and what to do about it is decided elsewhere.

This is where secrets end: what tasks and the engine say is masked as it is taken in, so nothing that is made of the
account, now or later, holds one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from workflow.engine import processes
from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.plan.key import Parts, key_of, parts_text
from workflow.plan.plan import PlannedTask
from workflow.plan.tasks import Tasks
from workflow.report.console import Console
from workflow.report.events import EventLog
from workflow.report.graph import graph_of, write_graph
from workflow.report.json_report import record_text
from workflow.report.records import RunRecord, TaskRecord, Verdict, count
from workflow.report.shapes import attempt_of, callback_of
from workflow.report.standing import RunningTask
from workflow.report.texts import EndingTexts, callback_text, ending_texts, task_head
from workflow.report.whereabouts import of_the_task
from workflow.run.database import Unusable
from workflow.run.ending import Ending, broken, write_ending
from workflow.run.engine import EngineHandle, EngineRunning, EngineStack
from workflow.run.folder import RunFolder, StateError, disk_problem
from workflow.run.ledger import EndedRow, Ledger, SeedFrom, SettledRow
from workflow.run.logs import Cut, Logs, Streams, tail
from workflow.run.mask import Mask
from workflow.run.planned import remove_planned, write_planned
from workflow.run.results import Durable
from workflow.run.resume import Carried, Earlier, bring_log
from workflow.run.running import RunningFile
from workflow.run.secrets import Secrets
from workflow.run.stored import Stored

LOOK_BYTES = 4 * 1024 * 1024
"""Output of a task that is shown at one look: then others have their turn."""


class Known(NamedTuple):
    """What is written down of a task for later runs, and of no interest to this one."""

    parts: Parts | None
    """Of its key."""
    result: Durable
    """When others take it."""
    outputs: str | None
    """A digest of how its outputs look."""


NOTHING_KNOWN = Known(None, None, None)


class Book:
    """What is known of each task that has ended, and where it is written."""

    def __init__(
        self,
        tasks: Tasks,
        folder: RunFolder,
        console: Console,
        *,
        max_log_bytes: int | None,
        events: Path | int | None,
        secrets: Secrets,
        ledger: Ledger,
    ) -> None:
        """Open the files; ``ledger`` is open.  Raises StateError."""
        self._tasks = tasks
        self._graph = graph_of(tasks)
        self._folder = folder
        self._console = console
        self._secrets = secrets
        self._mask = secrets.mask
        self._masks = bool(secrets.mask)
        self._streams = Streams(max_log_bytes, self._mask)
        self._logs = Logs(
            folder.logs, tasks=len(tasks), max_bytes=max_log_bytes, mask=self._mask, memory=secrets.folder
        )  # fmt: skip
        self._running_file = RunningFile(folder.path, time.monotonic())
        self._ledger = ledger
        self._run: int | None = None  # its number there
        self._ended: list[EndedRow] = []  # that are not in it yet
        self._settled: list[SettledRow] = []
        self._unannounced: list[TaskRecord] = []
        self._said_slow: set[tuple[int, int]] = set()  # attempts of tasks that have not ended, by place in the plan
        self._unsaid_slow: list[tuple[str, int, float]] = []
        self._said_stopping = False
        self.records: dict[int, TaskRecord] = {}
        """By place in the plan."""
        self.problem: str | None = None
        """The first thing that could not be written."""
        try:
            self._logs.prepare()
            self._events = EventLog(folder.id, folder.events, events)
        except OSError as error:
            raise StateError(disk_problem(error, folder.path)) from error

    @property
    def log_dir(self) -> str:
        """Where the engine shall capture output."""
        return str(self._logs.shared)

    def begin(self, run: RunRecord, root: str, seed_from: SeedFrom, earlier: Earlier | None) -> None:
        """Open the account; ``earlier`` is the run that this one completes."""
        before: dict[str, int] = {}
        try:
            before = {} if earlier is None else earlier.ended()
            resumed = None if earlier is None else earlier.run.number
            self._run = self._ledger.begin_run(run, root, seed_from=seed_from, resumed=resumed)
        except Unusable as error:
            self.problem = str(error)
        self._events.run_started(run)
        self._console.run_started(run, time.monotonic(), self._tasks.names)
        if earlier is not None:
            self._console.resuming(earlier.run.run.id, before, earlier.run.run.tasks, time.monotonic())

    def write_plan(self) -> None:
        """Write down what the plan is made of, for whoever looks at the run before it has a report.  Raises OSError."""
        write_graph(self._folder.graph, self._graph)
        write_planned(self._folder.path, self._tasks.ids())

    def task_ended(
        self, number: int, handle: EngineHandle, outcome: Outcome, reason: str | None, known: Known = NOTHING_KNOWN
    ) -> None:
        """Take in a task that was pushed."""
        task = self._tasks[number]
        record = self._record(task, outcome, reason)
        attempts = _masked_attempts(handle.attempts, self._mask) if self._masks else handle.attempts
        record.attempts = attempts
        try:
            record.log = self._logs.keep(record.id, attempts)
        except OSError as error:
            self._cannot(error, self._folder.logs / f"{record.id}.log")
        if outcome.is_failure:
            record.tail = tail(attempts, mask=self._mask)
        if self._console.verbose:
            self._show(record.id, self._streams.last(record.id, attempts))
        for attempt in attempts:
            self._logs.let_go(attempt.log)
        ending = ending_texts(record)
        if task.warn_after_s is None:
            self._events.task_ended(record, time.time(), ending)
        else:
            self._tell_attempts(number, attempts)
            self._events.task_finished(record, time.time())
        if self._masks:  # what stands there is not masked, and nobody else is to read it
            record.attempts = tuple(attempt._replace(log=None) for attempt in attempts)
        self._add(number, record, known, ending)

    def task_concluded(
        self,
        number: int,
        outcome: Outcome,
        reason: str | None,
        cause: int | None = None,
        known: Known = NOTHING_KNOWN,
    ) -> None:
        """Take in a task that the engine never had."""
        record = self._record(self._tasks[number], outcome, reason)
        record.cause = None if cause is None else self._tasks[cause].id
        if outcome.is_failure:
            try:
                record.log = self._logs.keep_reason(record.id, record.reason or outcome.value)
            except OSError as error:
                self._cannot(error, self._folder.logs / f"{record.id}.log")
        self._events.task_finished(record, time.time())
        self._add(number, record, known)

    def task_carried(self, number: int, carried: Carried, carried_from: str, known: Known) -> None:
        """Take in a task that an earlier run has run.  Raises ValueError when what is known of it is spoiled."""
        record = self._record(self._tasks[number], Outcome.SUCCEEDED, None)
        try:
            told = json.loads(carried.row.text)
            record.reason = told["reason"]
            record.attempts = tuple(map(attempt_of, told["attempts"]))
            record.callback = None if told["callback"] is None else callback_of(told["callback"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"what is known of {record.id} is spoiled") from error
        record.carried_from = carried_from
        try:
            record.log = bring_log(carried.row.log, carried.folder, self._folder.path)
        except OSError as error:
            self._cannot(error, self._folder.logs / f"{record.id}.log")
        self._events.task_finished(record, time.time())
        self._add(number, record, known)

    def task_settled(self, number: int, handle: EngineHandle) -> None:
        """Take in what became of the callback of a task that has ended, if it has one."""
        callback = handle.callback
        if callback is None:
            return
        callback = _masked_callback(callback, self._mask)
        record = self.records[number]
        record.callback = replace(callback, log=None) if self._mask else callback
        if callback.log is not None:
            try:
                record.log = self._logs.keep_callback(record.id, callback.log, record.log)
            except OSError as error:
                self._cannot(error, self._folder.logs / f"{record.id}.log")
            self._logs.let_go(callback.log)
        self._settled.append(SettledRow(number, callback_text(record.callback), record.log))
        self._events.callback_finished(record.id, callback, time.time())
        if callback.outcome.is_failure:
            self.announce()
            self._console.callback_failed(record.id, callback, time.monotonic())

    def look(self, running: Sequence[tuple[int, EngineRunning, tuple[Attempt, ...]]]) -> bool:
        """See what runs, each with the attempts before: for their events, the sign of life, and wanted output.

        Answers whether there is more output already.
        """
        behind = False
        now = time.monotonic()
        epoch_s = time.time()
        shown = []
        seen = []
        for number, attempt, before in running:
            task = self._tasks[number].id
            warn_after_s = self._tasks[number].warn_after_s
            slow = warn_after_s is not None and epoch_s - attempt.started_at >= warn_after_s
            name = self._tasks[number].name
            shown.append(RunningTask(task, attempt.attempt, attempt.started_at, name, slow))
            seen.append((shown[-1], attempt.pid, None if self._mask else attempt.log))
            if before:
                self._tell_attempts(number, _masked_attempts(before, self._mask) if self._masks else before)
            if len(before) == attempt.attempt - 1:  # or else what is known of them is on its way, and comes first
                self._events.task_started(task, attempt.attempt, attempt.started_at, attempt.pid)
                if slow:
                    self._slow(number, attempt.attempt, attempt.started_at, epoch_s - attempt.started_at)
            if self._console.verbose and attempt.log is not None:
                self._show(task, self._streams.news(task, attempt.attempt, attempt.log, LOOK_BYTES))
                behind |= self._streams.behind(task, attempt.attempt, attempt.log)
        if self._unsaid_slow:
            self.announce()
        self._console.engine_said(self._secrets.heard(), now)
        self._running_file.say(seen, now)
        self._console.still(shown, now, epoch_s)
        return behind

    def show_stacks(self, stacks: Sequence[tuple[int, EngineStack]]) -> None:
        """Show where the running tasks are."""
        told = []
        for number, each in stacks:
            place = of_the_task(each.stack) or "\n".join(_commands(each.pid)) or each.stack
            told.append((self._tasks[number].id, each.attempt, each.pid, self._mask.text(place)))
        self._console.stacks(told, time.monotonic())

    def announce(self, stopped: str | None = None) -> None:
        """Tell of everything taken in, the disk first; ``stopped`` is why nothing more is started."""
        written = self._record_ended()
        self._events.held = not written  # who reads them takes what they say for certain
        try:
            self._events.flush()
        except OSError as error:
            self._cannot(error, self._folder.events)
            written = False
        now = time.monotonic()
        if stopped is not None and not self._said_stopping:
            self._said_stopping = True
            self._console.stopping(stopped, now)
        if not written and not self._said_stopping:
            return  # what is not on the disk is told only after it was said why, which comes next
        for task, attempt, running_s in self._unsaid_slow:
            self._console.slow(task, attempt, running_s, now)
        self._unsaid_slow = []
        self._console.tasks_ended(self._unannounced, now)
        self._unannounced = []

    def _record_ended(self) -> bool:
        """Write down what has ended since; answers whether that was possible."""
        if not self._ended and not self._settled:
            return True
        if self._run is None:
            return False
        try:
            self._ledger.record_ended(self._run, self._ended, self._settled)
        except Unusable as error:
            self.problem = self.problem or str(error)
            self._ledger.busy_s = 0.0  # it was waited for
            return False
        self._ended = []
        self._settled = []
        return True

    def _finish_run(self, verdict: Verdict) -> str | None:
        """Write down how the run ended, and answer why that was not possible."""
        counts = {outcome.value: number for outcome, number in count(self.records).items()}
        if self._run is None:
            return self.problem
        try:
            self._ledger.finish_run(self._run, verdict, counts)
        except Unusable as error:
            return str(error)
        return None

    def close(self, run: RunRecord, verdict: Verdict, copies: Sequence[Path], earlier: Earlier | None) -> Ending:
        """Close the account: every report, the last event, the end on the console."""
        self._logs.remove_shared()  # first, for what could not be written may find room now
        self._running_file.remove()
        self.announce()
        self.announce(self.problem)  # of what could not be written just now
        if self.problem is not None:
            verdict = broken(verdict, self.problem)
        if self._ended and self.problem is not None:
            lost = f"{len(self._ended)} {'task' if len(self._ended) == 1 else 'tasks'}"
            unknown = f"; how {lost} ended is not recorded, and --resume runs them again"
            self.problem += unknown
            verdict = replace(verdict, reason=f"{verdict.reason}{unknown}") if verdict.status == "broken" else verdict
        self._console.engine_said(self._secrets.heard(last=True), time.monotonic())
        if earlier is not None:
            self._console.resumed(earlier.run.run.id, earlier.carried, earlier.again, time.monotonic())
        self.records = {number: self.records[number] for number in sorted(self.records)}
        ending = write_ending(
            run, verdict, self.records, self._events, self._folder, self._graph, copies, self._finish_run, self._texts
        )  # fmt: skip
        if ending.report is not None:
            remove_planned(self._folder.path)
        report = None if ending.report is None else str(ending.report)
        self._console.run_ended(tuple(self.records.values()), ending.verdict, report)
        return ending

    def _texts(self) -> Iterator[str]:
        """The tasks as ``report.json`` has them: as they stand in the ledger, and where that cannot be read, anew."""
        numbers = sorted(self.records)
        done = 0
        if self._run is not None and not self._ended and not self._settled:
            with contextlib.suppress(Unusable):
                for number, (place, text) in zip(numbers, self._ledger.texts(self._run), strict=False):
                    if place != number:
                        break
                    done += 1
                    yield text
        for number in numbers[done:]:
            yield record_text(self.records[number])

    def _slow(self, number: int, attempt: int, started_at: float, running_s: float) -> None:
        """Take in that an attempt is slow, which is told once."""
        warn_after_s = self._tasks[number].warn_after_s
        if warn_after_s is None or (number, attempt) in self._said_slow:
            return
        self._said_slow.add((number, attempt))
        self._events.task_slow(self._tasks[number].id, attempt, started_at, warn_after_s)
        self._unsaid_slow.append((self._tasks[number].id, attempt, running_s))

    def _tell_attempts(self, number: int, attempts: Sequence[Attempt]) -> None:
        """Say of these, which are all that have ended of a task, what nobody has said."""
        task = self._tasks[number]
        for attempt in self._events.untold(task.id, attempts):
            self._events.task_started(task.id, attempt.number, attempt.started_at, attempt.pid)
            if task.warn_after_s is not None and attempt.duration_s >= task.warn_after_s:
                self._slow(number, attempt.number, attempt.started_at, attempt.duration_s)
            self._events.attempt_finished(task.id, attempt)
            self._said_slow.discard((number, attempt.number))

    def _show(self, task: str, pieces: Iterable[list[str] | Cut]) -> None:
        for piece in pieces:
            if isinstance(piece, Cut):
                self._console.cut(task, piece.size, time.monotonic())
            else:
                self._console.output(task, piece, time.monotonic())

    def _record(self, task: PlannedTask, outcome: Outcome, reason: str | None) -> TaskRecord:
        told = None if reason is None else self._mask.text(reason)
        return TaskRecord(task.id, task.name, task.matrix, outcome, told, allow_failure=task.allow_failure)

    def _add(self, number: int, record: TaskRecord, known: Known, ending: EndingTexts | None = None) -> None:
        self.records[number] = record
        self._unannounced.append(record)
        self._ended.append(_row(number, record, known, ending))

    def _cannot(self, error: OSError, path: Path) -> None:
        self.problem = self.problem or disk_problem(error, path)


def _row(number: int, record: TaskRecord, known: Known, ending: EndingTexts | None) -> EndedRow:
    parts, result, outputs = known
    return EndedRow(
        place=number,
        task=record.id,
        outcome=record.outcome,
        key=None if parts is None else key_of(parts),
        parts=None if parts is None else parts_text(parts),
        head=task_head(record, ending),
        log=record.log,
        callback=None if record.callback is None else callback_text(record.callback),
        result=None if isinstance(result, Stored) else result,
        stored=json.dumps([result.size, result.checksum]) if isinstance(result, Stored) else None,
        outputs=outputs,
    )


def _masked_attempts(attempts: tuple[Attempt, ...], mask: Mask) -> tuple[Attempt, ...]:
    return tuple(
        attempt if attempt.error is None else attempt._replace(error=_masked_error(attempt.error, mask))
        for attempt in attempts
    )


def _masked_callback(callback: CallbackRecord, mask: Mask) -> CallbackRecord:
    if not mask or callback.error is None:
        return callback
    return replace(callback, error=_masked_error(callback.error, mask))


def _masked_error(error: ErrorRecord, mask: Mask) -> ErrorRecord:
    told = mask.text(error.type), mask.text(error.message), mask.maybe(error.traceback), mask.maybe(error.stack)
    return ErrorRecord(*told)


def _commands(pid: int) -> list[str]:
    """What a process has started and waits for: a line for each that is still there."""
    lines = []
    for below in processes.descendants(pid):
        try:
            words = Path(f"/proc/{below}/cmdline").read_bytes().split(b"\0")[:-1]
        except OSError:
            continue  # it has ended
        if words:
            lines.append(f"process {below}: {shlex.join(os.fsdecode(word) for word in words)}")
    return lines
