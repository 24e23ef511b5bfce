"""Tasks that wait for a worker: higher priority first, first come first served within.

``tasks`` is the truth; the lines hold numbers, and a number that ``tasks`` does not know any more is passed over when
its turn comes.  So taking one task out of a million costs nothing now and one look later.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence

from workflow.scheduler.events import Task


class Backlog:
    """A queue by priority, from which a task can be taken by its number as well."""

    __slots__ = ("_lines", "_order", "ranked", "tasks")

    def __init__(self) -> None:
        self.ranked = False
        """Whether there was ever a task of another priority than 0."""
        self.tasks: dict[int, Task] = {}
        self._lines: dict[int, deque[int]] = {}
        self._order: list[int] = []  # minus the priorities that have a line, so the highest comes first

    def append(self, tasks: Iterable[Task]) -> None:
        """Put these at the end."""
        known = self.tasks
        priority, line = 0, self._line(0)
        for task in tasks:
            if task.priority != priority:
                priority = task.priority
                line = self._line(priority)
            number = task.number
            known[number] = task
            line.append(number)

    def put_back(self, tasks: Sequence[Task]) -> None:
        """Put these at the front, in their order."""
        for task in reversed(tasks):
            self.tasks[task.number] = task
            self._line(task.priority).appendleft(task.number)

    def take(self, count: int, room: int, *, least: int) -> list[Task]:
        """Take up to ``count`` tasks from the front, up to ``room`` bytes, but ``least`` of them if there are any."""
        taken: list[Task] = []
        tasks = self.tasks
        while tasks and len(taken) < count:
            line = self._front()
            while line and len(taken) < count:
                number = line.popleft()
                task = tasks.pop(number, None)
                if task is None:
                    continue
                room -= task.size
                if room < 0 and len(taken) >= least:
                    tasks[number] = task
                    line.appendleft(number)
                    return taken
                taken.append(task)
        return taken

    def first(self) -> tuple[int, int] | None:
        """Where the first task stands: minus its priority, its number.  Less is earlier."""
        if not self.tasks:
            return None
        line = self._front()
        return (self._order[0], line[0])

    def clear(self) -> list[Task]:
        """Take all, in order."""
        return self.take(len(self.tasks), 0, least=len(self.tasks))

    def numbers(self) -> Iterable[int]:
        """What the lines hold, numbers passed over later included."""
        for line in self._lines.values():
            yield from line

    def _line(self, priority: int) -> deque[int]:
        line = self._lines.get(priority)
        if line is None:
            line = self._lines[priority] = deque()
            self.ranked = self.ranked or priority != 0
            insort(self._order, -priority)
        return line

    def _front(self) -> deque[int]:
        """The line that holds the first task, its number at the front; there must be a task."""
        while True:
            line = self._lines[-self._order[0]]
            while line:
                if line[0] in self.tasks:
                    return line
                line.popleft()
            del self._lines[-self._order[0]], self._order[0]
