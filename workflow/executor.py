"""``WorkflowExecutor``: what is written for ``concurrent.futures``, on this engine.

One pool may have many views (``with_options``): an executor is a pool and the options with which it submits.  The pool
starts with its first call and ends by ``shutdown``, when nobody holds a view of it any more, or with the program; what
was submitted is completed first, each time.

Where this differs from ``ProcessPoolExecutor``, on purpose:

- A call that crashes its process ends alone, as ``TaskCrashed``, and so does one whose arguments cannot be unpickled.
  Only an engine that cannot go on breaks the executor: ``ExecutorBroken``.  Both are ``BrokenProcessPool``.
- ``cancel()`` works while a call runs (see ``engine/task_future.py``).  So does the end of an iterator of ``map``.
- Functions and arguments are pickled in the thread that submits, not behind its back: what is changed after ``submit``
  is changed for the caller alone.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar

from workflow.engine.calls import PATH, call_each, pack_call
from workflow.engine.frames import pack_options
from workflow.engine.parent import count
from workflow.engine.shared_pool import SharedPool
from workflow.engine.system import usable_cpus
from workflow.engine.task_future import TaskFuture, refused
from workflow.errors import EngineError, ExecutorBroken
from workflow.info_task import POOL_MAX, InfoTask, RetryPolicy, check_text, shown
from workflow.outcomes import Outcomes
from workflow.restarts import INITIALIZER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from multiprocessing.context import BaseContext
    from types import TracebackType

    from typing_extensions import Never, Self, TypeVarTuple, Unpack

    Ts = TypeVarTuple("Ts")

P = ParamSpec("P")
T = TypeVar("T")


class CallOptions(TypedDict, total=False):
    """The options of a call: see ``WorkflowExecutor``."""

    timeout: float | None
    retries: int | RetryPolicy
    grace: float
    memory: int | None
    priority: int
    env: Mapping[str, str | None] | None
    name: str | None


class WorkflowExecutor(Executor):
    """A ``concurrent.futures.Executor`` whose calls have limits, and end alone.

    ::

        with WorkflowExecutor(timeout=60) as executor:
            future = executor.submit(pow, 2, 100)
            patient = executor.with_options(timeout=600, retries=2)
            results = list(patient.map(work, range(100)))

    ``max_workers``  workers; None is one for each processor this process may use
    ``mp_context``   accepted, for code that was written for ``ProcessPoolExecutor`` gives one, and without effect:
                     workers are always forked from a process of the engine's own, which has one thread and nothing
                     of the program's.  So they start as fast as by "fork", and are as clean as by "spawn".
    ``initializer``  called once in each new worker, with ``initargs``.  Where it raises or dies there is no worker;
                     after five in a row the executor is broken, and all that pend end with ``ExecutorBroken``.  It
                     has two minutes, or ``timeout`` if that is longer; no limit where there is no ``timeout``.
    ``max_tasks_per_child``  calls after which a worker is renewed (None: never)

    The rest are the options of a call; ``with_options`` makes a view of the same pool with others.

    ``timeout``   seconds that one attempt may take (None: no limit)
    ``retries``   tries after the first, or a ``RetryPolicy``
    ``grace``     seconds between SIGTERM and SIGKILL
    ``memory``    bytes that the call and all processes it starts may use together
    ``priority``  higher starts first
    ``env``       added environment; None as a value removes the variable
    ``name``      what errors, and ``WORKFLOW_TASK_ID``, call it (None: its number)

    Functions and arguments may be anything that pickle or cloudpickle takes, lambdas and functions of a session too;
    results are pickled, and unpickled by whoever asks for them.  Raises ValueError or TypeError for what cannot be
    meant.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[[Unpack[Ts]], object] | None = None,
        initargs: tuple[Unpack[Ts]] = (),  # type: ignore[assignment]  # typeshed needs overloads for the same
        *,
        max_tasks_per_child: int | None = None,
        timeout: float | None = None,
        retries: int | RetryPolicy = 0,
        grace: float = 5.0,
        memory: int | None = None,
        priority: int = 0,
        env: Mapping[str, str | None] | None = None,
        name: str | None = None,
        **unknown: Never,
    ) -> None:
        _refuse_unknown(unknown, "an executor", (*_POOL_OPTIONS, *CallOptions.__annotations__))
        if mp_context is not None:
            _check_context(mp_context)
        if initializer is not None and not callable(initializer):
            message = f"initializer must be a callable, not {shown(initializer)}"
            raise TypeError(message)
        self._take_options(
            {
                "timeout": timeout,
                "retries": retries,
                "grace": grace,
                "memory": memory,
                "priority": priority,
                "env": env,
                "name": name,
            }
        )
        self._pool = SharedPool(
            usable_cpus() if max_workers is None else _workers(max_workers),
            None if max_tasks_per_child is None else count("max_tasks_per_child", max_tasks_per_child),
            initializer,
            _arguments(initargs),
            None if self._timeout is None else max(self._timeout, INITIALIZER_S),
        )
        self._max_workers = self._pool.size  # asked for by libraries that want to know how much to submit

    def _take_options(self, options: dict[str, Any]) -> None:
        self._options = options
        if options["name"] is not None:
            check_text("name", options["name"])
        task = InfoTask(
            PATH.decode(),
            options["timeout"],
            id=options["name"],
            **{name: options[name] for name in ("retries", "grace", "memory", "priority", "env")},
        )
        self._timeout = task.timeout
        self._packed_options = pack_options(task)

    def with_options(self, **options: Unpack[CallOptions]) -> WorkflowExecutor:
        """The same pool, with other options for what is submitted through this view: those given, the rest as here.

        ``timeout``, ``retries``, ``grace``, ``memory``, ``priority``, ``env``, ``name``.  A view that is shut down
        shuts the pool down.
        """
        _refuse_unknown(options, "a call", self._options)
        view = WorkflowExecutor.__new__(type(self))
        view._pool = self._pool  # noqa: SLF001
        view._max_workers = self._max_workers  # noqa: SLF001
        view._take_options({**self._options, **options})  # noqa: SLF001
        return view

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Have ``fn(*args, **kwargs)`` called in a worker; returns its future at once.

        What cannot be pickled is that future's exception.  A signal handler may submit and cancel, but not wait.
        Raises RuntimeError after ``shutdown``, ``ExecutorBroken`` when the engine could not go on.
        """
        push = self._pool.push or self._pool.start()
        try:
            payload = pack_call(fn, args, kwargs)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # pickling runs the user's code
            from workflow.engine.blame import blame

            blame(error, fn, args, kwargs)
            return refused(error, self._pool.client)
        try:
            future: TaskFuture[T] = push(PATH, self._timeout, self._packed_options, payload, TaskFuture)
        except EngineError as error:
            raise ExecutorBroken(str(error)) from None
        if payload.__class__ is not bytes:
            future.called = _name_of(fn, args)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """``fn`` for each element, or row of elements, in a worker; an iterator of the results in their order.

        ``timeout``     seconds from now within which results have to come; else the iterator raises TimeoutError.
                        (The limit of each call is the executor's own ``timeout``.)
        ``chunksize``   elements to a task: worth it for calls that take less than a millisecond.  What has a limit, is
                        tried again, or crashes is then the chunk.
        ``buffersize``  chunks that are submitted and whose results were not taken yet: the iterables are read only as
                        results are.  None reads them at once.

        An iterator that is closed, or forgotten after its first result, cancels what it has not yielded.
        """
        _check_buffersize(buffersize)
        if chunksize < 1:
            message = "chunksize must be >= 1."
            raise ValueError(message)
        end = None if timeout is None else time.monotonic() + timeout
        rows = zip(*iterables, strict=False)
        calls: Iterator[tuple[Any, ...]]
        if chunksize == 1:
            calls = ((fn, *row) for row in rows)
        else:
            calls = ((call_each, fn, chunk) for chunk in _chunks(rows, chunksize))
        # Now, and not when the first result is asked for: a generator would wait for that.
        futures = deque(self.submit(*call) for call in itertools.islice(calls, buffersize))
        more = None if buffersize is None else (self.submit(*call) for call in calls)
        results = _results(futures, more, end)
        return results if chunksize == 1 else _flat(results)

    def as_completed(
        self, fn: Callable[..., T], *iterables: Iterable[Any], buffersize: int | None = None
    ) -> Outcomes[T]:
        """``fn`` for each element, or row of elements; an iterable of the futures, each as soon as it has ended.

        For ``for`` and for ``async for``.  ``args`` of a future is the row that it was called with.  At most
        ``buffersize`` calls are submitted and not yielded: the iterables are read as futures are taken (None reads them
        at once).  Leaving the loop cancels what was not yielded, also what runs.
        """
        return self._outcomes(fn, iterables, buffersize, in_order=False)

    def as_submitted(
        self, fn: Callable[..., T], *iterables: Iterable[Any], buffersize: int | None = None
    ) -> Outcomes[T]:
        """The same, in the order of the iterables; where ``map`` ends with the first exception, this goes on."""
        return self._outcomes(fn, iterables, buffersize, in_order=True)

    def _outcomes(
        self, fn: Callable[..., T], iterables: tuple[Iterable[Any], ...], buffersize: int | None, *, in_order: bool
    ) -> Outcomes[T]:
        _check_buffersize(buffersize)

        def call(row: tuple[Any, ...]) -> TaskFuture[T]:
            future = self.submit(fn, *row)
            future.args = row
            return future

        return Outcomes(map(call, zip(*iterables, strict=False)), buffersize, in_order=in_order)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and end the pool when those submitted have ended; ``wait`` for that.

        ``cancel_futures`` cancels those that have not begun.  May be called again.  Ctrl-C while it waits ends
        everything at once.
        """
        self._pool.shut_down(wait=wait, cancel=cancel_futures)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._pool.interrupt()
        self.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As ``with`` does, while the loop goes on.  A block that is cancelled ends everything at once."""
        import asyncio

        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self.__exit__, kind, error, traceback)
        except asyncio.CancelledError:
            self._pool.interrupt()
            raise


_POOL_OPTIONS = ("max_workers", "mp_context", "initializer", "initargs", "max_tasks_per_child")


def _refuse_unknown(given: Iterable[str], what: str, known: Collection[str]) -> None:
    for name in given:
        if name in known:
            continue
        from difflib import get_close_matches

        close = get_close_matches(name, known, 1)
        hint = f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"
        if what == "a call" and name in _POOL_OPTIONS:
            hint = ": it is one of the whole pool, and given to WorkflowExecutor"
        message = f"{what} has no option {name!r}{hint}"
        raise TypeError(message)


def _name_of(function: Any, args: tuple[Any, ...]) -> str | None:
    """Of a call that travels in a file."""
    while (inner := args[0] if function is call_each else getattr(function, "func", None)) is not None:
        function, args = inner, ()
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    return f"{module}.{name}" if name and module and module != "__main__" else name


def _check_buffersize(buffersize: object) -> None:
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        message = "buffersize must be an integer or None"
        raise TypeError(message)
    if buffersize < 1:
        message = "buffersize must be None or > 0"
        raise ValueError(message)


def _workers(max_workers: object) -> int:
    if isinstance(max_workers, int) and max_workers <= 0:
        message = f"max_workers must be greater than 0, not {shown(max_workers)}"
        raise ValueError(message)
    return count("max_workers", max_workers, POOL_MAX)


def _arguments(initargs: object) -> tuple[Any, ...]:
    """One text by itself would be taken for its letters."""
    if isinstance(initargs, str) or not isinstance(initargs, Iterable):
        message = f"initargs must be a tuple of arguments, such as (1,), not {shown(initargs)}"
        raise TypeError(message)
    return tuple(initargs)


def _check_context(context: object) -> None:
    from multiprocessing.context import BaseContext

    if not isinstance(context, BaseContext):
        message = (
            f"mp_context must be a context of multiprocessing (multiprocessing.get_context()), not {shown(context)}"
        )
        raise TypeError(message)


def _chunks(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while some := list(itertools.islice(rows, size)):
        yield some


def _results(
    futures: deque[TaskFuture[Any]], more: Iterator[TaskFuture[Any]] | None, end: float | None
) -> Iterator[Any]:
    """Results in order; one more is submitted, if there is one, before each is waited for."""
    try:
        while futures:
            if more is not None and (another := next(more, None)) is not None:
                futures.append(another)
                del another
            yield _take_result(futures.popleft(), None if end is None else end - time.monotonic())
    finally:
        while futures:
            futures.popleft().cancel()


def _take_result(future: TaskFuture[T], timeout: float | None) -> T:
    """Its result; who does not get it cancels it.  Neither this nor an exception's traceback keeps the future."""
    try:
        try:
            return future.result(timeout)
        finally:
            future.cancel()
    finally:
        del future


def _flat(chunks: Iterator[list[T]]) -> Iterator[T]:
    for chunk in chunks:
        chunk.reverse()
        while chunk:  # what was yielded is not kept
            yield chunk.pop()
