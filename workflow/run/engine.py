"""The face of the engine, as far as ``run/`` needs it: what a fake in a test, or another engine, has to offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from workflow.info_task import InfoTask
from workflow.outcome import Attempt, CallbackRecord, LogRange, Outcome


class EngineHandle(Protocol):
    """One pushed task."""

    @property
    def number(self) -> int:
        """It, among all that were pushed."""

    @property
    def id(self) -> str | None:
        """The id it was pushed with."""

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None before that."""

    @property
    def reason(self) -> str | None:
        """Why it was cancelled."""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Those that have ended."""

    @property
    def callback(self) -> CallbackRecord | None:
        """What became of its callback."""

    def pickled_result(self) -> bytes:
        """What it returned, as it arrived."""

    def cancel(self) -> bool:
        """Have it ended."""

    def retry(self) -> None:
        """Have its next attempt begin, of which ``on_retry`` told that it is held."""

    def add_done_callback(self, fn: Callable[[object], object], /) -> None:
        """Have a function called, on a thread of the engine, when it has ended."""


class EngineRunning(Protocol):
    """An attempt that goes on."""

    @property
    def number(self) -> int:
        """Of its task."""

    @property
    def id(self) -> str | None:
        """Of its task."""

    @property
    def attempt(self) -> int:
        """Counts from 1."""

    @property
    def pid(self) -> int:
        """The worker's."""

    @property
    def started_at(self) -> float:
        """Seconds since the epoch."""

    @property
    def log(self) -> LogRange | None:
        """What it has written so far."""


class EngineStack(Protocol):
    """Where an attempt is that goes on."""

    @property
    def number(self) -> int:
        """Of its task."""

    @property
    def attempt(self) -> int:
        """Counts from 1."""

    @property
    def pid(self) -> int:
        """The worker's."""

    @property
    def stack(self) -> str:
        """As faulthandler writes it."""


class Engine(Protocol):
    """What runs tasks."""

    @property
    def pool(self) -> int:
        """Workers."""

    @property
    def failure(self) -> str | None:
        """Why it cannot go on."""

    def start(self) -> object:
        """Start the pool."""

    def push(self, task: InfoTask) -> EngineHandle:
        """Have a task run."""

    def running(self) -> Sequence[EngineRunning]:
        """What the workers are doing."""

    def stacks(self, timeout: float) -> Sequence[EngineStack]:
        """Where every running task is; the tasks go on."""

    def cancel_all(self, reason: str, grace: float | None = None) -> None:
        """End everything; a grace of None is each task's own."""

    def stop(self, timeout: float | None = None) -> object:
        """Wait for everything, callbacks too, and end the processes."""


class EngineFactory(Protocol):
    """How it is made."""

    def __call__(
        self,
        pool: int | None = None,
        *,
        log_dir: str | None,
        max_log: int | None,
        own_output: int | None,
        max_result: int | None,
        max_tasks_per_child: int | None,
        preload: Sequence[str],
        path: Sequence[str],
        env: Mapping[str, str] | None,
        on_retry: Callable[[EngineHandle], None] | None,
        on_callback: Callable[[EngineHandle], None] | None,
    ) -> Engine:
        """Make it; nothing is started."""
