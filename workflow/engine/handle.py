"""What ``push`` returns: a future that ends with its task.

A plain ``Future`` makes a condition, two lists and a lock for each task, most of which nobody ever waits for.  Here
they are made when somebody does: the reader of the engine sets the state first and looks for a condition after, and
whoever waits makes the condition first and looks at the state after, so one of the two always sees the other.

Results stay bytes until somebody asks.  Unpickling runs the user's code, in the thread that asks.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from pickle import loads
from typing import TYPE_CHECKING, Any

from workflow import messages
from workflow.engine.endings import exception_from
from workflow.engine.frames import body_of, options_of
from workflow.engine.output import log_file_name
from workflow.engine.own_module import CLASS, loads_from_main
from workflow.errors import EngineError
from workflow.messages import ANSWER, RETURNED, STATUSES, TICKET_BITS
from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, LogRange, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypeVar

    from workflow.engine.bulk import Arrived
    from workflow.engine.client import Client

    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")

_CONDITIONS = threading.RLock()  # a signal handler may come here too
"""Held to make a condition, by whoever waits; never by the reader."""

_ATTEMPT = (1 << TICKET_BITS) - 1
_OUTCOMES = tuple(map(Outcome, STATUSES))


class Handle(Future[R]):
    """A pushed task.

    It is a ``concurrent.futures.Future`` and can be given to ``wait`` and ``as_completed``.  Done callbacks run in a
    thread of the engine.  ``result()`` unpickles the result when it is first asked for: what that raises, SystemExit
    included, becomes this handle's exception; a result whose unpickling kills its process kills the caller.
    """

    # Slots for what every handle has, though Future gives it a dictionary.  Python shares the keys of dictionaries only
    # for attributes that are set early: what is set when the task ends would make a real one for each handle, which
    # doubled its size and the work of the garbage collector.
    __slots__ = ("_calls", "_client", "_cond", "_earlier", "_frame", "_last", "_state", "_told", "number")

    number: int
    """Counts the pushed tasks of this engine from 1."""
    _calls: list[Callable[[Future[Any]], object]] | None
    _cond: threading.Condition | None
    _earlier: tuple[bytes, ...]
    _last: bytes | None
    _state: str
    _told: Any

    def __init__(self, number: int, frame: bytes, client: Client) -> None:
        # Not super().__init__(): that is where the condition is made.
        self._state = PENDING
        self.number = number
        self._client = client
        self._frame = frame
        self._earlier = ()
        self._last = self._told = self._cond = self._calls = None

    # What most handles never get has its first value in the class.
    _result: Any = None
    _exception: BaseException | None = None
    _waiting: list[Any] | None = None
    _cancel_reason: str | None = None
    _failure: str | None = None
    _loaded = False
    _arrived: Arrived | None = None
    """The result, when it is large: then it does not stand in the frame of its end."""
    _engine_error: type[EngineError] = EngineError
    """What is raised when the engine could not go on."""

    # -- what Future's own functions use ---------------------------------------------------------------------------

    if TYPE_CHECKING:  # attributes of every Future, to whom it is given
        _condition: threading.Condition
        _waiters: list[Any]
    else:

        @property
        def _condition(self) -> threading.Condition:
            condition = self._cond
            if condition is None:
                with _CONDITIONS:
                    condition = self._cond
                    if condition is None:
                        condition = self._cond = threading.Condition()
            return condition

        @property
        def _waiters(self) -> list[Any]:
            if self._waiting is None:
                self._waiting = []
            return self._waiting

    # -- Future ----------------------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Have the task ended, also when it runs: SIGTERM, its grace, SIGKILL.

        True when that was asked for, False when the task had ended before.  The handle ends, as any other, when the
        task has: as cancelled, unless it ended by itself first.
        """
        return self._client.cancel(self.number, "cancel() was called")

    def retry(self) -> None:
        """Let the next attempt begin, which is held: see ``RetryPolicy.held``.  Before ``on_retry`` it does nothing."""
        self._client.let_go(self.number)

    def running(self) -> bool:
        """Whether a worker is running it at this moment."""
        return self._state == PENDING and self._client.is_running(self.number)

    def done(self) -> bool:
        """Whether it has ended, in whatever way.  Its callback may still be on the way."""
        return self._state != PENDING

    def result(self, timeout: float | None = None) -> R:
        """What ``runnable`` returned.

        Waits for the end, at most ``timeout`` seconds.  Raises the task's exception, or the one that stands for it
        (see ``exception``); TimeoutError when it has not ended by then.
        """
        self._await(timeout)
        error = self._load()
        if error is None:
            value: R = self._result
            return value
        try:
            raise error
        finally:
            del self, error  # the traceback would keep this frame, and the frame the exception

    def pickled_result(self) -> bytes:
        """What ``runnable`` returned, as it arrived: pickled.  Raises RuntimeError when it has not succeeded."""
        frame = self._last
        if frame is None or frame[4] != messages.SUCCEEDED:
            message = f"task {self.id} has no result: it is {self.outcome or 'pending'}"
            raise RuntimeError(message)
        return bytes(body_of(frame)[1]) if self._arrived is None else self._arrived.pickled()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """How it went wrong, or None when it succeeded.

        The task's own exception when it could travel, else a ``TaskFailed``; ``TaskTimeout``, ``TaskCrashed``,
        ``MemoryLimitExceeded`` or ``TaskCancelled`` for endings made by the engine, ``EngineError`` when the engine
        could not go on.  Raises TimeoutError when the task has not ended after ``timeout`` seconds, and TaskCancelled
        when it was cancelled, as every Future does.
        """
        self._await(timeout)
        error = self._load()
        if isinstance(error, concurrent.futures.CancelledError):
            raise error
        return error

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call ``fn`` with this handle when it ends, at once if it has; in a thread of the engine."""
        if self._calls is None:
            with _CONDITIONS:
                if self._calls is None:
                    self._calls = []
        self._calls.append(fn)
        if self._state != PENDING:
            self._make_calls()

    # -- ours ------------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id it was pushed with, or its number."""
        return str(options_of(self._frame).get("id", self.number))

    @property
    def outcome(self) -> Outcome | None:
        """The outcome; None before the end."""
        last = self._last
        return None if last is None else _OUTCOMES[last[4]]

    @property
    def reason(self) -> str | None:
        """Why it was cancelled, when it was, or why it is timed out although no attempt of it was."""
        if self._last is None or self._last[4] == messages.SUCCEEDED:
            return None
        if self._last[4] == messages.TIMED_OUT and not RETURNED.unpack_from(self._last)[4] & _ATTEMPT:
            return messages.unpack_error(bytes(body_of(self._last)[1]))[1]
        return self._why_cancelled()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that have ended, in order; none when the task was cancelled before it began."""
        last = self._last
        ended = () if last is None or not ANSWER.unpack_from(last)[4] & _ATTEMPT else (self._attempt(last),)
        return (*map(self._attempt, self._earlier), *ended) if self._earlier else ended

    @property
    def callback(self) -> CallbackRecord | None:
        """What became of its callback; None before that is over, and for a task without one."""
        if self._told is None or self._last is None:
            return None
        outcome, problem, log = self._told
        if outcome is None:
            return None
        succeeded = self._last[4] == messages.SUCCEEDED
        options = options_of(self._frame)
        hook = options.get("on_success" if succeeded else "on_failure")
        name = str(hook) if hook is not None else "callback" if succeeded else "error_callback"
        error = None if problem is None else ErrorRecord(*problem)
        return CallbackRecord(name, Outcome(outcome), error, self._log_range(*log))

    def _label(self) -> str:
        """What errors call it."""
        return self.id

    def _why_cancelled(self) -> str | None:
        if self._last is None or self._last[4] != messages.CANCELLED:
            return None
        return self._failure or self._cancel_reason or self._client.cancel_reason

    # -- the engine's side -----------------------------------------------------------------------------------------

    def _attempt_ended(self, frame: bytes) -> None:
        self._earlier = (*self._earlier, frame)

    def _pickled_frame(self) -> bytes:
        """The frame of its end, with its result in any case."""
        frame = self._last or b""
        if self._arrived is not None:
            result = self._arrived.pickled()
            header = list(RETURNED.unpack_from(frame))
            header[0] = len(frame) + len(result)
            header[2] &= ~messages.IN_FILE
            frame = RETURNED.pack(*header) + frame[RETURNED.size :] + result
        return frame

    def _end(self, frame: bytes) -> None:
        self._last = frame
        cancelled = frame[4] == messages.CANCELLED and self._failure is None
        self._state = CANCELLED_AND_NOTIFIED if cancelled else FINISHED
        if self._cond is not None:
            self._tell_waiters(self._cond)
        if self._calls is not None:
            self._make_calls()

    def _tell_waiters(self, condition: threading.Condition) -> None:
        with condition:
            for waiter in self._waiting or ():
                if self._state == CANCELLED_AND_NOTIFIED:
                    waiter.add_cancelled(self)
                elif self._last is None or self._last[4] != messages.SUCCEEDED:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            condition.notify_all()

    def _make_calls(self) -> None:
        calls = self._calls
        while calls:
            try:
                call = calls.pop(0)
            except IndexError:
                return  # two threads came here: each call is taken by one of them
            try:
                call(self)
            except BaseException as error:
                if not (isinstance(error, Exception) or self._client.is_reader()):
                    raise  # Ctrl-C in the program's own thread; in the engine's it would end the engine
                import logging

                logging.getLogger("concurrent.futures").exception("exception calling callback for %r", self)

    def _await(self, timeout: float | None) -> None:
        if self._state != PENDING:
            return
        self._client.check_may_await_task()
        condition = self._condition
        end = None if timeout is None else time.monotonic() + timeout
        with condition:
            while self._state == PENDING:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    message = f"task {self._label()} has not ended after {timeout} s"
                    raise concurrent.futures.TimeoutError(message)
                condition.wait(left)

    def _load(self) -> BaseException | None:
        """Make the result, or the exception, from its bytes; once."""
        with self._condition:
            frame = self._last
            if not self._loaded and frame is not None:
                try:
                    if self._failure is not None:
                        self._exception = self._engine_error(self._failure)
                    elif frame[4] == messages.SUCCEEDED:
                        if self._arrived is not None:
                            self._result = self._arrived.load()
                        elif frame.find(CLASS, RETURNED.size) >= 0:
                            self._result = loads_from_main(body_of(frame)[1])
                        else:
                            self._result = loads(body_of(frame)[1])
                    else:
                        self._exception = exception_from(frame, self.id, self._why_cancelled(), self._label())
                except BaseException as error:  # noqa: BLE001
                    self._exception = error
                self._loaded = True
            return self._exception

    def _attempt(self, frame: bytes) -> Attempt:
        _, status, flags, left, ticket, started, duration, pid, *log = RETURNED.unpack_from(frame)
        error = signal = exit_code = peak_rss_bytes = cpu_s = None
        if status != messages.SUCCEEDED or flags & messages.HAS_NOTES:
            notes, body = body_of(frame)
            if status != messages.SUCCEEDED:
                type_name, message, traceback, _, stack, signal, exit_code = messages.unpack_error(bytes(body))
                error = ErrorRecord(type_name, message, traceback, stack)
            exit_code, signal = notes.get("exit_code", exit_code), notes.get("signal", signal)
            peak_rss_bytes, cpu_s = notes.get("peak_rss_bytes"), notes.get("cpu_s")
        # By position: this is made for each task of a run.
        return Attempt(
            ticket & _ATTEMPT,
            _OUTCOMES[status],
            self._client.epoch_s(started),
            duration / 1e9,
            pid or None,
            exit_code,
            signal,
            left,
            peak_rss_bytes,
            cpu_s,
            error,
            self._log_range(*log) if log[1] else None,
        )

    def _log_range(self, offset: int, size: int, file: int) -> LogRange | None:
        folder = self._client.log_dir
        return LogRange(f"{folder}/{log_file_name(file)}", offset, size) if size and folder is not None else None

    def __repr__(self) -> str:
        outcome = self.outcome
        return f"<Handle of task {self.id}: {'pending' if outcome is None else outcome}>"
