"""Who was alive when: the processes of a run, watched from outside.

A process belongs to the run when the run's mark stands in its environment, which a child inherits through any fork,
exec, session and change of parent, or when its parent belonged to it.  Only one that has lost both, by clearing its
environment and outliving its parent between two looks, escapes.  Processes are told apart by pid and start time, so
a pid that was given away again is somebody else.

Facts come from /proc; the census is taken by one thread at every ``LOOK_S``, so what it says of an end is late by at
most that much, and never early.

At every look each process of the engine is also asked what it holds, and for how long it has stood ready without being
given a processor.  The latter is what a loaded machine adds to everything the engine does: where a bound is shorter
than such a machine may take, that much is not the engine's (see ``withheld_s``).
"""

from __future__ import annotations

import mmap
import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

LOOK_S = 0.02

_ROLES = {f"wf-{role}": role for role in ("guardian", "warden", "dispatcher", "template", "worker", "cleaner")}
SHARED_MEMORY = "/dev/shm"  # noqa: S108  it is looked at, not written to
_NAMED_S = 0.1
"""For so long after it was first seen, the command of a process is looked at again: it may be about to exec."""
_LOOKS = 3
"""Looks after which a process without the mark is nobody's: in the middle of an exec it has no environment."""
_TRUST_LOOKS = 10
"""Looks for which the pid of such a process is not looked at again: there are many of them, and it cannot be given
away again so soon."""


class Sighting(NamedTuple):
    """One process of the run."""

    pid: int
    start: int
    """Its start time, in ticks since boot: with the pid, who it is."""
    role: str
    """``parent``, ``guardian``, ``warden``, ``dispatcher``, ``template``, ``worker``, ``cleaner``; ``task`` for what
    tasks start."""
    parent: int
    """Pid of its parent when it was first seen."""
    worker: int
    """Pid of the worker in whose tree it was first seen; its own for a worker, 0 for the others."""
    command: str
    first_s: float
    """When it was first seen, monotonic."""
    last_s: float
    """When it was last seen alive."""


class Sample(NamedTuple):
    """What one process of the engine held at one moment."""

    at_s: float
    """Monotonic."""
    pid: int
    role: str
    descriptors: int
    threads: int
    resident_bytes: int
    zombies: int
    """Children that have ended and were not reaped."""
    waited_s: float
    """How long its threads have stood ready to run, and did not, since they began; 0 where the kernel does not tell."""
    stopped: bool = False
    """Whether it was stopped, as by SIGSTOP."""


def withheld_s(samples: Sequence[Sample], pids: Collection[int], since_s: float, until_s: float) -> float:
    """How long these processes, taken together, stood ready in that time and were given no processor.

    Counted from the last look before it to the first look after it, so it is rather too much than too little.
    """
    sum_s = 0.0
    for pid in pids:
        own = [sample for sample in samples if sample.pid == pid]
        before = [sample.waited_s for sample in own if sample.at_s <= since_s] or [s.waited_s for s in own[:1]]
        after = [sample.waited_s for sample in own if sample.at_s >= until_s] or [s.waited_s for s in own[-1:]]
        if own:
            sum_s += max(0.0, after[0] - before[-1])
    return sum_s


class Census:
    """The processes of one run, identified by ``NAME=VALUE`` in their environment."""

    def __init__(self, mark: str, root: int) -> None:
        """``root`` is the run's own process, the parent of the engine."""
        self._mark = mark.encode()
        self._root = root
        self._seen: dict[tuple[int, int], Sighting] = {}
        self._strangers: dict[tuple[int, int], int] = {}  # how often they were looked at
        self._passed_over: set[int] = set()
        self._looks = 0
        self._own = os.getpid()
        self._shared_before = _shared_memory()
        self.shared: set[str] = set()
        """Names in shared memory that came while it ran and that one of its processes had open, or mapped."""
        self.samples: list[Sample] = []

    def look(self) -> list[Sighting]:
        """See who is alive now."""
        now = time.monotonic()
        alive, engine = [], []
        zombies: Counter[int] = Counter()
        members = {seen.pid: seen for seen in self._seen.values()}  # of one pid, the latest
        self._looks += 1
        if self._looks % _TRUST_LOOKS == 0:
            self._passed_over.clear()
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            pid = int(name)
            if pid in self._passed_over or pid == self._own:
                continue
            stat = _stat(pid)
            if stat is None:
                continue
            identity = (pid, int(stat.fields[19]))
            if not stat.alive:
                zombies[int(stat.fields[1])] += 1
                continue
            if self._strangers.get(identity, 0) >= _LOOKS:
                self._passed_over.add(pid)
                continue
            seen = self._seen.get(identity)
            if seen is None:
                parent = int(stat.fields[1])
                if not self._is_marked(pid) and parent not in members:
                    self._strangers[identity] = self._strangers.get(identity, 0) + 1
                    continue
                seen = Sighting(*identity, "task", parent, 0, "", now, now)
            seen = self._seen[identity] = members[pid] = self._described(seen, stat.name, members, now)
            alive.append(seen)
            if seen.role != "task":
                engine.append((seen, stat))
        for seen, stat in engine:
            self.samples.append(_sample(seen, stat, zombies[seen.pid]))
        news = _shared_memory() - self._shared_before - self.shared
        if news:  # nobody says who made a piece of shared memory, and other programs make some too
            self.shared |= {name for name in news for seen in alive if _has_open(seen.pid, f"{SHARED_MEMORY}/{name}")}
        return alive

    def shared_left(self) -> list[str]:
        """What of the shared memory that it used is still there."""
        return sorted(self.shared & _shared_memory())

    def of_role(self, role: str) -> list[int]:
        """Pids of those alive in this role, at this moment."""
        return [seen.pid for seen in self.look() if seen.role == role]

    def catches(self, pid: int, number: int) -> bool:
        """Whether it has a handler for that signal."""
        for line in _read(f"/proc/{pid}/status").split(b"\n"):
            if line.startswith(b"SigCgt:"):
                return bool(int(line.partition(b":")[2], 16) >> (number - 1) & 1)
        return False

    def sightings(self) -> tuple[Sighting, ...]:
        """All that were ever seen, in the order in which they were."""
        return tuple(self._seen.values())

    def _described(self, seen: Sighting, name: str, members: dict[int, Sighting], now: float) -> Sighting:
        """What is known of it now.  A fork is named a moment after it was made, so its role is looked at again."""
        role, worker, command = seen.role, seen.worker, seen.command
        if seen.pid == self._root:
            role = "parent"
        elif name in _ROLES:
            # A child that a task forks has its worker's name; it is a worker only as a child of the engine's.
            above = members.get(seen.parent)
            forked = _ROLES[name] == "worker" and above is not None and above.role in ("worker", "task")
            role = "task" if forked else _ROLES[name]
        if role == "worker":
            worker = seen.pid
        elif role == "task" and not worker:
            above = members.get(seen.parent)
            worker = above.worker if above is not None else 0
        if not command or seen.last_s - seen.first_s < _NAMED_S:
            command = _command(seen.pid) or name
        return seen._replace(role=role, worker=worker, command=command, last_s=now)

    def _is_marked(self, pid: int) -> bool:
        return self._mark in _read(f"/proc/{pid}/environ").split(b"\0")


def start_of(pid: int) -> int | None:
    """When that process was started, in ticks since boot; None when it is not alive."""
    stat = _stat(pid)
    return int(stat.fields[19]) if stat is not None and stat.alive else None


def _shared_memory() -> set[str]:
    try:
        return set(os.listdir(SHARED_MEMORY))
    except OSError:
        return set()


def _has_open(pid: int, path: str) -> bool:
    """Mapped or open, or something in it is.

    By the inode: a named semaphore is mapped under the name that it had when it was made.
    """
    try:
        status = os.stat(path)
    except OSError:
        return False
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    if f" {device} {status.st_ino} ".encode() in _read(f"/proc/{pid}/maps"):
        return True
    try:
        opened = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(name == path or name.startswith(f"{path}/") for name in opened)


class _Stat(NamedTuple):
    name: str
    fields: list[bytes]
    """From the third of /proc/PID/stat on."""

    @property
    def alive(self) -> bool:
        """Whether any thread of it can run: a main thread that ended before the others shows as a zombie too."""
        return self.fields[0] not in (b"Z", b"X", b"x") or int(self.fields[17]) > 1


def _stat(pid: int) -> _Stat | None:
    before, _, after = _read(f"/proc/{pid}/stat").rpartition(b")")
    fields = after.split()
    return _Stat(before.partition(b"(")[2].decode(errors="replace"), fields) if fields else None


def _sample(seen: Sighting, stat: _Stat, zombies: int) -> Sample:
    threads, pages = int(stat.fields[17]), int(stat.fields[21])
    descriptors, waited_ns = 0, 0
    try:
        descriptors = len(os.listdir(f"/proc/{seen.pid}/fd"))
        for thread in os.listdir(f"/proc/{seen.pid}/task"):
            waited_ns += int((_read(f"/proc/{seen.pid}/task/{thread}/schedstat").split() or [b"", b"0"])[1])
    except OSError:
        pass  # it has ended in this moment
    resident = pages * mmap.PAGESIZE
    stopped = stat.fields[0] == b"T"
    return Sample(seen.last_s, seen.pid, seen.role, descriptors, threads, resident, zombies, waited_ns / 1e9, stopped)


def _command(pid: int) -> str:
    words = _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
    return words[:120]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
