"""Plans made by hand, and an engine that pretends: it keeps to the contract of the real one, without processes."""

from __future__ import annotations

import io
import itertools
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import fields as fields_of
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflow.info_task import InfoTask, RetryPolicy
from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, LogRange, Outcome
from workflow.plan.compile import MissingResult
from workflow.plan.plan import Need, Plan, PlannedTask, Settings
from workflow.plan.tasks import Tasks
from workflow.report.console import Console
from workflow.report.terminal import Terminal
from workflow.run.conductor import RunOptions, run_plan

_NO_TASK: dict[str, Any] = dict.fromkeys(PlannedTask._fields)
_NO_SETTINGS: dict[str, Any] = dict.fromkeys(field.name for field in fields_of(Settings))
"""None for every field: those not named here only matter to who prints a plan."""


@pytest.fixture
def make_task() -> Callable[..., PlannedTask]:
    """Answer a maker of planned tasks: ``make_task("a", needs=["b"], ...)``, names being needed for success.

    ``uses`` are the ids whose results it takes, ``tokens`` what the file calls ``uses``.
    """

    def make(
        name: str,
        needs: Any = (),
        *,
        id: str | None = None,  # noqa: A002
        uses: Any = (),
        tokens: Any = None,
        **changes: object,
    ) -> PlannedTask:
        fields: dict[str, Any] = {
            "id": id or name,
            "name": name,
            "matrix": None,
            "kind": "call",
            "target": "pkg.mod:function",
            "args": (),
            "kwargs": {},
            "needs": tuple(
                each if isinstance(each, Need) else Need(each, (each,), (each,), "success") for each in needs
            ),
            "uses_results": frozenset(uses),
            "timeout_s": 10.0,
            "grace_s": 5.0,
            "callback_timeout_s": 30.0,
            "env": {},
            "cwd": "/",
            "on_success": None,
            "on_failure": None,
            "isolate": False,
            "allow_failure": False,
            "tags": (),
            "doc": None,
            "retries": RetryPolicy(),
            "skipped": False,
            "uses": tokens or {},
            "priority": 0,
            "inputs": (),
            "outputs": (),
        }
        return PlannedTask(**{**_NO_TASK, **fields, **changes})

    return make


@pytest.fixture
def make_settings() -> Callable[..., Settings]:
    """Answer a maker of settings."""

    def make(**changes: object) -> Settings:
        fields: dict[str, Any] = {
            "pool": 2,
            "timeout_s": None,
            "halt": "never",
            "max_failures": None,
            "path": (),
            "preload": (),
            "max_log_bytes": None,
            "max_result_bytes": None,
            "limits": {},
            "secrets": {},
        }
        return Settings(**{**_NO_SETTINGS, **fields, **changes})

    return make


@pytest.fixture
def make_plan(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Plan]:
    """Answer a maker of plans; its file need not be there."""

    def make(*tasks: PlannedTask, **settings: object) -> Plan:
        made = make_settings(**settings)
        return Plan(tmp_path / "pipeline.toml", tmp_path, "test", None, made, Tasks.of(tasks), {}, "sha256:" + "0" * 64)

    return make


class PretendHandle(Future[Any]):
    """As the real one, ended by whoever holds it."""

    def __init__(self, number: int, id: str) -> None:  # noqa: A002
        super().__init__()
        self.number = number
        self.id = id
        self.outcome: Outcome | None = None
        self.reason: str | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.callback: CallbackRecord | None = None
        self.engine: PretendEngine

    def pickled_result(self) -> bytes:
        return pickle.dumps(self.result(), 5)

    def cancel(self) -> bool:
        self.engine.end(self, Outcome.CANCELLED, reason="it was cancelled")
        return True

    def retry(self) -> None:
        self.engine.calls.append(("retry", self.id))


class PretendEngine:
    """Runs nothing: ``act(engine, handle)`` says what becomes of each task that is pushed, on a thread of its own.

    Without an ``act`` of the test every task succeeds with its own id as the result.
    """

    def __init__(self, pool: int | None = None, **options: Any) -> None:
        self.pool = pool or 4
        self.options = options
        self.failure: str | None = None
        self.calls: list[tuple[object, ...]] = []
        self.handles: list[PretendHandle] = []
        self.now_running: list[SimpleNamespace] = []
        self.tasks: dict[str, object] = {}
        self._numbers = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._printing = threading.Lock()

    def start(self) -> None:
        self.calls.append(("start",))

    def push(self, task: Any) -> PretendHandle:
        handle = PretendHandle(next(self._numbers), task.id)
        handle.engine = self
        self.tasks[task.id] = task
        self.handles.append(handle)
        thread = threading.Thread(target=self.acts, args=(handle,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return handle

    def acts(self, handle: PretendHandle) -> None:
        self.succeed(handle)

    def succeed(self, handle: PretendHandle) -> None:
        self.end(handle, Outcome.SUCCEEDED, result=handle.id)

    def end(
        self,
        handle: Any,
        outcome: Any,
        *,
        result: Any = None,
        reason: Any = None,
        error: Any = None,
        log: Any = None,
        attempts: Any = None,
        callback: Any = None,
        **more: Any,
    ) -> None:
        """End a task, if it has not ended."""
        if handle.outcome is not None:
            return
        if attempts is None:
            attempts = () if outcome is Outcome.CANCELLED else (self.attempt(outcome, error=error, log=log, **more),)
        handle.attempts = attempts
        handle.reason = reason
        handle.outcome = outcome
        if outcome is Outcome.SUCCEEDED:
            handle.set_result(result)
        else:
            handle.set_exception(RuntimeError(outcome.value))
        handle.callback = callback
        self.options["on_callback"](handle)

    @staticmethod
    def attempt(
        outcome: Any,
        number: int = 1,
        *,
        error: Any = None,
        log: Any = None,
        started_at: Any = 1_700_000_000.0,
        duration_s: Any = 0.25,
        **more: Any,
    ) -> Attempt:
        record = None if error is None else ErrorRecord("ValueError", error)
        return Attempt(number, outcome, started_at, duration_s, 4321, error=record, log=log, **more)

    def print(self, text: str) -> LogRange:
        """Put text into a shared file, as a worker would."""
        path = Path(str(self.options["log_dir"])) / "worker-1.log"
        with self._printing, path.open("ab") as file:
            offset = file.tell()
            file.write(text.encode())
        return LogRange(str(path), offset, len(text.encode()))

    def running(self) -> tuple[SimpleNamespace, ...]:
        return tuple(self.now_running)

    def stacks(self, _timeout: float) -> tuple[Any, ...]:
        return ()

    def cancel_all(self, reason: str, grace: float | None = None) -> None:
        self.calls.append(("cancel_all", reason, grace))
        for handle in self.handles:
            self.end(handle, Outcome.CANCELLED, reason=reason)

    def stop(self, timeout: float | None = None) -> None:
        self.calls.append(("stop", timeout))
        for thread in self._threads:
            thread.join(timeout=5)


class Ran(SimpleNamespace):
    """What came of a run under test."""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Answer ``go(plan, Trouble)``: run a plan with an engine that pretends, and look at everything it left.

    ``Trouble`` is a class whose methods come before those of the pretended engine.
    """

    def compile_task(task: Any, results: Any, _around: Any, *, keep_output: bool) -> InfoTask:
        """As the real one, for tasks whose arguments are the results they refer to."""
        missing = [used for used in task.uses_results if results[used].result is None]
        if missing:
            raise MissingResult(task.id, f"${{tasks.{missing[0]}.result}}", "there is none")
        return InfoTask("a.B", None, *(results[used].result for used in sorted(task.uses_results)), id=task.id)

    monkeypatch.setattr("workflow.run.conductor.compile_task", compile_task)

    def run(plan: Plan, trouble: type = object, *, verbosity: Any = "normal", **options: Any) -> Ran:
        engines: list[PretendEngine] = []
        kind: type[PretendEngine] = (
            type("Troubled", (trouble, PretendEngine), {}) if trouble is not object else PretendEngine
        )

        def make(pool: Any = None, **arguments: Any) -> PretendEngine:
            engines.append(kind(pool, **arguments))
            return engines[-1]

        stream = io.StringIO()
        console = Console(Terminal(stream, "never"), verbosity)
        options = {"state_dir": tmp_path / ".workflow", **options}
        started = time.monotonic()
        concluded: list[tuple[int, object]] = []
        result = run_plan(
            plan,
            RunOptions(**options),
            console,
            make,
            lambda code: concluded.append((code, signal.getsignal(signal.SIGTERM))),
        )
        return Ran(
            concluded=concluded,
            result=result,
            engine=engines[0],
            text=stream.getvalue(),
            folder=Path(result.run.folder),
            took_s=time.monotonic() - started,
            outcomes={record.id: record.outcome.value for record in result.records},
            records={record.id: record for record in result.records},
        )

    return run
