"""Where workers are forked: by the warden itself, or by a template process in which modules were preloaded."""

from __future__ import annotations

import os
import select
import time

from workflow import messages
from workflow.engine import processes, scoreboard, system
from workflow.engine.answers import answer_pair
from workflow.engine.channel import DONT_WAIT, packet_pair, receive_message, send_message
from workflow.engine.importing import know_program
from workflow.engine.seat import Seat
from workflow.failpoints import ARMED, reached
from workflow.restarts import FORK_S, PRELOAD_S, START_S, TEMPLATES_MAX, Restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any, NoReturn

    from workflow.engine.channel import Socket
    from workflow.engine.stacks import StackFiles
    from workflow.engine.timers import Timers
else:
    import _signal

_ROOM = 3
"""Descriptors that must be left when there is one worker more: reading /proc needs two, a message one."""
_EXPECTED_MAX = 64
"""Workers asked of the template at a time: the channel to it must never be full."""


class CannotGoOn(Exception):
    """A reason for the engine to end, for people."""


class Nursery:
    """The workers there are, those that are wanted, and the slots of the scoreboard they sit on."""

    def __init__(
        self,
        config: dict[str, Any],
        words: memoryview,
        stacks: StackFiles,
        timers: Timers,
        poll: select.poll,
        tell: Callable[..., None],
    ) -> None:
        self._config = config
        self._words = words
        self._stacks = stacks
        self._timers = timers
        self._poll = poll
        self._tell = tell
        self._warden = os.getpid()
        self._slots = list(range(1, config["slots"] + 1))
        self._next_worker = 1
        self.wanted: int = config["pool"]
        """Workers to be started."""
        self.seats: dict[int, Seat] = {}
        """By number: all of which the dispatcher has not dealt with the death."""
        self.by_pid: dict[int, Seat] = {}
        """Those alive."""
        self._expected: dict[int, Seat] = {}
        """Those asked of the template."""
        self.template = 0
        """Its pid, 0 without one."""
        self.template_channel: Socket | None = None
        self._template_ready: bool | None = None
        """None without a template."""
        self._template_restarts = Restarts(TEMPLATES_MAX)

    def spawn_wanted(self) -> None:
        """Start the workers that are wanted, as far as there are slots for them."""
        if self._config["preload"] and not self.template:
            self._fork_template()
        while (
            self.wanted > 0
            and self._slots
            and self._template_ready is not False
            and len(self._expected) < _EXPECTED_MAX
        ):
            self.wanted -= 1
            try:
                self._start_worker()
            except OSError as error:
                self._tell(messages.ForkFailed(f"a worker could not be started: {system.explain(error)}"))

    def _start_worker(self) -> None:
        """Fork a worker, or have the template fork it."""
        worker, slot = self._next_worker, self._slots[0]
        tasks, tasks_theirs = packet_pair()
        answers, answers_theirs = answer_pair()
        base = slot * scoreboard.WORDS
        for word in range(scoreboard.WORDS):
            self._words[base + word] = 0
        stack_file = self._stacks.fresh(slot)
        system.require_room(_ROOM)
        theirs = (tasks_theirs.fileno(), answers_theirs, stack_file)
        pid = 0
        if self.template:
            send_message(self.template_channel, messages.encode(messages.TemplateFork(worker, slot)), theirs)  # type: ignore[arg-type]
        else:
            pid = os.fork()
            if pid == 0:
                self._become_worker(slot, *theirs)
        if ARMED:
            reached("warden.forked")
        self._next_worker += 1
        self._slots.pop(0)
        tasks_theirs.close()
        os.close(answers_theirs)
        seat = Seat(worker, slot, pid, tasks.detach(), answers)
        if pid:
            self._seat(seat)
        else:
            self._expected[worker] = seat
            self._timers.after(FORK_S, lambda _now: self._give_up_on_fork(worker))

    def _seat(self, seat: Seat) -> None:
        """A worker is there."""
        self.seats[seat.worker] = self.by_pid[seat.pid] = seat
        base = seat.slot * scoreboard.WORDS
        self._words[base + scoreboard.PID] = seat.pid
        self._words[base + scoreboard.WORKER] = seat.worker
        self._tell(messages.WorkerForked(seat.worker, seat.slot, seat.pid), (seat.tasks, seat.answers))
        worker = seat.worker  # not the seat, which holds what the worker wrote when it crashed
        limit = START_S if self._config["initializer"] is None else self._config["initializer_s"]
        if limit is not None:
            self._timers.after(limit, lambda _now: self._give_up_on_start(worker))

    def _give_up_on_start(self, worker: int) -> None:
        """A worker that hangs before it is ready would keep what it is sent: nothing of it has a limit yet."""
        seat = self.seats.get(worker)
        if (
            seat is not None
            and seat.died is None
            and not self._words[seat.slot * scoreboard.WORDS + scoreboard.STARTED]
        ):
            if self._config["initializer"] is not None:
                self._stacks.add(seat.slot, f"{system.OWN_FAILURE}its initializer had not returned in time\n")
            processes.kill_tree(seat.pid)

    def _become_worker(self, slot: int, tasks: int, answers: int, stack_file: int) -> NoReturn:
        try:
            become_child(self._warden)
            know_program(self._config)
            from workflow.engine.boot import become_worker

            become_worker(self._config, tasks, answers, self._words, slot, stack_file)
        except BaseException:  # noqa: BLE001
            system.show_own_failure(stack_file)
        os._exit(70)

    # -- the template ----------------------------------------------------------------------------------------------

    def _fork_template(self) -> None:
        ours, theirs = packet_pair()
        pid = os.fork()
        if pid == 0:
            try:
                become_child(self._warden)
                system.name_process("template")
                system.keep_only({theirs.fileno(), *self._stacks.descriptors()})
                know_program(self._config)
                from workflow.engine.template import run_template

                run_template(self._config, theirs, self._words, self._warden)
            except BaseException:  # noqa: BLE001
                system.show_own_failure()
            os._exit(70)
        theirs.close()
        self.template, self.template_channel, self._template_ready = pid, ours, False
        self._poll.register(ours.fileno(), select.POLLIN)
        self._timers.after(PRELOAD_S, lambda _now: self._give_up_on_template(pid))

    def _give_up_on_template(self, pid: int) -> None:
        if self.template == pid and not self._template_ready:
            message = f"preloading {', '.join(self._config['preload'])} took more than {PRELOAD_S:g} s"
            raise CannotGoOn(message)

    def _give_up_on_fork(self, worker: int) -> None:
        """A template that does not answer is wedged, by a hook that runs when it forks, say."""
        if worker in self._expected and self.template:
            processes.kill_tree(self.template)

    def take_template(self) -> None:
        """Hear what the template has to say.  Raises CannotGoOn when it could not preload."""
        while self.template_channel is not None:
            try:
                data, _descriptors = receive_message(self.template_channel, DONT_WAIT)
            except BlockingIOError:
                return
            if not data:
                return  # it is dead, and about to be reaped
            fact = messages.decode(data)
            if isinstance(fact, messages.TemplateReady):
                self._template_ready = True
            elif isinstance(fact, messages.TemplateFailed):
                raise CannotGoOn(fact.reason)
            elif isinstance(fact, messages.TemplateForked):
                seat = self._expected.pop(fact.worker, None)
                if seat is None:
                    continue  # said twice
                seat.pid = fact.pid
                if fact.pid:
                    self._template_restarts.achieved()
                    self._seat(seat)
                else:
                    self._drop(seat)
                    self._tell(messages.ForkFailed(f"a worker could not be started: {fact.problem}"))

    def template_died(self, how: str) -> None:
        """What it was asked to fork and did not is asked of the next one.  Raises CannotGoOn after too many."""
        self.take_template()
        if self._template_restarts.died(time.monotonic()):
            message = (
                f"the process that preloads {', '.join(self._config['preload'])} died {TEMPLATES_MAX} times without "
                f"forking a worker, the last time {how}"
            )
            raise CannotGoOn(message)
        if self.template_channel is not None:
            self._poll.unregister(self.template_channel.fileno())
            self.template_channel.close()
        self.template, self.template_channel = 0, None
        for seat in self._expected.values():
            self._drop(seat)
        self.wanted += len(self._expected)
        self._expected.clear()

    def forget(self, worker: int) -> None:
        """Everything about a dead worker has been dealt with."""
        seat = self.seats.pop(worker, None)
        if seat is not None:
            self._drop(seat)

    def _drop(self, seat: Seat) -> None:
        os.close(seat.tasks)
        os.close(seat.answers)
        self._slots.append(seat.slot)


def become_child(warden: int) -> None:
    """What every fork of the warden does first: forget its signals, and die with it."""
    _signal.set_wakeup_fd(-1)
    for number in (_signal.SIGCHLD, _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(number, _signal.SIG_DFL)
    system.die_with_parent(_signal.SIGKILL)
    if os.getppid() != warden:
        os._exit(1)
