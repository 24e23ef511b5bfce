"""The dispatcher: it hands tasks to the workers, passes their answers on, and runs the callbacks.

The loop waits, decodes, decides, performs; every decision is the scheduler's, which is pure.  It may die at any
moment, by a callback or by anything else, and lose nothing:

- Tasks stay in the parent's table until they have ended there.
- An answer leaves the worker's channel only when the parent's channel has it: it is looked at, forwarded, and then
  consumed.  The worst a death can do is to have a frame forwarded twice, and the parent drops what it knows.
- A message to a worker arrives whole or not at all.

A new dispatcher first has every worker refuse what it was sent and has not begun, then takes in all that the parent
holds, and only then looks at answers and deaths: at that moment it knows every task they can be about.  (Announcing
anything before the end of that snapshot is how tasks come to be run twice.)  Price: after the death of a dispatcher
with a million tasks queued, the workers wait for a second.
"""

from __future__ import annotations

import gc
import os
import select
import time

from workflow import messages
from workflow.engine import processes, scoreboard, system
from workflow.engine.callbacks import Callbacks, settled_from
from workflow.engine.channel import (
    DONT_WAIT,
    MAX_DESCRIPTORS,
    PEEK,
    receive_message,
    send_message,
)
from workflow.engine.endings import ending_frame, how_it_died
from workflow.engine.frames import options_of, with_attempt, with_file
from workflow.engine.link import Link
from workflow.failpoints import ARMED, reached, show_stacks_when_asked
from workflow.info_task import RetryPolicy
from workflow.messages import (
    ANSWER,
    HAS_CALLBACK,
    HAS_ERROR_CALLBACK,
    IN_FILE,
    MORE_ATTEMPTS,
    RETURNED,
    SENTENCED,
    STATUSES,
    TASK,
    TICKET_BITS,
    UNRESOLVED,
    owes_callback,
)
from workflow.scheduler import effects, events
from workflow.scheduler.events import Deadline, Task
from workflow.scheduler.scheduler import Scheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any, NoReturn

    from workflow.engine.callbacks import Settled
    from workflow.engine.channel import Socket
    from workflow.engine.seat import Seat
else:
    import _signal

_BUFFER = 1 << 18
_SHORT_TASKS = 64
"""From this prefetch on, answers are worth waiting for: the workers have enough to do meanwhile."""
_LINGER_S = 0.0002
_SETTLE_S = 0.0001
"""After this a word written here is seen by every processor."""
_CLAIM_LOOKS = 2500
"""Looks at a claim, one each 0.1 ms, before the worker counts as stopped in the middle of it."""


class Dispatcher:
    """One dispatcher process.  ``run`` never returns."""

    def __init__(
        self,
        config: dict[str, Any],
        parent: Socket,
        warden: Socket,
        words: memoryview,
        seats: list[Seat],
        epoch: int,
    ) -> None:
        pool: int = config["pool"]
        self._log_dir: str | None = config["log_dir"]
        self._parent = parent
        self._warden = warden
        self._words = words
        self._scheduler = Scheduler(
            pool, spawning=0 if epoch else pool, adopting=epoch > 0, attempts_max=config["max_tasks_per_child"]
        )
        self._adopting = epoch > 0
        self._sequence = epoch << 40
        self._links: dict[int, Link] = {}
        self._tasks: dict[int, bytes] = {}
        """Frames of the tasks that have not ended, by number."""
        self._files: dict[int, int] = {}
        """Of those whose arguments are in a file: its descriptor."""
        self._arrived: list[int] = []
        """Those whose frames are not all here yet."""
        self._begun: dict[int, int] = {}
        """Of those whose attempts so far did not succeed: what the last one told of their callbacks, as flags."""
        self._buffer = bytearray()
        self._poll = select.poll()
        self._sources: dict[int, Callable[[int], object]] = {}
        self._grace_ns: int | None = None
        self._callbacks = Callbacks(parent, words, config["log_dir"])
        self._listen(parent.fileno(), self._read_parent)
        self._listen(warden.fileno(), self._read_warden)
        for seat in seats:
            link = self._adopt(seat.worker, seat.slot, seat.pid, seat.tasks, seat.answers)
            link.died = seat.died
            self._refuse(link)

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> NoReturn:
        """Wait, decode, decide, perform."""
        # Of the hundred thousand records in here none is in a cycle.  The collector stays on, for the callbacks, but
        # looking at all of them for every 700 new ones took a fifth of this process's time.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        show_stacks_when_asked()
        if ARMED:
            reached("dispatcher.started")
        while True:
            for descriptor, flags in self._poll.poll(self._pause_ms()):
                source = self._sources.get(descriptor)
                if source is not None:
                    source(flags)
            self._callbacks.give_up_on_late()
            if self._scheduler.depth >= _SHORT_TASKS:
                # Each wake-up of this process, and of those it writes to, costs more than such a task does.
                time.sleep(_LINGER_S)
            if not self._adopting:
                due = self._scheduler.next_deadline()
                if due is not None and time.monotonic() >= due:
                    self._decide(events.Woke())

    def _pause_ms(self) -> float | None:
        ends = [self._callbacks.look_s(), None if self._adopting else self._scheduler.next_deadline()]
        due = [end for end in ends if end is not None]
        if not due:
            return None
        return max(0.0, (min(due) - time.monotonic()) * 1000)

    def _listen(self, descriptor: int, source: Callable[[int], object]) -> None:
        self._sources[descriptor] = source
        self._poll.register(descriptor, select.POLLIN)

    def _decide(self, event: events.Event) -> None:
        self._perform_all(self._scheduler.handle(event, time.monotonic()))

    def _perform_all(self, orders: list[effects.Effect]) -> None:
        for order in orders:
            self._perform(order)

    def _perform(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.Run):
            frames = [task.payload if task.attempt == 1 else _frame_of_retry(task) for task in effect.tasks]
            link = self._links[effect.worker]
            for batch in _batches(frames) if self._files else (frames,):
                self._send(link, batch)
        elif isinstance(effect, effects.Recall):
            self._recall(self._links[effect.worker])
        elif isinstance(effect, effects.Kill):
            self._order(messages.Kill(effect.worker, effect.ticket, self._grace_ns))
        elif isinstance(effect, effects.Retire):
            self._order(messages.Retire(effect.worker))
        elif isinstance(effect, effects.Spawn):
            self._order(messages.Spawn(effect.count))
        elif isinstance(effect, effects.Settle):
            self._settle(effect)
        elif isinstance(effect, effects.Ask):
            self._forward(messages.pack_told(messages.RETRY_DUE, b"", effect.ticket))
        elif isinstance(effect, effects.Fail):
            self._fail(effect.reason)
        # Retry and Discard are read by the one who passes on the answer they are about.

    def _order(self, order: tuple[object, ...]) -> None:
        try:
            send_message(self._warden, messages.encode(order))
        except OSError:
            os._exit(0)  # without a warden nothing can go on; the guardian is at work

    # -- the parent ------------------------------------------------------------------------------------------------

    def _read_parent(self, _flags: int) -> None:
        """Take in what the parent sent: mostly tasks, many at a time."""
        try:
            data, descriptors = receive_message(self._parent, size=_BUFFER)
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            os._exit(0)  # the parent is gone, or has sent for another dispatcher
        if ARMED:
            reached("dispatcher.read")
        self._arrived += descriptors  # they come with the first byte of their frame, the rest may come later
        self._buffer += data
        unpack, size, position, end = TASK.unpack_from, TASK.size, 0, len(self._buffer)
        if end < size or unpack(self._buffer)[0] > end:
            return  # a large frame that is not all here yet; nothing of it is copied before it is
        buffer = bytes(self._buffer)
        pushed: list[Task] = []
        make = tuple.__new__  # what the named tuple's own __new__ does, at half the cost
        while end - position >= size:
            length, kind, attempt, number, timeout, _module_size, options_size = unpack(buffer, position)
            if position + length > end:
                break
            if kind == messages.PUSH or kind == messages.PUSH_IN_FILE:  # noqa: PLR1714  # for each task
                frame = buffer[position : position + length]
                self._tasks[number] = frame
                if kind != messages.PUSH:
                    self._files[number] = self._arrived.pop(0)
                if options_size:
                    pushed.append(self._task_with_options(frame, number, attempt))
                else:
                    pushed.append(make(Task, (number, frame, attempt, 0, None, False, length, None)))
            else:
                if pushed:  # the order in which things were said is the order in which they are true
                    self._decide(events.Pushed(pushed))
                    pushed = []
                self._read_order(kind, number, attempt, timeout, buffer[position : position + length])
            position += length
        del self._buffer[:position]
        if pushed:
            self._decide(events.Pushed(pushed))

    def _task_with_options(self, frame: bytes, number: int, attempt: int) -> Task:
        options = options_of(frame)
        retries, deadline_ns, until_ns = options.get("retries"), options.get("deadline_ns"), options.get("until_ns")
        deadline = None
        if retries and deadline_ns is not None:
            deadline = Deadline(deadline_ns / 1e9, None if until_ns is None else until_ns / 1e9)
        if attempt > 1:
            self._begun[number] = options.get("flags", 0)
        return Task(
            number,
            frame,
            attempt,
            options.get("priority", 0),
            RetryPolicy(*retries) if retries else None,
            options.get("isolate", False),
            len(frame),
            deadline,
        )

    def _read_order(self, kind: int, number: int, attempt: int, timeout: float, frame: bytes) -> None:
        if kind == messages.CANCEL:
            self._decide(events.CancelAsked(number))
        elif kind == messages.CANCEL_ALL:
            self._grace_ns = int(timeout * 1e9) if timeout >= 0 else None
            self._decide(events.CancelAllAsked())
        elif kind == messages.LET_GO:
            self._decide(events.LetGo(number, attempt))
        elif kind == messages.OWED:
            self._callbacks.owe_again(settled_from(frame))
        elif kind == messages.SNAPSHOT_END:
            self._end_adoption()

    def _forward(self, data: memoryview | bytes, descriptors: tuple[int, ...] = ()) -> None:
        self._callbacks.write(data, descriptors)

    # -- the warden ------------------------------------------------------------------------------------------------

    def _read_warden(self, _flags: int) -> None:
        data, descriptors = receive_message(self._warden)
        if not data:
            self._callbacks.leave()
        fact = messages.decode(data)
        if isinstance(fact, messages.WorkerForked):
            self._adopt(fact.worker, fact.slot, fact.pid, *descriptors)
            if not self._adopting:
                self._decide(events.WorkerStarted(fact.worker))
        elif isinstance(fact, messages.WorkerDied):
            self._links[fact.worker].died = fact
            if not self._adopting:
                self._bury(self._links[fact.worker])
        elif isinstance(fact, messages.ForkFailed):
            self._decide(events.SpawnFailed(fact.reason))

    def _adopt(self, worker: int, slot: int, pid: int, tasks: int, answers: int) -> Link:
        link = self._links[worker] = Link(worker, slot, pid, tasks, answers)
        if not self._adopting:
            self._watch(link)
        return link

    def _watch(self, link: Link) -> None:
        self._listen(link.answers.descriptor, lambda _flags: self._read_some_answers(link))
        self._listen(link.tasks.fileno(), lambda flags: self._attend(link, flags))

    def _attend(self, link: Link, flags: int) -> None:
        """A worker can be sent more, or has a large answer, or is dead."""
        if flags & select.POLLOUT:
            self._send_rest(link)
        if flags & ~select.POLLOUT:
            self._read_large_answer(link)

    def _bury(self, link: Link) -> None:
        """A worker is dead: what it said counts, then what it was doing decides."""
        died = link.died
        if died is None:
            return
        self._read_answers(link)
        state = self._words[link.base + scoreboard.STATE]
        running = state >> 2 if state & 3 in (scoreboard.RUNNING, scoreboard.ANSWERING) else None
        sentence = None
        if link.sentenced is not None:
            running, sentence = link.sentenced[0], STATUSES[link.sentenced[1]]
        elif died.sentenced and died.sentenced == running:
            sentence = STATUSES[died.reason]
        how, began = "" if running else how_it_died(died), self._words[link.base + scoreboard.STARTED] / 1e9
        self._decide(events.WorkerExited(link.worker, running, sentence, how, began))
        self._stop_writing(link)
        self._ignore(link.answers.descriptor)
        self._ignore(link.tasks.fileno())
        del self._links[link.worker]
        link.tasks.close()
        link.answers.close()
        self._order(messages.Forget(link.worker))

    # -- workers: to them ------------------------------------------------------------------------------------------

    def _send(self, link: Link, frames: list[bytes]) -> None:
        sent = not link.outbox and self._send_now(link, frames)
        if ARMED:
            reached("dispatcher.sent")
        if not sent:
            link.outbox.append(frames)
            if not link.writing and link.open and link.tasks.fileno() in self._sources:
                link.writing = True
                self._poll.modify(link.tasks.fileno(), select.POLLIN | select.POLLOUT)

    def _send_now(self, link: Link, frames: list[bytes]) -> bool:
        """Send one message; whether it is gone (into the channel, or with its worker)."""
        self._sequence += 1
        size = sum(map(len, frames))
        try:
            files = self._files_of(frames) if self._files else ()
            if size <= messages.SMALL:
                send_message(link.tasks, messages.RUN.pack(self._sequence, 0) + b"".join(frames), files)
                return True
            descriptor = system.anonymous_file("workflow-task")
            try:
                for frame in frames:
                    system.write_all(descriptor, frame)
                send_message(link.tasks, messages.RUN.pack(self._sequence, 1), (descriptor, *files))
            finally:
                os.close(descriptor)
        except BlockingIOError:
            return False
        except ConnectionError:
            # It died: the warden will say so, and then they are given to another.  No other error may be taken for
            # that: a worker that lives would be thought to have what it never got.
            link.open = False
        return True

    def _files_of(self, frames: list[bytes]) -> tuple[int, ...]:
        return tuple([self._files[TASK.unpack_from(frame)[3]] for frame in frames if _is_in_file(frame)])

    def _close_file(self, number: int) -> None:
        """Of a task that has ended."""
        descriptor = self._files.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)

    def _send_rest(self, link: Link) -> None:
        while link.outbox:
            if not self._send_now(link, link.outbox[0]):
                return
            link.outbox.popleft()
        self._stop_writing(link)

    def _stop_writing(self, link: Link) -> None:
        link.outbox.clear()
        if link.writing:
            link.writing = False
            if link.tasks.fileno() in self._sources:
                self._poll.modify(link.tasks.fileno(), select.POLLIN)

    def _refuse(self, link: Link) -> None:
        """Have the worker refuse all that it was sent and has not begun."""
        self._sequence += 1
        self._words[link.base + scoreboard.REFUSE_BELOW] = self._sequence

    def _recall(self, link: Link) -> None:
        self._refuse(link)
        self._stop_writing(link)
        if ARMED:
            reached("dispatcher.recalling")
        time.sleep(_SETTLE_S)
        running = self._settled_state(link)
        # Whatever it finished before that is in the channel by now, except the one it is answering.
        self._read_answers(link)
        self._decide(events.Recalled(link.worker, running))

    def _settled_state(self, link: Link) -> int | None:
        """The attempt a worker is in the middle of, once it is not claiming one."""
        for _ in range(_CLAIM_LOOKS):
            state = self._words[link.base + scoreboard.STATE]
            if state == 0 or state & 3 == scoreboard.CLEANING:
                return None
            if state & 3 != scoreboard.CLAIMED:
                return state >> 2
            if link.died is not None:
                return None
            time.sleep(_SETTLE_S)
        # A claim takes a microsecond, so it was stopped in the middle of one.  Whether it would go on to run the task
        # or to refuse it cannot be known; dead, it does neither, and the task has not begun.
        processes.signal_process(link.pid, _signal.SIGKILL)
        return None

    # -- workers: from them ----------------------------------------------------------------------------------------

    def _read_answers(self, link: Link) -> None:
        """Pass on all that a worker said."""
        while self._read_some_answers(link):
            pass
        while self._read_large_answer(link):
            pass

    def _read_some_answers(self, link: Link) -> bool:
        """Those in its pipe: look, decide, forward, and only then consume.  Whether there may be more."""
        try:
            data = link.answers.look()
        except BlockingIOError:
            return False
        if not data:
            self._ignore(link.answers.descriptor)  # the worker's side is closed: the warden will say why
            return False
        if ARMED:
            reached("dispatcher.peeked")
        count, orders = self._pass_on(link, data)
        if ARMED:
            reached("dispatcher.forwarded")
        link.answers.take_out(count)
        if ARMED:
            reached("dispatcher.consumed")
        self._perform_all(orders)
        # Half a frame: the rest comes, or the worker is dead and nobody waits for it.
        return count > 0

    def _read_large_answer(self, link: Link) -> bool:
        """One that did not fit there, in the same manner."""
        try:
            data, descriptors = receive_message(link.tasks, PEEK | DONT_WAIT)
        except BlockingIOError:
            return False
        if not data:
            self._ignore(link.tasks.fileno())
            return False
        passed_on, orders = self._pass_on(link, data, *descriptors)
        for descriptor in descriptors:  # before they come again, which needs room
            os.close(descriptor)
        if not passed_on:
            return False
        for descriptor in receive_message(link.tasks, DONT_WAIT)[1]:
            os.close(descriptor)
        self._perform_all(orders)
        return True

    def _pass_on(self, link: Link, data: bytes, descriptor: int = -1) -> tuple[int, list[effects.Effect]]:
        """Decide about the answers in it and forward them; how many bytes that is, and what is ordered.

        The orders are for when that is consumed, not before: a recall among them reads answers too, and would meet
        these once more.
        """
        head, pop, size, position = ANSWER.unpack_from, self._tasks.pop, len(data), 0
        answers: list[tuple[int, str]] = []
        began: dict[int, float] = {}
        ended: list[Settled] = []
        orders: list[effects.Effect] = []
        alike = descriptor < 0  # whether all are answers that need no more than to be passed on, and owe a callback
        while size - position >= RETURNED.size:
            length, status, flags, _left, ticket = head(data, position)
            end = position + length
            if end > size:
                break
            frame = data[position:end]
            if flags & SENTENCED:
                # The warden's word stands; it comes when the process is gone.  Until that is told, this stays where
                # it is, for the next dispatcher to find; there is nothing behind it.
                alike = False
                self._ignore(link.answers.descriptor)
                self._ignore(link.tasks.fileno())
                link.sentenced = (ticket, status, with_file(frame, os.dup(descriptor)) if flags & IN_FILE else frame)
                break
            position = end
            if status >= messages.READY:  # the first that a worker says
                return position, self._scheduler.handle(events.WorkerReady(link.worker), time.monotonic())
            task = pop(ticket >> TICKET_BITS, b"")
            answers.append((ticket, STATUSES[status]))
            ended.append((ticket, task, frame, descriptor))
            if status or not task or not flags & HAS_CALLBACK:
                alike = False
                if status:
                    began[ticket] = RETURNED.unpack_from(frame)[5] / 1e9
        if answers:
            orders = self._scheduler.handle(events.Answered(link.worker, answers, began), time.monotonic())
            if alike and not any(isinstance(order, (effects.Retry, effects.Discard)) for order in orders):
                self._forward(data if position == size else data[:position])
                if self._files:
                    for ticket, _status in answers:
                        self._close_file(ticket >> TICKET_BITS)
                self._callbacks.owe(ended)
            else:
                self._pass_on_each(ended, orders)
        return position, orders

    def _pass_on_each(self, ended: list[Settled], orders: list[effects.Effect]) -> None:
        again = {order.ticket for order in orders if isinstance(order, effects.Retry)}
        known = {order.ticket for order in orders if isinstance(order, effects.Discard)}
        owed: list[Settled] = []
        for ticket, task, frame, descriptor in ended:
            status, flags = frame[4], frame[5]
            if task and (ticket in again or ticket in known):
                self._tasks[ticket >> TICKET_BITS] = task  # it has not ended
            if ticket in known:
                continue
            carried = (descriptor,) if flags & IN_FILE else ()
            if ticket in again:
                self._begun[ticket >> TICKET_BITS] = flags & (HAS_ERROR_CALLBACK | UNRESOLVED)
                self._forward(b"%b%c%b" % (frame[:5], flags | MORE_ATTEMPTS, frame[6:]), carried)
                continue
            self._forward(frame, carried)
            if self._files:
                self._close_file(ticket >> TICKET_BITS)
            if self._begun:
                self._begun.pop(ticket >> TICKET_BITS, None)
            if task and owes_callback(status, flags):
                owed.append((ticket, task, *_kept(frame, descriptor)) if carried else (ticket, task, frame, -1))
        if owed:
            self._callbacks.owe(owed)

    def _ignore(self, descriptor: int) -> None:
        """Wait for nothing more from it."""
        if self._sources.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _settle(self, effect: effects.Settle) -> None:
        """Announce an ending that no worker announced."""
        number = effect.ticket >> TICKET_BITS
        task = self._tasks.get(number)
        link = None if effect.worker is None else self._links.get(effect.worker)
        frame = ending_frame(effect, task, link, self._words, self._log_dir, self._begun.get(number))
        if effect.final:
            self._tasks.pop(number, None)
            self._begun.pop(number, None)
            self._close_file(number)
        else:
            self._begun[number] = frame[5] & (HAS_ERROR_CALLBACK | UNRESOLVED)
        self._forward(frame)
        if effect.final and task is not None and owes_callback(frame[4], frame[5]):
            self._callbacks.owe([(effect.ticket, task, frame, -1)])

    # -- taking over -----------------------------------------------------------------------------------------------

    def _end_adoption(self) -> None:
        """Everything the parent holds is known: now what the workers did meanwhile can be understood."""
        if not self._adopting:
            return
        if ARMED:
            reached("dispatcher.adopting")
        self._adopting = False
        self._callbacks.settle_begun()
        for link in list(self._links.values()):
            self._watch(link)
            if link.died is None:
                running = self._settled_state(link)
                self._decide(events.WorkerAdopted(link.worker, running))
                self._read_answers(link)
            else:
                self._decide(events.WorkerAdopted(link.worker, None))
                self._bury(link)
        self._decide(events.Adopted())

    def _fail(self, reason: str) -> None:
        self._forward(messages.pack_told(messages.ENGINE_FAILED, reason.encode()))


def _is_in_file(frame: bytes) -> bool:
    return frame[4] == messages.PUSH_IN_FILE


def _batches(frames: list[bytes]) -> list[list[bytes]]:
    """As many messages as it takes: one carries few descriptors, of which one may be of a file with the frames."""
    batches: list[list[bytes]] = [[]]
    room = MAX_DESCRIPTORS - 1
    for frame in frames:
        if _is_in_file(frame):
            if not room:
                batches.append([])
                room = MAX_DESCRIPTORS - 1
            room -= 1
        batches[-1].append(frame)
    return batches


def _kept(frame: bytes, descriptor: int) -> tuple[bytes, int]:
    """The frame with a descriptor of its own for the result's file, or with the result itself.

    The number tells how full the table is: callbacks may be slow, and results many.  Beyond half of it the result
    itself is kept.
    """
    copy = os.dup(descriptor)
    if copy > min(512, os.sysconf("SC_OPEN_MAX") // 2):
        return with_file(frame, copy), -1
    return frame, copy


def _frame_of_retry(task: Task) -> bytes:
    until = None if task.deadline is None else task.deadline.until
    return with_attempt(task.payload, task.attempt, {} if until is None else {"until_ns": int(until * 1e9)})
