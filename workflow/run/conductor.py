"""The loop around a run: wait, understand, announce, perform.  What to do is decided by ``Admission``.

A turn of the loop takes everything that has arrived.  Records, logs and events of it are on disk before the console
says a word about it and before a task that waited for it is pushed.  The engine's threads and the signal handlers only
ever put something into the inbox, so nothing here needs a lock.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow import __version__
from workflow.errors import WorkflowError
from workflow.outcome import Outcome
from workflow.plan.compile import compile_task
from workflow.plan.plan import Plan, PlannedTask
from workflow.report.console import Console, RunningTask
from workflow.report.events import EventLog
from workflow.report.records import RunRecord, TaskRecord, Verdict
from workflow.run.admission import Admission
from workflow.run.effects import CancelAll, CancelQueued, Conclude, Effect, Push
from workflow.run.ending import STATUS, write_ending
from workflow.run.engine import Engine, EngineFactory, EngineHandle
from workflow.run.exit_code import ExitCode
from workflow.run.facts import Broken, Interrupted, RunTimedOut, TaskEnded
from workflow.run.folder import RunFolder, StateError, disk_problem, new_run_folder
from workflow.run.git import git_commit
from workflow.run.inbox import Ended, Settled
from workflow.run.logs import Logs, Streams, tail
from workflow.run.results import KeptResults
from workflow.run.signals import Signals

LOOK_S = 0.2
"""How often to look at what runs."""
CALLBACKS_S = 5.0
"""What callbacks are given to end in when the run does not end by itself."""
TURN_MAX = 2000
"""Endings taken in at once."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, as opposed to what."""

    state_dir: Path
    jobs: int | None = None
    """Workers; None is what the file says."""
    argv: tuple[str, ...] = ()
    """Recorded."""
    reports: tuple[Path, ...] = ()
    """Where the report is wanted too."""
    events: Path | int | None = None
    """Where the events are wanted too: a path, or a descriptor."""
    grace_max_s: float | None = None
    """Bounds what tasks are given to end in when a signal ends the run."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run."""

    run: RunRecord
    verdict: Verdict
    records: tuple[TaskRecord, ...]
    """In the order of the plan."""
    report: Path | None
    """None when it could not be written."""
    problem: str | None
    """Why the engine or the disk failed, for exit code 4."""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode(self.verdict.exit_code)


def run_plan(plan: Plan, options: RunOptions, console: Console, make_engine: EngineFactory) -> RunResult:
    """Run a plan to its end, and leave its folder.

    Raises StateError when the folder cannot be made: then nothing was run.  Whatever goes wrong later is in the result.
    """
    started_at = time.time()
    folder = new_run_folder(options.state_dir, started_at)
    return _Conductor(plan, options, console, make_engine, folder, started_at).run()


class _Conductor:
    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        console: Console,
        make_engine: EngineFactory,
        folder: RunFolder,
        started_at: float,
    ) -> None:
        self._plan = plan
        self._options = options
        self._console = console
        self._folder = folder
        self._start = time.monotonic()
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._signals = Signals(self._inbox)
        self._admission = Admission(plan.tasks, plan.settings, grace_max_s=options.grace_max_s)
        self._results = KeptResults(plan.tasks, plan.settings.path)
        self._logs = Logs(folder.logs, tasks=len(plan.tasks), max_bytes=plan.settings.max_log_bytes)
        self._streams = Streams()
        self._records: dict[int, TaskRecord] = {}
        self._tasks: dict[int, int] = {}  # of a pushed task that owes something: its place in the plan
        self._handles: dict[int, EngineHandle] = {}  # of a pushed task that has not ended
        self._dropped: dict[int, str] = {}  # why a pushed task was dropped from the engine's queue
        self._ended: list[TaskRecord] = []  # not announced yet
        self._problem: str | None = None
        self._said_stopping = False
        self._timed_out = False
        self._callbacks_until: float | None = None
        self._look_at = 0.0
        try:
            self._logs.prepare()
            self._events = EventLog(folder.id, folder.events, options.events)
        except OSError as error:
            raise StateError(disk_problem(error, folder.path)) from error
        self._engine = self._make(make_engine)
        self._run = _run_record(plan, options, folder, started_at, self._engine.pool)

    def run(self) -> RunResult:
        with self._signals:
            try:
                self._events.run_started(self._run)
                self._console.run_started(self._run, self._start)
                self._turn(self._begin())
                while not self._over():
                    self._turn(self._understand(self._wait()))
                self._stop_engine()
            except BaseException:
                # A mistake of ours.  Nothing is left running, and what is known is written down, before it is told.
                self._problem = self._problem or "a mistake in workflow itself"
                with contextlib.suppress(Exception):
                    self._engine.cancel_all(self._problem, 0.0)
                    self._engine.stop(CALLBACKS_S)
                with contextlib.suppress(Exception):
                    self._finish(ExitCode.BROKEN)
                raise
            return self._finish(self._admission.exit_code)

    def _make(self, make_engine: EngineFactory) -> Engine:
        settings = self._plan.settings
        pool = self._options.jobs or (None if settings.pool == "cpus" else settings.pool)
        return make_engine(
            pool,
            log_dir=str(self._logs.shared),
            max_log=settings.max_log_bytes,
            max_result=settings.max_result_bytes,
            preload=settings.preload,
            path=settings.path,
            env={**os.environ, "WORKFLOW_RUN_ID": self._folder.id},
            on_callback=self._settled,
        )

    # Called on the engine's thread

    def _settled(self, handle: EngineHandle) -> None:
        self._inbox.put(Settled(handle))

    def _done(self, handle: object) -> None:
        self._inbox.put(Ended(handle))  # type: ignore[arg-type]  # a Future calls back with itself

    # Wait

    def _over(self) -> bool:
        if not self._admission.finished:
            return False
        if not self._tasks or self._engine.failure is not None:
            return True
        if self._admission.stopped is None or self._admission.exit_code is ExitCode.FAILED:
            return False  # callbacks have limits of their own
        if self._signals.count > 1:
            return True
        if self._callbacks_until is None:
            self._callbacks_until = time.monotonic() + CALLBACKS_S
        return time.monotonic() >= self._callbacks_until

    def _wait(self) -> list[object]:
        timeout = LOOK_S
        limit_s = self._plan.settings.timeout_s
        if limit_s is not None and not self._timed_out:
            timeout = min(timeout, max(0.0, self._start + limit_s - time.monotonic()))
        items: list[object] = []
        try:
            items.append(self._inbox.get(timeout=timeout))
            while len(items) < TURN_MAX:
                items.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return items

    # Understand

    def _begin(self) -> list[Effect]:
        try:
            self._engine.start()
        except (WorkflowError, OSError) as error:
            return self._broken(f"the engine could not start: {error}")
        return self._admission.begin()

    def _understand(self, items: Iterable[object]) -> list[Effect]:
        effects: list[Effect] = []
        limit_s = self._plan.settings.timeout_s
        if limit_s is not None and not self._timed_out and time.monotonic() >= self._start + limit_s:
            self._timed_out = True
            effects += self._admission.handle(RunTimedOut(limit_s))
        if self._engine.failure is not None and self._problem is None:
            effects += self._broken(self._engine.failure)
        for item in items:
            if isinstance(item, (Ended, Settled)):
                if item.handle.number in self._handles:  # whichever of the two comes first
                    effects += self._task_ended(item.handle)
                if isinstance(item, Settled):
                    self._task_settled(item.handle)
            elif isinstance(item, Interrupted):
                effects += self._admission.handle(item)
        self._look()
        return effects

    def _task_ended(self, handle: EngineHandle) -> list[Effect]:
        number = self._tasks[handle.number]
        task = self._plan.tasks[number]
        effects: list[Effect] = []
        outcome = handle.outcome
        assert outcome is not None, f"{task.id} ended without an outcome"
        record = _record(task, outcome, self._dropped.pop(handle.number, None) or handle.reason)
        record.attempts = handle.attempts
        try:
            record.log = self._logs.keep(task.id, record.attempts)
        except OSError as error:
            effects += self._broken(disk_problem(error, self._folder.logs))
        if outcome.is_failure:
            record.tail = tail(record.attempts)
        self._show_output(record)
        for attempt in record.attempts:
            self._events.attempt_finished(task.id, attempt)
        self._conclude(number, record)
        self._results.take(task, outcome, handle)
        del self._handles[handle.number]
        return effects + self._admission.handle(TaskEnded(number, outcome))

    def _task_settled(self, handle: EngineHandle) -> None:
        number = self._tasks.pop(handle.number)
        callback = handle.callback
        if callback is None:
            return
        record = self._records[number]
        record.callback = callback
        self._events.callback_finished(record.id, callback, time.time())
        if callback.outcome.is_failure:
            self._announce()
            self._console.callback_failed(record.id, callback, time.monotonic())

    def _broken(self, reason: str) -> list[Effect]:
        if self._problem is not None:
            return []
        self._problem = reason
        return self._admission.handle(Broken(reason))

    def _look(self) -> None:
        """See what runs: for the events of long attempts, the sign of life, and the output where it is wanted."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        running = []
        for attempt in self._engine.running():
            number = self._tasks.get(attempt.number)
            if number is None or attempt.number not in self._handles:
                continue
            task = self._plan.tasks[number].id
            running.append(RunningTask(task, attempt.attempt, attempt.started_at))
            self._events.task_started(task, attempt.attempt, attempt.started_at, attempt.pid)
            if self._console.verbose and attempt.log is not None:
                for lines in self._streams.news(task, attempt.attempt, attempt.log):
                    self._console.output(task, lines, now)
        self._console.still(running, now, time.time())

    def _show_output(self, record: TaskRecord) -> None:
        if self._console.verbose:
            for lines in self._streams.last(record.id, record.attempts):
                self._console.output(record.id, lines, time.monotonic())

    # Announce and perform

    def _turn(self, effects: Sequence[Effect]) -> None:
        while True:
            pushes = []
            for effect in effects:
                if isinstance(effect, Push):
                    pushes.append(effect.task)
                else:
                    self._perform(effect)
            follow = self._announce()
            for number in pushes:
                follow += self._push(number)
            if not follow:
                return
            effects = follow

    def _announce(self) -> list[Effect]:
        effects: list[Effect] = []
        try:
            self._events.flush()
        except OSError as error:
            effects += self._broken(disk_problem(error, self._folder.events))
        now = time.monotonic()
        if self._admission.stopped is not None and not self._said_stopping:
            self._said_stopping = True
            self._console.stopping(self._admission.stopped, now)
        self._console.tasks_ended(self._ended, now)
        self._ended = []
        return effects

    def _perform(self, effect: Conclude | CancelQueued | CancelAll) -> None:
        if isinstance(effect, Conclude):
            task = self._plan.tasks[effect.task]
            record = _record(task, effect.outcome, effect.reason)
            record.cause = None if effect.cause is None else self._plan.tasks[effect.cause].id
            self._conclude(effect.task, record)
            self._results.take(task, effect.outcome, None)
            self._results.release(task)
        elif isinstance(effect, CancelAll):
            self._engine.cancel_all(effect.reason, effect.grace_s)
        else:
            running = {attempt.number for attempt in self._engine.running()}
            for handle in list(self._handles.values()):
                if handle.number not in running:
                    self._dropped[handle.number] = effect.reason
                    handle.cancel()

    def _push(self, number: int) -> list[Effect]:
        task = self._plan.tasks[number]
        stopped = self._admission.stopped
        if stopped is not None:  # by something that was heard after the push had been decided
            return self._unpushed(number, Outcome.CANCELLED, stopped)
        try:
            info = compile_task(task, self._results.of(task))
            self._results.release(task)
            handle = self._engine.push(info)
        except Exception as error:  # noqa: BLE001  values of results end up in it: whatever is wrong is this task's failure
            if self._engine.failure is None:
                return self._unpushed(number, Outcome.FAILED, _sentence(error))
            effects = self._broken(self._engine.failure)
            return effects + self._unpushed(number, Outcome.CANCELLED, self._engine.failure)
        self._tasks[handle.number] = number
        self._handles[handle.number] = handle
        handle.add_done_callback(self._done)
        return []

    def _unpushed(self, number: int, outcome: Outcome, reason: str) -> list[Effect]:
        task = self._plan.tasks[number]
        self._conclude(number, _record(task, outcome, reason))
        self._results.take(task, outcome, None)
        return self._admission.handle(TaskEnded(number, outcome))

    def _conclude(self, number: int, record: TaskRecord) -> None:
        self._records[number] = record
        self._ended.append(record)
        self._events.task_finished(record, time.time())

    # The end

    def _stop_engine(self) -> None:
        """Let the engine go, and take in what it still had to say."""
        by_itself = not self._tasks
        self._engine.stop(None if by_itself else CALLBACKS_S)
        items = []
        while not self._inbox.empty():
            items.append(self._inbox.get_nowait())
        self._turn(self._understand(items))

    def _finish(self, code: ExitCode) -> RunResult:
        for number, task in enumerate(self._plan.tasks):
            if number not in self._records:
                self._conclude(number, _record(task, Outcome.CANCELLED, self._problem))
        verdict = Verdict(
            exit_code=code,
            status=STATUS[code],
            reason=self._problem or self._admission.stopped,
            finished_at=time.time(),
            duration_s=time.monotonic() - self._start,
        )
        self._logs.remove_shared()
        self._records = dict(sorted(self._records.items()))
        ending = write_ending(self._run, verdict, self._records, self._events, self._folder, self._options.reports)
        records = tuple(self._records.values())
        self._console.run_ended(records, ending.verdict, None if ending.report is None else str(ending.report))
        return RunResult(self._run, ending.verdict, records, ending.report, self._problem or ending.problem)


def _record(task: PlannedTask, outcome: Outcome, reason: str | None) -> TaskRecord:
    return TaskRecord(task.id, task.name, task.matrix, outcome, reason, allow_failure=task.allow_failure)


def _run_record(plan: Plan, options: RunOptions, folder: RunFolder, started_at: float, pool: int) -> RunRecord:
    return RunRecord(
        id=folder.id,
        name=plan.name,
        file=str(plan.file),
        plan_hash=plan.hash,
        started_at=started_at,
        engine="local",
        pool=pool,
        host=socket.gethostname(),
        pid=os.getpid(),
        python=platform.python_version(),
        version=__version__,
        git=git_commit(plan.file.parent),
        argv=options.argv,
        tasks=len(plan.tasks),
        folder=str(folder.path),
    )


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, WorkflowError) else f"{type(error).__name__}: {error}"
