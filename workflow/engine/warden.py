"""The warden: it forks, watches, kills, reaps and replaces, and runs no user code.

It stands above the dispatcher and the workers, not below: replacing the dispatcher is then a fork that inherits
every channel, without a protocol, and the program that started the engine reaps one child.  (Below the dispatcher it
would be an orphan whenever that one dies.)  The price is that workers' channels are open here too, so a worker
learns of the end by a signal or by all ends being closed, never by one.

Rules of this room.  One thread, and it never blocks: a grace is a timer, a full channel an outbox.  Deadlines are
read from the scoreboard, so nobody has to tell it anything, and a stubborn task delays no other.  A process is
killed with its whole tree: each worker is a subreaper, so what it started stays below it while it lives; a child of
the warden that is not one of its own was left by a dead worker, and is killed.

How a task is ended (``_Sentence``): write the sentence in the scoreboard; ask for the stacks; when they are there and
the attempt still runs, SIGTERM to the tree; after the grace, stop the tree, list it, and SIGKILL all of it.  If the
attempt ended meanwhile, the sentence is withdrawn.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque

from workflow import messages
from workflow.engine import processes, scoreboard, system
from workflow.engine.channel import (
    DONT_WAIT,
    packet_from,
    packet_pair,
    receive_message,
    send_message,
    stream_from,
    stream_pair,
)
from workflow.engine.worker import MAIN_STACK_SIGNAL, STACK_SIGNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any, NoReturn

    from workflow.engine.channel import Socket
else:
    import _signal

_LOOK_S = 0.02
"""How often the scoreboard is read while something runs."""
_LOOK_IDLE_S = 0.05
_STACK_LOOK_S = 0.0015
_STACK_WAIT_S = 0.03
"""A stack is there after 1 ms; a task that replaced its signal handlers writes none."""
_MEMORY_LOOK_S = 0.08
_STACK_MAX = 40_000
"""Bytes of stacks that are passed on: more would not fit a message."""
_QUIT_S = 1.0
"""What workers and dispatcher get to leave by themselves."""
_WEDGED_NS = 400_000_000
"""How late the dispatcher may be in giving up on a callback before it counts as wedged."""
_LOG_LOOK_S = 0.1
_PRELOAD_S = 120.0
_TEMPLATE_STARTS_MAX = 5


class Seat:
    """A worker process as the warden knows it."""

    __slots__ = ("answers", "died", "pid", "punched", "sentence", "slot", "tasks", "worker")

    def __init__(self, worker: int, slot: int, pid: int, tasks: int, answers: int) -> None:
        self.worker = worker
        self.slot = slot
        self.pid = pid
        self.tasks = tasks
        self.answers = answers
        self.sentence: _Sentence | None = None
        self.died: messages.WorkerDied | None = None
        """What there is to tell about its death, until the dispatcher has dealt with it."""
        self.punched = (0, 0)


class _Sentence:
    __slots__ = ("since", "stack_size", "state", "ticket")

    def __init__(self, ticket: int, state: int, since: float) -> None:
        self.ticket = ticket
        self.state = state
        self.since = since
        self.stack_size = -1


class _CannotGoOn(Exception):
    """A reason for the engine to end, for people."""


class Warden:
    """The engine's supervisor.  ``run`` never returns."""

    def __init__(self, config: dict[str, Any], guardian: int, parent_descriptor: int | None) -> None:
        self._config = config
        self._pid = os.getpid()
        self._guardian = guardian
        self._parent = config["parent"]
        self._parent_descriptor = parent_descriptor
        self._control = packet_from(config["control"])
        self._words = scoreboard.map_words(config["scoreboard"])
        self._slots = list(range(1, config["slots"] + 1))
        self._stack_files: dict[int, int] = {}
        self._seats: dict[int, Seat] = {}
        self._by_pid: dict[int, Seat] = {}
        self._next_worker = 1
        self._wanted = 0
        self._dispatcher = 0
        self._epoch = 0
        self._orders: Socket | None = None
        self._outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._timers: list[tuple[float, Callable[[float], None]]] = []
        self._quitting = 0.0
        self._memory_look = 0.0
        self._log_look = 0.0
        self._poll = select.poll()
        self._template = 0
        self._template_channel: Socket | None = None
        self._template_ready: bool | None = None
        """None without a template."""
        self._template_starts = 0
        self._expected: dict[int, Seat] = {}
        """Workers asked of the template."""

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> NoReturn:
        """Supervise until the program says so, or is gone."""
        try:
            self._prepare()
            while True:
                ready = self._poll.poll(self._pause_ms())
                now = time.monotonic()
                for descriptor, _events in ready:
                    self._take(descriptor)
                self._fire_timers(now)
                self._look(now)
                self._spawn_wanted()
                self._flush()
        except BaseException as error:  # noqa: BLE001
            self._fail(
                str(error) if isinstance(error, _CannotGoOn) else f"the warden failed: {type(error).__name__}: {error}"
            )

    def _prepare(self) -> None:
        system.adopt_orphans()
        system.die_with_parent(_signal.SIGKILL)
        if os.getppid() != self._guardian:
            os._exit(1)
        self._wake, wake_writer = os.pipe()
        for descriptor in (self._wake, wake_writer):
            os.set_blocking(descriptor, False)
        _signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        guardian_descriptor = system.process_descriptor(self._guardian)
        self._ends = {end for end in (guardian_descriptor, self._parent_descriptor) if end is not None}
        for descriptor in (*self._ends, self._wake, self._control.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        self._wanted = self._config["pool"]
        self._fork_dispatcher(0, self._config["channel"])
        self._spawn_wanted()

    def _pause_ms(self) -> float:
        now = time.monotonic()
        until = now + _LOOK_IDLE_S
        if self._timers:
            until = min(until, min(self._timers)[0])
        now_ns = time.monotonic_ns()
        for seat in self._by_pid.values():
            base = seat.slot * scoreboard.WORDS
            if self._words[base] & 3 == scoreboard.RUNNING:
                left_s = (self._words[base + scoreboard.DEADLINE] - now_ns) / 1e9
                until = min(until, now + (left_s if 0 < left_s < _LOOK_S else _LOOK_S))
        if self._outbox:
            until = min(until, now + 0.005)
        # Rounded up: poll counts in whole milliseconds, and waking just before a deadline would spin.
        return max(0, int((until - now) * 1000) + 1) if until > now else 0

    def _take(self, descriptor: int) -> None:
        if descriptor in self._ends:
            self._end_all()
        elif descriptor == self._wake:
            try:
                os.read(self._wake, 4096)
            except BlockingIOError:
                pass
            self._reap()
        elif descriptor == self._control.fileno():
            self._take_control()
        elif self._template_channel is not None and descriptor == self._template_channel.fileno():
            self._take_template()
        elif self._orders is not None and descriptor == self._orders.fileno():
            self._take_orders()

    def _take_control(self) -> None:
        data, descriptors = receive_message(self._control)
        if not data:
            self._end_all()  # the program is gone, or has replaced itself by exec
        order = messages.decode(data)
        if isinstance(order, messages.ReplaceDispatcher):
            if self._dispatcher:
                processes.signal_process(self._dispatcher, _signal.SIGKILL)
            self._wanted = 0  # the new one counts for itself
            self._fork_dispatcher(order.epoch, descriptors[0])
        elif isinstance(order, messages.Quit):
            self._quit()

    def _take_orders(self) -> None:
        orders = self._orders
        while orders is not None:
            try:
                data, _descriptors = receive_message(orders, DONT_WAIT)
            except BlockingIOError:
                return
            if not data:  # the dispatcher died: the program notices by its own channel and sends for a new one
                self._drop_orders()
                return
            order = messages.decode(data)
            if isinstance(order, messages.Spawn):
                self._wanted += order.count
            elif isinstance(order, messages.Kill):
                self._kill_asked(order)
            elif isinstance(order, messages.Retire):
                self._retire(order.worker)
            elif isinstance(order, messages.Forget):
                self._forget(order.worker)

    # -- what the dispatcher is told -------------------------------------------------------------------------------

    def _tell(self, message: tuple[object, ...], descriptors: tuple[int, ...] = ()) -> None:
        if self._orders is not None:
            self._outbox.append((messages.encode(message), descriptors))
            self._flush()

    def _flush(self) -> None:
        while self._outbox and self._orders is not None:
            data, descriptors = self._outbox[0]
            try:
                send_message(self._orders, data, descriptors, DONT_WAIT)
            except BlockingIOError:
                return
            except OSError:
                self._outbox.clear()
                return
            self._outbox.popleft()

    def _drop_orders(self) -> None:
        if self._orders is not None:
            self._poll.unregister(self._orders.fileno())
            self._orders.close()
            self._orders = None
        self._outbox.clear()

    # -- forking ---------------------------------------------------------------------------------------------------

    def _fork_dispatcher(self, epoch: int, channel: int) -> None:
        self._drop_orders()
        ours, theirs = packet_pair()
        self._epoch = epoch
        pid = os.fork()
        if pid == 0:
            self._become_dispatcher(theirs, channel, epoch)
        theirs.close()
        os.close(channel)
        self._dispatcher = pid
        self._words[scoreboard.DISPATCHER_PID] = pid
        self._orders = ours
        self._poll.register(ours.fileno(), select.POLLIN)
        try:
            send_message(self._control, messages.encode(messages.DispatcherForked(epoch, pid)), (), DONT_WAIT)
        except OSError:
            pass  # the program is gone: its descriptor says so in the next turn

    def _become_dispatcher(self, orders: Socket, channel: int, epoch: int) -> NoReturn:
        try:
            self._become_child()
            seats = list(self._seats.values())
            system.keep_only(
                {orders.fileno(), channel, *self._stack_files.values()}
                | {descriptor for seat in seats for descriptor in (seat.tasks, seat.answers)}
            )
            from workflow.engine.dispatcher import Dispatcher

            Dispatcher(self._config, stream_from(channel), orders, self._words, seats, epoch).run()
        except BaseException:  # noqa: BLE001
            system.show_own_failure()
        os._exit(70)

    def _spawn_wanted(self) -> None:
        if self._config["preload"] and not self._template and not self._quitting:
            self._fork_template()
        while self._wanted > 0 and self._slots and not self._quitting and self._template_ready is not False:
            self._wanted -= 1
            try:
                self._start_worker()
            except OSError as error:
                self._tell(messages.ForkFailed(f"a worker could not be started: {error}"))

    def _start_worker(self) -> None:
        """Fork a worker, or have the template fork it."""
        worker, slot = self._next_worker, self._slots[0]
        tasks, tasks_theirs = packet_pair()
        answers, answers_theirs = stream_pair()
        base = slot * scoreboard.WORDS
        for word in range(scoreboard.WORDS):
            self._words[base + word] = 0
        stack_file = self._stack_files.get(slot)
        if stack_file is None:
            stack_file = self._stack_files[slot] = system.anonymous_file("workflow-stack")
        _empty(stack_file)
        theirs = (tasks_theirs.fileno(), answers_theirs.fileno(), stack_file)
        pid = 0
        if self._template:
            send_message(self._template_channel, messages.encode(messages.TemplateFork(worker, slot)), theirs)  # type: ignore[arg-type]
        else:
            pid = os.fork()
            if pid == 0:
                self._become_worker(slot, *theirs)
        self._next_worker += 1
        self._slots.pop(0)
        tasks_theirs.close()
        answers_theirs.close()
        seat = Seat(worker, slot, pid, tasks.detach(), answers.detach())
        if pid:
            self._seat(seat)
        else:
            self._expected[worker] = seat

    def _seat(self, seat: Seat) -> None:
        """A worker is there."""
        self._seats[seat.worker] = self._by_pid[seat.pid] = seat
        base = seat.slot * scoreboard.WORDS
        self._words[base + scoreboard.PID] = seat.pid
        self._words[base + scoreboard.WORKER] = seat.worker
        self._tell(messages.WorkerForked(seat.worker, seat.slot, seat.pid), (seat.tasks, seat.answers))

    def _become_worker(self, slot: int, tasks: int, answers: int, stack_file: int) -> NoReturn:
        try:
            self._become_child()
            from workflow.engine.boot import become_worker

            become_worker(self._config, tasks, answers, self._words, slot, stack_file)
        except BaseException:  # noqa: BLE001
            system.show_own_failure()
        os._exit(70)

    # -- the template ----------------------------------------------------------------------------------------------

    def _fork_template(self) -> None:
        self._template_starts += 1
        if self._template_starts > _TEMPLATE_STARTS_MAX:
            message = f"the process that preloads {', '.join(self._config['preload'])} died again and again"
            raise _CannotGoOn(message)
        ours, theirs = packet_pair()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_child()
                system.keep_only({theirs.fileno(), *self._stack_files.values()})
                from workflow.engine.template import run_template

                run_template(self._config, theirs, self._words, self._pid)
            except BaseException:  # noqa: BLE001
                system.show_own_failure()
            os._exit(70)
        theirs.close()
        self._template, self._template_channel, self._template_ready = pid, ours, False
        self._poll.register(ours.fileno(), select.POLLIN)
        self._after(_PRELOAD_S, lambda _now: self._give_up_on_template(pid))

    def _give_up_on_template(self, pid: int) -> None:
        if self._template == pid and not self._template_ready:
            message = f"preloading {', '.join(self._config['preload'])} took more than {_PRELOAD_S:g} s"
            raise _CannotGoOn(message)

    def _take_template(self) -> None:
        while self._template_channel is not None:
            try:
                data, _descriptors = receive_message(self._template_channel, DONT_WAIT)
            except BlockingIOError:
                return
            if not data:
                return  # it is dead, and about to be reaped
            fact = messages.decode(data)
            if isinstance(fact, messages.TemplateReady):
                self._template_ready = True
            elif isinstance(fact, messages.TemplateFailed):
                raise _CannotGoOn(fact.reason)
            elif isinstance(fact, messages.TemplateForked):
                seat = self._expected.pop(fact.worker)
                seat.pid = fact.pid
                if fact.pid:
                    self._template_starts = 0
                    self._seat(seat)
                else:
                    self._drop(seat)
                    self._tell(messages.ForkFailed(f"a worker could not be started: {fact.problem}"))

    def _template_died(self) -> None:
        """What it was asked to fork and did not is asked of the next one."""
        self._take_template()
        if self._template_channel is not None:
            self._poll.unregister(self._template_channel.fileno())
            self._template_channel.close()
        self._template, self._template_channel = 0, None
        for seat in self._expected.values():
            self._drop(seat)
        self._wanted += len(self._expected)
        self._expected.clear()

    def _drop(self, seat: Seat) -> None:
        os.close(seat.tasks)
        os.close(seat.answers)
        self._slots.append(seat.slot)

    def _become_child(self) -> None:
        _signal.set_wakeup_fd(-1)
        for number in (_signal.SIGCHLD, _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
            _signal.signal(number, _signal.SIG_DFL)
        system.die_with_parent(_signal.SIGKILL)
        if os.getppid() != self._pid:
            os._exit(1)

    # -- deadlines -------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Read the scoreboard, and end who is past a limit."""
        words, now_ns = self._words, time.monotonic_ns()
        look_at_memory = now >= self._memory_look
        if look_at_memory:
            self._memory_look = now + _MEMORY_LOOK_S
        for seat in self._by_pid.values():
            base = seat.slot * scoreboard.WORDS
            state = words[base]
            if state & 3 != scoreboard.RUNNING or seat.sentence is not None:
                continue
            if now_ns > words[base + scoreboard.DEADLINE]:
                self._sentence(seat, state, messages.TIMED_OUT, now)
            elif look_at_memory and words[base + scoreboard.MEMORY]:
                used = processes.tree_memory_exceeds(seat.pid, words[base + scoreboard.MEMORY])
                if used is not None:
                    self._sentence(seat, state, messages.MEMORY_EXCEEDED, now)
        if self._dispatcher and now_ns > words[scoreboard.CALLBACK_DEADLINE] + _WEDGED_NS > _WEDGED_NS:
            # Its main thread gives up on callbacks that are late; that it did not means that it cannot run.
            words[scoreboard.CALLBACK_END] = words[scoreboard.CALLBACK]
            words[scoreboard.CALLBACK_DEADLINE] = 0
            processes.signal_process(self._dispatcher, _signal.SIGKILL)
        if now >= self._log_look:
            self._log_look = now + _LOG_LOOK_S
            self._cut_logs()

    def _kill_asked(self, order: messages.Kill) -> None:
        seat = self._seats.get(order.worker)
        if seat is None or seat.died is not None:
            return
        base = seat.slot * scoreboard.WORDS
        if order.grace_ns is not None:
            self._words[base + scoreboard.GRACE] = order.grace_ns
        state = self._words[base]
        if state != order.ticket << 2 | scoreboard.RUNNING:
            return
        now = time.monotonic()
        if seat.sentence is None:
            self._sentence(seat, state, messages.CANCELLED, now)
        elif order.grace_ns is not None:
            self._after(order.grace_ns / 1e9, lambda _now: self._finish(seat, seat.sentence))

    def _sentence(self, seat: Seat, state: int, reason: int, now: float) -> None:
        base = seat.slot * scoreboard.WORDS
        if self._words[base + scoreboard.SENTENCE] == state >> 2:
            # The worker's second thread acted first; it may be unable to finish.
            seat.sentence = _Sentence(state >> 2, state, now)
            self._after(self._grace_s(seat), lambda _now: self._finish(seat, seat.sentence))
            return
        seat.sentence = _Sentence(state >> 2, state, now)
        self._words[base + scoreboard.SENTENCE_REASON] = reason
        self._words[base + scoreboard.SENTENCED_STAGE] = self._words[base + scoreboard.STAGE]
        self._words[base + scoreboard.SENTENCE] = state >> 2
        processes.signal_process(seat.pid, STACK_SIGNAL)
        # A stopped process writes its stacks when it goes on; so would SIGTERM have to wait.
        processes.signal_process(seat.pid, _signal.SIGCONT)
        self._after(_STACK_LOOK_S, lambda at: self._await_stack(seat, at))

    def _await_stack(self, seat: Seat, now: float) -> None:
        """Wait until the stacks are written, or will not be; then carry the sentence out, if it still applies."""
        sentence = seat.sentence
        if sentence is None or seat.died is not None:
            return
        if self._words[seat.slot * scoreboard.WORDS] != sentence.state:
            self._words[seat.slot * scoreboard.WORDS + scoreboard.SENTENCE] = 0
            seat.sentence = None
            _empty(self._stack_files[seat.slot])
            return
        size = os.fstat(self._stack_files[seat.slot]).st_size
        waited = now - sentence.since
        if waited < _STACK_WAIT_S and (size == 0 or size != sentence.stack_size):
            sentence.stack_size = size
            self._after(_STACK_LOOK_S, lambda at: self._await_stack(seat, at))
            return
        if size and b"\n...\n" in _contents(self._stack_files[seat.slot]):
            processes.signal_process(seat.pid, MAIN_STACK_SIGNAL)  # more than 100 threads: the main one is not shown
        processes.signal_tree(seat.pid, _signal.SIGTERM)
        processes.signal_tree(seat.pid, _signal.SIGCONT)
        self._after(self._grace_s(seat), lambda _now: self._finish(seat, sentence))

    def _finish(self, seat: Seat, sentence: _Sentence | None) -> None:
        """The grace is over: no mercy for whoever still runs."""
        if seat.died is None and sentence is not None and seat.sentence is sentence:
            processes.kill_tree(seat.pid)

    def _grace_s(self, seat: Seat) -> float:
        return self._words[seat.slot * scoreboard.WORDS + scoreboard.GRACE] / 1e9

    def _after(self, seconds: float, action: Callable[[float], None]) -> None:
        self._timers.append((time.monotonic() + seconds, action))

    def _fire_timers(self, now: float) -> None:
        due = [timer for timer in self._timers if timer[0] <= now]
        if due:
            self._timers = [timer for timer in self._timers if timer[0] > now]
            for _when, action in sorted(due, key=lambda timer: timer[0]):
                action(now)

    # -- deaths ----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        dead: list[tuple[Seat, os.waitid_result]] = []
        self._take_template()  # a worker is named there before it becomes a child of this process
        while True:
            try:
                status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                break
            if status is None:
                break
            seat = self._by_pid.pop(status.si_pid, None)
            if seat is not None:
                dead.append((seat, status))
            elif status.si_pid == self._dispatcher:
                self._dispatcher = 0
                self._words[scoreboard.DISPATCHER_PID] = 0
            elif status.si_pid == self._template:
                self._template_died()
        left = self._kill_orphans()
        for seat, status in dead:
            self._announce_death(seat, status, left)
            left = 0  # they are told once; which of two workers that died together left them, nobody knows
        if self._quitting and not self._by_pid and not self._dispatcher and not self._template:
            self._end_all()

    def _kill_orphans(self) -> int:
        """Children that are neither workers nor the dispatcher were left by a dead worker, or by the dispatcher."""
        killed = 0
        found = processes.children(self._pid)
        self._take_template()
        for pid in found:
            if pid not in self._by_pid and pid not in (self._dispatcher, self._template):
                killed += processes.is_alive(pid)
                killed += processes.kill_tree(pid)
        return killed

    def _announce_death(self, seat: Seat, status: os.waitid_result, left: int) -> None:
        by_signal = status.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        base = seat.slot * scoreboard.WORDS
        sentenced = self._words[base + scoreboard.SENTENCE]
        self._words[base + scoreboard.PID] = 0
        seat.died = messages.WorkerDied(
            seat.worker,
            None if by_signal else status.si_status,
            processes.signal_name(status.si_status) if by_signal else None,
            sentenced,
            self._words[base + scoreboard.SENTENCE_REASON],
            _middle_cut(_contents(self._stack_files[seat.slot])),
            left,
            time.monotonic_ns(),
        )
        self._tell(seat.died)

    def _retire(self, worker: int) -> None:
        """Let a worker that has nothing to do end.  It is idle, so there is nothing to be graceful about."""
        seat = self._seats.get(worker)
        if seat is not None and seat.died is None:
            processes.kill_tree(seat.pid)

    def _forget(self, worker: int) -> None:
        seat = self._seats.pop(worker, None)
        if seat is not None:
            self._drop(seat)

    # -- logs ------------------------------------------------------------------------------------------------------

    def _cut_logs(self) -> None:
        """Give back the disk that the middle of a flood takes; the reader shows its head and its tail."""
        folder, limit = self._config["log_dir"], self._config["max_log"]
        if folder is None or limit is None:
            return
        for seat in self._by_pid.values():
            base = seat.slot * scoreboard.WORDS
            if self._words[base] & 3 != scoreboard.RUNNING:
                continue
            _cut_log(seat, folder, limit, self._words, base)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _quit(self) -> None:
        """The program is done: everybody may leave by himself, for a moment."""
        self._quitting = time.monotonic()
        self._wanted = 0
        if self._template:
            processes.kill_tree(self._template)
        self._drop_orders()  # the dispatcher leaves when it reads the end of this channel
        for seat in self._seats.values():
            if seat.died is None:
                os.close(seat.tasks)
                seat.tasks = -1
        self._after(_QUIT_S, lambda _now: self._end_all())

    def _end_all(self) -> NoReturn:
        """Kill everything below, and leave."""
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            for pid in processes.children(self._pid):
                processes.kill_tree(pid)
                processes.signal_process(pid, _signal.SIGKILL)
            try:
                while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.001)
        os._exit(0)

    def _fail(self, reason: str) -> NoReturn:
        """A mistake of ours, or a machine out of descriptors: say so, and leave nothing behind."""
        try:
            send_message(self._control, messages.encode(messages.WardenFailed(reason)), (), DONT_WAIT)
        except OSError:
            pass
        if os.environ.get("WORKFLOW_DEBUG"):
            system.show_own_failure()
        self._end_all()


def _cut_log(seat: Seat, folder: str, limit: int, words: memoryview, base: int) -> None:
    from workflow.engine.output import log_file_name

    start = words[base + scoreboard.LOG_START]
    path = os.path.join(folder, log_file_name(words[base + scoreboard.LOG_FILE]))
    try:
        size = os.stat(path).st_size - start
        # Half of the limit is kept at the beginning; at the end as much, and what comes until the next look.
        if size > 4 * limit:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            begin = seat.punched[1] if seat.punched[0] == start else start + limit
            end = start + size - limit
            if end > begin and system.punch_hole(descriptor, begin, end - begin):
                seat.punched = (start, end)
            os.close(descriptor)
    except OSError:
        pass  # the file was renewed or removed: there is nothing to cut


def _empty(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)  # the offset is shared with the worker that wrote


def _contents(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _middle_cut(stacks: bytes) -> str:
    text = stacks.replace(b"\0", b"").decode("utf-8", "replace")
    if len(text) <= _STACK_MAX:
        return text
    return f"{text[: _STACK_MAX // 2]}\n…\n{text[-_STACK_MAX // 2 :]}"
