"""How often something that died is started again before that is a reason to end: all the numbers, in one place.

The rule is the same for all: so many deaths, each within a while of the one before, and nothing achieved in between.
What counts as achieved differs and is said here; a crash of a task is never counted, for it is that task's outcome.
"""

from __future__ import annotations

STARTS_MAX = 5
"""Workers that could not be started, or died before they were ready, in a row without a sign of life of any."""
IDLE_DEATHS_MAX = 30
"""Times that workers died which were ready and did nothing, without an attempt of a task being begun by any."""
DISPATCHERS_MAX = 10
"""Dispatchers that died without an attempt, a task or a callback having ended meanwhile."""
TEMPLATES_MAX = 5
"""Processes for preloading that died without having forked a worker."""
CALM_S = 30.0
"""So long after a death the next one is the first again: whoever lived that long did not die of being started."""

START_S = 30.0
"""What a worker gets to become ready, before it counts as one that died."""
INITIALIZER_S = 120.0
"""What the initializer of an executor's workers gets at least, when its calls have a limit."""
PRELOAD_S = 120.0
"""What the imports of a template get."""
FORK_S = 10.0
"""What a template gets to fork a worker, before it is replaced."""


class Restarts:
    """Counts the deaths of one kind.  Pure: who tells it of them says when they were."""

    __slots__ = ("_count", "_last", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._last = float("-inf")

    def achieved(self) -> None:
        """Something came of it: begin to count anew."""
        self._count = 0

    def died(self, now: float) -> bool:
        """One died.  True when it is not to be started again."""
        if now - self._last > CALM_S:
            self._count = 0
        self._last = now
        self._count += 1
        return self._count >= self._most
