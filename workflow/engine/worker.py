"""A worker: it runs one task at a time, and says in shared memory which.

It starts as a fork of the warden (or of the template process, when modules are preloaded) and imports next to
nothing: the standard library's C modules, and then what the tasks need.  Two threads.  Thread 1, the main one, runs
the tasks, so signals, asyncio and subprocess work in them.  Thread 2 waits beside it: the kernel gives it the signal
that prints all stacks when the task has blocked signals, and it ends the task when the warden should be unable to.

How an attempt ends here:

- It returns or raises: the answer goes to the dispatcher, then the next task begins.
- The warden *sentences* it (time, memory, cancelled): it writes the ticket in the scoreboard and sends SIGTERM.  The
  handler raises ``Terminated`` in the main thread, so ``finally`` blocks and context managers run; the warden sends
  SIGKILL after the grace.  A worker that was sentenced never runs another task.  The handler compares the sentenced
  ticket with the running one, so a signal that comes late cannot hit the next task.
- The process dies: the state word says during which attempt.

State words are written before what they announce: claimed, running, answering (see ``scoreboard``).
"""

from __future__ import annotations

import _thread
import faulthandler
import gc
import os
import sys
import time
from _pickle import PicklingError, dumps, loads
from marshal import dumps as marshal_dumps
from marshal import loads as marshal_loads

from workflow import messages
from workflow.engine import processes, scoreboard, system
from workflow.engine.answers import BRIEF
from workflow.engine.attempt_notes import Terminated, notes
from workflow.engine.bulk import (
    SMALL_KINDS,
    File,
    HasLarge,
    NoRoom,
    TooLarge,
    is_large,
    load,
    refuse_large,
    write_pickled,
    write_what_is_large,
)
from workflow.engine.channel import receive_message, send_message
from workflow.engine.output import Output
from workflow.engine.place import Place
from workflow.engine.scoreboard import (
    ANSWERING,
    AT_ARGUMENTS,
    AT_IMPORT,
    AT_INIT,
    AT_RESULT,
    AT_RUN,
    CLEANING,
    DEADLINE,
    GRACE,
    MEMORY,
    REFUSE_BELOW,
    RUNNING,
    SENTENCE,
    SENTENCE_REASON,
    STAGE,
    STARTED,
    STATE,
)
from workflow.failpoints import ARMED, reached, show_stacks_when_asked
from workflow.messages import (
    HAS_CALLBACK,
    HAS_ERROR_CALLBACK,
    HAS_NOTES,
    IN_FILE,
    RETURNED,
    SENTENCED,
    SMALL,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import FrameType, ModuleType
    from typing import Any, NoReturn

    from workflow.engine.channel import Socket
    from workflow.engine.seeds import Seeds
    from workflow.model import Model
else:
    import _signal

STACK_SIGNAL = _signal.SIGRTMIN + 5 if hasattr(_signal, "SIGRTMIN") else _signal.SIGUSR2
"""Prints the stacks of all threads.  A real-time signal: hardly any program uses this one, unlike SIGUSR1 and 2."""
MAIN_STACK_SIGNAL = _signal.SIGRTMIN + 6 if hasattr(_signal, "SIGRTMIN") else _signal.SIGUSR1
"""Prints the stack of the thread that gets it, the main one: faulthandler shows at most 100 threads otherwise."""

_LATE_NS = 150_000_000
"""How late the warden must be before thread 2 acts in its place."""
_FINISH_NS = 200_000_000
"""How late it must be in finishing what it has begun: both together stay below the half second that is promised."""
_WATCH_S = 1.0
"""How often thread 2 looks, when it does not know a time to wait for."""
_BRIEF_NS = 1_000_000
"""Attempts shorter than this, but for commands, are not asked for processor time or for processes they left."""
_LONG_NS = 500_000_000
"""Attempts longer than this are reported with processor time and peak memory."""
_FOREVER_S = 9e8
"""Longer limits, infinity among them, do not fit in a word; nobody will see this one end."""

_GRACE_NS = 5_000_000_000
_CLEANING_NS = 5_000_000_000

_clock_ns = time.monotonic_ns


class Worker:
    """One worker process.  Made in a fresh fork; ``run`` never returns."""

    def __init__(
        self,
        tasks: Socket,
        answers: int,
        words: memoryview,
        slot: int,
        stack_file: int,
        log_dir: str | None,
        max_result: int | None,
        apart: bool,
        initializer: bytes | None,
    ) -> None:
        self._tasks = tasks
        self._answers = answers
        self._words = words
        self._base = slot * scoreboard.WORDS
        self._row = words[self._base : self._base + scoreboard.WORDS]
        self._stack_file = stack_file
        self._initializer = initializer
        self._max_result = (1 << 63) if max_result is None else max_result
        self._unlimited = max_result is None
        self._short = min(SMALL, self._max_result)
        self._apart = apart
        self._arguments: int | None = None  # the file of the task that is running now
        self._timeout_s, self._timeout_ns = 0.0, 0  # the latest task's, of which most are alike
        self._options: dict[str, Any] = {}
        self._output = Output(log_dir, slot, words)
        self._place = Place()
        self._pid = os.getpid()
        self._running = 0  # the ticket that SIGTERM may interrupt; 0 while code of ours runs
        self._models: dict[bytes | memoryview, tuple[type[Model], int, bool]] = {}
        self._cpu_s = 0.0
        self._children: frozenset[int] = frozenset()
        self._forked = False  # whether this is a child that a task forked, and not the worker
        self._masks: dict[int, Any] = {}  # signals that were blocked in threads that are about to fork
        self._on_term = self._terminate  # one bound method, so that it can be recognised

    def run(self) -> NoReturn:
        """Be a worker until the task channel ends."""
        faulthandler.enable(self._stack_file, all_threads=True)
        if hasattr(faulthandler, "register"):
            faulthandler.register(STACK_SIGNAL, self._stack_file, all_threads=True, chain=False)
            faulthandler.register(MAIN_STACK_SIGNAL, self._stack_file, all_threads=False, chain=False)
        _signal.signal(_signal.SIGTERM, self._on_term)
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        self._output.open()
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork_in_parent,
            after_in_child=self._after_fork_in_child,
        )
        _thread.start_new_thread(self._watch, ())
        show_stacks_when_asked()
        if self._initializer is not None:
            from workflow.engine.initialize import initialize

            initialize(self._initializer, self._stack_file)
            self._output.flush_idle()
        self._words[self._base + scoreboard.STARTED] = _clock_ns()
        gc.freeze()  # what was loaded up to here stays: the collector need not look at it for every task
        if ARMED:
            reached("worker.started")
        os.write(self._answers, RETURNED.pack(RETURNED.size, messages.READY, 0, 0, 0, 0, 0, self._pid, 0, 0, 0))
        self._loop()
        leave(0)

    def _loop(self) -> None:
        """Take a message, run its tasks one after the other, until the channel ends."""
        row, attempt = self._row, self._attempt
        unpack, header_size, ticket_bits = messages.TASK.unpack_from, messages.TASK.size, messages.TICKET_BITS
        while True:
            data, descriptors = receive_message(self._tasks)
            if not data:
                return
            message, in_file = messages.RUN.unpack_from(data)
            position = messages.RUN.size
            # A part of bytes costs half of what a part of a view does, but it is a copy: not of what may be large.
            frames: bytes | memoryview = data
            if in_file:
                frames, position = memoryview(system.read_file(descriptors.pop(0))), 0
            end = len(frames)
            while position < end:
                header = unpack(frames, position)
                ticket = header[3] << ticket_bits | header[2]
                claimed = ticket << 2  # and CLAIMED, which is 0
                row[STATE] = claimed
                # The dispatcher, which writes this word first and then reads the claim, waits while it sees one: its
                # recall and this look cannot miss each other.
                if message < row[REFUSE_BELOW]:
                    break
                if ARMED:
                    reached("worker.claimed")
                if header[1] == messages.PUSH_IN_FILE:
                    self._arguments = descriptors.pop(0)
                attempt(ticket, claimed, header, frames, position + header_size)
                position += header[0]
            while descriptors:  # of those that it refused
                os.close(descriptors.pop())
            row[STATE] = 0
            self._output.flush_idle()

    def _attempt(
        self, ticket: int, claimed: int, header: tuple[Any, ...], frames: bytes | memoryview, position: int
    ) -> None:
        """Run one attempt and send its answer."""
        row = self._row
        size, _kind, attempt, _number, timeout, module_size, options_size = header
        end = position + size - messages.TASK.size
        start, position = position, position + module_size
        module = frames[start:position]
        if options_size:
            start, position = position, position + options_size
            options = marshal_loads(frames[start:position])
        else:
            options = _NO_OPTIONS
        if timeout != self._timeout_s:
            self._timeout_s, self._timeout_ns = timeout, int(min(timeout, _FOREVER_S) * 1e9)
        if options is not self._options:
            self._options = options
            row[GRACE] = options.get("grace_ns", _GRACE_NS)
            row[MEMORY] = options.get("memory", 0)

        known = self._models.get(module)
        started = _clock_ns()
        row[STARTED] = started
        row[DEADLINE] = started + self._timeout_ns
        # Only where something can hang does a stage begin: a class that is known is not imported again.
        row[STAGE] = AT_IMPORT if known is None or options else AT_ARGUMENTS
        row[STATE] = claimed | RUNNING
        if ARMED:
            reached("worker.begun")

        flags = HAS_ERROR_CALLBACK  # until the class has been seen, it may have one
        value = instance = arguments = before = file = None
        try:
            try:
                self._running = ticket
                if options:
                    if "deadline_ns" in options:
                        until = options.get("until_ns") or started + options["deadline_ns"]
                        row[DEADLINE] = min(row[DEADLINE], max(until, started))
                    self._place.enter(options, attempt)
                if known is None:
                    module = bytes(module)
                    flags = messages.unseen_flags(module, options)
                    known = self._models[module] = _load_model(module)
                    row[STAGE] = AT_ARGUMENTS
                model, flags, has_init = known
                if options:
                    flags = _hook_flags(options, flags)
                    row[STAGE] = AT_ARGUMENTS
                    if attempt > 1 and "outputs" in options:
                        before = _outputs().state(options["outputs"])
                    if "seed" in options:
                        _seeds().begin(options["seed"], lambda: self._running == ticket)
                arguments = loads(frames[position:end]) if self._arguments is None else self._load_arguments()
                if has_init:
                    row[STAGE] = AT_INIT
                instance = model()
                row[STAGE] = AT_RUN
                if not options:
                    value = instance.runnable(*arguments)
                else:
                    if "kwargs" in options:
                        value = instance.runnable(*arguments[0], **arguments[1])
                    else:
                        value = instance.runnable(*arguments)
                    if "outputs" in options:
                        _outputs().check(options["outputs"], before)
                row[STAGE] = AT_RESULT
                packed = None
                if value.__class__ in SMALL_KINDS:
                    packed = dumps(value, 5)
                elif (self._unlimited or value.__class__ is str) and not is_large(value):
                    try:
                        packed = dumps(value, 5, buffer_callback=refuse_large)
                    except HasLarge:
                        pass
                    except Exception as error:  # noqa: BLE001  # it is the user's code
                        packed = _dumps_by_name(value, error, of_call=model.__name__ == "Called")
                if packed is not None and len(packed) <= self._short:
                    body = packed
                else:
                    body, file = self._pack(value, packed, of_call=model.__name__ == "Called")
                status = messages.SUCCEEDED
            except BaseException as error:  # noqa: BLE001  # whatever the user's code raises is the task's outcome
                status, body = messages.FAILED, self._describe(error)
            self._output.flush()
            self._running = 0
        except BaseException as error:  # noqa: BLE001  # Terminated came while an error was being described
            self._running = 0
            status, body = messages.FAILED, self._describe(error)
        if self._forked:
            leave(status)  # a child that the task forked, and that returned from it as if it were the worker

        if ARMED:
            reached("worker.returned")
        duration = _clock_ns() - started
        row[STATE] = claimed | ANSWERING
        if ARMED:
            reached("worker.answering")
        if row[SENTENCE] == ticket:
            if status == messages.SUCCEEDED:
                body, file = b"", None
            status = row[SENTENCE_REASON]
            flags |= SENTENCED
        elif notes.signal is not None:
            status = messages.CRASHED
        if self._arguments is not None:
            os.close(self._arguments)  # it did not come so far as to need them
            self._arguments = None
        log, left, noted = self._output.take(), 0, b""
        if duration > _BRIEF_NS or notes.exit_code is not None or notes.signal is not None:  # of a command
            left, noted, flags = self._look_back(duration, flags)
            if left:
                self._output.renew()
            self._place.restore(certainly=True)
        elif self._place.changed:
            self._place.restore(certainly=False)
        if file is None and len(body) > SMALL:
            body, file = b"", write_pickled(body)
        if file is None:
            body = noted + body
            length = RETURNED.size + len(body)
            answer = RETURNED.pack(length, status, flags, left, ticket, started, duration, self._pid, *log) + body
            if length <= BRIEF:
                system.write_all(self._answers, answer)
            else:
                send_message(self._tasks, answer)
        else:
            length, flags = RETURNED.size + len(noted), flags | IN_FILE
            head = RETURNED.pack(length, status, flags, left, ticket, started, duration, self._pid, *log)
            send_message(self._tasks, head + noted, (file.descriptor,))
            del file
        if ARMED:
            reached("worker.answered")
        if flags & SENTENCED or "isolate" in options:
            leave(0)
        if _signal.getsignal(_signal.SIGTERM) is not self._on_term:
            _signal.signal(_signal.SIGTERM, self._on_term)
        row[DEADLINE] = started + duration + _CLEANING_NS
        row[STATE] = claimed | CLEANING
        # What the task made dies when this function returns, behind its answer: a destructor that kills the process
        # cannot take the result with it, and one that hangs is ended without blame.

    def _load_arguments(self) -> Any:
        descriptor, self._arguments = self._arguments, None
        assert descriptor is not None
        try:
            return load(descriptor)
        finally:
            os.close(descriptor)

    def _pack(self, value: object, packed: bytes | None, *, of_call: bool) -> tuple[bytes, File | None]:
        """A result as bytes or in a file: one that is large, turned out to be when it was pickled, or has a limit."""
        try:
            if packed is None:
                try:
                    written = write_what_is_large(value, apart=self._apart, most=self._max_result)
                except (TooLarge, NoRoom):
                    raise
                except Exception as error:  # noqa: BLE001  # it is the user's code
                    written = _dumps_by_name(value, error, of_call=of_call)
                if isinstance(written, File):
                    return b"", written
                packed = written
            if len(packed) > self._max_result:
                message = f"the result takes {len(packed)} bytes, more than max_result = {self._max_result}"
                raise ValueError(message)
            return (packed, None) if len(packed) <= SMALL else (b"", write_pickled(packed))
        except TooLarge as error:
            message = f"the result takes {error} bytes or more, which is more than max_result = {self._max_result}"
            raise ValueError(message) from None
        except NoRoom as error:
            message = f"there is no room in memory to hand the result over: {error}"
            raise OSError(message) from None

    def _look_back(self, duration: int, flags: int) -> tuple[int, bytes, int]:
        """What an attempt that was not brief left behind, and notes of what it used."""
        left = notes.left + self._count_new_children()
        facts: dict[str, object] = {}
        times = os.times()
        cpu_s = time.process_time() + times.children_user + times.children_system
        if duration > _LONG_NS:
            facts["cpu_s"] = max(0.0, cpu_s - self._cpu_s)
            facts["peak_rss_bytes"] = notes.peak_rss_bytes or _peak_memory()
        self._cpu_s = cpu_s
        _forget_peak_memory()
        if notes.exit_code is not None:
            facts["exit_code"] = notes.exit_code
        if notes.signal is not None:
            facts["signal"] = notes.signal
        notes.reset()
        if not facts:
            return min(left, 0xFFFF), b"", flags
        packed = marshal_dumps(facts)
        return min(left, 0xFFFF), messages.NOTES.pack(len(packed)) + packed, flags | HAS_NOTES

    def _describe(self, error: BaseException) -> bytes:
        from workflow.engine.describe import pack_exception

        return pack_exception(error, scoreboard.STAGES[self._words[self._base + scoreboard.STAGE]])

    def _count_new_children(self) -> int:
        """Processes that the attempt left running; they are killed when the worker ends."""
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._children = frozenset()
            return 0
        alive = frozenset(pid for pid in processes.descendants(self._pid) if processes.is_alive(pid))
        new = alive - self._children
        self._children = alive
        return len(new)

    # -- being ended -----------------------------------------------------------------------------------------------

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM: end the task it was meant for, and nothing else."""
        if not self._forked:
            sentenced = self._words[self._base + scoreboard.SENTENCE]
            if sentenced and sentenced == self._running:
                self._running = 0  # once: what follows is cleaning up, and not to be interrupted
                raise Terminated
            if sentenced:
                return  # meant for an attempt that ended first
        # From somebody else, or in a child that the task forked: it does what it does to any process.
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
        os.kill(os.getpid(), _signal.SIGTERM)

    # What a task forks is an ordinary process, which SIGTERM ends.  Had it our handler for a moment, one that came in
    # that moment would be lost: the interpreter forgets what had arrived when it notices that it was forked.  So the
    # signal waits until the handler is gone.

    def _before_fork(self) -> None:
        self._masks[_thread.get_ident()] = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM,))

    def _after_fork_in_parent(self) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._masks.pop(_thread.get_ident()))

    def _after_fork_in_child(self) -> None:
        self._forked = True
        if _signal.getsignal(_signal.SIGTERM) is self._on_term:  # else the task has one of its own
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._masks.pop(_thread.get_ident()))

    def _watch(self) -> None:
        """Thread 2: end the task when the warden is late."""
        words, base = self._words, self._base
        while True:
            pause_s = _WATCH_S
            state = words[base]
            if state & 3 == scoreboard.RUNNING:
                late = _clock_ns() - words[base + scoreboard.DEADLINE]
                if words[base + scoreboard.SENTENCE] == state >> 2:
                    late -= words[base + scoreboard.GRACE] + _FINISH_NS  # it acted: then only if it does not finish
                if late > _LATE_NS:
                    self._end_attempt(state)
                else:
                    pause_s = min(_WATCH_S, (_LATE_NS - late) / 1e9 + 0.001)
            time.sleep(pause_s)

    def _end_attempt(self, state: int) -> None:
        words, base = self._words, self._base
        if words[base + scoreboard.SENTENCE] != state >> 2:
            faulthandler.dump_traceback(self._stack_file, all_threads=True)
            words[base + scoreboard.SENTENCE_REASON] = messages.TIMED_OUT
            words[base + scoreboard.SENTENCED_STAGE] = words[base + scoreboard.STAGE]
            words[base + scoreboard.SENTENCE] = state >> 2
            processes.signal_tree(self._pid, _signal.SIGTERM)
            time.sleep(words[base + scoreboard.GRACE] / 1e9)
        if words[base] == state:
            processes.kill_tree(self._pid)


def leave(code: int) -> NoReturn:
    """End this process without running what the program above it registered for its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S110  # a task may have closed or replaced it, and it is too late to tell
            pass
    os._exit(code)


_NO_OPTIONS: dict[str, Any] = {}


def _dumps_by_name(value: object, error: Exception, *, of_call: bool) -> bytes:
    """What pickle refused for this reason, if it is for names of ``__main__`` only."""
    if "_main__" in str(error):  # or __mp_main__
        from workflow.engine import main_names

        try:
            return main_names.dumps(value)
        except Exception as second:  # noqa: BLE001
            error = second
    raise _unsendable(value, error, of_call=of_call) from error


def _unsendable(value: object, error: Exception, *, of_call: bool) -> Exception:
    """What is told of it: of a call the error that the standard's executors would tell, with a clearer text."""
    if type(value).__name__ == "coroutine":
        value.close()  # type: ignore[attr-defined]  # else it is complained of, in the next task's output
        return TypeError("it is an async function, and nobody runs what it returned: call asyncio.run() in the task")
    kind: type[Exception] = TypeError
    if of_call:
        kind = type(error)
        if kind not in (AttributeError, TypeError, PicklingError):
            return error
    return kind(f"the result, a {type(value).__qualname__}, cannot be pickled: {error}")


def _load_model(module: bytes) -> tuple[type[Model], int, bool]:
    """The class of a task, which callbacks it overrides, and whether code of its own runs when one is made."""
    from workflow.engine.resolve import resolve_model
    from workflow.model import Model

    model = resolve_model(module.decode())
    flags = HAS_CALLBACK if model.callback is not Model.callback else 0
    if model.error_callback is not Model.error_callback:
        flags |= HAS_ERROR_CALLBACK
    has_init = model.__init__ is not object.__init__ or model.__new__ is not object.__new__ or type(model) is not type
    return model, flags, has_init


def _seeds() -> Seeds:
    from workflow.engine.seeds import seeds

    return seeds


def _outputs() -> ModuleType:
    from workflow.engine import outputs

    return outputs


def _hook_flags(options: dict[str, Any], flags: int) -> int:
    if "on_success" in options:
        flags |= HAS_CALLBACK
    if "on_failure" in options:
        flags |= HAS_ERROR_CALLBACK
    return flags


def _peak_memory() -> int | None:
    """Largest resident memory of this process since it was last forgotten, in bytes."""
    try:
        with open("/proc/self/status", "rb") as status:  # pathlib would be the worker's largest import
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _forget_peak_memory() -> None:
    try:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(descriptor, b"5")
    except OSError:
        pass
    os.close(descriptor)
