"""The loop around a run: wait, understand, perform.  What to do is decided by ``Admission``.

A turn of the loop takes everything that has arrived.  Records, logs and events of it are on disk (``Book``) before the
console says a word about it and before a task that waited for it is pushed.  The engine's threads and the signal
handlers only ever put something into the inbox, so nothing here needs a lock.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow import __version__
from workflow.errors import EngineError, WorkflowError
from workflow.outcome import Outcome
from workflow.plan.compile import Surroundings, compile_task
from workflow.plan.key import Parts
from workflow.plan.plan import Plan, PlannedTask
from workflow.report.console import Console
from workflow.report.records import RunRecord, TaskRecord, Verdict
from workflow.run.admission import Admission
from workflow.run.book import NOTHING_KNOWN, Book, Known
from workflow.run.cache import Cache, look_digest
from workflow.run.database import Unusable
from workflow.run.effects import CancelAll, CancelQueued, Conclude, Effect, Push, Retry
from workflow.run.ending import STATUS
from workflow.run.engine import Engine, EngineFactory, EngineHandle
from workflow.run.exit_code import ExitCode
from workflow.run.facts import Broken, Fact, Interrupted, RetryDue, RunTimedOut, TaskBegan, TaskEnded, TimePassed
from workflow.run.folder import RunFolder, StateError, disk_problem, hold, let_go, make_state_dir, new_run_folder
from workflow.run.git import git_commit
from workflow.run.inbox import Answer, Cached, Ended, Held, Judged, KeptResult, Noted, Settled, StacksAsked
from workflow.run.inputs import Inputs
from workflow.run.ledger import Ledger
from workflow.run.manifest import write_manifest
from workflow.run.mask import Mask
from workflow.run.results import KeptResults
from workflow.run.resume import Carried, Earlier, Resume, earlier_of, seed_of
from workflow.run.secrets import Secrets, errors_masked, read_secrets
from workflow.run.signals import Signals

LOOK_S = 0.2
"""How often to look at what runs."""
CALLBACKS_S = 5.0
"""What callbacks are given to end in when the run does not end by itself."""
STACKS_S = 1.0
"""What the engine is given to find out where the running tasks are."""
TURN_MAX = 500
"""Endings taken in at once: more would keep a signal waiting."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, as opposed to what."""

    state_dir: Path
    jobs: int | None = None
    """Workers; None is what the file says."""
    seed: int | None = None
    """Of the run; None is what the file says, and drawn where it says nothing."""
    argv: tuple[str, ...] = ()
    """Recorded."""
    reports: tuple[Path, ...] = ()
    """Where the report is wanted too."""
    events: Path | int | None = None
    """Where the events are wanted too: a path, or a descriptor."""
    after_start: Callable[[], None] | None = None
    """Called when the engine was started, and before anything is waited for."""
    grace_max_s: float | None = None
    """Bounds what tasks are given to end in when a signal ends the run."""
    make_signals: Callable[[queue.SimpleQueue[object]], Signals] = Signals
    """What hears the signals, and may be asked to end the run."""
    force: str | None = None
    """Tasks whose id or name matches this glob run although they are cached, or ended in the run that is resumed."""
    resume: Resume | None = None
    """Which run to complete."""
    keep_results: frozenset[str] = frozenset()
    """Ids of tasks whose results others take that are not in the plan now."""


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
    mask: Mask
    """For whatever else is told of it."""
    warning: str | None = None
    """Why nothing was cached that could have been."""

    @property
    def exit_code(self) -> ExitCode:
        """What to leave with."""
        return ExitCode(self.verdict.exit_code)


def run_plan(
    plan: Plan,
    options: RunOptions,
    console: Console,
    make_engine: EngineFactory,
    concluded: Callable[[ExitCode], object] = lambda _code: None,
) -> RunResult:
    """Run a plan to its end, and leave its folder.

    Raises InvalidPipeline when a secret cannot be had, NoMemoryFolder when there is no place for what may hold one,
    CannotResume when there is nothing to complete, and StateError when the folder or the ledger cannot be made or
    read: then nothing was run.  What goes wrong later is in the result.
    Signals are the run's from before it has a folder until its report is written and ``concluded`` was told the exit
    code in it: a run that has a folder has a report, and nothing but the report's code is left with.
    """
    _check_names(plan.file, plan.root, options.state_dir.absolute())
    started_at = time.time()
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    secrets = read_secrets(plan)
    with (
        errors_masked(secrets.mask),
        secrets,
        options.make_signals(inbox) as signals,
        open_ledger(options.state_dir) as ledger,
    ):
        earlier = None if options.resume is None else _earlier(ledger, plan, options.resume)
        folder = new_run_folder(options.state_dir, started_at)
        held = hold(folder)
        try:
            result = _Conductor(
                plan, options, console, make_engine, folder, started_at, inbox, signals, secrets, ledger, earlier
            ).run()
        finally:
            let_go(folder, held)
        concluded(result.exit_code)
    return result


class _Conductor:
    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        console: Console,
        make_engine: EngineFactory,
        folder: RunFolder,
        started_at: float,
        inbox: queue.SimpleQueue[object],
        signals: Signals,
        secrets: Secrets,
        ledger: Ledger,
        earlier: Earlier | None,
    ) -> None:
        settings = plan.settings
        self._secrets = secrets
        self._max_log_bytes = secrets.log_bound(settings.max_log_bytes, _workers(plan, options))
        self._plan = plan
        self._manifest = folder.manifest
        self._options = options
        self._start = time.monotonic()
        self._limit_s = settings.timeout_s  # of the run; None too when it was reached
        self._inbox = inbox
        self._signals = signals
        self._results = KeptResults(plan.tasks, str(folder.results), options.keep_results)
        self._book = Book(
            plan.tasks, folder, console, max_log_bytes=self._max_log_bytes, events=options.events, secrets=secrets,
            ledger=ledger,
        )  # fmt: skip
        self._tasks: dict[int, int] = {}  # of a pushed task that owes something: its place in the plan
        self._handles: dict[int, EngineHandle] = {}  # of a pushed task that has not ended
        self._retrying: dict[int, EngineHandle] = {}  # of a task that is to be tried again, by place in the plan
        self._dropped: dict[int, str] = {}  # why a pushed task was dropped from the engine's queue
        self._problem: str | None = None  # what has made the run broken
        self._callbacks_until: float | None = None
        self._look_at = 0.0
        seed, self._seed_from = seed_of(options.seed, settings, earlier)
        self._around = Surroundings(str(plan.root), folder.id, str(folder.path), seed, secrets.values)
        self._inputs = Inputs(plan)
        self._judging: set[int] = set()  # tasks that may start, for which files are read before
        self._parts: dict[int, Parts] = {}  # of the keys of tasks that were pushed
        self._earlier = earlier
        self._console = console
        self._cache = Cache(
            plan,
            ledger,
            self._around,
            inbox.put,
            force=options.force,
            seed=None if self._seed_from == "drawn" else seed,
            taken=self._results.is_taken,
            earlier=earlier,
            results=folder.results,
        )
        self._engine = self._make(make_engine, folder)
        pool = self._engine.pool
        self._admission = Admission(
            plan.tasks, settings, pool=pool, pushed_max=secrets.pushed_max(pool), grace_max_s=options.grace_max_s
        )  # fmt: skip
        self._run = _run_record(plan, options, folder, started_at, self._engine.pool, seed, secrets.mask)

    def run(self) -> RunResult:
        try:
            self._book.begin(self._run, str(self._plan.root), self._seed_from, self._earlier)
            self._perform(self._begin())
            while not self._over():
                self._perform(self._understand(self._wait()))
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

    def _make(self, make_engine: EngineFactory, folder: RunFolder) -> Engine:
        settings = self._plan.settings
        return make_engine(
            _workers(self._plan, self._options),
            log_dir=self._book.log_dir,
            max_log=self._max_log_bytes,
            own_output=self._secrets.own_output,
            max_result=settings.max_result_bytes,
            max_tasks_per_child=settings.max_tasks_per_child,
            preload=settings.preload,
            path=[os.path.normpath(self._plan.root / each) for each in settings.path],
            env={**os.environ, "WORKFLOW_RUN_ID": folder.id},
            on_retry=lambda handle: self._inbox.put(Held(handle)),
            on_callback=self._settled,
        )

    # Called on the engine's thread

    def _settled(self, handle: EngineHandle) -> None:
        self._inbox.put(Settled(handle))

    def _ended(self, future: object) -> None:
        handle: EngineHandle = future  # type: ignore[assignment]  # a Future calls back with itself
        if self._results.taken and handle.outcome is Outcome.SUCCEEDED and handle.id is not None:
            self._results.arrived(handle.id, handle)
        self._inbox.put(Ended(handle))

    # Wait

    def _over(self) -> bool:
        if not self._admission.finished:
            return False
        if self._cache.busy and self._admission.stopped is None:
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
        timeout = LOOK_S if self._look_at > time.monotonic() else 0.0
        if self._limit_s is not None:
            timeout = min(timeout, max(0.0, self._start + self._limit_s - time.monotonic()))
        now = time.monotonic()
        wake_at = self._admission.wake_at(now)
        if wake_at is not None:
            timeout = min(timeout, wake_at - now)
        items: list[object] = []
        with contextlib.suppress(queue.Empty):
            items.append(self._inbox.get(timeout=timeout))
            while len(items) < TURN_MAX:
                items.append(self._inbox.get_nowait())
        return items

    # Understand

    def _begin(self) -> list[Effect]:
        if self._book.problem is not None:
            return self._broken(self._book.problem)
        try:
            write_manifest(self._manifest, self._plan, self._run, self._secrets.mask)
            self._book.write_plan()
        except OSError as error:
            return self._broken(disk_problem(error, self._manifest))
        try:
            self._engine.start()
        except (WorkflowError, OSError) as error:
            return self._broken(f"the engine could not start: {error}")
        if self._options.after_start is not None:
            self._options.after_start()
        return self._admission.begin(time.monotonic())

    def _understand(self, items: Iterable[object]) -> list[Effect]:
        effects: list[Effect] = []
        if self._limit_s is not None and time.monotonic() >= self._start + self._limit_s:
            limit_s, self._limit_s = self._limit_s, None
            effects += self._decide(RunTimedOut(limit_s))
        effects += self._broken(self._engine.failure)
        effects += self._hear()
        for item in items:
            if isinstance(item, (Ended, Settled)):
                handle = item.handle
                if handle.number in self._handles:  # whichever of the two comes first
                    effects += self._task_ended(handle)
                if isinstance(item, Settled):
                    self._book.task_settled(self._tasks.pop(handle.number), handle)
            elif isinstance(item, Held):
                effects += self._held(item.handle)
            elif isinstance(item, Judged):
                effects += self._judged(item)
            elif isinstance(item, Noted):
                self._cache.noted()
            elif isinstance(item, StacksAsked):
                self._show_stacks()
        return effects + self._look()

    def _hear(self) -> list[Effect]:
        """Take in the signals that have arrived, before whatever else has."""
        effects: list[Effect] = []
        for number in self._signals.take():
            effects += self._decide(Interrupted(number))
        return effects

    def _task_ended(self, handle: EngineHandle) -> list[Effect]:
        number = self._tasks[handle.number]
        task = self._plan.tasks[number]
        outcome = handle.outcome
        assert outcome is not None, f"{task.id} ended without an outcome"
        succeeded = outcome is Outcome.SUCCEEDED
        reason = None if succeeded else handle.reason
        if self._dropped:
            dropped = self._dropped.pop(handle.number, None)
            reason = dropped if outcome is Outcome.CANCELLED and dropped is not None else reason
        parts = self._parts.pop(number, None)
        result = self._results.take(task, outcome, handle)
        look = self._cache.look(task) if succeeded and task.outputs else None
        self._book.task_ended(number, handle, outcome, reason, Known(parts, result, look_digest(look)))
        if succeeded and task.outputs:
            self._cache.note(task, parts, look, handle.pickled_result)
        del self._handles[handle.number]
        if self._retrying:
            self._retrying.pop(number, None)
        began = self._all_began(number, handle) if task.uses else []
        return began + self._decide(TaskEnded(number, outcome))

    def _held(self, handle: EngineHandle) -> list[Effect]:
        if handle.number not in self._handles:
            return []  # it has ended meanwhile
        number = self._tasks[handle.number]
        self._retrying[number] = handle
        return self._all_began(number, handle) + self._decide(RetryDue(number))

    def _all_began(self, number: int, handle: EngineHandle) -> list[Effect]:
        effects: list[Effect] = []
        for attempt in handle.attempts:
            effects += self._began(number, attempt.number, attempt.started_at)
        return effects

    def _began(self, number: int, attempt: int, started_at: float) -> list[Effect]:
        if not self._plan.tasks[number].uses:
            return []
        now = time.monotonic()
        # The clock of attempts can be set back and forth; what it says cannot be later than now.
        return self._decide(TaskBegan(number, now - max(0.0, time.time() - started_at), attempt))

    def _decide(self, fact: Fact) -> list[Effect]:
        return self._admission.handle(fact, time.monotonic())

    def _broken(self, reason: str | None) -> list[Effect]:
        if reason is None or self._problem is not None:
            return []
        self._problem = reason = self._secrets.mask.text(reason)
        return self._decide(Broken(reason))

    def _look(self) -> list[Effect]:
        now = time.monotonic()
        if now < self._look_at:
            return self._decide(TimePassed()) if self._admission.wake_at(now) == now else []
        self._look_at = now + LOOK_S
        running = [
            (
                self._tasks[attempt.number],
                attempt,
                self._handles[attempt.number].attempts if attempt.attempt > 1 else (),
            )
            for attempt in self._engine.running()
            if attempt.number in self._handles
        ]
        if self._book.look(running):
            self._look_at = now  # somebody prints faster than is shown
        effects = self._decide(TimePassed())
        for number, attempt, _ in running:
            effects += self._began(number, attempt.attempt, attempt.started_at)
        return effects

    def _show_stacks(self) -> None:
        stacks = [each for each in self._engine.stacks(STACKS_S) if each.number in self._tasks]
        self._book.show_stacks([(self._tasks[each.number], each) for each in stacks])

    # Perform

    def _perform(self, effects: Sequence[Effect]) -> None:
        """Do what was decided, and whatever follows from it at once."""
        while True:
            pushes = []
            follow: list[Effect] = []
            for effect in effects:
                if isinstance(effect, Push):
                    pushes.append(effect.task)
                elif isinstance(effect, Retry):
                    if effect.task in self._retrying:  # it has not ended meanwhile
                        self._retrying.pop(effect.task).retry()
                elif isinstance(effect, Conclude):
                    self._conclude(effect)
                elif isinstance(effect, CancelAll):
                    self._engine.cancel_all(effect.reason, effect.grace_s)
                    follow += self._cancel_judging(effect.reason)
                else:
                    self._cancel_queued(effect)
                    follow += self._cancel_judging(effect.reason)
            self._book.announce(self._admission.stopped)
            follow += self._broken(self._book.problem)
            for number in pushes:
                if self._signals.pending:
                    self._perform(self._hear())  # what runs is ended before it is written down what never will
                follow += self._begin_task(number)
            if not follow:
                return
            effects = follow

    def _conclude(self, effect: Conclude) -> None:
        task = self._plan.tasks[effect.task]
        self._book.task_concluded(effect.task, effect.outcome, effect.reason, effect.cause)
        self._results.take(task, effect.outcome, None)
        self._results.release(task)

    def _cancel_queued(self, effect: CancelQueued) -> None:
        running = {attempt.number for attempt in self._engine.running()}
        for handle in list(self._handles.values()):
            if handle.number not in running:
                self._dropped[handle.number] = effect.reason
                handle.cancel()

    def _begin_task(self, number: int) -> list[Effect]:
        """Have it run, unless it need not; that may be heard later, because files may have to be read."""
        task = self._plan.tasks[number]
        if self._admission.stopped is not None:
            return self._push(number, task)
        problem = self._inputs.problem(task) if task.inputs else None
        if problem is not None:
            return self._not_pushed(number, Outcome.FAILED, problem)
        answer = self._cache.ask(number, task, self._results.ended)
        if answer is None:
            self._judging.add(number)
            return []
        return self._answered(number, task, answer)

    def _judged(self, item: Judged) -> list[Effect]:
        if item.task not in self._judging:
            return []  # it was cancelled meanwhile
        self._judging.discard(item.task)
        return self._answered(item.task, self._plan.tasks[item.task], item.answer)

    def _answered(self, number: int, task: PlannedTask, answer: Answer) -> list[Effect]:
        parts, found, again = answer
        if self._admission.stopped is not None:
            return self._push(number, task)
        if isinstance(found, Cached):
            known = Known(parts, None, None)
            return self._not_pushed(number, Outcome.CACHED, f"run {found.by} has made it", found.result, known)
        if found is not None:
            return self._carry(number, task, found, parts)
        if parts is not None:
            self._parts[number] = parts
        if again and self._earlier is not None:
            self._earlier.again.update([again[0]])
            self._console.runs_again(task.id, "; ".join(again), time.monotonic())
        return self._push(number, task)

    def _carry(self, number: int, task: PlannedTask, carried: Carried, parts: Parts | None) -> list[Effect]:
        """Take over how it ended in the run that this one completes."""
        assert self._earlier is not None
        result = carried.stored or carried.row.result
        known = Known(parts, result, carried.row.outputs)
        try:
            self._book.task_carried(number, carried, self._earlier.carried_from(carried), known)
        except ValueError:  # spoiled
            return self._push(number, task)
        self._earlier.carried += 1
        self._results.carry(task, Outcome.SUCCEEDED, result)
        self._results.release(task)
        return self._decide(TaskEnded(number, Outcome.SUCCEEDED))

    def _cancel_judging(self, reason: str) -> list[Effect]:
        effects: list[Effect] = []
        for number in sorted(self._judging):
            effects += self._not_pushed(number, Outcome.CANCELLED, reason)
        self._judging.clear()
        return effects

    def _push(self, number: int, task: PlannedTask) -> list[Effect]:
        stopped = self._admission.stopped
        if stopped is not None:  # by something that was heard after the push had been decided
            return self._not_pushed(number, Outcome.CANCELLED, stopped)
        try:
            info = compile_task(task, self._results.ended, self._around, keep_output=self._results.wanted(task))
            handle = self._engine.push(info)
        except Exception as error:  # noqa: BLE001  values of results are in it: what is wrong with them is its failure
            failure = self._engine.failure
            if failure is None:
                return self._not_pushed(number, Outcome.FAILED, _sentence(error))
            return self._broken(failure) + self._not_pushed(number, Outcome.CANCELLED, failure)
        self._results.release(task)
        self._tasks[handle.number] = number
        self._handles[handle.number] = handle
        hooked = task.kind == "module" or task.on_success is not None or task.on_failure is not None
        if hooked or self._results.is_taken(task):
            handle.add_done_callback(self._ended)
        # Others have no callback: they have settled when they end, and are heard of once.
        return []

    def _not_pushed(
        self,
        number: int,
        outcome: Outcome,
        reason: str,
        result: KeptResult | None = None,
        known: Known = NOTHING_KNOWN,
    ) -> list[Effect]:
        task = self._plan.tasks[number]
        durable = self._results.take(task, outcome, result)
        self._book.task_concluded(number, outcome, reason, known=known._replace(result=durable))
        self._results.release(task)
        return self._decide(TaskEnded(number, outcome))

    # The end

    def _stop_engine(self) -> None:
        """Let the engine go, and take in what it still had to say."""
        with contextlib.suppress(EngineError):  # of a failure that has been heard of
            # Callbacks that are late when the run was stopped had their time: the engine records them as abandoned.
            self._engine.stop(0.0 if self._tasks else None)
        items = []
        while not self._inbox.empty():
            items.append(self._inbox.get_nowait())
        self._perform(self._understand(items))

    def _finish(self, code: ExitCode) -> RunResult:
        self._cache.leave(wait=self._problem is None and self._admission.stopped is None)
        for number in range(len(self._plan.tasks)):
            if number not in self._book.records:
                self._book.task_concluded(number, Outcome.CANCELLED, self._problem)
        verdict = Verdict(
            exit_code=code,
            status=STATUS[code],
            # Of the same event as the code: an engine that breaks after a signal is not why the run ended.
            reason=self._problem if code is ExitCode.BROKEN else self._admission.stopped,
            finished_at=time.time(),
            duration_s=time.monotonic() - self._start,
        )
        ending = self._book.close(self._run, verdict, self._options.reports, self._earlier)
        records = tuple(self._book.records.values())
        problem = self._secrets.mask.maybe(self._book.problem) or self._problem or ending.problem
        return RunResult(
            self._run, ending.verdict, records, ending.report, problem, self._secrets.mask, self._cache.problem
        )


def _check_names(*paths: Path) -> None:
    """Refuse, before there is a run, what could not be written down.  Raises StateError."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            raise StateError(
                f"cannot record a run of {shown}: this name is not UTF-8, and a ledger and reports are; "
                "rename the folder, or run a copy of it elsewhere"
            ) from None


@contextlib.contextmanager
def open_ledger(state_dir: Path) -> Iterator[Ledger]:
    """The ledger of a state folder, which is made where it is missing.  Raises StateError."""
    make_state_dir(state_dir)
    try:
        ledger = Ledger(state_dir.absolute())
    except Unusable as error:
        raise StateError(f"{error}; --state-dir puts what a run leaves elsewhere") from error
    try:
        yield ledger
    finally:
        ledger.close()


def _earlier(ledger: Ledger, plan: Plan, wanted: Resume) -> Earlier:
    try:
        return earlier_of(ledger, plan.file, plan.root, len(plan.tasks), wanted)
    except Unusable as error:
        raise StateError(str(error)) from error


def _workers(plan: Plan, options: RunOptions) -> int | None:
    return options.jobs or (None if plan.settings.pool == "cpus" else plan.settings.pool)


def _run_record(
    plan: Plan, options: RunOptions, folder: RunFolder, started_at: float, pool: int, seed: int, mask: Mask
) -> RunRecord:
    return RunRecord(
        id=folder.id,
        name=mask.maybe(plan.name),
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
        argv=tuple(map(mask.text, options.argv)),
        tasks=len(plan.tasks),
        seed=seed,
        folder=str(folder.path),
    )


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, WorkflowError) else f"{type(error).__name__}: {error}"
