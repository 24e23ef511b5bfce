"""How fast tasks end, as far as it is known by now."""

from __future__ import annotations

_WINDOW_S = 0.25


class Pace:
    """Counts endings, in windows of a quarter of a second.  Times are given to it."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0
        self._per_s = 0.0

    def ended(self, now: float) -> None:
        """Take in that a task ended."""
        self._turn(now)
        self._count += 1

    def within(self, seconds: float, now: float) -> int:
        """Answer how many end in so many seconds."""
        self._turn(now)
        return int(self._per_s * seconds)

    def _turn(self, now: float) -> None:
        """Begin a new window where one is over; of one that was much too long little is known."""
        passed = now - self._since
        if passed >= _WINDOW_S:
            self._per_s = self._count / passed
            self._since, self._count = now, 0
