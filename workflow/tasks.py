"""The built-in Models: what ``call``, ``cmd`` and ``shell`` of a pipeline file become.

``Call`` imports a function and calls it.  ``Command`` and ``Shell`` run a program, and this is how:

- It has a session of its own, an empty stdin, and the environment and folder that its worker set for this task.
- Its stdout is its result, and is passed on to the log as it comes.  Where nobody takes the result (``keep=False``)
  it goes to the log directly, like stderr, and both stand there in the order in which they were written.
- It has ended when its process has ended (see ``engine/program.py``), whoever still holds its output.
- What it left behind is killed and counted, whatever session or parent it went to.
- It fails by a non-zero exit code, as ``CommandFailed``; a signal that killed it is a ``CommandKilled``.

Two decisions, as output has no limit and no encoding:

- A result takes at most 1 MiB.  A program that says more makes its task fail: half of a result would be taken for the
  whole of it by the next task.
- Bytes that are not UTF-8 become U+FFFD each.  Results go into JSON and reports, which cannot hold stray bytes in
  any other way that everybody can read; the log has them as they were.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from workflow.engine import processes, system
from workflow.engine.attempt_notes import Terminated, notes
from workflow.engine.program import KEPT_BYTES, Program
from workflow.engine.resolve import resolve_function
from workflow.engine.seeds import seeds
from workflow.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FunctionType
else:
    FunctionType = type(lambda: None)

RESULT_BYTES_MAX = KEPT_BYTES
_REAP_S_MAX = 0.5


class Call(Model):
    """Call a plain function."""

    def runnable(self, target: str, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None) -> object:
        """Import ``"package.module:function"`` and call it."""
        module, name = _found.get(target, ("", ""))
        function = getattr(sys.modules.get(module), name, None)
        if not isinstance(function, FunctionType):
            known = len(sys.modules)
            function = resolve_function(target)
            if len(sys.modules) != known:
                seeds.again()  # what the import drew is not the function's
            module, _, name = target.partition(":")
            if len(_found) < _FOUND_MAX:
                _found[target] = module, name
        return function(*args, **(kwargs or {}))


_FOUND_MAX = 1000
_found: dict[str, tuple[str, str]] = {}
"""Module and name of the functions that were called before.  Where a module has a plain function of that name, still or
again, that is what is called: looking for it anew takes longer than to run what does little."""


class Command(Model):
    """Run a program, without a shell."""

    def runnable(self, argv: Sequence[str], *, keep: bool = True) -> str | None:
        """Run ``argv``, with the program looked for in ``PATH``; its stdout, without the last newline, if kept."""
        return _run(argv, what=_shortened(argv[0]) if argv else "", keep=keep)


class Shell(Model):
    """Run a line by ``/bin/sh``."""

    def runnable(self, line: str, *, keep: bool = True) -> str | None:
        """Run ``/bin/sh -c line``; its stdout, without the last newline, if kept."""
        return _run(["/bin/sh", "-c", line], what=f"the shell line {_shortened(line)}", keep=keep)


class CommandFailed(Exception):
    """A command ended by itself, with an exit code other than 0."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


class CommandKilled(Exception):
    """A command was ended by a signal that its task did not get: a crash of its own, or somebody outside.

    To the engine this is a crash of the task; its worker lives on.
    """

    def __init__(self, message: str, signal: str) -> None:
        super().__init__(message, signal)
        self.message = message
        self.signal = signal
        """Its name, such as ``SIGSEGV``."""

    def __str__(self) -> str:
        return self.message


class ResultTooLarge(Exception):
    """A command said more than a result can hold."""


class CommandNotStarted(Exception):
    """There was no program to run, or it could not be run."""


def _run(argv: Sequence[str], what: str, *, keep: bool) -> str | None:
    _check(argv)
    spare = frozenset(processes.descendants(os.getpid()) if processes.has_children() else ())
    program: Program | None = None
    try:
        program = Program(argv, keep=keep)
        program.follow()
    except OSError as error:
        if program is None:
            raise CommandNotStarted(_why_not_started(argv[0], error)) from None
        raise
    except Terminated:
        # The program was sent SIGTERM too; a second one, to many programs, means "at once".  Until the engine kills
        # all of this after the grace, it may tidy up, and what it says is still passed on.
        if program is not None:
            program.follow()
        raise
    except BaseException:
        # Somebody else interrupts: nobody has told the program, which is in a session of its own.
        if program is not None:
            program.ask_to_end()
            program.follow()
        raise
    finally:
        # Also for a program that an exception kept us from hearing of: what is new below us, is of this task.
        if processes.has_children():
            notes.left += processes.kill_children(os.getpid(), spare)
            _reap_all_but(spare)
        # After that, not before: who writes into a closed pipe dies of it, and would not be counted.
        if program is not None:
            program.close()
    if notes.signal is not None:
        raise CommandKilled(f"{what} was killed by {notes.signal}", notes.signal)
    if notes.exit_code:
        raise CommandFailed(f"{what} ended with exit code {notes.exit_code}{_hint(notes.exit_code)}", notes.exit_code)
    return _result(program, what) if keep else None


def _reap_all_but(spare: frozenset[int]) -> None:
    """Collect what was killed; as it ends, this worker may adopt, and collect, what was below it."""
    give_up_at = time.monotonic() + _REAP_S_MAX
    while remaining := [pid for pid in processes.children(os.getpid()) if pid not in spare]:
        reaped = 0
        for pid in remaining:
            try:
                reaped += os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                continue
        if not reaped:
            if time.monotonic() > give_up_at:
                return  # stuck in the kernel, and dead as soon as it comes out
            time.sleep(0.0005)


def _result(program: Program, what: str) -> str:
    from _codecs import utf_8_decode

    text = b"".join(program.kept)
    if text.endswith(b"\n"):
        text = text[:-1]
    if program.size > RESULT_BYTES_MAX + 1 or len(text) > RESULT_BYTES_MAX:
        message = (
            f"{what} printed {program.size / (1 << 20):.1f} MiB, and a result can have 1 MiB: "
            "have it write into a file, and pass the file's name"
        )
        raise ResultTooLarge(message)
    return utf_8_decode(text, "replace", True)[0]


def _check(argv: Sequence[str]) -> None:
    if isinstance(argv, str) or not argv or not all(isinstance(word, str) for word in argv):
        message = f"a command is a list of strings, the program first, not {_shortened(argv)}"
        raise TypeError(message)
    for word in argv:
        if "\0" in word:
            message = f"an argument of a command cannot hold a NUL, as {_shortened(word)} does"
            raise ValueError(message)


def _why_not_started(program: str, error: OSError) -> str:
    start = f"cannot start {_shortened(program)}: "
    if error.errno == errno.ENOENT:
        if os.path.exists(program) and "/" in program:
            return start + "it is there, but the interpreter that its first line names is not"
        if "/" in program:
            return start + f"no such file, from {os.getcwd()}"
        if " " in program:
            return start + "no program of this name in PATH; each argument is a string of its own in the list"
        return start + f"no program of this name in PATH, which is {os.environ.get('PATH', os.defpath)}"
    if error.errno == errno.EACCES:
        return start + "it may not be executed (chmod +x?)"
    if error.errno == errno.ENOEXEC:
        return start + "it is neither a program for this machine nor a script with a #! line"
    if error.errno == errno.E2BIG:
        return start + "its arguments and environment are longer than this system allows; pass them in a file"
    return start + system.explain(OSError(error.errno, os.strerror(error.errno or 0)))


def _hint(code: int) -> str:
    """What a shell means by its exit codes."""
    if code == 126:
        return " (a shell says so of a program that may not be executed)"
    if code == 127:
        return " (a shell says so of a program that it did not find)"
    if 128 < code <= 128 + 64:
        return f" (a shell says so of a program that was killed by {processes.signal_name(code - 128)})"
    return ""


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]} … {text[-30:]}"
