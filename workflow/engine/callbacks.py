"""Callbacks: the user's code in the dispatcher, kept where it can do the least harm.

They run one after the other in a thread of their own, each with its own limit; the loop of the dispatcher goes on
beside it.  What a callback raises, SystemExit included, is recorded.  One that is late is abandoned: its thread is
left to itself (a thread cannot be killed) and another goes on with the rest.  One that holds the GIL stops the loop
too, and one that exits or crashes ends the process; both times the warden or the kernel ends the dispatcher, and the
next one finds in the scoreboard which callback had begun: it is recorded as crashed or timed out, and not repeated.

Callbacks begin in the order in which outcomes were forwarded.  A failure is told at once, successes in batches; so
whatever stands before the one that had begun, and was not told of, had succeeded.
"""

from __future__ import annotations

import _thread
import os
import sys
import time
from _queue import SimpleQueue
from array import array
from collections import deque
from marshal import dumps as marshal_dumps
from pickle import loads

from workflow import messages
from workflow.engine import scoreboard
from workflow.engine.channel import send_message
from workflow.engine.endings import body_of, exception_from, module_of, options_of
from workflow.engine.output import Output
from workflow.messages import IN_FILE, RETURNED, TASK, TICKET_BITS, UNRESOLVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from workflow.engine.channel import Socket
    from workflow.model import Model

DEFAULT_TIMEOUT_S = 30.0
_LOOK_S = 0.05
_BATCH = 256


class Settled:
    """A task that ended and whose callback is to be run."""

    __slots__ = ("descriptor", "frame", "task")

    def __init__(self, task: bytes, frame: bytes, descriptor: int) -> None:
        self.task = task
        """Its frame; the arguments in it are not looked at."""
        self.frame = frame
        """Its RETURNED frame."""
        self.descriptor = descriptor
        """Of the file with the result, when the frame says so; else -1."""

    @classmethod
    def from_owed(cls, owed: bytes) -> Settled:
        """From a frame in which the parent tells of one."""
        header = TASK.unpack_from(owed)
        end = TASK.size + header[5] + header[6]
        return cls(owed[:end], owed[end:], -1)

    @property
    def ticket(self) -> int:
        ticket: int = RETURNED.unpack_from(self.frame)[4]
        return ticket


class Callbacks:
    """The thread that runs them, and what is told about them to the parent."""

    def __init__(self, parent: Socket, words: memoryview, log_dir: str | None) -> None:
        self._parent = parent
        self._words = words
        self._output = Output(log_dir, 0, words)
        self._items: deque[Settled] = deque()
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._lock = _thread.allocate_lock()
        """Held for writing to the parent, and for the moment a callback begins or ends; never in the user's code."""
        self._generation = 0
        self._begun: Settled | None = None
        self._deadline_ns = scoreboard.NEVER
        self._done = array("Q")
        self._models: dict[str, type[Model]] = {}
        self._started = False
        self._output.open()
        words[scoreboard.CALLBACK_DEADLINE] = 0

    # -- the dispatcher's side -------------------------------------------------------------------------------------

    def write(self, data: memoryview | bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send a whole frame to the parent."""
        with self._lock:
            self._write(data, descriptors)

    def owe(self, settled: list[Settled]) -> None:
        """Tasks have ended, in this order: their callbacks come behind those owed already."""
        self._items.extend(settled)
        if not self._started:
            self._started = True
            _thread.start_new_thread(self._serve, (self._generation,))
        self._tokens.put(None)

    def owe_again(self, settled: Settled) -> None:
        """The same, told by the parent to a dispatcher that takes over; begun only after ``settle_begun``."""
        self._items.append(settled)

    def settle_begun(self) -> None:
        """Tell of what an earlier dispatcher began: those that it finished, and the one that ended it."""
        begun = self._words[scoreboard.CALLBACK]
        tickets = [settled.ticket for settled in self._items]
        if begun in tickets:
            for ticket in tickets[: tickets.index(begun)]:
                self._items.popleft()
                self._done.append(ticket >> TICKET_BITS)
            settled = self._items.popleft()
            self._tell_done()
            late = self._words[scoreboard.CALLBACK_END] == begun
            outcome, story = (
                ("timed_out", "it held the interpreter past its limit, and its process was replaced")
                if late
                else ("crashed", "the dispatcher, in which it ran, died; it was replaced")
            )
            self._tell(settled, outcome, ("TaskCrashed", story, None, None))
        if self._items:
            self.owe([])

    def deadline_s(self) -> float | None:
        """When ``give_up_on_late`` should look next, on the monotonic clock."""
        if self._begun is None and not self._items:
            return None
        return time.monotonic() + _LOOK_S

    def give_up_on_late(self) -> None:
        """Abandon a callback that is past its limit, and go on with the rest in a new thread."""
        if time.monotonic_ns() <= self._deadline_ns:
            return
        with self._lock:
            begun = self._begun
            if begun is None or time.monotonic_ns() <= self._deadline_ns:
                return
            self._generation += 1
            self._begun = None
            self._deadline_ns = scoreboard.NEVER
            self._words[scoreboard.CALLBACK_DEADLINE] = 0
            self._tell_done()
            limit = _timeout_of(options_of(begun.task))
            self._tell(
                begun,
                "timed_out",
                (
                    "TaskTimeout",
                    f"abandoned at its limit of {limit:g} s; its thread goes on until the run ends",
                    None,
                    _stack_of_callback(self._thread),
                ),
            )
            _thread.start_new_thread(self._serve, (self._generation,))

    def leave(self) -> NoReturn:
        """End the process; the parent has been told all there is."""
        self._output.take()
        os._exit(0)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _serve(self, generation: int) -> None:
        items = self._items
        while True:
            try:
                settled = items.popleft()
            except IndexError:
                with self._lock:
                    if generation != self._generation:
                        return
                    self._tell_done()
                self._tokens.get()
                continue
            if not self._begin(settled, generation):
                return
            problem = None
            name: str | None = None
            try:
                name = self._call(settled)
            except BaseException as error:  # noqa: BLE001  # the user's code may raise anything; all of it is recorded
                problem = _problem(error)
            if not self._end(settled, generation, name, problem):
                return
            settled = None  # type: ignore[assignment]

    def _begin(self, settled: Settled, generation: int) -> bool:
        limit = DEFAULT_TIMEOUT_S
        if TASK.unpack_from(settled.task)[6]:
            limit = _timeout_of(options_of(settled.task))
        with self._lock:
            if generation != self._generation:
                self._items.appendleft(settled)
                return False
            self._thread = _thread.get_ident()
            self._begun = settled
            self._deadline_ns = time.monotonic_ns() + int(min(limit, 9e8) * 1e9)
            self._words[scoreboard.CALLBACK] = settled.ticket
            self._words[scoreboard.CALLBACK_DEADLINE] = self._deadline_ns
            return True

    def _end(
        self, settled: Settled, generation: int, name: str | None, problem: tuple[str, str, str | None, None] | None
    ) -> bool:
        with self._lock:
            if generation != self._generation:
                return False  # it was abandoned, and what became of it has been told
            self._begun = None
            self._deadline_ns = scoreboard.NEVER
            self._words[scoreboard.CALLBACK_DEADLINE] = 0
            log = self._output.take()
            if problem is None and name is not None and not log[1]:
                self._done.append(settled.ticket >> TICKET_BITS)
                if len(self._done) >= _BATCH:
                    self._tell_done()
            else:
                self._tell_done()
                outcome = "failed" if problem is not None else "succeeded" if name is not None else None
                self._tell(settled, outcome, problem, log)
        return True

    def _call(self, settled: Settled) -> str | None:
        """Run the callback of a task; its name, or None when the task has none."""
        header = RETURNED.unpack_from(settled.frame)
        options = options_of(settled.task)
        number = header[4] >> TICKET_BITS
        task_id = str(options.get("id", number))
        succeeded = header[1] == messages.SUCCEEDED
        hook = options.get("on_success" if succeeded else "on_failure")
        if header[2] & UNRESOLVED and hook is None:
            message = "not called: its class could not be loaded in the worker"
            raise ImportError(message)
        if hook is not None:
            from workflow.engine.resolve import resolve_function

            function = resolve_function(str(hook))
            keywords = {"task": task_id} if _takes_task(function) else {}
            function(self._argument(settled, succeeded=succeeded, task_id=task_id), **keywords)
            return str(hook)
        module = module_of(settled.task)
        model = self._models.get(module)
        if model is None:
            from workflow.engine.resolve import resolve_model

            model = self._models[module] = resolve_model(module)
        from workflow.model import Model

        if succeeded:
            if model.callback is Model.callback:
                return None
            model().callback(self._argument(settled, succeeded=True, task_id=task_id))
            return "callback"
        if model.error_callback is Model.error_callback:
            return None
        model().error_callback(self._argument(settled, succeeded=False, task_id=task_id))  # type: ignore[arg-type]
        return "error_callback"

    def _argument(self, settled: Settled, *, succeeded: bool, task_id: str) -> object:
        frame = settled.frame
        if frame[5] & IN_FILE and settled.descriptor >= 0:
            from workflow.engine.worker import read_file

            descriptor, settled.descriptor = settled.descriptor, -1
            frame = frame[: RETURNED.size] + read_file(descriptor)
        if not succeeded:
            return exception_from(frame, task_id)
        return loads(body_of(frame)[1])

    # -- to the parent, with the lock held -------------------------------------------------------------------------

    def _write(self, data: memoryview | bytes, descriptors: tuple[int, ...] = ()) -> None:
        try:
            if descriptors:
                send_message(self._parent, bytes(data), descriptors)
            else:
                self._parent.sendall(data)
        except OSError:
            os._exit(0)  # the parent is gone

    def _tell_done(self) -> None:
        if self._done:
            data = self._done.tobytes()
            del self._done[:]
            self._write(
                RETURNED.pack(RETURNED.size + len(data), messages.CALLBACKS_ENDED, 0, 0, 0, 0, 0, 0, 0, 0, 0) + data
            )

    def _tell(
        self,
        settled: Settled,
        outcome: str | None,
        problem: tuple[str, str, str | None, str | None] | None,
        log: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        ticket = settled.ticket
        data = marshal_dumps((outcome, problem))
        self._write(
            RETURNED.pack(RETURNED.size + len(data), messages.CALLBACK_TOLD, 0, 0, ticket, 0, 0, 0, *log) + data
        )


def _timeout_of(options: dict[str, object]) -> float:
    limit = options.get("callback_timeout", DEFAULT_TIMEOUT_S)
    return limit if isinstance(limit, (int, float)) else float("inf")


def _takes_task(function: object) -> bool:
    from inspect import Parameter, signature

    try:
        parameters = signature(function).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    task = parameters.get("task")
    if task is not None:
        return task.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())


def _problem(error: BaseException) -> tuple[str, str, str | None, None]:
    from workflow.engine.describe import message_of, traceback_of, type_name

    return type_name(type(error)), message_of(error, "callback"), traceback_of(error), None


def _stack_of_callback(thread: int) -> str | None:
    """Where an abandoned thread is."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # the only way to ask; documented
    if frame is None:
        return None
    import traceback

    return "".join(traceback.format_stack(frame))
