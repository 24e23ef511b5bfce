"""Facts about processes, and signals to whole trees of them.

A tree is a process and everything below it in the parent chain.  Sessions and process groups do not count: a
grandchild leaves those with one call, while a parent chain can only be left by outliving one's parent, and then the
nearest subreaper above adopts (each worker is one, so what its task started stays below it for as long as it lives).

How a tree is killed: stop a process, list its children, stop those, and so on, until a whole walk finds nobody new;
only then kill, children before parents.  Killing while walking would be shorter, and would lose what a process forks
between its listing and its death.  Children go first because a process group that loses its last parent while it is
stopped is continued by the kernel.  The price is a second walk of a tree that is usually empty.

Facts come from /proc, read afresh each time, so they may be out of date when they return: a caller that keeps a pid
for longer compares ``start_time`` as well.  Systems without /proc (macOS) are served by ``ps_table``, one ``ps`` a
question; that way has been run on Linux only.

The warden and every worker import this module: it needs ``os`` and the C half of ``signal``, nothing else.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal

_ROUNDS_MAX = 64
"""Walks of a tree in search of somebody new; only a fork bomb that outruns SIGSTOP needs more than a few."""
_WALL = 0x40000000
"""Also children whose end is told by another signal than SIGCHLD, or by none."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Children of every thread of a process, zombies included; empty when it is gone."""
    return _list_children()(pid)


def descendants(pid: int) -> list[int]:
    """Everything below a process, parents before their children, zombies included."""
    list_children = _list_children()
    found = {pid: None}
    queue = [pid]
    for parent in queue:  # grows while it is walked
        for child in list_children(parent):
            if child not in found:
                found[child] = None
                queue.append(child)
    return queue[1:]


def has_children() -> bool:
    """Whether this process has children, zombies included; True where the kernel cannot say so at once.

    Where it has none, there is nobody below it: who loses a parent is adopted before the end of that parent is told.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL)
    except ChildProcessError:
        return False
    except (AttributeError, OSError):  # not Linux, or an old one
        return True
    return True


def start_time(pid: int) -> int | None:
    """When a process started, to tell it from a later one with the same pid; None when it is gone.

    Clock ticks since boot from /proc, seconds since the epoch from ``ps``: good for comparing, not for reading.
    """
    if not _has_proc():
        from workflow.engine import ps_table

        return ps_table.start_time(pid)
    stat = _stat(pid)
    return None if stat is None else int(stat[19])


def is_alive(pid: int) -> bool:
    """Whether any thread of a process can still run: a zombie is not alive, a stopped process is."""
    if not _has_proc():
        from workflow.engine import ps_table

        return ps_table.is_alive(pid)
    stat = _stat(pid)
    # A main thread that ended before the others shows as a zombie too: then the count of threads is above one.
    return stat is not None and (stat[0] not in (b"Z", b"X", b"x") or int(stat[17]) > 1)


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped, as by SIGSTOP.  Never told where there is no /proc."""
    stat = _stat(pid) if _has_proc() else None
    return stat is not None and stat[0] in (b"T", b"t")


def table() -> list[tuple[int, int, int, int]]:
    """Every process that is alive: its pid, its parent's, its start time and its user.  Empty without /proc."""
    found = []
    for entry in os.listdir("/proc") if _has_proc() else ():
        if entry.isdecimal():
            stat = _stat(int(entry))
            if stat is None or stat[0] in (b"Z", b"X", b"x"):
                continue
            try:
                found.append((int(entry), int(stat[1]), int(stat[19]), os.stat(f"/proc/{entry}").st_uid))
            except OSError:
                continue  # it has ended meanwhile
    return found


def name(pid: int) -> str:
    """The name that ``ps`` shows of a process; empty when it is gone, or not told."""
    return _read(f"/proc/{pid}/comm").decode(errors="replace").strip()


def environment(pid: int) -> bytes:
    """The environment with which a process was started, as NUL-ended variables; empty when it is kept from us."""
    return _read(f"/proc/{pid}/environ")


def signal_process(pid: int, number: int) -> bool:
    """Send a signal.  False when nobody with this pid is left, or it may not be signalled (a set-uid program).

    Raises ValueError for pids up to 1: to ``kill`` they mean a group, everybody, or init.
    """
    _refuse_special(pid)
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def signal_tree(pid: int, number: int) -> int:
    """Send a signal to a process and everything below it; how many got it.

    The tree is listed before anybody is signalled, for who dies of it takes the way to its children along.  Parents
    come first: nobody should learn of a child's death before its own signal.
    """
    _refuse_special(pid)
    return sum(signal_process(member, number) for member in (pid, *descendants(pid)))


def kill_tree(pid: int, *, keep_root: bool = False) -> int:
    """SIGKILL a process and everything below it; how many were alive besides the process itself.

    With ``keep_root`` the process is only stopped for the duration, and continued after it.  Nobody is reaped: the
    caller, or whoever adopts, does that.  A process that kills its own tree cannot stop itself first: what another
    thread of it starts meanwhile is left to whoever adopts.
    """
    _refuse_special(pid)
    if pid == os.getpid():
        killed = kill_children(pid, frozenset())
        if not keep_root:
            signal_process(pid, _signal.SIGKILL)
        return killed
    signal_process(pid, _signal.SIGSTOP)
    killed = _kill_all(_stop_below(pid, frozenset()))
    signal_process(pid, _signal.SIGCONT if keep_root else _signal.SIGKILL)
    return killed


def kill_children(of_pid: int, spare: frozenset[int]) -> int:
    """SIGKILL everything below a process but who is in ``spare`` or below one of those; how many were alive.

    The process itself runs on: it is meant to call this, after a command ended, for what the command left behind.
    As it adopts the children of whom it kills, it is listed again until nobody alive is left.
    """
    _refuse_special(of_pid)
    killed: set[int] = set()
    for _ in range(_ROUNDS_MAX):
        found = [pid for pid in _stop_below(of_pid, spare) if pid not in killed]
        alive = [pid for pid in found if is_alive(pid)]
        if not alive:
            break
        _kill_all(alive)
        killed.update(alive)
    return len(killed)


def tree_memory(pid: int) -> int:
    """Bytes of memory that a process and everything below it use, pages they share counted once.

    That is the sum of the proportional set sizes: a page shared with a process outside the tree counts by its
    fraction, one that was swapped out not at all.  Where the kernel does not tell it, the resident size stands in.
    """
    return sum(_proportional_bytes(member) for member in (pid, *descendants(pid)))


def tree_memory_exceeds(pid: int, limit: int) -> int | None:
    """The tree's memory in bytes if it is above a limit, else None.

    The resident sizes are asked first, at a tenth of the price: their sum counts shared pages several times, so
    below the limit it is proof.  (The kernel may be late with it by some hundred pages for each processor.)
    """
    members = (pid, *descendants(pid))
    if sum(_resident_bytes(member) for member in members) <= limit:
        return None
    used = sum(_proportional_bytes(member) for member in members)
    return used if used > limit else None


def peak_resident_bytes(pid: int) -> int | None:
    """The largest resident size a process had since its program was loaded; None when it is gone, or not told."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def describe(pid: int) -> str:
    """A process for people: its pid and its command line, cut to 200 characters, without control characters."""
    if _has_proc():
        line = b" ".join(_read(f"/proc/{pid}/cmdline").split(b"\0")).decode(errors="replace").strip()
        if not line:  # a zombie or a thread of the kernel has a name only
            stat = _read(f"/proc/{pid}/stat")
            line = stat[stat.find(b"(") + 1 : stat.rfind(b")")].decode(errors="replace")
    else:
        from workflow.engine import ps_table

        line = ps_table.column(pid, "command") or ""
    if not line:
        return f"{pid} (gone)"
    printable = "".join(character if character.isprintable() else "?" for character in line)
    return f"{pid} ({printable if len(printable) <= 200 else printable[:199] + '…'})"


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11; ``SIGRTMIN+5`` for a real-time signal; ``signal 99`` for what has no name here."""
    if not _signal_names:
        for name in sorted(dir(_signal)):
            if name.startswith("SIG") and not name.startswith("SIG_"):
                _signal_names.setdefault(int(getattr(_signal, name)), name)
        # Numbers with two names keep the one people know.
        for name in ("SIGABRT", "SIGCHLD", "SIGIO"):
            _signal_names[int(getattr(_signal, name))] = name
    if number in _signal_names:
        return _signal_names[number]
    first, last = getattr(_signal, "SIGRTMIN", 0), getattr(_signal, "SIGRTMAX", 0)
    return f"SIGRTMIN+{number - first}" if 0 < first < number < last else f"signal {number}"


_signal_names: dict[int, str] = {}


def _refuse_special(pid: int) -> None:
    if pid <= 1:
        message = f"{pid} is not the pid of one ordinary process"
        raise ValueError(message)


def _stop_below(root: int, spare: frozenset[int]) -> list[int]:
    """Stop everything below a process; parents before their children."""
    found: dict[int, None] = {}
    for _ in range(_ROUNDS_MAX):
        known = len(found)
        list_children = _list_children()
        queue = [root]
        walked = {root}
        for parent in queue:  # grows while it is walked
            for child in list_children(parent):
                if child in spare or child in walked:
                    continue
                walked.add(child)
                queue.append(child)
                if child not in found:
                    found[child] = None
                    signal_process(child, _signal.SIGSTOP)
        if len(found) == known:
            break
    return list(found)


def _kill_all(members: list[int]) -> int:
    """SIGKILL them, children before parents; how many were alive."""
    alive = 0
    for pid in reversed(members):
        alive += is_alive(pid)
        signal_process(pid, _signal.SIGKILL)
    return alive


def _list_children() -> Callable[[int], list[int]]:
    """The best way of this system to list a process's children; one that needs a snapshot takes it here."""
    if not _has_proc():
        from workflow.engine import ps_table

        return _inverted(ps_table.parents())
    if not _kernel_lists_children():
        return _inverted(_parents_by_stat())
    return _children_by_kernel


def _children_by_kernel(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        found.extend(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def _parents_by_stat() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            stat = _stat(int(entry))
            if stat is not None:
                parents[int(entry)] = int(stat[1])
    return parents


def _inverted(parents: dict[int, int]) -> Callable[[int], list[int]]:
    below: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        below.setdefault(parent, []).append(pid)
    return lambda pid: below.get(pid, [])


def _has_proc() -> bool:
    return _exists("/proc/self/stat")


def _kernel_lists_children() -> bool:
    return _exists("/proc/thread-self/children")  # CONFIG_PROC_CHILDREN, Linux 3.5


_known: dict[str, bool] = {}


def _exists(path: str) -> bool:
    if path not in _known:
        _known[path] = os.path.exists(path)
    return _known[path]


def _stat(pid: int) -> list[bytes] | None:
    """Fields of /proc/PID/stat from the third, the state, on; None when the process is gone."""
    # The second field is the program's name in parentheses, and may itself hold parentheses and spaces.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return fields or None


def _resident_bytes(pid: int) -> int:
    if not _has_proc():
        from workflow.engine import ps_table

        return ps_table.resident_bytes(pid)
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _proportional_bytes(pid: int) -> int:
    if _has_proc():
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return _resident_bytes(pid)


def _read(path: str) -> bytes:
    """All of a file of /proc; empty when its process is gone or keeps it from us."""
    # Not open(): its buffers and its decoder cost more than the three calls it stands for.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        text = b""
        while part := os.read(descriptor, 65_536):
            text += part
    except OSError:
        return b""  # it ended between open and read
    finally:
        os.close(descriptor)
    return text
