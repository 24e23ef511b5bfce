"""``events.jsonl``: what happened, a line at a time, for programs that watch a run.

Lines are gathered and written with one ``write`` a turn, before anything of that turn is announced elsewhere or
followed up: what a reader of the console, or a dependent task, knows about is in the file.  A disk that takes only a
part of them gets it back: half a line would spoil the next one, and what could not be written is tried again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow.outcome import Attempt, CallbackRecord, Outcome
from workflow.report.records import RunRecord, TaskRecord, Verdict, iso
from workflow.report.shapes import seconds
from workflow.report.texts import (
    EndingTexts,
    attempt_text,
    callback_text,
    encode,
    ending_texts,
    number_of,
    quoted,
    text_of,
)

VERSION = 1


class EventLog:
    """The events of one run, on their way to the run folder and to wherever else they are wanted."""

    def __init__(self, run: str, path: Path, copy: Path | int | None = None) -> None:
        """Open the files.  ``copy`` gets the same lines: a path, or a descriptor such as standard output's.

        Raises OSError when a file cannot be opened.
        """
        self._run = f'", "run": {quoted(run)}, "task": '
        self._lines: list[str] = []
        self._started: set[tuple[str, int]] = set()
        self._ended: dict[str, int] = {}  # attempts of tasks that go on, which were told to have ended
        self._path = str(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.held = False
        """Whether they are kept back, because what they say is not in the ledger yet."""
        self._size = 0
        self._copy: int | None = None
        self._copy_path: str | None = None
        if isinstance(copy, int):
            self._copy = copy
        elif copy is not None:
            self._copy_path = str(copy)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            try:
                self._copy = os.open(copy, flags, 0o666)
            except OSError:
                os.close(self._file)
                raise

    def run_started(self, run: RunRecord) -> None:
        """Say what is going to be run; the first line."""
        fields = {
            "name": run.name,
            "file": run.file,
            "plan_hash": run.plan_hash,
            "pool": run.pool,
            "tasks": run.tasks,
            "pid": run.pid,
            "seed": run.seed,
        }
        self._add("run_started", run.started_at, None, encode(fields)[1:-1])

    def task_started(self, task: str, attempt: int, started_at: float, pid: int | None) -> None:
        """Say that an attempt began.  The first to tell it is believed: who looked while it ran, or its ending."""
        if (task, attempt) not in self._started:
            self._started.add((task, attempt))
            self._add("task_started", started_at, task, f'"attempt": {attempt}, "pid": {number_of(pid)}')

    def task_slow(self, task: str, attempt: int, started_at: float, warn_after_s: float) -> None:
        """Say that an attempt goes on for longer than it was expected to; to be called once for each."""
        fields = f'"attempt": {attempt}, "warn_after_s": {number_of(seconds(warn_after_s))}'
        self._add("task_slow", started_at + warn_after_s, task, fields)

    def untold(self, task: str, attempts: Sequence[Attempt]) -> Sequence[Attempt]:
        """Those of the attempts that have ended until now of which nothing was said; the caller says it."""
        told = self._ended.get(task, 0)
        self._ended[task] = len(attempts)
        return attempts[told:]

    def attempt_finished(self, task: str, attempt: Attempt) -> None:
        """Say that an attempt ended, and before it that it began, if nobody has."""
        self.task_started(task, attempt.number, attempt.started_at, attempt.pid)
        self._started.discard((task, attempt.number))
        ended_at = attempt.started_at + attempt.duration_s
        self._add("attempt_finished", ended_at, task, f'"attempt": {attempt.number}, {attempt_text(attempt)}')

    def task_finished(self, record: TaskRecord, now: float) -> None:
        """Say that a task has its outcome; to be called once for each."""
        self._ended.pop(record.id, None)
        last = record.attempts[-1] if record.attempts else None
        self._add(
            "task_finished",
            now if last is None else last.started_at + last.duration_s,
            record.id,
            _ending(record, ending_texts(record)),
        )

    def task_ended(self, record: TaskRecord, now: float, ending: EndingTexts) -> None:
        """Say what ``attempt_finished`` says of each of its attempts, then ``task_finished``; for less than half."""
        task = f"{self._run}{quoted(record.id)}, "
        told = self._ended.pop(record.id, 0) if self._ended else 0
        text = ""
        ended = None
        for attempt in record.attempts[told:] if told else record.attempts:
            began, number = iso(attempt.started_at), attempt.number
            if (record.id, number) in self._started:
                self._started.discard((record.id, number))
            else:
                pid = "null" if attempt.pid is None else attempt.pid
                text = f'{text}{_STARTED}{began}{task}"attempt": {number}, "pid": {pid}}}\n'
            facts = attempt_text(attempt)
            ended = iso(attempt.started_at + attempt.duration_s)
            text = f'{text}{_FINISHED}{ended}{task}"attempt": {number}, {facts}}}\n'
        self._lines.append(f"{text}{_ENDED}{iso(now) if ended is None else ended}{task}{_ending(record, ending)}}}\n")

    def callback_finished(self, task: str, callback: CallbackRecord, now: float) -> None:
        """Say that a callback ended."""
        self._add("callback_finished", now, task, callback_text(callback)[1:-1])

    def run_finished(self, verdict: Verdict, counts: Mapping[Outcome, int]) -> None:
        """Say how the run ended; the last line."""
        fields = {
            "status": verdict.status,
            "exit_code": verdict.exit_code,
            "duration_s": seconds(verdict.duration_s),
            "counts": {outcome.value: number for outcome, number in counts.items()},
            "reason": verdict.reason,
        }
        self._add("run_finished", verdict.finished_at, None, encode(fields)[1:-1])

    def flush(self) -> None:
        """Hand everything to the operating system.  Raises OSError, with the file's name, when it takes it not."""
        if self.held or not self._lines:
            return
        data = "".join(self._lines).encode("ascii")
        try:
            _write(self._file, data, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self._lines.clear()
        if self._copy is not None:
            try:
                _write(self._copy, data, self._copy_path or "<stdout>")
            except BrokenPipeError:  # whoever read them has seen enough
                self._close_copy()

    def close(self) -> None:
        """Close the files; what was not flushed is lost."""
        self._close_copy()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _close_copy(self) -> None:
        if self._copy is not None and self._copy_path is not None:
            os.close(self._copy)
        self._copy = None

    def _add(self, event: str, time: float, task: str | None, fields: str) -> None:
        self._lines.append(f"{_head(event)}{iso(time)}{self._run}{text_of(task)}, {fields}}}\n")


def _head(event: str) -> str:
    return f'{{"v": {VERSION}, "event": "{event}", "time": "'


_STARTED, _FINISHED, _ENDED = map(_head, ("task_started", "attempt_finished", "task_finished"))


def _ending(record: TaskRecord, ending: EndingTexts) -> str:
    how, took = ending
    return f'{how}, "duration_s": {took}, "attempts": {len(record.attempts)}, "log": {text_of(record.log)}'


def _write(descriptor: int, data: bytes, name: str) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        error.filename = name
        raise
