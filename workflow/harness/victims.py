"""What the faults do, by the id of their kind.  Everything here is something a task should not do.

A victim's value, if it has one, is the result of its task; after one without, the task does its own work.  Each that
hangs stays in a function of its own name, so that a stack can be held to show it.  What it needs is imported by each:
loading all of it would be what is measured.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_LONG_S = 1000
"""For ever, for a test; even if nobody ended it, it would end."""
_SLEEPER = ["sleep", str(_LONG_S)]
_BEYOND = 320 * 1024 * 1024
_PAGE = 4096
_FLOOD = 64 * 1024 * 1024


class Harm(Exception):
    """What a fault raises."""


class Unusual(BaseException):
    """Not an Exception, so ``except Exception`` does not see it."""


class NeedsKeyword(Exception):
    """Its pickle does not come back: the class wants a keyword that the pickle does not give."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


class NeedsTwo(Exception):
    """Its pickle does not come back: the class is called with its text, and wants two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


class RaisingReduce(Exception):
    """It cannot be pickled."""

    def __reduce__(self) -> Any:
        raise Harm("no pickle")


class RaisingStr(Exception):
    """It has no text."""

    def __str__(self) -> str:
        raise Harm("no text")


class HoldsLock(Exception):
    """It has a member that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = lock()


class Trap:
    """Does harm to whoever pickles or unpickles it."""

    def __init__(self, act: Callable[..., object], *arguments: object, now: bool = False) -> None:
        """``now``: at pickling.  Otherwise where it is unpickled."""
        self._act, self._arguments, self._now = act, arguments, now

    def __reduce__(self) -> Any:
        if self._now:
            self._act(*self._arguments)
        return (self._act, self._arguments)


class Deadly:
    """Does harm when it is collected, which is when the task that holds it is over and answered."""

    dies_with_its_task = True

    def __del__(self) -> None:
        import ctypes

        ctypes.string_at(0)


def hang_sleep() -> None:
    time.sleep(_LONG_S)


def hang_gil() -> None:
    sum(range(10**13))


def hang_regex() -> None:
    import re

    re.match(r"(a+)+$", "a" * 60 + "b")


def hang_ignore_term() -> None:
    deaf = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    for number in deaf:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, deaf)
    end = time.monotonic() + _LONG_S
    while time.monotonic() < end:
        time.sleep(_LONG_S)


def hang_swallow() -> None:
    end = time.monotonic() + _LONG_S
    while time.monotonic() < end:
        try:
            time.sleep(_LONG_S)
        except BaseException:  # noqa: BLE001, S112  # that is the fault
            continue


def hang_returns() -> str | None:
    try:
        time.sleep(_LONG_S)
    except BaseException:  # noqa: BLE001  # that is the fault
        return "too late"
    return None


def hang_stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(_LONG_S)


def hang_grandchild() -> None:
    import subprocess

    # Not subprocess.run, which kills what it waits for when it is interrupted.
    os.waitpid(subprocess.Popen(_SLEEPER).pid, 0)


def hang_setsid() -> None:
    import subprocess

    os.waitpid(subprocess.Popen(_SLEEPER, start_new_session=True).pid, 0)


def hang_daemon() -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for descriptor in range(3):
            os.close(descriptor)
        os.execvp(_SLEEPER[0], _SLEEPER)  # noqa: S606  # a shell would be one more process
    os.waitpid(child, 0)
    time.sleep(_LONG_S)


def hang_pipe_held() -> None:
    import subprocess

    subprocess.Popen(_SLEEPER)
    # Long enough to be looked back at: nothing that is over in a millisecond can have forked.
    time.sleep(0.05)


def crash_segv() -> None:
    import ctypes

    ctypes.string_at(0)


def crash_abort() -> None:
    os.abort()


def crash_bus() -> None:
    import mmap

    file = os.memfd_create("victim") if hasattr(os, "memfd_create") else os.open("victim", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, mmap.PAGESIZE)
    page = mmap.mmap(file, mmap.PAGESIZE)
    os.ftruncate(file, 0)
    page[0]


def crash_fpe() -> None:
    signal.raise_signal(signal.SIGFPE)


def crash_sigkill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash_exit() -> None:
    os._exit(0)


def crash_exit_7() -> None:
    os._exit(7)


def crash_exit_3() -> None:
    os._exit(3)


def crash_libc_exit() -> None:
    import ctypes

    ctypes.CDLL(None).exit(0)


def crash_stack() -> None:
    """Through C and back into Python, until the stack is full: no limit of Python's counts that."""
    import ctypes

    sys.setrecursionlimit(2**31 - 1)
    compare: Any = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    sort, items = ctypes.CDLL(None).qsort, (ctypes.c_int * 2)(1, 2)

    def deeper(_left: object, _right: object) -> int:
        sort(items, 2, ctypes.sizeof(ctypes.c_int), again)
        return 0

    again = compare(deeper)
    deeper(None, None)


def crash_sys_exit() -> None:
    sys.exit(0)


def crash_sys_exit_3() -> None:
    sys.exit(3)


def crash_base_exception() -> None:
    raise Unusual("not an Exception")


def raise_generator_exit() -> None:
    raise GeneratorExit


def raise_cancelled() -> None:
    import asyncio

    raise asyncio.CancelledError


def crash_recursion() -> None:
    crash_recursion()


def crash_memory() -> None:
    held = bytearray(_BEYOND)
    held[::_PAGE] = b"1" * len(held[::_PAGE])
    time.sleep(_LONG_S)


def crash_memory_child() -> None:
    import subprocess

    program = (
        f"held = bytearray({_BEYOND}); held[::4096] = b'1' * len(held[::4096]); import time; time.sleep({_LONG_S})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def raise_harm() -> None:
    raise Harm("on purpose")


def raise_needs_keyword() -> None:
    raise NeedsKeyword(code=3)


def raise_needs_two() -> None:
    raise NeedsTwo("one", "two")


def raise_reduce() -> None:
    raise RaisingReduce


def raise_str() -> None:
    raise RaisingStr


def raise_lock() -> None:
    raise HoldsLock


def raise_with_cause() -> None:
    raise ValueError("the effect") from KeyError("the cause")


def raise_with_note() -> None:
    if sys.version_info >= (3, 11):
        error = ValueError("noted")
        error.add_note("the note")
        raise error
    raise_harm()


def raise_group() -> None:
    if sys.version_info >= (3, 11):
        raise ExceptionGroup("a group", [KeyError("a member"), OSError("another")])  # noqa: F821  # not before 3.11
    raise_harm()


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def raise_memory_error() -> None:
    raise MemoryError("on purpose")


def huge() -> bytes:
    return bytes(100 * 1024 * 1024)


def lock() -> object:
    import threading

    return threading.Lock()


def generator() -> Iterator[int]:
    yield 1


def flood() -> None:
    part = (b"\xff\x00\x1b[2J\x1b]0;title\x07" * 4096)[: 1 << 16]
    for _ in range(_FLOOD // len(part)):
        os.write(1, part)


def _open_file() -> object:
    return open(os.devnull)


ACTS: dict[str, Callable[[], object]] = {
    "hang.sleep": hang_sleep,
    "hang.gil": hang_gil,
    "hang.regex": hang_regex,
    "hang.ignore_term": hang_ignore_term,
    "hang.swallow": hang_swallow,
    "hang.returns": hang_returns,
    "hang.stopped": hang_stopped,
    "hang.grandchild": hang_grandchild,
    "hang.setsid": hang_setsid,
    "hang.daemon": hang_daemon,
    "hang.pipe_held": hang_pipe_held,
    "hang.import": hang_sleep,
    "hang.init": hang_sleep,
    "hang.pickle": lambda: Trap(hang_sleep, now=True),
    "hang.unpickle": hang_sleep,
    "crash.segv": crash_segv,
    "crash.abort": crash_abort,
    "crash.bus": crash_bus,
    "crash.fpe": crash_fpe,
    "crash.sigkill": crash_sigkill,
    "crash.exit": crash_exit,
    "crash.exit_7": crash_exit_7,
    "crash.libc_exit": crash_libc_exit,
    "crash.stack": crash_stack,
    "crash.sys_exit": crash_sys_exit,
    "crash.sys_exit.3": crash_sys_exit_3,
    "crash.base_exception": crash_base_exception,
    "crash.base_exception.generator_exit": raise_generator_exit,
    "crash.base_exception.interrupt": raise_interrupt,
    "crash.base_exception.cancelled": raise_cancelled,
    "crash.recursion": crash_recursion,
    "crash.memory": crash_memory,
    "crash.memory_child": crash_memory_child,
    "crash.unpickle_args.raise": raise_harm,
    "crash.unpickle_args.exit": crash_exit_3,
    "crash.unpickle_args.segv": crash_segv,
    "crash.pickle_result.raise": lambda: Trap(raise_harm, now=True),
    "crash.pickle_result.exit": lambda: Trap(crash_exit_3, now=True),
    "crash.pickle_result.segv": lambda: Trap(crash_segv, now=True),
    "crash.unpickle_result.raise": lambda: Trap(raise_harm),
    "crash.unpickle_result.exit": lambda: Trap(crash_exit_3),
    "crash.unpickle_result.segv": lambda: Trap(crash_segv),
    "crash.bad_exception": raise_needs_keyword,
    "crash.bad_exception.init": raise_needs_two,
    "crash.bad_exception.reduce": raise_reduce,
    "crash.bad_exception.str": raise_str,
    "crash.bad_exception.members": raise_lock,
    "crash.bad_exception.cause": raise_with_cause,
    "crash.bad_exception.notes": raise_with_note,
    "crash.bad_exception.group": raise_group,
    "crash.del.argument": Deadly,
    "crash.del": Deadly,
    "payload.huge": huge,
    "payload.unpicklable": lambda: lambda: 0,
    "payload.unpicklable.lock": lock,
    "payload.unpicklable.file": _open_file,
    "payload.unpicklable.generator": generator,
    "payload.flood": flood,
    "callback.raise": raise_harm,
    "callback.exit_raised": crash_sys_exit,
    "callback.interrupt": raise_interrupt,
    "callback.memory_error": raise_memory_error,
    "callback.hang": hang_sleep,
    "callback.gil": hang_gil,
    "callback.exit": lambda: os._exit(1),
    "callback.segv": crash_segv,
    "callback.kill": crash_sigkill,
    "callback.base_exception": crash_base_exception,
    "error_callback.raise": raise_harm,
    "error_callback.reraise": raise_harm,
    "error_callback.base_exception": crash_base_exception,
    "error_callback.exit_raised": crash_sys_exit,
    "error_callback.interrupt": raise_interrupt,
    "error_callback.memory_error": raise_memory_error,
    "callback.missing": raise_harm,
}
"""What each does where it strikes."""


def raise_again(error: BaseException) -> None:
    raise error


IN_CALLBACK: dict[str, Callable[..., object]] = {"error_callback.reraise": raise_again}
"""What some do instead when they strike in a callback: they are given what it was given."""
