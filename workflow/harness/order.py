"""What the journal tells about tasks that stood behind others: in which order they began, where, and who was free.

Tasks have *places*, in the order in which they are handed out.  A worker begins what it was sent in that order, so
one that begins a task of an earlier place than one it has begun was sent it later: somebody else had it, and did not
begin it.  That is how a take-back is seen from outside.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workflow.harness import journal
from workflow.harness.journal import Entry


class Wait(NamedTuple):
    """A task had not begun although somebody was free to begin it."""

    task: str
    pid: int
    """The worker that began it in the end."""
    free: frozenset[int]
    """The workers that were free."""
    since_s: float
    until_s: float

    @property
    def took_s(self) -> float:
        """How long that was so."""
        return self.until_s - self.since_s


def waits(entries: Sequence[Entry], places: Mapping[str, int]) -> list[Wait]:
    """For every task that was waiting when a worker was free: for how long both were so.

    A worker is free from the end of a task to the beginning of the next.  A task waits from when one of a later place
    has begun, for then it had been pushed at the latest.
    """
    found: list[Wait] = []
    free: dict[int, float] = {}
    highest: list[int] = []  # the highest place begun so far, each time that it grew, and when
    since_s: list[float] = []
    ordered = sorted(entry for entry in entries if entry.what in (journal.BEGAN, journal.ENDED, journal.FIRED))
    for entry in ordered:
        if entry.what == journal.ENDED:
            free[entry.pid] = entry.at_s
            continue
        if entry.what == journal.BEGAN and entry.task in places:
            place = places[entry.task]
            passed = bisect_right(highest, place)
            if passed < len(highest):
                begin_s = max(since_s[passed], min(free.values(), default=entry.at_s))
                if begin_s < entry.at_s:
                    found.append(Wait(entry.task, entry.pid, frozenset(free), begin_s, entry.at_s))
            else:
                highest.append(place)
                since_s.append(entry.at_s)
        free.pop(entry.pid, None)
    return found


def taken_back(entries: Sequence[Entry], places: Mapping[str, int]) -> list[Entry]:
    """Beginnings of tasks that had been sent to another worker before."""
    found: list[Entry] = []
    highest: dict[int, int] = {}
    for entry in sorted(entries):
        if entry.what == journal.BEGAN and entry.task in places:
            place = places[entry.task]
            if place < highest.get(entry.pid, -1):
                found.append(entry)
            highest[entry.pid] = max(place, highest.get(entry.pid, -1))
    return found


def stood_behind(entries: Sequence[Entry], places: Mapping[str, int], task: str, at_s: float) -> list[Entry]:
    """Beginnings, after that moment, of tasks that had been sent to the worker of ``task`` before it, in a pool of 2.

    The other worker had begun something of a later place by then, so these had been handed out, and not to it.
    """
    begun = [entry for entry in entries if entry.what == journal.BEGAN and entry.task in places]
    highest = max((places[entry.task] for entry in begun if entry.at_s < at_s), default=-1)
    return [entry for entry in begun if entry.at_s > at_s and places[task] < places[entry.task] < highest]
