"""What is done to a run from outside: a signal, to a part of it, at a moment.  As data, and the one who does it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from workflow.harness import journal
from workflow.harness.census import Census
from workflow.harness.evidence import Struck


class When(NamedTuple):
    """The moment: ``delay_s`` after the ``count``-th entry of this kind in the journal."""

    what: str = journal.BEGAN
    """``began``, ``ended``, ``fired`` or ``callback`` as in the journal; ``start`` for the start of the run's process,
    ``handled`` for when that has installed handlers for signals, ``made`` for when the run has a folder, ``engine`` for
    when its warden is there, ``reported`` for when the run has written its report, ``children`` for when tasks have so
    many processes alive at once."""
    task: str = "*"
    """A glob over task ids; for ``children``, over their command lines."""
    count: int = 1  # type: ignore[assignment]  # hides tuple's method, which nobody wants of a moment
    delay_s: float = 0.0


class Blow(NamedTuple):
    """One signal."""

    signal: str
    """Such as ``SIGKILL``."""
    role: str
    """``parent``, ``guardian``, ``warden``, ``dispatcher``, ``template``, ``worker`` (one), ``workers`` (all),
    ``idle workers`` (all that are in the middle of nothing), ``worker of ID`` (the one that began that task last),
    ``task`` (one of the processes that tasks started), ``group`` (the process group of the run, as a terminal does it)
    or ``engine`` (everything but the parent)."""
    when: When = When()
    continue_after_s: float | None = None
    """After a SIGSTOP: when SIGCONT follows; None: never."""
    pick: float = 0.0
    """Which of several in this role: 0 is the one seen first, just below 1 the one seen last."""


class Striker:
    """Does to one run what was planned, as the moments come."""

    def __init__(self, blows: Sequence[Blow], census: Census, root: int, report: Path) -> None:
        """``root`` is the run's own process; ``report`` is where it will write its report."""
        self._waiting: list[tuple[Blow, float | None]] = [(blow, None) for blow in blows]
        self._census = census
        self._root = root
        self._report = report
        self._began_s = time.monotonic()
        self._continue: list[tuple[float, int, str]] = []
        self.struck: list[Struck] = []

    def act(self, entries: Sequence[journal.Entry]) -> None:
        """Strike whatever is due now."""
        now = time.monotonic()
        over = [each for each in self._continue if each[0] <= now]
        for each in over:
            self._continue.remove(each)
            self._send(each[1], each[2], "SIGCONT")
        waiting: list[tuple[Blow, float | None]] = []
        moments: dict[When, float | None] = {}  # once for all who wait for it, so that their order is kept
        for blow, due_s in self._waiting:
            if due_s is None and blow.when not in moments:
                moments[blow.when] = self._due(blow.when, entries)
            due = moments[blow.when] if due_s is None else due_s
            if due is None or now < due or not self._strike(blow, entries):
                waiting.append((blow, due))
        self._waiting = waiting

    @property
    def next_s(self) -> float | None:
        """When something is due whose moment is known already."""
        known = [due for _, due in self._waiting if due is not None] + [due for due, _, _ in self._continue]
        return min(known, default=None)

    def missed(self) -> list[str]:
        """What could not be done, now that the run is over."""
        return [f"{blow.signal} to {blow.role} at {blow.when.what} {blow.when.task}" for blow, _ in self._waiting]

    def _due(self, when: When, entries: Sequence[journal.Entry]) -> float | None:
        if when.what == "start":
            return self._began_s + when.delay_s
        if when.what == "handled":
            return time.monotonic() + when.delay_s if self._census.catches(self._root, signal.SIGHUP) else None
        if when.what == "made":
            return time.monotonic() + when.delay_s if self._report.parent.exists() else None
        if when.what == "reported":
            return time.monotonic() + when.delay_s if self._report.exists() else None
        if when.what == "engine":
            return time.monotonic() + when.delay_s if self._census.of_role("warden") else None
        if when.what == "children":
            alive = [seen for seen in self._census.look() if seen.role == "task"]
            there = sum(fnmatchcase(seen.command, when.task) for seen in alive)
            return time.monotonic() + when.delay_s if there >= when.count else None
        found = [e for e in entries if e.what == when.what and fnmatchcase(e.task, when.task)]
        return found[when.count - 1].at_s + when.delay_s if len(found) >= when.count else None

    def _strike(self, blow: Blow, entries: Sequence[journal.Entry]) -> bool:
        if blow.role == "group":
            self._note(time.monotonic(), "group", self._root, blow.signal)
            os.killpg(self._root, _number(blow.signal))
            return True
        hit = [(pid, role) for pid, role in self._targets(blow, entries) if self._send(pid, role, blow.signal)]
        if blow.continue_after_s is not None:
            again_s = time.monotonic() + blow.continue_after_s
            self._continue += [(again_s, pid, role) for pid, role in hit]
        return bool(hit)

    def _targets(self, blow: Blow, entries: Sequence[journal.Entry]) -> list[tuple[int, str]]:
        """Pids, each with the role it has."""
        role = blow.role
        if role == "parent":
            return [(self._root, role)]
        alive = self._census.look()
        if role.startswith("worker of "):
            task = role.removeprefix("worker of ")
            pids = [e.pid for e in entries if e.task == task and e.what in (journal.BEGAN, journal.FIRED)]
            return [(pid, "worker") for pid in pids[-1:] if any(seen.pid == pid for seen in alive)]
        if role == "engine":
            # From the top, or those above would end those below before they are struck.
            order = ("guardian", "warden", "template", "dispatcher", "worker")
            return [(seen.pid, name) for name in order for seen in alive if seen.role == name]
        if role == "workers":
            return [(seen.pid, seen.role) for seen in alive if seen.role == "worker"]
        if role == "idle workers":
            latest = {e.pid: e.what for e in entries}
            busy = {pid for pid, what in latest.items() if what in (journal.BEGAN, journal.FIRED)}
            return [(seen.pid, seen.role) for seen in alive if seen.role == "worker" and seen.pid not in busy]
        pids = [seen.pid for seen in alive if seen.role == role]
        return [(pids[int(blow.pick * len(pids))], role)] if pids else []

    def _send(self, pid: int, role: str, name: str) -> bool:
        """Whether there was somebody to get it."""
        # The time before, not after: on a busy machine what follows from a blow may be noted before we go on.
        at_s = time.monotonic()
        try:
            os.kill(pid, _number(name))
        except ProcessLookupError:
            return False
        self._note(at_s, role, pid, name)
        return True

    def _note(self, at_s: float, role: str, pid: int, name: str) -> None:
        self.struck.append(Struck(at_s, role, pid, name))


def _number(name: str) -> int:
    return int(getattr(signal, name))
