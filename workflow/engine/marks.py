"""The mark of an engine: a variable in the environment of all its processes that names the program it belongs to.

The warden and the guardian end whatever the tasks started, also what left its session and its parents.  When both are
killed in one instant nobody is left to do it; but what a process started inherits its environment, and the kernel
shows that to whoever may.  So the program itself, when it outlived them, and later the next run or ``workflow
doctor`` find by their marks whom nobody looks after any more.

A mark names the program exactly: the boot, the namespaces in which its number and its start time count, its user, its
number and its start time.  Whom to end is decided by a pure function, and only for a program that is provably gone:
a mark of another boot, namespace or user says nothing to us.

It does not find a process whose environment was cleared or overwritten, which is why it is not the first means.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from workflow.engine import processes
from workflow.failpoints import HARNESS_VARIABLE

if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

NAME = "WORKFLOW_MARK"

_ROUNDS_MAX = 64
"""Looks at all processes in search of one that was started meanwhile."""
_DEATH_S = 2.0
"""What the kernel gets to end those that were killed: who asked may count on it."""
_PID_MAX = 2**31 - 1
_numbers = itertools.count(1)


class Here(NamedTuple):
    """Where this process is: numbers and start times mean the same to all that share it."""

    boot: str
    namespaces: str
    uid: int


class Mark(NamedTuple):
    """Which engine a process belongs to."""

    here: Here
    pid: int
    """The program's."""
    start: int
    """When it was started, as ``processes.start_time`` has it."""
    engine: int
    """Of the several a program may start."""

    def text(self) -> str:
        """The value of the variable."""
        return "/".join(map(str, (*self.here, self.pid, self.start, self.engine)))


class Seen(NamedTuple):
    """A process that was alive when it was looked at."""

    pid: int
    parent: int
    start: int | None
    """None when it could not be looked at closely; that it is there is known."""
    uid: int
    mark: Mark | None
    guards: bool = False
    """Whether it is a guardian or a warden that can act: what bears its mark is being ended by it."""


class Ended(NamedTuple):
    """A process that was killed by its mark."""

    pid: int
    what: str
    """Its number and its command line."""
    program: int
    """Who had it started, by its number; that one is gone."""


def parse(text: str) -> Mark | None:
    """The mark with this text; None when it is none."""
    words = text.split("/")
    if len(words) != 6:
        return None
    try:
        mark = Mark(Here(words[0], words[1], int(words[2])), int(words[3]), int(words[4]), int(words[5]))
    except ValueError:
        return None
    # Anybody may write anything there, and to the kernel some numbers mean everybody, and some nothing at all.
    return mark if 0 < mark.pid <= _PID_MAX else None


def new_mark() -> Mark | None:
    """A mark for a new engine of this process; None where marks cannot be found again."""
    here = where()
    start = processes.start_time(os.getpid())
    return None if here is None or start is None else Mark(here, os.getpid(), start, next(_numbers))


def where() -> Here | None:
    """Where this process is; None without /proc, or when that shows the processes of another namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        # Start times are shifted by the time namespace.
        namespaces = "+".join(_namespace(name) for name in ("pid", "time"))
    except OSError:
        return None
    return Here(boot, namespaces, os.geteuid())


def leftovers(table: Sequence[Seen], here: Here, me: int) -> list[Seen]:
    """Who of these is left of a program that is gone.

    That is who bears a mark, made here and for this user, of a program that is not in the table and of an engine that
    has nobody to end it, and whoever without a mark is below one; never this process (``me``) or one above it.
    """
    starts = {seen.pid: seen.start for seen in table}
    guarded = {seen.mark for seen in table if seen.guards}

    def is_left(seen: Seen) -> bool:
        mark = seen.mark
        if mark is None or mark in guarded or mark.here != here or seen.uid != here.uid or seen.start is None:
            return False
        return mark.pid not in starts or starts[mark.pid] not in (mark.start, None)

    return _with_unmarked_below(table, here, me, filter(is_left, table))


def bearers(table: Sequence[Seen], mark: Mark, me: int) -> list[Seen]:
    """Who of these bears this mark, and whoever without a mark is below one."""
    found = [seen for seen in table if seen.mark == mark and seen.uid == mark.here.uid and seen.start is not None]
    return _with_unmarked_below(table, mark.here, me, found)


def _with_unmarked_below(table: Sequence[Seen], here: Here, me: int, roots: Iterable[Seen]) -> list[Seen]:
    by_pid = {seen.pid: seen for seen in table}
    below: dict[int, list[Seen]] = {}
    for seen in table:
        below.setdefault(seen.parent, []).append(seen)
    spared = set()
    above = by_pid.get(me)
    while above is not None and above.pid not in spared:
        spared.add(above.pid)
        above = by_pid.get(above.parent)
    found = {seen.pid: seen for seen in roots if seen.pid not in spared}
    queue = list(found.values())
    for seen in queue:  # grows while it is walked
        for child in below.get(seen.pid, ()):
            unmarked = child.mark is None and child.uid == here.uid and child.start is not None
            if unmarked and child.pid not in found and child.pid not in spared:
                found[child.pid] = child
                queue.append(child)
    return [seen for seen in queue if seen.pid > 1]


def end_leftovers() -> list[Ended]:
    """Kill what is left of programs that are gone, and say who it was."""
    here = where()
    if here is None:
        return []
    return _end(lambda table: leftovers(table, here, os.getpid()), is_gone)


def end_bearers(mark: Mark) -> list[Ended]:
    """Kill every process of an engine of this program."""
    if where() != mark.here:
        return []
    return _end(lambda table: bearers(table, mark, os.getpid()), lambda _mark: True)


def end_marked(name: str, value: str) -> list[Ended]:
    """Kill every process of this user that has this variable in its environment, and whoever without a mark is below.

    It is for marks of another kind, which are this one's value and nobody else's.
    """
    here = where()
    if here is None:
        return []
    variable = f"{name}={value}".encode()

    def choose(table: Sequence[Seen]) -> list[Seen]:
        found = [
            seen
            for seen in table
            if seen.uid == here.uid
            and seen.start is not None
            and variable in processes.environment(seen.pid).split(b"\0")
        ]
        return _with_unmarked_below(table, here, os.getpid(), found)

    return _end(choose, lambda _mark: True)


def look() -> list[Seen]:
    """All processes that are alive, and those that the marks name."""
    table = [
        Seen(pid, parent, start, uid, _mark_of(pid) if uid == os.geteuid() else None, _guards(pid))
        for pid, parent, start, uid in processes.table()
    ]
    listed = {seen.pid for seen in table}
    # One who was started while we were listing, or is hidden from us, is there all the same.
    named = {seen.mark.pid for seen in table if seen.mark is not None} - listed
    return table + [Seen(pid, 0, processes.start_time(pid), -1, None) for pid in named if _may_live(pid)]


def _end(choose: Callable[[Sequence[Seen]], list[Seen]], may_end: Callable[[Mark], bool]) -> list[Ended]:
    """Stop those chosen, look again for what they started before, and kill all of them only then."""
    stopped: dict[int, Seen] = {}
    ended: list[Ended] = []
    for _ in range(_ROUNDS_MAX):
        new = [seen for seen in choose(look()) if seen.pid not in stopped]
        if not new:
            break
        for seen in new:
            if (seen.mark is None or may_end(seen.mark)) and processes.start_time(seen.pid) == seen.start:
                what = processes.describe(seen.pid)
                processes.signal_process(seen.pid, _signal.SIGSTOP)
                ended.append(Ended(seen.pid, what, 0 if seen.mark is None else seen.mark.pid))
            stopped[seen.pid] = seen
    for one in reversed(ended):
        if processes.start_time(one.pid) == stopped[one.pid].start:
            processes.signal_process(one.pid, _signal.SIGKILL)
    until = time.monotonic() + _DEATH_S
    while any(processes.is_alive(one.pid) for one in ended) and time.monotonic() < until:
        time.sleep(0.001)
    return ended


def is_gone(mark: Mark) -> bool:
    """Whether the program is gone now, however old the table is by which it was missed."""
    return not _may_live(mark.pid) or processes.start_time(mark.pid) not in (mark.start, None)


def _may_live(pid: int) -> bool:
    """Whether there is a process with this number that is no zombie, or is hidden from us."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False  # or it is no number that a process can have
    except OSError:
        return True  # somebody else's
    return processes.is_alive(pid) or processes.start_time(pid) is None


def _guards(pid: int) -> bool:
    return processes.name(pid) in ("wf-guardian", "wf-warden") and not processes.is_stopped(pid)


def _mark_of(pid: int) -> Mark | None:
    environment = processes.environment(pid).split(b"\0")
    text = _value(environment, NAME)
    if text is None or not _is_ours_to_judge(_value(environment, HARNESS_VARIABLE)):
        return None
    return parse(text)


def _is_ours_to_judge(experiment: str | None) -> bool:
    """Whether nobody else counts what is left of a run: an experiment of the harness ends, and counts, its own."""
    if experiment is None or experiment == os.environ.get(HARNESS_VARIABLE):
        return True
    harness = experiment.partition("-")[0]
    return not (harness.isdecimal() and _may_live(int(harness)))


def _value(environment: list[bytes], name: str) -> str | None:
    prefix = name.encode() + b"="
    for variable in environment:
        if variable.startswith(prefix):
            return variable[len(prefix) :].decode(errors="replace")
    return None


def _namespace(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/ns/{name}")
    except FileNotFoundError:  # a kernel without time namespaces
        return "none"
