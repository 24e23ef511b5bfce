"""The tokens of [limits]: who has them, and when they come back.

A task takes its tokens when it is given to the engine.  Those of a plain limit come back when it has ended.  Those of
a rate come back so long after it *began*, whether it has ended or not: so in any window of that length no more tasks
begin than there are tokens, however long the engine let them wait.  A task that never began gives them back at once.

A task that is tried again keeps its tokens of plain limits, through the wait between its attempts too: what it holds
may be in the state in which the last attempt left it.  Of a rate each attempt takes its own.

Times are given as arguments, on any clock that does not go back.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from workflow.plan.plan import TokenLimit


class Tokens:
    """The tokens of one run."""

    def __init__(self, limits: Mapping[str, TokenLimit]) -> None:
        self._per_s = {name: limit.per_s for name, limit in limits.items() if limit.per_s is not None}
        self._coming: dict[str, list[tuple[float, int]]] = {name: [] for name in self._per_s}
        self.free = {name: limit.tokens for name, limit in limits.items()}

    def come_back(self, now: float) -> None:
        """Take in what time it is: tokens of rates are there again."""
        for name, coming in self._coming.items():
            while coming and coming[0][0] <= now:
                self.free[name] += heapq.heappop(coming)[1]

    def fits(self, uses: Mapping[str, int]) -> bool:
        """Whether all of these could be taken."""
        return all(self.free[name] >= count for name, count in uses.items())

    def of_rates(self, uses: Mapping[str, int]) -> dict[str, int]:
        """Those that each attempt takes anew."""
        return {name: count for name, count in uses.items() if name in self._per_s}

    def take(self, uses: Mapping[str, int]) -> None:
        """Take what ``fits``."""
        for name, count in uses.items():
            self.free[name] -= count
            assert self.free[name] >= 0, f"more of {name!r} was taken than there is"

    def began(self, uses: Mapping[str, int], at: float) -> None:
        """Take in that an attempt for which these were taken began."""
        for name, count in uses.items():
            if name in self._per_s:
                heapq.heappush(self._coming[name], (at + self._per_s[name], count))

    def ended(self, uses: Mapping[str, int], *, began: bool) -> None:
        """Take in that the task which took these ended; whether the attempt they were taken for last began."""
        for name, count in uses.items():
            if name not in self._per_s or not began:
                self.free[name] += count

    def comes_back_at(self, uses: Mapping[str, int]) -> float | None:
        """When the next token of a rate among these will be back; None if of none it is known."""
        times = [self._coming[name][0][0] for name in uses if self._coming.get(name)]
        return min(times, default=None)
