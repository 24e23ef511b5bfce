"""What can be injected into a task, and what must come of it: the kinds of faults, as values.

A kind says at which stage of the task's way it strikes.  What it does there is in ``victims``, under the same id.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

Stage = Literal["path", "import", "arguments", "init", "run", "result", "callback", "error_callback"]
CODE = frozenset({"module", "call"})
"""Kinds of tasks that run Python code of the user's."""
ALL = frozenset({"module", "call", "cmd", "shell"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One way for a task to go wrong."""

    id: str
    what: str
    """What it does, for people."""
    outcome: str
    """Of the attempt that it strikes; where the task is not tried again, of the task."""
    stage: Stage = "run"
    """Where it strikes; ``path`` is the name of what runs, ``result`` the pickling of what it returns."""
    tasks: frozenset[str] = ALL
    """Kinds of tasks it can apply to."""
    callback: str | None = None
    """The outcome of the callback that it makes go wrong; None for a fault of the task itself."""
    callback_error: str | None = None
    """Type of the error that is told of that callback."""
    signal: str | None = None
    exit_code: int | None = None
    error: str | None = None
    """Type of the error that is told."""
    says: str = ""
    """Part of its message."""
    stack: str = ""
    """Part of the stack that is told."""
    traceback: str = ""
    """Part of the traceback that is told."""
    left: int = 0
    """Processes that are told to have been left behind."""
    memory: int | None = None
    """Limit to be set on the task, in bytes; the fault is to go beyond it."""

    @property
    def hangs(self) -> bool:
        """Whether it lasts until the task's time limit."""
        return self.outcome == "timed_out"


def _hang(name: str, what: str, *, stack: str = "", **more: object) -> Kind:
    return Kind(f"hang.{name}", what, "timed_out", stack=stack or f"in hang_{name}", **more)  # type: ignore[arg-type]


def _crash(name: str, what: str, *, signal: str | None = None, **more: object) -> Kind:
    return Kind(f"crash.{name}", what, "crashed", signal=signal, **more)  # type: ignore[arg-type]


def _fails(id_: str, what: str, error: str, **more: object) -> Kind:
    return Kind(id_, what, "failed", error=error, **more)  # type: ignore[arg-type]


def _callback(name: str, what: str, outcome: str, error: str) -> Kind:
    return Kind(f"callback.{name}", f"its callback {what}", "succeeded", "callback", callback=outcome,
                callback_error=error)  # fmt: skip


def _error_callback(name: str, what: str, error: str) -> Kind:
    return Kind(f"error_callback.{name}", f"it fails, and its error_callback raises {what}", "failed",
                "error_callback", callback="failed", callback_error=error, error=error)  # fmt: skip


_MiB = 1024 * 1024
_OURS = "workflow.harness.victims."
_GROUPS = sys.version_info >= (3, 11)
"""Whether exceptions come in groups and carry notes; where not, these kinds raise something plain."""

_KINDS = (
    _hang("sleep", "sleeps for ever"),
    _hang("gil", "a C loop that never lets go of the GIL"),
    _hang("regex", "a catastrophic regular expression"),
    _hang("ignore_term", "ignores and blocks SIGTERM, SIGINT, SIGUSR1 and SIGUSR2"),
    _hang("swallow", "swallows whatever is raised in it, in a loop"),
    _hang("returns", "hangs, and returns a result when it is ended"),
    _hang("stopped", "stops itself with SIGSTOP"),
    _hang("grandchild", "waits for a process that it started and that does not end"),
    _hang("setsid", "the same, and that process has a session of its own"),
    _hang("daemon", "the same, and that process was forked twice and is nobody's child"),
    Kind("hang.pipe_held", "leaves a process that holds its output open", "succeeded", left=1),
    _hang("import", "the import of its module does not return", stage="import", tasks=frozenset({"module"}),
          callback="failed",
          says="while its module was imported", stack="in hang_sleep"),
    _hang("init", "its Model's constructor does not return", stage="init", tasks=frozenset({"module"}),
          says="while its Model was made", stack="in hang_sleep"),
    _hang("pickle", "pickling its result does not return", stage="result", tasks=CODE,
          says="while its result was pickled", stack="in hang_sleep"),
    _hang("unpickle", "unpickling its arguments does not return", stage="arguments",
          says="while its arguments were unpickled", stack="in hang_sleep"),
    _crash("segv", "reads at address 0", signal="SIGSEGV", stack="in crash_segv"),
    _crash("abort", "calls abort()", signal="SIGABRT", stack="in crash_abort"),
    _crash("bus", "reads a page of a file that was cut off", signal="SIGBUS", stack="in crash_bus"),
    _crash("fpe", "raises SIGFPE", signal="SIGFPE", stack="in crash_fpe"),
    _crash("sigkill", "is killed by SIGKILL", signal="SIGKILL", says="out-of-memory killer"),
    _crash("exit", "leaves with os._exit(0)", exit_code=0),
    _crash("exit_7", "leaves with os._exit(7)", exit_code=7),
    _crash("libc_exit", "leaves with exit(0) of the C library", exit_code=0),
    _crash("stack", "overflows the C stack", signal="SIGSEGV"),
    _fails("crash.sys_exit", "raises SystemExit(0)", "SystemExit", says="belongs in 'cmd'"),
    _fails("crash.sys_exit.3", "raises SystemExit(3)", "SystemExit", says="(code 3)"),
    _fails("crash.base_exception", "raises a BaseException of its own", f"{_OURS}Unusual", traceback="victims.py"),
    _fails("crash.base_exception.generator_exit", "raises GeneratorExit", "GeneratorExit", traceback="victims.py"),
    _fails("crash.base_exception.interrupt", "raises KeyboardInterrupt", "KeyboardInterrupt", traceback="victims.py"),
    _fails("crash.base_exception.cancelled", "raises CancelledError of asyncio", "asyncio.exceptions.CancelledError",
           traceback="victims.py"),
    _fails("crash.recursion", "recurses without end", "RecursionError", traceback="victims.py"),
    Kind("crash.memory", "allocates past its memory limit", "memory_exceeded", memory=256 * _MiB),
    Kind("crash.memory_child", "has a child that allocates past the limit", "memory_exceeded", memory=256 * _MiB),
    _fails("crash.unpickle_args.raise", "unpickling its arguments raises", f"{_OURS}Harm", stage="arguments"),
    _crash("unpickle_args.exit", "unpickling its arguments calls os._exit(3)", exit_code=3, stage="arguments"),
    _crash("unpickle_args.segv", "unpickling its arguments segfaults", signal="SIGSEGV", stage="arguments"),
    _fails("crash.pickle_result.raise", "pickling its result raises", "TypeError", stage="result", tasks=CODE,
           says="cannot be pickled"),
    _crash("pickle_result.exit", "pickling its result calls os._exit(3)", exit_code=3, stage="result", tasks=CODE),
    _crash("pickle_result.segv", "pickling its result segfaults", signal="SIGSEGV", stage="result", tasks=CODE),
    Kind("crash.unpickle_result.raise", "unpickling its result raises", "succeeded", callback="failed", tasks=CODE),
    Kind("crash.unpickle_result.exit", "unpickling its result calls os._exit(3)", "succeeded", callback="crashed",
         tasks=CODE),
    Kind("crash.unpickle_result.segv", "unpickling its result segfaults", "succeeded", callback="crashed", tasks=CODE),
    _fails("crash.bad_exception", "raises what cannot be made from its pickle", f"{_OURS}NeedsKeyword",
           traceback="victims.py"),
    _fails("crash.bad_exception.init", "raises what is made from other arguments than it keeps", f"{_OURS}NeedsTwo",
           says="one and two", traceback="victims.py"),
    _fails("crash.bad_exception.reduce", "raises what cannot be pickled", f"{_OURS}RaisingReduce",
           traceback="victims.py"),
    _fails("crash.bad_exception.str", "raises what has no text", f"{_OURS}RaisingStr", traceback="victims.py"),
    _fails("crash.bad_exception.members", "raises what holds a lock", f"{_OURS}HoldsLock", traceback="victims.py"),
    _fails("crash.bad_exception.cause", "raises from another", "ValueError", traceback="KeyError: 'the cause'"),
    _fails("crash.bad_exception.notes", "raises with a note", "ValueError" if _GROUPS else f"{_OURS}Harm",
           traceback="the note" if _GROUPS else ""),
    _fails("crash.bad_exception.group", "raises a group", "ExceptionGroup" if _GROUPS else f"{_OURS}Harm",
           traceback="KeyError: 'a member'" if _GROUPS else ""),
    Kind("crash.del.argument", "an argument of it segfaults when it is collected, after the result was sent",
         "succeeded", stage="arguments"),
    Kind("crash.del", "an object of it segfaults when it is collected, after the result was sent", "succeeded"),
    Kind("payload.huge", "returns 100 MiB", "succeeded", tasks=CODE),
    _fails("payload.unpicklable", "returns a lambda", "TypeError", tasks=CODE,
           says="the result, a function, cannot be pickled: "),
    _fails("payload.unpicklable.lock", "returns a lock", "TypeError", tasks=CODE,
           says="the result, a lock, cannot be pickled: "),
    _fails("payload.unpicklable.file", "returns an open file", "TypeError", tasks=CODE,
           says="the result, a TextIOWrapper, cannot be pickled: "),
    _fails("payload.unpicklable.generator", "returns a generator", "TypeError", tasks=CODE,
           says="the result, a generator, cannot be pickled: "),
    Kind("payload.flood", "prints 64 MiB, with invalid UTF-8, NULs, control sequences and no end of line", "succeeded"),
    _callback("raise", "raises", "failed", f"{_OURS}Harm"),
    _callback("base_exception", "raises a BaseException of its own", "failed", f"{_OURS}Unusual"),
    _callback("exit_raised", "raises SystemExit", "failed", "SystemExit"),
    _callback("interrupt", "raises KeyboardInterrupt", "failed", "KeyboardInterrupt"),
    _callback("memory_error", "raises MemoryError", "failed", "MemoryError"),
    _callback("hang", "sleeps for ever", "timed_out", "TaskTimeout"),
    _callback("gil", "never lets go of the GIL", "timed_out", "TaskTimeout"),
    _callback("exit", "calls os._exit(1)", "crashed", "TaskCrashed"),
    _callback("segv", "segfaults", "crashed", "TaskCrashed"),
    _callback("kill", "kills the dispatcher", "crashed", "TaskCrashed"),
    _error_callback("raise", "a new exception", f"{_OURS}Harm"),
    _error_callback("reraise", "what it was given", f"{_OURS}Harm"),
    _error_callback("base_exception", "a BaseException of its own", f"{_OURS}Unusual"),
    _error_callback("exit_raised", "SystemExit", "SystemExit"),
    _error_callback("interrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
    _error_callback("memory_error", "MemoryError", "MemoryError"),
    _fails("callback.missing", "there is no class of its name", "ImportError", stage="path",
           tasks=frozenset({"module"}), callback="failed", callback_error="ImportError"),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.id: kind for kind in _KINDS}
"""By id."""
