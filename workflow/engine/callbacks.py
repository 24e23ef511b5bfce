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
from workflow.engine.bulk import load
from workflow.engine.channel import send_message
from workflow.engine.endings import exception_from
from workflow.engine.frames import body_of, options_of, with_file
from workflow.engine.output import Output
from workflow.engine.scoreboard import CALLBACK, CALLBACK_DEADLINE
from workflow.failpoints import ARMED, halves, reached
from workflow.messages import HAS_NOTES, PARTS, PARTS_AT, RETURNED, TASK, TICKET_BITS, UNRESOLVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from workflow.engine.channel import Socket
    from workflow.model import Model

DEFAULT_TIMEOUT_S = 30.0
_DEFAULT_NS = 30_000_000_000
_LOOK_S = 0.05
_BATCH = 256
_LINGER_S = 0.0005


Settled = tuple[int, bytes, bytes, int]
"""A task that ended and whose callback is to be run: its ticket; its frame, in which the arguments are not looked at;
its RETURNED frame; the descriptor of the file with the result when that frame says so, else -1.

A plain tuple: one is made for each task, and a named one would cost five times as much.
"""


def settled_from(owed: bytes) -> Settled:
    """From a frame in which the parent tells of one."""
    header = TASK.unpack_from(owed)
    end = TASK.size + header[5] + header[6]
    return RETURNED.unpack_from(owed, end)[4], owed[:end], owed[end:], -1


class Callbacks:
    """The thread that runs them, and what is told about them to the parent."""

    def __init__(self, parent: Socket, words: memoryview, log_dir: str | None) -> None:
        self._parent = parent
        self._words = words
        self._output = Output(log_dir, 0, words)
        self._items: deque[Settled] = deque()
        self._asleep = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._writing = _thread.allocate_lock()
        """Held to write to the parent, never in the user's code."""
        self._current: tuple[int, list[Settled], int] = (scoreboard.NEVER, [], 0)
        """Deadline, what was begun, and the thread.  Whoever takes it out of the list says how it ended: the thread,
        or the one who gave up on it."""
        self._done: list[int] = []
        self._models: dict[bytes, tuple[type[Model], bool, bool]] = {}
        self._started = False
        self._output.open()
        self._streams = sys.stdout, sys.stderr
        words[CALLBACK_DEADLINE] = 0
        # The loop must not wait long for the interpreter while callbacks keep it busy.
        sys.setswitchinterval(0.0005)

    # -- the dispatcher's side -------------------------------------------------------------------------------------

    def write(self, data: memoryview | bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send a whole frame to the parent."""
        with self._writing:
            try:
                if descriptors:
                    send_message(self._parent, bytes(data), descriptors)
                elif ARMED:
                    self._write_halves(data)
                else:
                    self._parent.sendall(data)
            except ConnectionError:
                os._exit(0)  # the parent is gone

    def _write_halves(self, data: memoryview | bytes) -> None:
        reached("dispatcher.writing")
        first, second = halves("dispatcher.half_forwarded", data)
        self._parent.sendall(first)
        if second:
            reached("dispatcher.half_forwarded")
            self._parent.sendall(second)

    def owe(self, settled: list[Settled]) -> None:
        """Tasks have ended, in this order: their callbacks come behind those owed already."""
        self._items.extend(settled)
        if not self._started:
            self._started = True
            _thread.start_new_thread(self._serve, ())
        elif self._asleep:
            self._asleep = False
            self._wake.put(None)

    def owe_again(self, settled: Settled) -> None:
        """The same, told by the parent to a dispatcher that takes over; begun only after ``settle_begun``."""
        self._items.append(settled)

    def settle_begun(self) -> None:
        """Tell of what an earlier dispatcher began: those that it finished, and the one that ended it."""
        begun = self._words[CALLBACK]
        tickets = [settled[0] for settled in self._items]
        if begun in tickets:
            for ticket in tickets[: tickets.index(begun)]:
                self._items.popleft()
                self._done.append(ticket >> TICKET_BITS)
            self._tell_done()
            if self._words[scoreboard.CALLBACK_END] == begun:
                outcome, error = "timed_out", "TaskTimeout"
                story = "it held the interpreter past its limit; its process was replaced"
            else:
                outcome, error = "crashed", "TaskCrashed"
                story = "the dispatcher, the process in which it ran, died; it was replaced"
            self._tell(self._items.popleft(), outcome, (error, story, None, None))
        if self._items:
            self.owe([])

    def look_s(self) -> float | None:
        """When ``give_up_on_late`` should look next, on the monotonic clock."""
        if not self._current[1] and not self._items:
            return None
        return time.monotonic() + _LOOK_S

    def give_up_on_late(self) -> None:
        """Abandon a callback that is past its limit, and go on with the rest in a new thread."""
        deadline, begun, thread = self._current
        if time.monotonic_ns() <= deadline:
            return
        try:
            settled = begun.pop()
        except IndexError:
            return  # it has just ended
        self._words[CALLBACK_DEADLINE] = 0
        self._tell_done()
        story = f"abandoned at its limit of {_timeout_of(settled[1]):g} s; its thread goes on until the run ends"
        self._tell(settled, "timed_out", ("TaskTimeout", story, None, _stack_of(thread)))
        _thread.start_new_thread(self._serve, ())

    def leave(self) -> NoReturn:
        """End the process; the parent has been told all there is."""
        self._output.flush_idle()
        os._exit(0)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Run callbacks until there is one on which somebody gave up."""
        try:
            self._run_all()
        except BaseException:  # noqa: BLE001
            # A callback took away what we need to run: this process is no use any more.  The next one knows which.
            os._exit(70)

    def _run_all(self) -> None:
        items, words, me, unpack = self._items, self._words, _thread.get_ident(), PARTS.unpack_from
        captured, (stdout, stderr) = self._output.captured, self._streams
        sys.stdout, sys.stderr = stdout, stderr  # an abandoned callback may have put others there
        while True:
            try:
                settled = items.popleft()
            except IndexError:
                if self._done:
                    # More are likely on their way; telling of each few would cost the parent a wake-up each.
                    time.sleep(_LINGER_S)
                    if items:
                        continue
                    self._tell_done()
                self._output.flush_idle()
                self._asleep = True
                if not items:  # looked at after the flag is up: who adds now sees it
                    self._wake.get()
                self._asleep = False
                continue
            ticket, task, _frame, _descriptor = settled
            path_size, options_size = unpack(task, PARTS_AT)
            limit_ns = int(min(_timeout_of(task), 9e8) * 1e9) if options_size else _DEFAULT_NS
            deadline = time.monotonic_ns() + limit_ns
            begun = [settled]
            self._current = (deadline, begun, me)
            words[CALLBACK] = ticket
            words[CALLBACK_DEADLINE] = deadline
            if ARMED:
                reached("callback.begun")
            problem = None
            called = False
            try:
                called = self._call(settled, path_size, options_size)
            except BaseException as error:  # noqa: BLE001  # the user's code may raise anything; all of it is recorded
                problem = _problem(error)
            if ARMED:
                reached("callback.ended")
            if captured or sys.stdout is not stdout or sys.stderr is not stderr:
                try:
                    self._output.flush()
                except BaseException as error:  # noqa: BLE001  # the streams may be the user's too
                    problem = problem or _problem(error)
                sys.stdout, sys.stderr = stdout, stderr  # what this callback left there is not the next one's
            try:
                begun.pop()
            except IndexError:
                return  # abandoned; what became of it has been told
            words[CALLBACK_DEADLINE] = 0
            log = self._output.take() if captured else _NO_LOG
            if called and not log[1]:
                self._done.append(ticket >> TICKET_BITS)
                if len(self._done) >= _BATCH:
                    self._tell_done()
            else:
                self._tell_done()
                outcome = "failed" if problem is not None else "succeeded" if called else None
                self._tell(settled, outcome, problem, log)

    def _call(self, settled: Settled, path_size: int, options_size: int) -> bool:
        """Run the callback of a task; False when the task has none."""
        _ticket, task, frame, descriptor = settled
        status, flags = frame[4], frame[5]
        if options_size and self._call_hook(settled):
            return True
        if flags & UNRESOLVED:
            message = "not called: its class could not be loaded in the worker"
            raise ImportError(message)
        path = task[TASK.size : TASK.size + path_size]
        known = self._models.get(path)
        if known is None:
            known = self._models[path] = _load(path)
        model, has_callback, has_error_callback = known
        if not (has_error_callback if status else has_callback):
            return False
        if status:
            model().error_callback(self._argument(settled))
        elif descriptor < 0 and not flags & HAS_NOTES:
            model().callback(loads(frame[RETURNED.size :]))
        else:
            model().callback(self._argument(settled))
        return True

    def _call_hook(self, settled: Settled) -> bool:
        """Call the function that the task names in place of its callback; False when it names none."""
        _ticket, task, frame, _descriptor = settled
        hook = options_of(task).get("on_success" if frame[4] == messages.SUCCEEDED else "on_failure")
        if hook is None:
            return False
        from workflow.engine.resolve import resolve_function

        function = resolve_function(str(hook))
        keywords = {"task": _id_of(task)} if _takes_task(function) else {}
        function(self._argument(settled), **keywords)
        return True

    def _argument(self, settled: Settled) -> object:
        _ticket, task, frame, descriptor = settled
        if descriptor >= 0:
            if frame[4] == messages.SUCCEEDED:
                try:
                    return load(descriptor)
                finally:
                    os.close(descriptor)
            frame = with_file(frame, descriptor)
        if frame[4] != messages.SUCCEEDED:
            return exception_from(frame, _id_of(task))
        return loads(body_of(frame)[1])

    # -- what the parent is told -----------------------------------------------------------------------------------

    def _tell_done(self) -> None:
        done, self._done = self._done, []
        if done:
            self.write(messages.pack_told(messages.CALLBACKS_ENDED, array("Q", done).tobytes()))

    def _tell(
        self,
        settled: Settled,
        outcome: str | None,
        problem: tuple[str, str, str | None, str | None] | None,
        log: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        body = marshal_dumps((outcome, problem))
        self.write(messages.pack_told(messages.CALLBACK_TOLD, body, settled[0], log))


_NO_LOG = (0, 0, 0)


def _timeout_of(task: bytes) -> float:
    if not TASK.unpack_from(task)[6]:
        return DEFAULT_TIMEOUT_S
    limit = options_of(task).get("callback_timeout", DEFAULT_TIMEOUT_S)
    return limit if isinstance(limit, (int, float)) else float("inf")


def _id_of(task: bytes) -> str:
    return str(options_of(task).get("id", TASK.unpack_from(task)[3]))


def _load(path: bytes) -> tuple[type[Model], bool, bool]:
    from workflow.engine.resolve import resolve_model
    from workflow.model import Model

    model = resolve_model(path.decode())
    return (
        model,
        model.callback is not Model.callback,
        model.error_callback is not Model.error_callback,
    )


def _takes_task(function: object) -> bool:
    """Whether it can have the keyword besides its argument, which may be what it calls ``task``."""
    from inspect import signature

    try:
        signature(function).bind(None, task=None)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _problem(error: BaseException) -> tuple[str, str, str | None, None]:
    from workflow.engine.describe import message_of, traceback_of, type_name
    from workflow.engine.importing import say_what_is_missing

    say_what_is_missing(error)
    return type_name(type(error)), message_of(error, "callback"), traceback_of(error), None


def _stack_of(thread: int) -> str | None:
    """Where an abandoned thread is."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # the only way to ask; documented
    if frame is None:
        return None
    import traceback

    return "".join(traceback.format_stack(frame))
