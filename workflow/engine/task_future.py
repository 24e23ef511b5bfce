"""What ``submit`` returns: a handle that keeps to the standard's states.

``Handle.cancel()`` asks, and its task ends some time later, as whatever it then is.  A future of the standard library
is cancelled when ``cancel()`` has returned True: ``cancelled()`` and ``done()`` say so at once, and code relies on it
(asyncio does).  The standard can promise that because it refuses for a call that runs.  Here a running one is ended
too, so two things are kept apart:

- The *future* is cancelled at once.  Nothing that the task still does reaches it.
- The *task* is taken out of the queue, or gets SIGTERM, its grace and SIGKILL.  ``outcome`` says what became of it
  once that is known; ``shutdown(wait=True)`` returns when it is dead.

The alternative, to stay "running" until the process is gone, would let ``asyncio.timeout`` wait for the grace.
"""

from __future__ import annotations

import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from typing import TYPE_CHECKING, Any, TypeVar

from workflow import messages
from workflow.engine.frames import options_of
from workflow.engine.handle import Handle
from workflow.errors import ExecutorBroken, TaskCancelled
from workflow.messages import TASK
from workflow.outcome import Outcome

if TYPE_CHECKING:
    from workflow.engine.client import Client

T = TypeVar("T")

_settling = threading.RLock()
"""Held to say how a future ends: by the reader of the engine, or by whoever cancels it; he may be a signal handler."""

_KEPT_BYTES = 4096
"""Of a task that has ended, more is given back at once: the future may be kept for long."""


class TaskFuture(Handle[T]):
    """A submitted call: a ``concurrent.futures.Future`` in all its states, with the task's story.

    ``outcome``, ``attempts`` and ``reason`` are those of every ``Handle``.  ``cancel()`` also works while the call
    runs: it and every process it started are ended.
    """

    args: tuple[Any, ...] = ()
    """The row that it was called with, of ``as_completed`` and ``as_submitted``."""
    called: str | None = None
    """The function's name, where it does not stand at the beginning of the call as it travels."""
    _engine_error = ExecutorBroken

    def cancel(self) -> bool:
        """Cancel the future, and end the task: when it runs by SIGTERM, its grace, SIGKILL.

        True when the future is cancelled, False when it had ended in another way before.  Returns at once; the task
        may be in its grace for a while, and ``outcome`` is None until it is gone.
        """
        with _settling:
            if self._state != PENDING:
                return self._state == CANCELLED_AND_NOTIFIED
            self._state = CANCELLED_AND_NOTIFIED
        self._client.cancel(self.number, "cancel() was called")
        self._announce()
        return True

    @property
    def outcome(self) -> Outcome | None:
        """What became of the task; None before that is known, also when the future was cancelled already."""
        return Outcome.FAILED if self._last is None and self._state == FINISHED else super().outcome

    def _end(self, frame: bytes) -> None:
        self._last = frame
        if len(self._frame) > _KEPT_BYTES:
            kept = 0 if frame[4] == messages.SUCCEEDED else _KEPT_BYTES  # its error tells which function it was
            self._frame = self._frame[: _start_of_call(self._frame) + kept]
        with _settling:
            if self._state != PENDING:
                return  # cancelled; this is the end of its task
            cancelled = frame[4] == messages.CANCELLED and self._failure is None
            self._state = CANCELLED_AND_NOTIFIED if cancelled else FINISHED
        self._announce()

    def _announce(self) -> None:
        if self._cond is not None:
            self._tell_waiters(self._cond)
        if self._calls is not None:
            self._make_calls()

    def _label(self) -> str:
        if "id" in options_of(self._frame):
            return self.id
        from workflow.engine.call_names import name_in

        name = self.called or name_in(self._frame[_start_of_call(self._frame) :])
        return self.id if name is None else f"{self.id} ({name})"

    def _load(self) -> BaseException | None:
        if self._state == CANCELLED_AND_NOTIFIED and not self._loaded:
            why = self._why_cancelled() or "cancel() was called"
            self._exception = TaskCancelled(f"task {self._label()} was cancelled: {why}", task_id=self.id)
            self._loaded = True
        return super()._load()

    def __repr__(self) -> str:
        if self._state == PENDING:
            state = "running" if self.running() else "pending"
        else:
            state = "cancelled" if self._state == CANCELLED_AND_NOTIFIED else str(self.outcome)
        return f"<TaskFuture of task {self.id}: {state}>"


def _start_of_call(frame: bytes) -> int:
    header = TASK.unpack_from(frame)
    return int(TASK.size + header[5] + header[6])


def refused(error: BaseException, client: Client) -> TaskFuture[Any]:
    """The future of a call that could not be pickled: it has ended with that, and no worker saw it."""
    frame = TASK.pack(TASK.size, messages.PUSH, 1, 0, 0.0, 0, 0)
    future: TaskFuture[Any] = TaskFuture(0, frame, client)
    future._exception = error  # noqa: SLF001
    future._loaded = True  # noqa: SLF001
    future._state = FINISHED  # noqa: SLF001
    return future
