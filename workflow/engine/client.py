"""The parent's end of the engine: a table of all that has not ended, and the threads that serve it.

The table is what makes the dispatcher replaceable.  A task is in it from ``push`` until its outcome has arrived, and
stays known until its callback has been told of; a new dispatcher is told all of it.  An answer about a task that the
table does not hold, or about an attempt that has ended, is a repetition and is dropped.

Whoever pushes adds a frame to what goes to the dispatcher (``outgoing``).  The reader thread takes answers, ends
handles, and puts a new dispatcher in place of a dead one.

Ctrl-C may interrupt whoever pushes between any two steps, with what it was doing half done.  Locks are therefore taken
by ``with`` alone and never through what is written in Python (an Event's lock would stay locked for ever).

A signal handler of the program's, which interrupts in the same way, may push and cancel.  So the locks that it would
otherwise wait for are reentrant, and every step under them leaves what a push can go on from.  What it must not do is
wait: what it waits for may need what it has interrupted.  That is refused (``is_interrupted``).  The price is a lock
that costs a few nanoseconds more; to queue what handlers push, for whoever returns, would be a second way to push.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from array import array
from contextlib import suppress
from itertools import count
from marshal import loads as marshal_loads
from pickle import dumps
from typing import TYPE_CHECKING, TypeVar

from workflow import messages
from workflow.engine import system
from workflow.engine.bulk import LARGE, SMALL_KINDS, Arrived, File, pack
from workflow.engine.channel import (
    SHUT_WR,
    receive_into,
    receive_message,
    send_message,
    stream_pair,
)
from workflow.engine.frames import body_of, options_of, owed_frame, pack_options, with_attempt, with_file
from workflow.engine.handle import Handle
from workflow.engine.lookout import Lookout, Running, Stack
from workflow.engine.outgoing import FLUSH_BYTES, Outgoing
from workflow.engine.process_tree import Config, ProcessTree
from workflow.engine.resolve import STARTED_BY_IMPORT
from workflow.engine.vigil import LOOK_S
from workflow.errors import EngineError
from workflow.failpoints import ARMED, reached
from workflow.messages import (
    ANSWER,
    HAS_CALLBACK,
    HAS_ERROR_CALLBACK,
    IN_FILE,
    MORE_ATTEMPTS,
    PUSH,
    PUSH_IN_FILE,
    RETURNED,
    TASK,
    TICKET_BITS,
    UNRESOLVED,
)
from workflow.restarts import DISPATCHERS_MAX, Restarts

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow.info_task import InfoTask
else:
    pass

H = TypeVar("H", bound=Handle)

_LAST_S = 1.0
"""How long a dispatcher whose warden has died may take to follow it."""
_ATTEMPT = (1 << TICKET_BITS) - 1


class Client:
    """One engine, from its start to its end."""

    def __init__(
        self,
        config: Config,
        on_callback: Callable[[Handle], None] | None,
        on_retry: Callable[[Handle], None] | None = None,
    ) -> None:
        self.log_dir = config.log_dir
        self.cancel_reason: str | None = None
        self.failure: str | None = None
        self._config = config
        self._on_callback = on_callback
        self._on_retry = on_retry
        self._max_pending = config.max_pending
        self._table: dict[int, Handle] = {}
        self._owed: dict[int, Handle] = {}
        self._files: dict[int, File] = {}
        """By number: the arguments of those in the table that have them in a file."""
        self._numbers = count(1)  # one step of the interpreter's: no signal comes between
        self._last_number = 0
        self._lock = threading.RLock()
        """Held for the table, the buffer and the state; never while anything is sent or called."""
        self._idle = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._out = Outgoing(self._lock, self._files)
        self._cancelled: set[int] = set()
        self._asked: dict[int, int] = {}
        """By number: the attempt, a held retry, that a dispatcher asked for last."""
        self._let_go: dict[int, int] = {}
        """By number: the one that was let go last."""
        self._cancel_grace: float | None = None
        self._released = False
        self._closed: str | None = None
        """Why nothing more is taken."""
        self._ending = False
        self._ender: int | None = None
        """The thread that ends it."""
        self._foreign = False
        """Whether this is a copy, in a process that the program forked: the engine is not its."""
        self._epoch = 0
        self._restarts = Restarts(DISPATCHERS_MAX)
        self._achieved: tuple[int, int, int] | None = None
        """What there was to show when a dispatcher died last."""
        self._last_words = ""
        self._ended = threading.Event()
        self.dispatcher_pid = 0

    # -- start and end ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the processes.  Returns at once; what is pushed waits for them.  Raises EngineError."""
        self._tree = ProcessTree(self._config)
        self._out.channel = self._tree.channel
        self._lookout = Lookout(self._tree, self._table, self.log_dir)
        self._start_threads()

    def _start_threads(self) -> None:
        self._threads = []
        self._reader = threading.Thread(target=self._read, name="workflow-reader", daemon=True)
        sender = threading.Thread(target=self._send, name="workflow-sender", daemon=True)
        try:
            for thread in (self._reader, sender):
                thread.start()
                self._threads.append(thread)
        except RuntimeError as error:
            self.shut_down()
            self._ending = self._out.ending = False
            self._ended.clear()
            message = f"the engine could not be started: {system.explain(error)}"
            raise EngineError(message) from error

    def wait_idle(self, timeout: float | None) -> bool:
        """Until everything pushed has ended and every callback has been told of; whether that is so.

        Raises RuntimeError in a done callback, which would wait for itself, and in a signal handler that would.
        """
        if self.is_reader():
            message = "stop() was called in a done callback, in the thread it would have to wait for"
            raise RuntimeError(message)
        self.check_may_wait()
        self._flush()
        with self._lock:
            return self._idle.wait_for(lambda: not self._table and not self._owed, timeout)

    def close(self, why: str) -> None:
        """Take no more tasks, for this reason."""
        with self._lock:
            self._closed = self._closed or why

    def is_reader(self) -> bool:
        """Whether this is called in the engine's own thread, by a done callback."""
        return threading.current_thread() is self._reader

    def is_interrupted(self) -> bool:
        """Whether this is called by a signal handler that has interrupted a push, or the like, in this thread."""
        owned: bool = self._lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001
        return owned or self._out.is_writing()

    def check_may_wait(self) -> None:
        """Raises RuntimeError where waiting would be for ever."""
        if self.is_interrupted():
            message = (
                "a signal handler waits for a task, and has interrupted the program while it handed one over, so that "
                "neither can go on: a handler may push and cancel; to wait, set a flag in it and wait elsewhere"
            )
            raise RuntimeError(message)

    def check_may_await_task(self) -> None:
        """Raises RuntimeError where waiting for the end of a task would be for ever."""
        if self.is_reader():
            message = (
                "a done callback waits for a task that has not ended, in the thread that would hear of its end: "
                "add a done callback to that one too, or wait in a thread of the program's own"
            )
            raise RuntimeError(message)
        self.check_may_wait()

    def wait_ended(self) -> None:
        """Until everything pushed has ended; callbacks may still be on the way."""
        self._flush()
        with self._lock:
            self._idle.wait_for(lambda: not self._table)

    def abandon_callbacks(self) -> None:
        """Record the callbacks that are not over as abandoned."""
        with self._lock:
            owed = list(self._owed.values())
            self._owed.clear()
        problem = ("TaskTimeout", "abandoned: it was not over when the pool was stopped", None, None)
        for handle in owed:
            handle._told = ("timed_out", problem, (0, 0, 0))  # noqa: SLF001
        self._settle_down(owed)

    def shut_down(self) -> None:
        """End all processes, and whatever has not ended with them.  Safe to call again; returns when that is done."""
        if self._foreign:
            return
        here = threading.get_ident()
        with self._lock:
            first, self._ending = not self._ending, True
            if first:
                self._ender = here
        if not first:
            if here not in (self._reader.ident, self._ender):  # a signal handler may be in the thread that ends it
                self._ended.wait()
            return
        try:
            self._out.ending = True
            self._out.ring()
            self._tree.quit()
            self._tree.wake_stopped()
            self._tree.await_end(failed=self.failure is not None)
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()
            self._out.channel.close()
            self._tree.close()
        finally:
            self._ended.set()

    def disown(self) -> None:
        """In a fork of the program: the engine is its parent's, and so is every word to it."""
        self._foreign = True

    def release(self) -> None:
        """Nobody will push or wait any more: end when what was pushed has ended."""
        if self._foreign:
            return
        with self._lock:
            self._released = True
            idle = not self._table and not self._owed
        if idle:
            threading.Thread(target=self.shut_down, name="workflow-end", daemon=True).start()

    # -- pushing ---------------------------------------------------------------------------------------------------

    def push(self, task: InfoTask, path: bytes) -> Handle:
        """Take a task of the class at ``path``.

        Raises what pickling its arguments raises; blocks only for ``max_pending``.
        """
        if not task.plain:
            payload = pack(task.args if task.kwargs is None else (task.args, task.kwargs))
            return self.push_packed(path, task.timeout, pack_options(task), payload, Handle)
        args = task.args
        for argument in args:
            if argument.__class__ not in SMALL_KINDS:
                return self.push_packed(path, task.timeout, b"", pack(args), Handle)
        return self.push_packed(path, task.timeout, b"", dumps(args, 5), Handle)

    def push_packed(
        self,
        path: bytes,
        limit: float | None,
        options: bytes,
        payload: bytes | File,
        make: Callable[[int, bytes, Client], H],
    ) -> H:
        """The same, of what is packed already; ``make`` makes the handle."""
        timeout = float("inf") if limit is None else limit
        kind, file = PUSH, None
        if payload.__class__ is not bytes:
            assert isinstance(payload, File)
            kind, file, payload = PUSH_IN_FILE, payload, b""
        length = TASK.size + len(path) + len(options) + len(payload)
        if length > 0xFFFFFFFF:
            message = f"the arguments of a task may take 4 GiB; these take {len(payload)} bytes"
            raise ValueError(message)
        waits = self._max_pending is not None and not self.is_interrupted()
        with self._lock:
            if waits:
                self._await_room()
            if self.failure is not None:
                raise EngineError(self.failure)
            if self._closed is not None:
                raise RuntimeError(self._closed)
            number = self._last_number = next(self._numbers)
            # Added up and not joined: all but the payload is short, and that is copied once either way.
            frame = TASK.pack(length, kind, 1, number, timeout, len(path), len(options)) + path + options + payload
            handle = make(number, frame, self)
            alone = not self._table
            self._table[number] = handle
            if file is not None:
                self._files[number] = file
            out = self._out
            out.frames.append(frame)
            out.size += length
            flush = alone or out.size > FLUSH_BYTES or file is not None
        if ARMED:
            reached("parent.pushed")
        if flush:
            self._flush()
        elif not out.due:
            out.ring_once()
        return handle

    def _await_room(self) -> None:
        if self.is_reader():
            return  # a done callback that pushes: only this thread makes room, so it must not wait for it
        most = self._max_pending or 0
        while len(self._table) >= most and self.failure is None and not self._ending:
            self._out.ring()
            self._room.wait()

    def cancel(self, number: int, reason: str) -> bool:
        """Ask for the end of a task; whether it has not ended yet."""
        if self._foreign:
            return False
        with self._lock:
            handle = self._table.get(number)
            if handle is None:
                return False
            handle._cancel_reason = reason  # noqa: SLF001
            self._cancelled.add(number)
            self._say(messages.CANCEL, number)
        self._flush()
        return True

    def let_go(self, number: int) -> None:
        """Let the attempt begin that was asked for."""
        with self._lock:
            attempt = self._asked.get(number, 0)
            if number not in self._table or self._let_go.get(number, 0) >= attempt:
                return
            self._let_go[number] = attempt
            self._say(messages.LET_GO, number, attempt=attempt)
        self._flush()

    def cancel_all(self, reason: str, grace: float | None) -> None:
        """Ask for the end of every task, of those pushed later too."""
        if self._foreign:
            return
        with self._lock:
            self.cancel_reason = self.cancel_reason or reason
            self._cancel_grace = -1.0 if grace is None else grace
            self._say(messages.CANCEL_ALL, 0, self._cancel_grace)
        self._flush()

    def cancel_unbegun(self) -> None:
        """Have those ended that no worker is in the middle of."""
        if not self._table:
            return
        running = {running.number for running in self.running()}
        for handle in list(self._table.values()):
            if handle.number not in running:
                handle.cancel()

    def _say(self, kind: int, number: int, seconds: float = 0.0, attempt: int = 0) -> None:
        self._out.frames.append(TASK.pack(TASK.size, kind, attempt, number, seconds, 0, 0))
        self._out.size += TASK.size

    def _flush(self) -> None:
        """Write what is to be written, as far as that goes without waiting."""
        if not self._foreign:  # else the program itself writes it
            self._out.flush()

    # -- the sender thread -----------------------------------------------------------------------------------------

    def _send(self) -> None:
        """The sender thread."""
        try:
            self._out.send_until_end()
        except BaseException as error:  # noqa: BLE001  # without it, tasks would wait here for ever
            self._fail(f"its sender thread could not go on: {system.explain(error)}")

    # -- the reader thread -----------------------------------------------------------------------------------------

    def _read(self) -> None:
        """The reader thread."""
        try:
            self._read_until_end()
        except BaseException as error:  # noqa: BLE001  # without it, whoever waits for a task would wait for ever
            self._fail(f"its reader thread could not go on: {system.explain(error)}")
        if self.failure is not None:
            self._tree.await_end(failed=True)

    def _read_until_end(self) -> None:
        buffer = memoryview(bytearray(1 << 18))
        poll = select.poll()
        control = self._tree.control.fileno()
        poll.register(control, select.POLLIN)
        channel = self._out.channel.fileno()
        poll.register(channel, select.POLLIN)
        held = bytearray()
        descriptors: list[int] = []
        while not self._ending:
            ready = poll.poll(LOOK_S * 1000)
            reason = self._tree.look(time.monotonic())
            if reason is None and any(descriptor == control for descriptor, _events in ready):
                reason = self._read_control()
            if reason is not None:
                if reason:
                    self._read_last(buffer, held, descriptors)
                    self._fail(reason)
                return
            for descriptor, _events in ready:
                if descriptor == control:
                    continue
                count, more = receive_into(self._out.channel, buffer)
                descriptors += more  # they come with the first byte of their frame, the rest may come later
                if count:
                    held += buffer[:count]
                    del held[: self._take(held, descriptors)]
                elif self._ending:
                    return
                else:
                    while descriptors:
                        os.close(descriptors.pop())
                    held.clear()  # half a frame is all that a dead dispatcher can leave
                    poll.unregister(channel)
                    if not self._replace_dispatcher():
                        return
                    channel = self._out.channel.fileno()
                    poll.register(channel, select.POLLIN)

    def _read_last(self, buffer: memoryview, held: bytearray, descriptors: list[int]) -> None:
        """Take in what the dispatcher has passed on, until it is dead: it dies with its warden.

        What it passed on counts, and it may have begun the callback: a task is not cancelled behind that.
        """
        poll = select.poll()
        poll.register(self._out.channel.fileno(), select.POLLIN)
        end = time.monotonic() + _LAST_S
        while (left_s := end - time.monotonic()) > 0 and poll.poll(left_s * 1000):
            count, more = receive_into(self._out.channel, buffer)
            descriptors += more
            if not count:
                return
            held += buffer[:count]
            del held[: self._take(held, descriptors)]

    def _take(self, data: bytearray, descriptors: list[int]) -> int:
        """End the tasks that these frames are about; how many bytes they were."""
        head, size, position, end = ANSWER.unpack_from, RETURNED.size, 0, len(data)
        get, pop, owed = self._table.get, self._table.pop, self._owed
        told: list[Handle] = []
        if end < size or head(data)[0] > end:
            return 0
        whole = bytes(data)
        if ARMED:
            reached("parent.took")
        while end - position >= size:
            length, status, flags, _left, ticket = head(whole, position)
            start, position = position, position + length
            if position > end:
                position = start
                break
            frame = whole[start:position]
            if status >= messages.READY:
                self._take_other(status, ticket, frame, told)
                continue
            number = ticket >> TICKET_BITS
            handle = get(number)
            if handle is None or 0 < (ticket & _ATTEMPT) <= len(handle._earlier):  # noqa: SLF001
                if flags & IN_FILE:
                    os.close(descriptors.pop(0))
                continue  # said twice: a dispatcher died between passing it on and consuming it
            if flags & IN_FILE:
                frame = _take_file(handle, frame, descriptors.pop(0))
            if flags & MORE_ATTEMPTS:
                handle._attempt_ended(frame)  # noqa: SLF001
                continue
            if flags & (HAS_ERROR_CALLBACK | UNRESOLVED if status else HAS_CALLBACK):  # owes_callback, without the call
                owed[number] = handle
            else:
                told.append(handle)
            pop(number)
            if self._files:
                self._files.pop(number, None)
            if self._cancelled:
                self._cancelled.discard(number)
            if self._asked:
                with self._lock:  # who lets it go has looked into the table with it held
                    self._asked.pop(number, None)
                    self._let_go.pop(number, None)
            handle._end(frame)  # noqa: SLF001
            if status == messages.FAILED and not _complained and _REFUSED in frame and self.log_dir is None:
                _complain(frame)
        self._settle_down(told)
        return position

    def _take_other(self, status: int, ticket: int, frame: bytes, told: list[Handle]) -> None:
        if status == messages.CALLBACKS_ENDED:
            numbers = array("Q")
            numbers.frombytes(frame[RETURNED.size :])
            for number in numbers:
                handle = self._owed.pop(number, None)
                if handle is not None:
                    handle._told = _CALLED  # noqa: SLF001
                    told.append(handle)
        elif status == messages.CALLBACK_TOLD:
            handle = self._owed.pop(ticket >> TICKET_BITS, None)
            if handle is not None:
                outcome, problem = marshal_loads(frame[RETURNED.size :])
                handle._told = (outcome, problem, RETURNED.unpack_from(frame)[8:])  # noqa: SLF001
                told.append(handle)
        elif status == messages.RETRY_DUE:
            self._retry_due(ticket >> TICKET_BITS, ticket & _ATTEMPT)
        elif status == messages.ENGINE_FAILED:
            self._fail(frame[RETURNED.size :].decode())

    def _retry_due(self, number: int, attempt: int) -> None:
        """Ask for a held retry, once: a dispatcher that took over may not know that the one before it had asked."""
        with self._lock:
            handle = self._table.get(number)
            if handle is None or self._asked.get(number, 0) >= attempt:
                return
            self._asked[number] = attempt
        if self._on_retry is None:
            self.let_go(number)
        else:
            self._on_retry(handle)

    def _settle_down(self, told: list[Handle]) -> None:
        """Tell whoever waits for callbacks, for room, or for the end."""
        if self._on_callback is not None:
            for handle in told:
                self._on_callback(handle)
        if self._max_pending is not None:
            with self._lock:
                self._room.notify_all()
        # Looked at without the lock, which whoever pushes would have to wait for: who waits for the end has looked
        # with the lock held, before this was so or after.
        if self._table:
            return
        with self._lock:
            self._idle.notify_all()
            if self._owed:
                return
            released = self._released and not self._ending
        if released:
            threading.Thread(target=self.shut_down, name="workflow-end", daemon=True).start()

    def _read_control(self) -> str | None:
        """Hear what the warden says; why the engine cannot go on, if it cannot; nothing when it was to end."""
        data, _ = receive_message(self._tree.control)
        if not data:
            return "" if self._ending else self._tree.why_it_ended(had_dispatcher=bool(self.dispatcher_pid))
        fact = messages.decode(data)
        if isinstance(fact, messages.DispatcherForked):
            self.dispatcher_pid = fact.pid
        elif isinstance(fact, messages.LastWords):
            self._last_words = fact.reason
        elif isinstance(fact, (messages.StackTold, messages.StacksTold)):
            self._lookout.heard(fact)
        elif isinstance(fact, messages.WardenFailed):
            return str(fact.reason)
        return None

    def _replace_dispatcher(self) -> bool:
        """Have the warden fork a new dispatcher, and tell it all that pends."""
        if ARMED:
            reached("parent.replacing")
        before, self._achieved = self._achieved, self._count_ended()
        if before != self._achieved:
            self._restarts.achieved()
        if self._restarts.died(time.monotonic()):
            last = f"; the last one said: {self._last_words}" if self._last_words else ""
            self._fail(f"its dispatcher died {DISPATCHERS_MAX} times, and nothing had ended meanwhile{last}")
            return False
        self._epoch += 1
        ours, theirs = stream_pair()
        with self._out.writing:
            self._out.start_over(ours)
            with self._lock:
                snapshot = self._snapshot()
                self._out.forget()
            try:
                send_message(
                    self._tree.control, messages.encode(messages.ReplaceDispatcher(self._epoch)), (theirs.fileno(),)
                )
            except OSError:
                theirs.close()
                return True  # the warden is gone too: the control channel says so next
            theirs.close()
            try:
                self._out.send_all(snapshot)
            except ConnectionError:
                pass  # it died as well: its channel says so next
            except OSError:
                ours.shutdown(SHUT_WR)  # it will not be told all, so it is to leave
        return True

    def _count_ended(self) -> tuple[int, int, int]:
        """Tasks, callbacks and attempts that have ended: what dispatchers are there for."""
        with self._lock:
            tasks = self._last_number - len(self._table)
            attempts = sum([len(handle._earlier) for handle in self._table.values()])  # noqa: SLF001
        return tasks, tasks - len(self._owed), attempts

    def _snapshot(self) -> list[bytes]:
        """Everything that pends, as frames for a new dispatcher."""
        pending, owed = self._table.values(), self._owed.values()
        frames = [
            with_attempt(handle._frame, len(handle._earlier) + 1, _history(handle))  # noqa: SLF001
            for handle in pending
        ]
        frames += [
            TASK.pack(TASK.size, messages.CANCEL, 0, number, 0.0, 0, 0)
            for number in self._cancelled & self._table.keys()
        ]
        frames += [
            TASK.pack(TASK.size, messages.LET_GO, attempt, number, 0.0, 0, 0)
            for number, attempt in self._let_go.items()
            if number in self._table
        ]
        frames += [owed_frame(handle._frame, handle._pickled_frame()) for handle in owed]  # noqa: SLF001
        if self._cancel_grace is not None:
            frames.append(TASK.pack(TASK.size, messages.CANCEL_ALL, 0, 0, self._cancel_grace, 0, 0))
        frames.append(TASK.pack(TASK.size, messages.SNAPSHOT_END, 0, 0, 0.0, 0, 0))
        return frames

    def _fail(self, reason: str) -> None:
        """The engine cannot go on: every task ends now, as cancelled."""
        with self._lock:
            if self.failure is not None:
                return
            self.failure = f"the engine failed: {reason}"
            pending, owed = list(self._table.values()), list(self._owed.values())
            self._table.clear()
            self._owed.clear()
            self._files.clear()
        body = messages.pack_error("EngineError", self.failure)
        for handle in pending:
            ticket = handle.number << TICKET_BITS
            handle._failure = self.failure  # noqa: SLF001
            handle._end(  # noqa: SLF001
                RETURNED.pack(RETURNED.size + len(body), messages.CANCELLED, 0, 0, ticket, 0, 0, 0, 0, 0, 0) + body
            )
        for handle in owed:
            handle._told = ("crashed", ("EngineError", self.failure, None, None), (0, 0, 0))  # noqa: SLF001
        self._tree.quit()
        self._settle_down([*pending, *owed])

    # -- looking ---------------------------------------------------------------------------------------------------

    def running(self) -> tuple[Running, ...]:
        """What every worker is doing now: asks nobody, and waits for nobody."""
        return self._lookout.running()

    def is_running(self, number: int) -> bool:
        """Whether a worker is in the middle of this task."""
        return self._lookout.is_running(number)

    def stacks(self, timeout_s: float) -> tuple[Stack, ...]:
        """Where every running task is, as far as that is heard in this time."""
        return self._lookout.stacks(timeout_s)

    def epoch_s(self, monotonic_ns: int) -> float:
        """A moment of the monotonic clock as seconds since the epoch."""
        return self._lookout.epoch_s(monotonic_ns)


_REFUSED = STARTED_BY_IMPORT.encode()
_complained: list[str] = []
"""What was said on stderr: once in a program, however many tasks fail of it."""


def _complain(frame: bytes) -> None:
    """Say that the program starts itself over and over: whoever pushes and never looks at a handle sees nothing."""
    _type, message, *_more = messages.unpack_error(bytes(body_of(frame)[1]))
    if not message.startswith(STARTED_BY_IMPORT):
        return  # a task's own words
    _complained.append(message)
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # it is closed, or nobody reads it
            print(f"workflow: tasks fail: {message}", file=sys.stderr, flush=True)  # noqa: T201  # nobody else says it


def _take_file(handle: Handle, frame: bytes, descriptor: int) -> bytes:
    """The frame that came with a file: with what is in it, or without, when the handle keeps that."""
    if frame[4] != messages.SUCCEEDED or os.fstat(descriptor).st_size < LARGE:
        return with_file(frame, descriptor)
    try:
        handle._arrived = Arrived(descriptor)  # noqa: SLF001
    finally:
        os.close(descriptor)
    return frame


def _history(handle: Handle) -> dict[str, object]:
    """What a new dispatcher has to know of the attempts of a task that have ended."""
    earlier = handle._earlier  # noqa: SLF001
    if not earlier:
        return {}
    history: dict[str, object] = {"flags": earlier[-1][5] & (HAS_ERROR_CALLBACK | UNRESOLVED)}
    deadline_ns = options_of(handle._frame).get("deadline_ns")  # noqa: SLF001
    if deadline_ns is not None:
        history["until_ns"] = RETURNED.unpack_from(earlier[0])[5] + deadline_ns
    return history


_CALLED = ("succeeded", None, (0, 0, 0))
