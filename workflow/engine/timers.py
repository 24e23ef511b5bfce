"""Things to do later, in a process that must not wait for any of them."""

from __future__ import annotations

import time
from heapq import heappop, heappush
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Actions with a time, on the monotonic clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()

    def after(self, seconds: float, action: Callable[[float], None]) -> None:
        """Call ``action`` with the time when so many seconds are over."""
        heappush(self._heap, (time.monotonic() + seconds, next(self._order), action))

    def next(self) -> float | None:
        """When the first is due."""
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Call those that are due, in the order of their times."""
        while self._heap and self._heap[0][0] <= now:
            heappop(self._heap)[2](now)
