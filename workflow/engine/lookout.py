"""What the workers are doing now, as the program sees it: in shared memory, or where the warden says that they are."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from workflow import messages
from workflow.engine import scoreboard
from workflow.engine.channel import DONT_WAIT, send_message
from workflow.engine.output import log_file_name
from workflow.messages import TICKET_BITS
from workflow.outcome import LogRange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow.engine.handle import Handle
    from workflow.engine.process_tree import ProcessTree

_ATTEMPT = (1 << TICKET_BITS) - 1


class Stack(NamedTuple):
    """Where an attempt is that goes on."""

    number: int
    """Of its task."""
    id: str | None
    """Of its task."""
    attempt: int
    """Counts from 1."""
    pid: int
    """The worker's."""
    stack: str
    """Of every thread, as faulthandler writes it; empty where the process wrote none: it is stopped, say."""


class Running(NamedTuple):
    """An attempt that is running now."""

    number: int
    id: str
    attempt: int
    pid: int
    started_at: float
    """Seconds since the epoch."""
    stage: str
    """``import``, ``arguments``, ``init``, ``run`` or ``result``."""
    log: LogRange | None
    """What it has written so far; size 0 is possible.  None when output is not captured."""


class Lookout:
    """Looks at the workers of an engine; ``table`` holds its tasks that have not ended, by number."""

    def __init__(self, tree: ProcessTree, table: Mapping[int, Handle], log_dir: str | None) -> None:
        self._tree = tree
        self._table = table
        self._log_dir = log_dir
        self._epoch_offset = time.time() - time.monotonic()
        self._asking = threading.Lock()  # one who asks for stacks at a time
        self._request = 0
        self._stacks: list[Stack] = []
        self._stacks_heard = threading.Event()

    def running(self) -> tuple[Running, ...]:
        """What every worker is doing now, from shared memory: asks nobody, and waits for nobody."""
        found = []
        words = self._tree.words
        for slot in range(1, self._tree.slots + 1):
            base = slot * scoreboard.WORDS
            state = words[base]
            if state & 3 != scoreboard.RUNNING or not words[base + scoreboard.PID]:
                continue
            ticket = state >> 2
            handle = self._table.get(ticket >> TICKET_BITS)
            row = words[base : base + scoreboard.WORDS].tolist()
            if handle is None or row[0] != state:
                continue
            found.append(
                Running(
                    handle.number,
                    handle.id,
                    ticket & _ATTEMPT,
                    row[scoreboard.PID],
                    self.epoch_s(row[scoreboard.STARTED]),
                    scoreboard.STAGES[row[scoreboard.STAGE]],
                    self._log_so_far(row[scoreboard.LOG_FILE], row[scoreboard.LOG_START]),
                )
            )
        return tuple(found)

    def is_running(self, number: int) -> bool:
        """Whether a worker is in the middle of this task."""
        words = self._tree.words
        try:
            for base in range(scoreboard.WORDS, (self._tree.slots + 1) * scoreboard.WORDS, scoreboard.WORDS):
                state = words[base]
                if state & 3 == scoreboard.RUNNING and state >> 2 >> TICKET_BITS == number:
                    return bool(words[base + scoreboard.PID]) and number in self._table
        except ValueError:
            pass  # the engine has ended
        return False

    def stacks(self, timeout_s: float) -> tuple[Stack, ...]:
        """Where every running task is, asked of the warden; what was heard in that time."""
        with self._asking:
            self._request += 1
            self._stacks = []
            self._stacks_heard.clear()
            try:
                send_message(self._tree.control, messages.encode(messages.TellStacks(self._request)), (), DONT_WAIT)
            except OSError:
                return ()  # the warden is gone, or has more to read than it reads
            self._stacks_heard.wait(timeout_s)
            return tuple(self._stacks)

    def heard(self, fact: messages.StackTold | messages.StacksTold) -> None:
        """Take in what the warden says of them."""
        if fact.request != self._request:
            return  # somebody has asked, and given up
        if isinstance(fact, messages.StacksTold):
            self._stacks_heard.set()
            return
        handle = self._table.get(fact.ticket >> TICKET_BITS)
        if handle is not None:
            self._stacks.append(Stack(handle.number, handle.id, fact.ticket & _ATTEMPT, fact.pid, fact.stack))

    def _log_so_far(self, file: int, start: int) -> LogRange | None:
        if self._log_dir is None or not file:
            return None
        path = os.path.join(self._log_dir, log_file_name(file))
        try:
            return LogRange(path, start, max(0, os.stat(path).st_size - start))
        except OSError:
            return None

    def epoch_s(self, monotonic_ns: int) -> float:
        """A moment of the monotonic clock as seconds since the epoch."""
        return monotonic_ns / 1e9 + self._epoch_offset
