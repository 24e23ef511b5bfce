"""INT, TERM, HUP and QUIT while a run goes on.

The handlers are installed whatever was set before: a run in the background (whose shell has SIGINT ignored), under
cron or under nohup behaves as one at a terminal.  A handler only notes which it was and wakes whoever waits, which a
signal may do at any moment; the third signal does not wait for anybody to hear of it.  What was noted is not in line
behind what the inbox holds: ``pending`` can be asked between any two steps.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections import deque
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from workflow.run.inbox import StacksAsked, Woken

if TYPE_CHECKING:
    from typing_extensions import Self

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Handlers for as long as the context lasts.  In a thread other than the main one it does nothing: it cannot."""

    def __init__(self, inbox: queue.SimpleQueue[object]) -> None:
        self._inbox = inbox
        self._before: list[tuple[signal.Signals, object]] = []
        self._pending: deque[int] = deque()
        self.count = 0
        """Signals that have arrived."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = [(number, signal.signal(number, self._arrived)) for number in HANDLED]
            self._before.append((signal.SIGQUIT, signal.signal(signal.SIGQUIT, self._asked)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            # None stands for a handler that was not installed from Python, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]

    @property
    def pending(self) -> bool:
        """Whether one has arrived that was not taken."""
        return bool(self._pending)

    def take(self) -> list[int]:
        """Those that have arrived since the last call."""
        return [self._pending.popleft() for _ in range(len(self._pending))]

    def request(self, number: int) -> None:
        """Have the run end as by this signal.  From any thread; it never makes this process leave."""
        self.count += 1
        self._pending.append(number)
        self._inbox.put(Woken())

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self._inbox.put(StacksAsked())

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= 3:
            os._exit(128 + number)
        self._pending.append(number)
        self._inbox.put(Woken())
