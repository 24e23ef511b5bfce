"""The face of the engine, as far as ``run/`` needs it: what a fake in a test, or another engine, has to offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from workflow.info_task import InfoTask
from workflow.outcome import Attempt, CallbackRecord, LogRange, Outcome


class EngineHandle(Protocol):
    """One pushed task."""

    @property
    def number(self) -> int: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def attempts(self) -> tuple[Attempt, ...]: ...
    @property
    def callback(self) -> CallbackRecord | None: ...

    def result(self) -> object: ...

    def cancel(self) -> bool: ...

    def add_done_callback(self, fn: Callable[[object], object], /) -> None: ...


class EngineRunning(Protocol):
    """An attempt that goes on."""

    @property
    def number(self) -> int: ...
    @property
    def id(self) -> str | None: ...
    @property
    def attempt(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def started_at(self) -> float: ...
    @property
    def log(self) -> LogRange | None: ...


class Engine(Protocol):
    """What runs tasks."""

    @property
    def pool(self) -> int: ...
    @property
    def failure(self) -> str | None: ...

    def start(self) -> object: ...

    def push(self, task: InfoTask) -> EngineHandle: ...

    def running(self) -> Sequence[EngineRunning]: ...

    def cancel_all(self, reason: str, grace: float | None = None) -> None: ...

    def stop(self, timeout: float | None = None) -> object: ...


class EngineFactory(Protocol):
    """How it is made."""

    def __call__(
        self,
        pool: int | None = None,
        *,
        log_dir: str | None,
        max_log: int | None,
        max_result: int | None,
        preload: Sequence[str],
        path: Sequence[str],
        env: Mapping[str, str] | None,
        on_callback: Callable[[EngineHandle], None] | None,
    ) -> Engine: ...
