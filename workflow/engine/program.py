"""A program that runs below this process: started, its output passed on, its end noted.

It gets a session of its own, an empty stdin, this process's stderr, and the default action for every signal.  Where
its output is to be kept, its stdout is a pipe, from which all is passed on to descriptor 1 as it comes; that detour
may put it behind what it wrote to stderr later.  Else it is this process's stdout.

Its end is the end of its process, told by a pidfd, never the end of its output: whatever it started may hold the
other end of that pipe for ever.  What is in the pipe at its end still counts; more is not waited for.  Systems without
pidfds are asked every 10 ms.

``posix_spawn`` starts it: as fast as the vfork of ``subprocess``, measured side by side, and a worker that only runs
commands never pays 11 ms for importing that.  Price: nothing of ours can run between fork and exec, so it cannot be
told to die with its worker; who kills the worker kills its tree.
"""

from __future__ import annotations

import os
import select
import sys
import time

from workflow.engine import processes
from workflow.engine.attempt_notes import notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from typing import Any
else:
    import _signal

KEPT_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16  # what a pipe holds, usually
_LOOK_AT_MEMORY_S = 0.4
_POLL_WITHOUT_PIDFD_S = 0.01
# All but the two that have no other action, and the real-time ones, which nobody ignores by accident.
_DEFAULT_SIGNALS = frozenset(range(1, 32)) - {_signal.SIGKILL, _signal.SIGSTOP}


class Program:
    """A program that runs in this process's folder and environment, until it was reaped.

    ``keep`` is whether what it prints is wanted as ``kept`` too.

    Raises OSError when it cannot be started.
    """

    def __init__(self, argv: Sequence[str], *, keep: bool = True) -> None:
        self.kept: list[bytes] = []
        """The beginning of its output, somewhat more than ``KEPT_BYTES`` when there was more."""
        self.size = 0
        """Bytes of all of its output."""
        self.shown = True
        """Whether somebody still takes what is passed on."""
        self.ended = False
        self.largest_seen_bytes = 0
        self.watch: int | None = None
        self.output: int | None = None
        inner = 1
        try:
            if keep:
                self.output, inner = _pipe()
                os.set_blocking(self.output, False)
            self.pid = _spawn(argv, inner)
        except BaseException:
            self.close()
            raise
        finally:
            if inner != 1:
                os.close(inner)
        try:
            self.watch = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, an old kernel, or a sandbox: ask again and again
            self.watch = None

    def follow(self) -> None:
        """Pass its output on until it ended, then note how."""
        poll = select.poll()
        for descriptor in (self.output, self.watch):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        look_at = time.monotonic() + _LOOK_AT_MEMORY_S
        while not self.ended:
            now = time.monotonic()
            if now >= look_at:
                self.largest_seen_bytes = processes.peak_resident_bytes(self.pid) or self.largest_seen_bytes
                look_at = now + _LOOK_AT_MEMORY_S
            wait_s = _POLL_WITHOUT_PIDFD_S if self.watch is None else look_at - now
            ready = [descriptor for descriptor, _ in poll.poll(wait_s * 1000)]
            if self.output in ready and not self._pass_on():
                poll.unregister(self.output)
                closing, self.output = self.output, None
                os.close(closing)
            if self.watch is None or self.watch in ready:
                self._reap()
        self._drain()

    def ask_to_end(self) -> None:
        """SIGTERM to its group, once."""
        if not self.ended:
            try:
                os.killpg(self.pid, _signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                return

    def close(self) -> None:
        """Let go of its output; it may be called again."""
        for descriptor in (self.output, self.watch):
            if descriptor is not None:
                os.close(descriptor)
        self.output = self.watch = None

    def _pass_on(self) -> bool:
        """Read once; False at the end of the output."""
        assert self.output is not None
        try:
            chunk = os.read(self.output, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        if self.size <= KEPT_BYTES:
            self.kept.append(chunk)
        self.size += len(chunk)
        if self.shown:
            self.shown = write_all(1, chunk)
        return bool(chunk)

    def _drain(self) -> None:
        """Take what is in the pipe, and no more: somebody who holds it may be writing without end."""
        for _ in range(KEPT_BYTES // _CHUNK_BYTES):
            before = self.size
            if self.output is None or not self._pass_on() or self.size - before < _CHUNK_BYTES:
                break

    def _reap(self) -> None:
        try:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            message = (
                f"how process {self.pid} ended is not known: something in this worker collects the ends of all its "
                "children, or ignores SIGCHLD; give the task that does so isolate = true"
            )
            self.ended = True
            raise RuntimeError(message) from None
        if pid == 0:
            return
        self.ended = True
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            notes.signal = processes.signal_name(-code)
        else:
            notes.exit_code = code
        notes.cpu_s = usage.ru_utime + usage.ru_stime
        notes.peak_rss_bytes = self._peak_bytes(usage.ru_maxrss)

    def _peak_bytes(self, told: int) -> int | None:
        # What the kernel tells begins at the size of this worker, of which the program was a copy for a moment.  So
        # a figure no higher than our own peak says nothing; what was seen on the way stands in, if it ran for long.
        from resource import RUSAGE_SELF, getrusage

        if told > getrusage(RUSAGE_SELF).ru_maxrss:
            return told if sys.platform == "darwin" else told * 1024
        return self.largest_seen_bytes or None


def _spawn(argv: Sequence[str], output: int) -> int:
    words = list(argv)
    # The bytes that os.environ holds: to decode and encode them all takes a third of the time of a start.
    environment = getattr(os.environ, "_data", os.environ)
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    if output != 1:
        actions.append((os.POSIX_SPAWN_DUP2, output, 1))
    try:
        return os.posix_spawnp(
            words[0], words, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
        )
    except NotImplementedError:  # a libc that cannot: then a group of its own at least
        return os.posix_spawnp(
            words[0], words, environment, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
        )


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not in the place of a standard stream that somebody closed."""
    ends = os.pipe()
    if min(ends) > 2:
        return ends
    import fcntl

    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def write_all(descriptor: int, text: bytes) -> bool:
    """All of it; False when nobody takes it, which is no reason to fail: the result is kept all the same."""
    rest = memoryview(text)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return False
    return True
