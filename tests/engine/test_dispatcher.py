"""The dispatcher, within one process: the parent, the warden and the workers around it are played, and so is time.

Its channels and its scheduler are real.  Only what goes to the parent is kept here, and a pause takes 10 ms of a
pretend clock: what another process does meanwhile is done at the named points of ``failpoints``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from workflow import messages
from workflow.engine import answers as answers_module
from workflow.engine import dispatcher as dispatcher_module
from workflow.engine import scoreboard
from workflow.engine.answers import BRIEF, answer_pair
from workflow.engine.bulk import write_pickled
from workflow.engine.channel import DONT_WAIT, packet_pair, receive_message, send_message, stream_pair
from workflow.engine.dispatcher import Dispatcher
from workflow.engine.link import Link
from workflow.engine.seat import Seat
from workflow.messages import CANCELLED, IN_FILE, RETURNED, SENTENCED, SMALL, STATUSES, SUCCEEDED, TASK, TIMED_OUT

SLOTS = 8
SIZES = pytest.mark.parametrize("size", [0, 5000, 100_000], ids=["in the pipe", "as a message", "in a file"])
"""An answer goes one of three ways, by its size."""


class Worker:
    """What a worker process would do."""

    def __init__(self, number: int, words: memoryview) -> None:
        self.number = number
        self._words = words
        self.tasks, self.tasks_end = packet_pair()
        self.answers_end, self.answers = answer_pair()
        self._received: list[int] = []

    def enter(self, number: int, phase: int) -> None:
        """Say in the scoreboard how far it is with a task."""
        self._words[self.number * scoreboard.WORDS + scoreboard.STATE] = _ticket(number) << 2 | phase

    def answer(self, number: int, size: int, status: int = SUCCEEDED, flags: int = 0) -> None:
        """Answer with a result, or an error, of about this size."""
        text = "x" * size
        body = text.encode() if status == SUCCEEDED else messages.pack_error("Error", text)
        length = RETURNED.size + len(body)
        in_file = length > SMALL
        head = RETURNED.pack(
            RETURNED.size if in_file else length,
            status,
            flags | (IN_FILE if in_file else 0),
            0,
            _ticket(number),
            *(0,) * 6,
        )
        if in_file:
            file = write_pickled(body)
            send_message(self.tasks, head, (file.descriptor,))
        elif length > BRIEF:
            send_message(self.tasks, head + body)
        else:
            os.write(self.answers, head + body)

    def ready(self) -> None:
        """Give the first sign of life."""
        os.write(self.answers, RETURNED.pack(RETURNED.size, messages.READY, *(0,) * 9))

    def received(self) -> list[int]:
        """The tasks it was sent."""
        while True:
            try:
                data, _ = receive_message(self.tasks, DONT_WAIT)
            except BlockingIOError:
                return self._received
            position = messages.RUN.size
            while position < len(data):
                header = TASK.unpack_from(data, position)
                self._received.append(header[3])
                position += header[0]

    def close(self) -> None:
        self.tasks.close()
        self.tasks_end.close()
        os.close(self.answers)
        os.close(self.answers_end)


class World:
    """All that is around a dispatcher, which may be followed by another."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        """What the parent was told: tasks and their outcomes."""
        self.now = 1000.0
        self.meanwhile: Callable[[str], object] = lambda _point: None
        """Called at each named point that the dispatcher reaches."""
        self.words = memoryview(bytearray(scoreboard.size_for(SLOTS))).cast("Q")
        self.workers: list[Worker] = []
        self._parent, self._parent_end = stream_pair()
        self._warden, self._warden_end = packet_pair()
        self._epoch = 0
        self._pool = 0

    def start(self, pool: int) -> None:
        """The first dispatcher."""
        self._pool = pool
        self._begin([])

    def replace(self, *died: messages.WorkerDied) -> None:
        """The dispatcher is gone, and there is another, which has not been told what pends; these deaths are known."""
        self.close_dispatcher()
        self._epoch += 1
        seats = []
        for worker in self.workers:
            tasks, answers = os.dup(worker.tasks_end.fileno()), os.dup(worker.answers_end)
            seats.append(Seat(worker.number, worker.number, 0, tasks, answers))
            seats[-1].died = next((death for death in died if death.worker == worker.number), None)
        self._begin(seats)

    def fork(self, count: int) -> list[Worker]:
        """The warden has forked workers."""
        new = [Worker(len(self.workers) + 1 + place, self.words) for place in range(count)]
        self.workers += new
        for worker in new:
            channels = worker.tasks_end.fileno(), worker.answers_end
            send_message(
                self._warden, messages.encode(messages.WorkerForked(worker.number, worker.number, 0)), channels
            )
            self.turn()
        return new

    def tell_death(self, death: messages.WorkerDied) -> None:
        """The warden has found a worker dead."""
        send_message(self._warden, messages.encode(death))
        self.turn()

    def say(self, kind: int, *numbers: int) -> None:
        """The parent pushes or cancels tasks, or ends a snapshot."""
        for number in numbers or (0,):
            self._parent.send(TASK.pack(TASK.size, kind, 1, number, 30.0, 0, 0))
        self.turn()

    def turn(self) -> None:
        """Have the dispatcher deal with all that is there."""
        while ready := self.dispatcher._poll.poll(0):
            for descriptor, flags in ready:
                source = self.dispatcher._sources.get(descriptor)
                if source is not None:
                    source(flags)

    def link(self, worker: Worker) -> Link:
        return self.dispatcher._links[worker.number]

    def leave_no_room(self, worker: Worker) -> None:
        """Fill the channel to a worker."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.link(worker).tasks.send(bytes(SMALL))

    def close_dispatcher(self) -> None:
        for link in self.dispatcher._links.values():
            link.tasks.close()
            link.answers.close()

    def close(self) -> None:
        self.close_dispatcher()
        for worker in self.workers:
            worker.close()
        for channel in (self._parent, self._parent_end, self._warden, self._warden_end):
            channel.close()
        for descriptor in answers_module.copies:
            os.close(descriptor)
        answers_module.copies.clear()

    def _begin(self, seats: list[Seat]) -> None:
        config = {"pool": self._pool, "log_dir": None, "max_tasks_per_child": None}
        self.dispatcher = Dispatcher(config, self._parent_end, self._warden_end, self.words, seats, self._epoch)

    # What the dispatcher takes for its points, for its clock, and for its way to the parent.

    def reached(self, point: str) -> None:
        self.meanwhile(point)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _seconds: float) -> None:
        self.now += 0.01

    def write(self, data: bytes, _descriptors: tuple[int, ...] = ()) -> None:
        position = 0
        while position < len(data):
            header = RETURNED.unpack_from(data, position)
            self.told.append((header[4] >> messages.TICKET_BITS, STATUSES[header[1]]))
            position += header[0]

    def owe(self, _settled: object) -> None:
        """Callbacks are not played."""

    def settle_begun(self) -> None:
        """The same."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    played = World()
    monkeypatch.setattr(dispatcher_module, "Callbacks", lambda *_: played)
    monkeypatch.setattr(dispatcher_module, "time", played)
    monkeypatch.setattr(dispatcher_module, "ARMED", True)
    monkeypatch.setattr(dispatcher_module, "reached", played.reached)
    yield played
    played.close()


def _ticket(number: int) -> int:
    return number << messages.TICKET_BITS | 1


def _left_by_itself(worker: Worker) -> messages.WorkerDied:
    """The death of a worker whose sentence was withdrawn, for its attempt had ended first."""
    return messages.WorkerDied(worker.number, 0, None, 0, 0, "", 0, 0, 0)


@SIZES
def test_what_an_answer_leads_to_is_done_when_it_is_consumed(world: World, size: int) -> None:
    """A recall of the worker that gave it reads its answers too: none is met twice, and none is consumed unseen."""
    world.start(4)
    first, second = world.fork(2)
    world.say(messages.PUSH, 1, 2, 3, 4, 5)
    assert (first.received(), second.received()) == ([1, 3, 5], [2, 4])
    third, fourth = world.fork(2)
    first.enter(3, scoreboard.RUNNING)
    second.enter(2, scoreboard.RUNNING)
    first.answer(1, size)

    # The second worker was quiet for long: the answer leads to its recall.  What is taken back from it is too little
    # for the two that are idle, and meanwhile the first one was quiet for long too: so it is recalled as well.
    def meanwhile(point: str) -> None:
        if point == "dispatcher.sent" and fourth.received() and world.told == [(1, "succeeded")]:
            first.answer(3, size)

    world.now += 1.0
    world.meanwhile = meanwhile
    world.turn()
    assert (third.received(), fourth.received()) == ([4], [5]), "the two recalls, one in the other, were not met"
    assert world.told == [(1, "succeeded"), (3, "succeeded")]
    second.answer(2, size)
    third.answer(4, size)
    fourth.answer(5, size)
    world.turn()
    assert sorted(world.told) == [(number, "succeeded") for number in range(1, 6)]


def test_what_the_first_sign_of_a_worker_leads_to_is_done_when_it_is_consumed(world: World) -> None:
    """The same of a worker that was slow to start, and has begun what it was sent meanwhile."""
    world.start(2)
    (first,) = world.fork(1)
    world.say(messages.PUSH, 1, 2)
    (second,) = world.fork(1)
    first.ready()
    first.enter(1, scoreboard.RUNNING)

    def meanwhile(point: str) -> None:
        if point == "dispatcher.sent" and second.received() and not world.told:
            first.answer(1, 0)

    world.now += 1.0
    world.meanwhile = meanwhile
    world.turn()
    assert (first.received(), second.received()) == ([1, 2], [2]), "it was not recalled"
    assert world.told == [(1, "succeeded")]


@SIZES
@pytest.mark.parametrize("reason", [TIMED_OUT, CANCELLED], ids=["timed out", "cancelled"])
@pytest.mark.parametrize("known", [True, False], ids=["death known", "death told"])
def test_an_answer_under_a_sentence_outlives_the_dispatcher(world: World, size: int, reason: int, known: bool) -> None:
    """It says what its task came to, also when all the next dispatcher hears is that the worker left by itself.

    ``known`` is whether the worker was found dead before that dispatcher began, or later, after one more had died.
    """
    cancelled = reason == CANCELLED
    world.start(1)
    (worker,) = world.fork(1)
    world.say(messages.PUSH, 1)
    worker.enter(1, scoreboard.RUNNING)
    if cancelled:
        world.say(messages.CANCEL, 1)
    worker.enter(1, scoreboard.ANSWERING)
    worker.answer(1, size, reason, SENTENCED)
    world.turn()
    for death in [()] * (not known) + [(_left_by_itself(worker),) if known else ()]:
        world.replace(*death)
        world.say(messages.PUSH, 1)
        if cancelled:
            world.say(messages.CANCEL, 1)
        assert world.told == []
        world.say(messages.SNAPSHOT_END)
    if not known:
        assert world.told == [], "the word of the warden comes first"
        world.tell_death(_left_by_itself(worker))
    assert world.told == [(1, STATUSES[reason])]


def test_what_finds_no_room_on_its_way_to_a_sentenced_worker_is_run_by_another(world: World) -> None:
    """Nobody waits for room there any more; and what waited for it comes back with the death."""
    world.start(1)
    (worker,) = world.fork(1)
    world.say(messages.PUSH, 1)
    worker.enter(1, scoreboard.ANSWERING)
    worker.answer(1, 0, TIMED_OUT, SENTENCED)
    world.turn()
    world.leave_no_room(worker)
    world.say(messages.PUSH, 2)
    assert [len(batch) for batch in world.link(worker).outbox] == [1]
    world.tell_death(_left_by_itself(worker))
    (another,) = world.fork(1)
    assert another.received() == [2]
    another.answer(2, 0)
    world.turn()
    assert world.told == [(1, "timed_out"), (2, "succeeded")]
