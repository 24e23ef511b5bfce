"""The pools that are compared, each behind the same few methods and used as its documentation says.

Every pool has two workers and its own defaults.  A time limit is given to each task where the pool takes one.  A pool
is closed by the way it documents for completing what was pushed; when the program is being interrupted, by the one
for giving it up, also where a plain ``with`` would wait.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.util
import multiprocessing
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.promises import tasks
from bench.promises.scenarios import GRACE_S, NEIGHBOUR_LIMIT_S, WORKERS
from workflow import InfoTask, MultiProcess

if TYPE_CHECKING:
    from typing_extensions import Self

_MODELS = {tasks.neighbour: "bench.promises.tasks.Neighbour", tasks.victim: "bench.promises.tasks.Victim"}
_HOOK = "bench.promises.tasks:called_by_hook"


class Task(NamedTuple):
    """What is pushed."""

    name: str
    limit_s: float | None
    callback_limit_s: float
    function: Callable[..., object]
    """Of ``tasks``."""
    args: tuple[object, ...]


class Pending(NamedTuple):
    """A task that was pushed."""

    ready: Callable[[], bool]
    get: Callable[[], object]
    """Its result, or raises its error; called when it is ready."""


class Pool(ABC):
    """An open pool; a context that is left closed."""

    limit = False
    """Whether a task can be given a time limit."""
    callback_limit = False
    timed_out: tuple[type[BaseException], ...] = (TimeoutError, concurrent.futures.TimeoutError)
    crashed: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    @abstractmethod
    def push(self, task: Task) -> Pending:
        """``tasks.called`` is to be called with its name when it has ended."""

    @abstractmethod
    def close(self) -> None:
        """Complete what was pushed, and end."""

    @abstractmethod
    def interrupt(self) -> None:
        """An exception is on its way out of the program."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.interrupt()

    def word_for(self, error: BaseException) -> str:
        """The outcome that the error stands for."""
        if isinstance(error, self.timed_out):
            return "timed_out"
        return "crashed" if isinstance(error, self.crashed) else "failed"


class Ours(Pool):
    limit = True
    callback_limit = True

    def __init__(self) -> None:
        self._pool = MultiProcess(WORKERS)
        self._pool.start()

    def push(self, task: Task) -> Pending:
        info_task = InfoTask(
            _MODELS[task.function],
            task.limit_s,
            *task.args,
            id=task.name,
            grace=GRACE_S,
            callback_timeout=task.callback_limit_s,
            on_success=_HOOK,
            on_failure=_HOOK,
        )
        handle = self._pool.push(info_task)
        return Pending(handle.done, handle.result)

    def close(self) -> None:
        self._pool.stop()

    def interrupt(self) -> None:
        self._pool.cancel_all("the program was interrupted", 0.0)
        self._pool.stop()


class OfMultiprocessing(Pool):
    def __init__(self) -> None:
        self._pool = multiprocessing.Pool(WORKERS)

    def push(self, task: Task) -> Pending:
        called = functools.partial(tasks.called, task.name)
        result = self._pool.apply_async(task.function, task.args, callback=called, error_callback=called)
        return Pending(result.ready, result.get)

    def close(self) -> None:
        self._pool.close()
        self._pool.join()

    def interrupt(self) -> None:
        self._pool.terminate()
        self._pool.join()


class OfFutures(Pool):
    def __init__(self) -> None:
        self._pool = concurrent.futures.ProcessPoolExecutor(WORKERS)

    def push(self, task: Task) -> Pending:
        future = self._pool.submit(task.function, *task.args)
        future.add_done_callback(functools.partial(tasks.called, task.name))
        return Pending(future.done, future.result)

    def close(self) -> None:
        self._pool.shutdown()

    def interrupt(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class OfPebble(Pool):
    limit = True

    def __init__(self) -> None:
        import pebble

        self.crashed = (*Pool.crashed, pebble.ProcessExpired)
        self._pool: Any = pebble.ProcessPool(WORKERS)

    def push(self, task: Task) -> Pending:
        future = self._pool.schedule(task.function, args=task.args, timeout=task.limit_s)
        future.add_done_callback(functools.partial(tasks.called, task.name))
        return Pending(future.done, future.result)

    def close(self) -> None:
        self._pool.close()
        self._pool.join()

    def interrupt(self) -> None:
        self._pool.stop()
        self._pool.join()


class OfLoky(Pool):
    """The reusable executor is asked for at each push: that is how a broken one is replaced."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._get()

    def _get(self) -> Any:
        import loky

        self._pool = loky.get_reusable_executor(max_workers=WORKERS)
        return self._pool

    def push(self, task: Task) -> Pending:
        future = self._get().submit(task.function, *task.args)
        future.add_done_callback(functools.partial(tasks.called, task.name))
        return Pending(future.done, future.result)

    def close(self) -> None:
        self._pool.shutdown()

    def interrupt(self) -> None:
        self._pool.shutdown(kill_workers=True)


class OfMpire(Pool):
    limit = True

    def __init__(self) -> None:
        from mpire.pool import WorkerPool

        self._pool: Any = WorkerPool(n_jobs=WORKERS)

    def push(self, task: Task) -> Pending:
        called = functools.partial(tasks.called, task.name)
        result = self._pool.apply_async(
            task.function, task.args, callback=called, error_callback=called, task_timeout=task.limit_s
        )
        return Pending(result.ready, result.get)

    def close(self) -> None:
        self._pool.stop_and_join()

    def interrupt(self) -> None:
        self._pool.terminate()


class OfBilliard(Pool):
    limit = True

    def __init__(self) -> None:
        import billiard
        from billiard.exceptions import TimeLimitExceeded, WorkerLostError

        self.timed_out = (*Pool.timed_out, TimeLimitExceeded)
        self.crashed = (*Pool.crashed, WorkerLostError)
        self._pool: Any = billiard.Pool(WORKERS, timeout=NEIGHBOUR_LIMIT_S)  # without it the one of a task does nothing

    def push(self, task: Task) -> Pending:
        called = functools.partial(tasks.called, task.name)
        result = self._pool.apply_async(
            task.function, task.args, callback=called, error_callback=called, timeout=task.limit_s
        )
        return Pending(result.ready, result.get)

    def close(self) -> None:
        self._pool.close()
        self._pool.join()

    def interrupt(self) -> None:
        self._pool.terminate()
        self._pool.join()

    def word_for(self, error: BaseException) -> str:
        return super().word_for(getattr(error, "exc", error))  # its errors come in a wrapper


OURS = "workflow.MultiProcess"
POOLS: Mapping[str, type[Pool]] = {
    OURS: Ours,
    "multiprocessing.Pool": OfMultiprocessing,
    "ProcessPoolExecutor": OfFutures,
    "pebble": OfPebble,
    "loky": OfLoky,
    "mpire": OfMpire,
    "billiard": OfBilliard,
}
"""By the name in the table; those that are no part of Python have that of their distribution."""


def version_of(name: str) -> str | None:
    """None when it is not installed."""
    if name == OURS:
        from workflow import __version__

        return __version__
    if POOLS[name] in (OfMultiprocessing, OfFutures):
        return f"Python {platform.python_version()}"
    return metadata.version(name) if importlib.util.find_spec(name) else None
