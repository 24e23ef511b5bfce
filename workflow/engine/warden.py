"""The warden: it forks, watches, kills, reaps and replaces, and runs no user code.

It stands above the dispatcher and the workers, not below: replacing the dispatcher is then a fork that inherits
every channel, without a protocol, and the program that started the engine reaps one child.  (Below the dispatcher it
would be an orphan whenever that one dies.)  The price is that workers' channels are open here too, so a worker
learns of the end by a signal or by all ends being closed, never by one.

Rules of this room.  One thread, and it never blocks: a grace is a timer, a full channel an outbox.  Deadlines are
read from the scoreboard, so nobody has to tell it anything, and a stubborn task delays no other.  A process is
killed with its whole tree: each worker is a subreaper, so what it started stays below it while it lives; a child of
the warden that is not one of its own was left by a dead worker, and is killed.

How workers are forked is in ``nursery``, how attempts are ended in ``sentences``; here is the loop, the dispatcher,
and what follows a death.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque

from workflow import messages
from workflow.engine import processes, scoreboard, system
from workflow.engine.channel import DONT_WAIT, packet_from, packet_pair, receive_message, send_message, stream_from
from workflow.engine.importing import know_program
from workflow.engine.nursery import CannotGoOn, Nursery, become_child
from workflow.engine.sentences import Sentences
from workflow.engine.stacks import StackFiles
from workflow.engine.timers import Timers
from workflow.failpoints import ARMED, reached, show_stacks_when_asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any, NoReturn

    from workflow.engine.channel import Socket
    from workflow.engine.seat import Seat
else:
    import _signal

_LOOK_S = 0.02
"""How often the scoreboard is read while something runs."""
_LOOK_IDLE_S = 0.05
_QUIT_S = 1.0
"""What workers and dispatcher get to leave by themselves."""
_WEDGED_NS = 400_000_000
"""How late the dispatcher may be in giving up on a callback before it counts as wedged."""
_LOG_LOOK_S = 0.1
_STOPPED_LOOK_S = 1.0
_STOPPED_S = 10.0
"""How long a process may be stopped, by a callback or from outside, before it is replaced."""


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
        self._poll = select.poll()
        self._timers = Timers()
        self._stacks = StackFiles()
        self._sentences = Sentences(self._words, self._stacks, self._timers)
        self._nursery = Nursery(config, self._words, self._stacks, self._timers, self._poll, self._tell)
        self._dispatcher = 0
        self._orders: Socket | None = None
        self._outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._quitting = False
        self._log_look = 0.0
        self._stopped_look = 0.0
        self._stopped: dict[int, int] = {}
        """By pid: looks in a row at which it was found stopped."""

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> NoReturn:
        """Supervise until the program says so, or is gone."""
        try:
            self._prepare()
            while True:
                ready = self._poll.poll(self._pause_ms())
                self._words[scoreboard.BEAT] += 1
                now = time.monotonic()
                for descriptor, _events in ready:
                    self._take(descriptor)
                self._timers.fire(now)
                self._sentences.look(self._nursery.by_pid.values(), now)
                self._look_at_dispatcher()
                self._look_at_stopped(now)
                if not self._guardian_watched and os.getppid() != self._guardian:
                    self._end_all()
                self._cut_logs(now)
                if not self._quitting:
                    self._nursery.spawn_wanted()
                self._flush()
        except CannotGoOn as error:
            self._fail(str(error))
        except BaseException as error:  # noqa: BLE001
            self._fail(f"the warden failed: {system.explain(error)}")

    def _prepare(self) -> None:
        system.name_process("warden")
        self._words[scoreboard.WARDEN_PID] = self._pid
        system.adopt_orphans()
        # Not to die with the guardian: the trees of the workers are known here, and have to be ended before.
        if os.getppid() != self._guardian:
            os._exit(1)
        self._wake, wake_writer = os.pipe()
        for descriptor in (self._wake, wake_writer):
            os.set_blocking(descriptor, False)
        _signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        guardian_descriptor = system.process_descriptor(self._guardian)
        self._guardian_watched = guardian_descriptor is not None
        self._ends = {end for end in (guardian_descriptor, self._parent_descriptor) if end is not None}
        for descriptor in (*self._ends, self._wake, self._control.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        show_stacks_when_asked()
        if ARMED:
            reached("warden.started")
        self._fork_dispatcher(0, self._config["channel"])
        self._nursery.spawn_wanted()

    def _pause_ms(self) -> float:
        now = time.monotonic()
        until = now + _LOOK_IDLE_S
        due = self._timers.next()
        if due is not None:
            until = min(until, due)
        now_ns = time.monotonic_ns()
        for seat in self._nursery.by_pid.values():
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
        elif self._nursery.template_channel is not None and descriptor == self._nursery.template_channel.fileno():
            self._nursery.take_template()
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
            self._nursery.wanted = 0  # the new one counts for itself
            self._fork_dispatcher(order.epoch, descriptors[0])
        elif isinstance(order, messages.TellStacks):
            self._tell_stacks(order.request)
        elif isinstance(order, messages.Quit):
            self._quit()

    def _tell_stacks(self, request: int) -> None:
        def tell(pid: int, ticket: int, stack: str) -> None:
            self._tell_parent(messages.StackTold(request, pid, ticket, stack))

        seats = tuple(self._nursery.by_pid.values())
        self._sentences.show(seats, tell, lambda: self._tell_parent(messages.StacksTold(request)))

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
                self._nursery.wanted += order.count
            elif isinstance(order, messages.Kill):
                self._sentences.kill_asked(self._nursery.seats.get(order.worker), order)
            elif isinstance(order, messages.Retire):
                self._retire(order.worker)
            elif isinstance(order, messages.Forget):
                self._nursery.forget(order.worker)
            elif isinstance(order, messages.LastWords):
                self._tell_parent(order)

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
            except ConnectionError:
                self._outbox.clear()  # it died
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
        pid = os.fork()
        if pid == 0:
            self._become_dispatcher(theirs, channel, epoch)
        theirs.close()
        os.close(channel)
        if ARMED:
            reached("warden.dispatcher_forked")
        self._dispatcher = pid
        self._words[scoreboard.DISPATCHER_PID] = pid
        self._orders = ours
        self._poll.register(ours.fileno(), select.POLLIN)
        self._tell_parent(messages.DispatcherForked(epoch, pid))

    def _tell_parent(self, message: tuple[object, ...]) -> None:
        try:
            send_message(self._control, messages.encode(message), (), DONT_WAIT)
        except OSError:
            pass  # the program is gone: its descriptor says so in the next turn

    def _become_dispatcher(self, orders: Socket, channel: int, epoch: int) -> NoReturn:
        try:
            become_child(self._pid)
            system.name_process("dispatcher")
            seats = list(self._nursery.seats.values())
            system.keep_only(
                {orders.fileno(), channel, *self._stacks.descriptors()}
                | {descriptor for seat in seats for descriptor in (seat.tasks, seat.answers)}
            )
            know_program(self._config)
            from workflow.engine.dispatcher import Dispatcher

            Dispatcher(self._config, stream_from(channel), orders, self._words, seats, epoch).run()
        except BaseException as error:  # noqa: BLE001
            system.show_own_failure()
            try:
                send_message(orders, messages.encode(messages.LastWords(system.explain(error)[:10_000])), (), DONT_WAIT)
            except OSError:
                pass  # the warden is gone, or does not listen
        os._exit(70)

    # -- deaths ----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        nursery = self._nursery
        dead: list[tuple[Seat, os.waitid_result]] = []
        nursery.take_template()  # a worker is named there before it becomes a child of this process
        while True:
            try:
                status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                break
            if status is None:
                break
            seat = nursery.by_pid.pop(status.si_pid, None)
            if seat is not None:
                dead.append((seat, status))
            elif status.si_pid == self._dispatcher:
                self._dispatcher = 0
                self._words[scoreboard.DISPATCHER_PID] = 0
            elif status.si_pid == nursery.template:
                nursery.template_died(_how(status))
        if ARMED and dead:
            reached("warden.reaped")
        left = self._kill_orphans()
        for seat, status in dead:
            self._announce_death(seat, status, left)
            left = 0  # they are told once; which of two workers that died together left them, nobody knows
        if self._quitting and not nursery.by_pid and not self._dispatcher and not nursery.template:
            self._end_all()

    def _kill_orphans(self) -> int:
        """Children that are neither workers nor the dispatcher were left by a dead worker, or by the dispatcher."""
        killed = 0
        found = processes.children(self._pid)
        self._nursery.take_template()
        for pid in found:
            if pid not in self._nursery.by_pid and pid not in (self._dispatcher, self._nursery.template):
                killed += processes.is_alive(pid)
                killed += processes.kill_tree(pid)
        return killed

    def _announce_death(self, seat: Seat, status: os.waitid_result, left: int) -> None:
        by_signal = _by_signal(status)
        base = seat.slot * scoreboard.WORDS
        sentenced = self._words[base + scoreboard.SENTENCE]
        self._words[base + scoreboard.PID] = 0
        seat.died = messages.WorkerDied(
            seat.worker,
            None if by_signal else status.si_status,
            processes.signal_name(status.si_status) if by_signal else None,
            sentenced,
            self._words[base + scoreboard.SENTENCE_REASON],
            self._stacks.text(seat.slot),
            left,
            time.monotonic_ns(),
            0 if seat.sentence is None else seat.sentence.used,
        )
        self._tell(seat.died)

    def _retire(self, worker: int) -> None:
        """Let a worker that has nothing to do end.  It is idle, so there is nothing to be graceful about."""
        seat = self._nursery.seats.get(worker)
        if seat is not None and seat.died is None:
            processes.kill_tree(seat.pid)

    # -- looking ---------------------------------------------------------------------------------------------------

    def _look_at_dispatcher(self) -> None:
        """End a dispatcher that a callback has wedged."""
        words = self._words
        if self._dispatcher and time.monotonic_ns() > words[scoreboard.CALLBACK_DEADLINE] + _WEDGED_NS > _WEDGED_NS:
            # Its main thread gives up on callbacks that are late; that it did not means that it cannot run.
            words[scoreboard.CALLBACK_END] = words[scoreboard.CALLBACK]
            words[scoreboard.CALLBACK_DEADLINE] = 0
            processes.signal_process(self._dispatcher, _signal.SIGKILL)

    def _look_at_stopped(self, now: float) -> None:
        """End who was stopped from outside and stays so: the dispatcher, the template, a worker that runs nothing.

        A worker that runs a task has a limit, or the task was to have none.  What is counted are looks: when
        everybody was stopped, so were we.
        """
        if now < self._stopped_look:
            return
        self._stopped_look = now + _STOPPED_LOOK_S
        words, nursery = self._words, self._nursery
        idle = [
            seat.pid
            for seat in nursery.by_pid.values()
            if words[seat.slot * scoreboard.WORDS] & 3 != scoreboard.RUNNING
        ]
        stopped = {pid for pid in (self._dispatcher, nursery.template, *idle) if pid and processes.is_stopped(pid)}
        self._stopped = {pid: self._stopped.get(pid, 0) + 1 for pid in stopped}
        for pid, looks in self._stopped.items():
            if looks * _STOPPED_LOOK_S > _STOPPED_S:
                processes.kill_tree(pid)

    def _cut_logs(self, now: float) -> None:
        """Give back the disk that the middle of a flood takes; the reader shows its head and its tail."""
        folder, limit = self._config["log_dir"], self._config["max_log"]
        if folder is None or limit is None or now < self._log_look:
            return
        self._log_look = now + _LOG_LOOK_S
        for seat in self._nursery.by_pid.values():
            base = seat.slot * scoreboard.WORDS
            if self._words[base] & 3 != scoreboard.RUNNING:
                continue
            _cut_log(seat, folder, limit, self._words, base)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _quit(self) -> None:
        """The program is done: everybody may leave by himself, for a moment."""
        self._quitting = True
        if ARMED:
            reached("warden.quitting")
        if self._nursery.template:
            processes.kill_tree(self._nursery.template)
        self._drop_orders()  # the dispatcher leaves when it reads the end of this channel
        for seat in self._nursery.seats.values():
            if seat.died is None:
                os.close(seat.tasks)
                seat.tasks = -1
        self._timers.after(_QUIT_S, lambda _now: self._end_all())

    def _end_all(self) -> NoReturn:
        """Kill everything below, and leave."""
        self._drop_orders()
        for seat in self._nursery.seats.values():  # /proc is to be read, and there may be no room for that
            for descriptor in (seat.tasks, seat.answers):
                if descriptor >= 0:
                    os.close(descriptor)
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
        if os.getppid() == self._guardian:
            processes.signal_process(self._guardian, _signal.SIGCONT)  # stopped, it would stay when we are gone
        os._exit(0)

    def _fail(self, reason: str) -> NoReturn:
        """A mistake of ours, or a machine out of descriptors: say so, and leave nothing behind."""
        self._tell_parent(messages.WardenFailed(reason))
        if os.environ.get("WORKFLOW_DEBUG"):
            system.show_own_failure()
        self._end_all()


def _by_signal(status: os.waitid_result) -> bool:
    return status.si_code in (os.CLD_KILLED, os.CLD_DUMPED)


def _how(status: os.waitid_result) -> str:
    if _by_signal(status):
        return f"by {processes.signal_name(status.si_status)}"
    return f"with exit code {status.si_status}"


def _cut_log(seat: Seat, folder: str, limit: int, words: memoryview, base: int) -> None:
    from workflow.engine.output import log_file_name, open_log

    start = words[base + scoreboard.LOG_START]
    path = os.path.join(folder, log_file_name(words[base + scoreboard.LOG_FILE]))
    try:
        size = os.stat(path).st_size - start
        # Half of the limit is kept at the beginning; at the end as much, and what comes until the next look.
        if size > 4 * limit:
            descriptor = open_log(path, os.O_WRONLY)
            if descriptor is None:
                return
            begin = seat.punched[1] if seat.punched[0] == start else start + limit
            end = start + size - limit
            if end > begin and system.punch_hole(descriptor, begin, end - begin):
                seat.punched = (start, end)
            os.close(descriptor)
    except OSError:
        pass  # the file was renewed or removed: there is nothing to cut
