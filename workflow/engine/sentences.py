"""Ending attempts: at their time limit, at their memory limit, or because somebody asked.

How: write the sentence in the scoreboard; ask for the stacks; when they are there and the attempt still runs, SIGTERM
to the tree; after the grace, stop the tree, list it, and SIGKILL all of it.  If the attempt ended meanwhile, the
sentence is withdrawn.  Every wait in between is a timer, so one stubborn task delays no other.
"""

from __future__ import annotations

import time

from workflow import messages
from workflow.engine import processes, scoreboard
from workflow.engine.seat import Sentence
from workflow.engine.worker import MAIN_STACK_SIGNAL, STACK_SIGNAL
from workflow.failpoints import ARMED, reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterable

    from workflow.engine.seat import Seat
    from workflow.engine.stacks import StackFiles
    from workflow.engine.timers import Timers
else:
    import _signal

_STACK_LOOK_S = 0.0015
_STACK_WAIT_S = 0.03
"""A stack is there after 1 ms; a task that replaced its signal handlers writes none."""
_MEMORY_LOOK_S = 0.08


class Sentences:
    """Who is past a limit, and what becomes of them."""

    def __init__(self, words: memoryview, stacks: StackFiles, timers: Timers) -> None:
        self._words = words
        self._stacks = stacks
        self._timers = timers
        self._memory_look = 0.0

    def look(self, seats: Iterable[Seat], now: float) -> None:
        """Read the scoreboard, and end who is past a limit."""
        words, now_ns = self._words, time.monotonic_ns()
        look_at_memory = now >= self._memory_look
        if look_at_memory:
            self._memory_look = now + _MEMORY_LOOK_S
        for seat in seats:
            base = seat.slot * scoreboard.WORDS
            state = words[base]
            if state & 3 == scoreboard.CLEANING and now_ns > words[base + scoreboard.DEADLINE]:
                processes.kill_tree(seat.pid)  # a destructor hangs; its task was answered, so nobody is blamed
            if state & 3 != scoreboard.RUNNING or seat.sentence is not None:
                continue
            if now_ns > words[base + scoreboard.DEADLINE]:
                self._sentence(seat, state, messages.TIMED_OUT, now)
            elif look_at_memory and words[base + scoreboard.MEMORY]:
                used = processes.tree_memory_exceeds(seat.pid, words[base + scoreboard.MEMORY])
                if used is not None:
                    self._sentence(seat, state, messages.MEMORY_EXCEEDED, now, used)

    def kill_asked(self, seat: Seat | None, order: messages.Kill) -> None:
        """End an attempt as cancelled, if it still runs; or sooner, if it is being ended already."""
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
            self._timers.after(order.grace_ns / 1e9, lambda _now: self._finish(seat, seat.sentence))

    def show(self, seats: Iterable[Seat], tell: Callable[[int, int, str], None], done: Callable[[], None]) -> None:
        """Have every attempt that runs write its stacks, without ending it; ``tell`` gets pid, ticket and text."""
        asked = []
        for seat in seats:
            state = self._words[seat.slot * scoreboard.WORDS]
            if state & 3 == scoreboard.RUNNING and seat.sentence is None:
                self._stacks.empty(seat.slot)
                processes.signal_process(seat.pid, STACK_SIGNAL)
                asked.append((seat, state))

        def collect(_now: float) -> None:
            for seat, state in asked:
                # One that ended meanwhile has nothing to show; of one that is being ended now the stacks are its own.
                if seat.died is None and self._words[seat.slot * scoreboard.WORDS] == state and seat.sentence is None:
                    tell(seat.pid, state >> 2, self._stacks.text(seat.slot))
                    self._stacks.empty(seat.slot)
            done()

        self._timers.after(_STACK_WAIT_S if asked else 0.0, collect)

    def _sentence(self, seat: Seat, state: int, reason: int, now: float, used: int = 0) -> None:
        base = seat.slot * scoreboard.WORDS
        if self._words[base + scoreboard.SENTENCE] == state >> 2:
            # The worker's second thread acted first; it may be unable to finish.
            seat.sentence = Sentence(state >> 2, state, now)
            self._timers.after(self._grace_s(seat), lambda _now: self._finish(seat, seat.sentence))
            return
        seat.sentence = Sentence(state >> 2, state, now, used)
        self._words[base + scoreboard.SENTENCE_REASON] = reason
        self._words[base + scoreboard.SENTENCED_STAGE] = self._words[base + scoreboard.STAGE]
        self._words[base + scoreboard.SENTENCE] = state >> 2
        if ARMED:
            reached("warden.sentenced")
        processes.signal_process(seat.pid, STACK_SIGNAL)
        # A stopped process writes its stacks when it goes on; so would SIGTERM have to wait.
        processes.signal_process(seat.pid, _signal.SIGCONT)
        self._timers.after(_STACK_LOOK_S, lambda at: self._await_stack(seat, at))

    def _await_stack(self, seat: Seat, now: float) -> None:
        """Wait until the stacks are written, or will not be; then carry the sentence out, if it still applies."""
        sentence = seat.sentence
        if sentence is None or seat.died is not None:
            return
        if self._words[seat.slot * scoreboard.WORDS] != sentence.state:
            self._words[seat.slot * scoreboard.WORDS + scoreboard.SENTENCE] = 0
            seat.sentence = None
            self._stacks.empty(seat.slot)
            return
        size = self._stacks.size(seat.slot)
        waited = now - sentence.since
        if waited < _STACK_WAIT_S and (size == 0 or size != sentence.stack_size):
            sentence.stack_size = size
            self._timers.after(_STACK_LOOK_S, lambda at: self._await_stack(seat, at))
            return
        if size and "\n...\n" in self._stacks.text(seat.slot):
            processes.signal_process(seat.pid, MAIN_STACK_SIGNAL)  # more than 100 threads: the main one is not shown
        processes.signal_tree(seat.pid, _signal.SIGTERM)
        processes.signal_tree(seat.pid, _signal.SIGCONT)
        self._timers.after(self._grace_s(seat), lambda _now: self._finish(seat, sentence))

    def _finish(self, seat: Seat, sentence: Sentence | None) -> None:
        """The grace is over: no mercy for whoever still runs."""
        if seat.died is None and sentence is not None and seat.sentence is sentence:
            processes.kill_tree(seat.pid)

    def _grace_s(self, seat: Seat) -> float:
        return self._words[seat.slot * scoreboard.WORDS + scoreboard.GRACE] / 1e9
