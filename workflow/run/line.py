"""The tasks that could start, and which of them is the next.

Higher priority first, then the order of the plan.  A task that uses tokens stands in line for them: whoever is in
front of it, by priority and then by how long it has been waiting, and cannot have what it needs yet, keeps everything
that it uses from those behind.  So a task that needs all tokens of a limit gets them when those who run have given
them back, and is not passed for ever by small ones; the price is that tokens may be idle while it waits.  A task that
uses nothing of that is not held up.

Who is to be tried again stands in front of all others, whatever their priority, for the tokens of rates that another
attempt takes: it holds the others that it uses meanwhile, so behind somebody who waits for those it would wait for
ever.  By itself it waits for nothing but time.

Tasks stand in line as runs of numbers that follow each other: a million that could all start at once are one entry.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping

from workflow.plan.tasks import Tasks
from workflow.run.tokens import Tokens

Uses = tuple[tuple[str, int], ...]
_Run = tuple[int, int, int]
"""Priority, negated; the first number; the one behind the last.  What is smaller comes first."""
_Place = tuple[float, int, int, int]
"""The same, with when they came after the priority."""
_FRONT = -math.inf
"""Priority, negated, of who is tried again; behind it, in the place of when it came, its own."""


class Line:
    """Tasks by their numbers, from when they could start until they do."""

    def __init__(self, tasks: Tasks, tokens: Tokens) -> None:
        self._tasks = tasks
        self._tokens = tokens
        self._free: list[_Run] = []  # a heap: they need no tokens
        # Those that use the same have one queue: only its first one can be the next.
        self._queues: dict[Uses, list[_Place]] = {}
        self._came = 0

    def join(self, numbers: Iterable[int]) -> None:
        """Put in tasks that can start as far as their needs are concerned."""
        self._came += 1
        for first, end in _runs(numbers):
            self._put(first, end)

    def rejoin(self, number: int) -> None:
        """Put in a task that is to be tried again."""
        uses, priority = self._tasks.value(number, "uses"), self._tasks.value(number, "priority")
        key = tuple(sorted(self._tokens.of_rates(uses).items()))
        heapq.heappush(self._queues.setdefault(key, []), (_FRONT, -priority, number, number + 1))

    def leave(self, number: int) -> None:
        """Take out a task that was to be tried again, and will not be."""
        for key, queue in self._queues.items():
            rest = [place for place in queue if place[0] != _FRONT or place[2] != number]
            if len(rest) < len(queue):
                self._replace(key, rest)
                return

    def next(self, now: float) -> int | None:
        """Take out the next task that may start, its tokens with it; None if none may."""
        limited = self._first_limited(now)
        if limited is None or (self._free and self._free[0][:2] < (limited[1][0], limited[1][2])):
            if not self._free:
                return None
            priority, start, stop = self._free[0]
            if start + 1 < stop:
                heapq.heapreplace(self._free, (priority, start + 1, stop))
            else:
                heapq.heappop(self._free)
            return start
        key, (ahead, came, start, stop) = limited
        queue = self._queues[key]
        if start + 1 < stop:
            heapq.heapreplace(queue, (ahead, came, start + 1, stop))
        else:
            heapq.heappop(queue)
            if not queue:
                del self._queues[key]
        self._tokens.take(dict(key))
        return start

    def wake_at(self, now: float) -> float | None:
        """When to ask for the next again, though nothing has happened: a token of a rate is back by then."""
        times = [self._tokens.comes_back_at(dict(key)) for key in self._queues]
        return min((max(time, now) for time in times if time is not None), default=None)

    def clear(self) -> None:
        """Forget them all but those that have begun, and are to be tried again."""
        self._free.clear()
        for key in list(self._queues):
            self._replace(key, [place for place in self._queues[key] if place[0] == _FRONT])

    def _replace(self, key: Uses, places: list[_Place]) -> None:
        heapq.heapify(places)
        if places:
            self._queues[key] = places
        else:
            del self._queues[key]

    def _put(self, first: int, end: int) -> None:
        """A run, in the pieces of it whose tasks have one priority and use the same."""
        while first < end:
            group, place = self._tasks.where(first)
            if "priority" in group.shared and "uses" in group.shared:
                priority, uses, stop = group.shared["priority"], group.shared["uses"], first - place + len(group)
            else:
                task = self._tasks[first]
                priority, uses, stop = task.priority, task.uses, first + 1
            stop = min(stop, end)
            if not uses:
                heapq.heappush(self._free, (-priority, first, stop))
            else:
                key = tuple(sorted(uses.items()))
                heapq.heappush(self._queues.setdefault(key, []), (-priority, self._came, first, stop))
            first = stop

    def _first_limited(self, now: float) -> tuple[Uses, _Place] | None:
        if not self._queues:
            return None
        self._tokens.come_back(now)  # of all: what ``wake_at`` knows of lies behind now
        held: set[str] = set()
        for place, key in sorted((queue[0], key) for key, queue in self._queues.items()):
            uses: Mapping[str, int] = dict(key)
            if held.isdisjoint(uses) and self._tokens.fits(uses):
                return key, place
            held.update(uses)
        return None


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers that follow each other, as the first of them and the one behind the last."""
    first = end = -1
    for number in numbers:
        if number != end:
            if first != end:
                yield first, end
            first = number
        end = number + 1
    if first != end:
        yield first, end
