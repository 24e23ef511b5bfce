"""Futures of many calls, one after the other, in a ``for`` or an ``async for``, with a bound on how many are under way.

``concurrent.futures.as_completed`` takes futures, so everything is submitted before the first is looked at, and there
is no such thing for ``async for``.  Here the calls are made as their futures are taken: of calls that were submitted
and not taken there are never more than ``buffersize``, so neither the inputs nor the results pile up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from workflow.engine.task_future import TaskFuture

T = TypeVar("T")


class Outcomes(Generic[T]):
    """What ``as_completed`` and ``as_submitted`` return: to be iterated once, by ``for`` or ``async for``.

    Yields each future when it has ended; ``result()`` then returns, or raises, at once.  Leaving the loop early cancels
    what was not yielded, also what runs.  A second loop is a RuntimeError.
    """

    def __init__(self, calls: Iterator[TaskFuture[T]], buffersize: int | None, *, in_order: bool) -> None:
        self._calls: Iterator[TaskFuture[T]] | None = calls
        self._buffersize = buffersize
        self._in_order = in_order
        self._open: dict[TaskFuture[T], None] = {}
        """Submitted and not yielded, in their order."""
        self._ended: deque[TaskFuture[T]] = deque()
        self._changed = threading.Condition()
        self._begun = False
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._submit()

    def __iter__(self) -> Iterator[TaskFuture[T]]:
        self._begin()
        try:
            while self._open:
                with self._changed:
                    self._changed.wait_for(self._is_ready)
                yield self._take()
                self._submit()
        finally:
            self._cancel()

    async def __aiter__(self) -> AsyncIterator[TaskFuture[T]]:
        import asyncio

        loop = asyncio.get_running_loop()
        self._begin()
        try:
            while self._open:
                with self._changed:
                    if self._is_ready():
                        waiter = None
                    else:
                        waiter = loop.create_future()
                        self._waiter = loop, waiter
                if waiter is not None:
                    await waiter
                    continue
                yield self._take()
                self._submit()
        finally:
            self._cancel()

    def _begin(self) -> None:
        with self._changed:
            begun, self._begun = self._begun, True
        if begun:
            message = "these outcomes are iterated already: a future is yielded once, so a second loop would miss some"
            raise RuntimeError(message)

    def _submit(self) -> None:
        while self._calls is not None and (self._buffersize is None or len(self._open) < self._buffersize):
            future = next(self._calls, None)
            if future is None:
                self._calls = None
                return
            self._open[future] = None
            future.add_done_callback(self._note)

    def _note(self, future: Future[Any]) -> None:
        """One has ended: in a thread of the engine, or in ours when it had before."""
        with self._changed:
            if not self._in_order:
                self._ended.append(future)  # type: ignore[arg-type]  # it is one of ours
            self._changed.notify_all()
            if self._waiter is None or not self._is_ready():
                return
            (loop, waiter), self._waiter = self._waiter, None
        with suppress(RuntimeError):  # the loop was closed; nobody waits
            loop.call_soon_threadsafe(_wake, waiter)

    def _is_ready(self) -> bool:
        return next(iter(self._open)).done() if self._in_order else bool(self._ended)

    def _take(self) -> TaskFuture[T]:
        future = next(iter(self._open)) if self._in_order else self._ended.popleft()
        del self._open[future]
        return future

    def _cancel(self) -> None:
        self._calls = None
        with self._changed:
            self._waiter = None
        for future in list(self._open):
            future.cancel()
        self._open.clear()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
