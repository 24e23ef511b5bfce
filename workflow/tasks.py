"""The built-in Models: what ``call``, ``cmd`` and ``shell`` of a pipeline file become.

``Call`` imports a function and calls it.  ``Command`` and ``Shell`` run a program, and this is how:

- It has a session of its own, an empty stdin, the worker's stderr, and the environment and folder of the worker,
  which were set for this task.  Every signal has its default action again.
- Its stdout is passed on as it comes, and its beginning is kept: that is the result.
- It has ended when its process has ended.  Nothing waits for the end of its output: whatever it started may hold
  the other end of that pipe for ever.  What is in the pipe at that moment still counts.
- What it left behind is killed and counted, whatever session or parent it went to.
- It fails by a non-zero exit code, as ``CommandFailed``; a signal that killed it is a ``CommandKilled``.

Two decisions, as output has no limit and no encoding:

- The result is at most the first 1 MiB.  A program that says more did nothing wrong, so it does not fail for it; but
  a result that lost its end without a word would be taken for whole, so a line on stderr, thus in the log, says it.
- Bytes that are not UTF-8 become U+FFFD each.  Results go into JSON and reports, which cannot hold stray bytes in
  any other way that everybody can read; the log has them as they were.

The program is started with ``posix_spawn``: as fast as the vfork of ``subprocess``, measured side by side, and a
worker that only runs commands then never pays 11 ms for importing it.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import time

from workflow.engine import processes
from workflow.engine.attempt_notes import notes
from workflow.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping, Sequence
else:
    import _signal

RESULT_BYTES_MAX = 1 << 20
_CHUNK_BYTES = 1 << 16  # what a pipe holds, usually
_LOOK_AT_MEMORY_S = 0.4
_POLL_WITHOUT_PIDFD_S = 0.01
_REAP_S_MAX = 0.5
# All but the two that have no other action, and the real-time ones, which nobody ignores by accident.
_DEFAULT_SIGNALS = frozenset(range(1, 32)) - {_signal.SIGKILL, _signal.SIGSTOP}


class Call(Model):
    """Call a plain function."""

    def runnable(self, target: str, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None) -> object:
        """Import ``"package.module:function"`` and call it."""
        return load_function(target)(*args, **(kwargs or {}))


class Command(Model):
    """Run a program, without a shell."""

    def runnable(self, argv: Sequence[str]) -> str:
        """Run ``argv``, with the program looked for in ``PATH``; its stdout, without the last newline."""
        return _run(argv, what=_shortened(argv[0]) if argv else "")


class Shell(Model):
    """Run a line by ``/bin/sh``."""

    def runnable(self, line: str) -> str:
        """Run ``/bin/sh -c line``; its stdout, without the last newline."""
        return _run(["/bin/sh", "-c", line], what=f"the shell line {_shortened(line)}")


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


class CommandNotStarted(Exception):
    """There was no program to run, or it could not be run."""


def load_function(target: str) -> Callable[..., object]:
    """What ``"package.module:function"`` names; the function may be an attribute of an attribute.

    Raises ModuleNotFoundError or ImportError saying which part is missing and what was probably meant, TypeError
    for what cannot be called.  What the module's own import raises is raised as it is.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        message = f"a function is named as 'package.module:function', not {target!r}"
        raise TypeError(message)
    found: object = _import_module(module_name, target)
    walked = module_name
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            message = f"{walked!r} has no {part!r} (of {target!r}){_did_you_mean(part, dir(found))}"
            raise ImportError(message, name=module_name) from None
        walked += ("." if ":" in walked else ":") + part
    if isinstance(found, type) and issubclass(found, Model):
        message = f"{target!r} is a Model, not a function: run it as module = {target.replace(':', '.')!r}"
        raise TypeError(message)
    if not callable(found):
        message = f"{target!r} is no function but {_shortened(found)}, which cannot be called"
        raise TypeError(message)
    return found


def _import_module(name: str, target: str) -> object:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise  # the module is there; what it imports is not
    from pkgutil import iter_modules

    parent, _, last = missing.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", []) if parent else None
    where = f"{parent!r} has no module {last!r}" if parent else f"there is no module {missing!r} on sys.path"
    siblings = [*(module.name for module in iter_modules(folders)), *(() if parent else sys.builtin_module_names)]
    message = f"{where} (of {target!r}){_did_you_mean(last, siblings)}"
    raise ModuleNotFoundError(message, name=missing)


def _did_you_mean(name: str, there_are: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, there_are, 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _run(argv: Sequence[str], what: str) -> str:
    spare = frozenset(processes.descendants(os.getpid()))
    program: _Program | None = None
    try:
        program = _Program(argv)
        program.follow()
    except BaseException:
        # The task's limit, most likely: the engine raises it here, and kills all of this after its grace.  Until
        # then the program may tidy up, and what it says is still passed on.
        if program is not None:
            program.ask_to_end()
            program.follow()
        raise
    finally:
        # Also for a program that an exception kept us from hearing of: what is new below us, is of this task.
        notes.left += processes.kill_children(os.getpid(), spare)
        _reap_all_but(spare)
        # After that, not before: who writes into a closed pipe dies of it, and would not be counted.
        if program is not None:
            program.close()
    if notes.signal is not None:
        raise CommandKilled(f"{what} was killed by {notes.signal}", notes.signal)
    if notes.exit_code:
        raise CommandFailed(f"{what} ended with exit code {notes.exit_code}{_hint(notes.exit_code)}", notes.exit_code)
    return program.result(what)


class _Program:
    """A running program, until it was reaped."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.kept: list[bytes] = []
        self.size = 0
        self.shown = True
        self.watch: int | None = None
        self.ended = False
        self.largest_seen_bytes = 0
        self.output: int | None
        self.output, inner = _pipe()
        try:
            os.set_blocking(self.output, False)
            self.pid = _spawn(argv, inner)
        except BaseException:
            self.close()
            raise
        finally:
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
                os.close(self.output)
                self.output = None
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

    def result(self, what: str) -> str:
        """What it printed."""
        from _codecs import utf_8_decode

        text = b"".join(self.kept)
        complete = len(text) == self.size
        if complete and text.endswith(b"\n"):
            text = text[:-1]
        if complete and len(text) <= RESULT_BYTES_MAX:
            return utf_8_decode(text, "replace", True)[0]
        megabytes = self.size / (1 << 20)
        _say(f"workflow: the result is the first 1 MiB of the {megabytes:.1f} MiB that {what} printed\n")
        # Not final: half a character at the cut is dropped, and not shown as a stray byte.
        return utf_8_decode(text[:RESULT_BYTES_MAX], "replace", False)[0]

    def close(self) -> None:
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
        if self.size <= RESULT_BYTES_MAX:
            self.kept.append(chunk)
        self.size += len(chunk)
        if self.shown:
            self.shown = _write(1, chunk)
        return bool(chunk)

    def _drain(self) -> None:
        """Take what is in the pipe, and no more: somebody who holds it may be writing without end."""
        for _ in range(RESULT_BYTES_MAX // _CHUNK_BYTES):
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
    program = _checked(argv)
    words = list(argv)
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, output, 1)]
    try:
        try:
            return os.posix_spawnp(
                program, words, os.environ, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
            )
        except NotImplementedError:  # a libc that cannot: then a group of its own at least
            return os.posix_spawnp(
                program, words, os.environ, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
            )
    except OSError as error:
        raise CommandNotStarted(_why_not_started(program, error)) from None


def _checked(argv: Sequence[str]) -> str:
    if isinstance(argv, str) or not argv or not all(isinstance(word, str) for word in argv):
        message = f"a command is a list of strings, the program first, not {_shortened(argv)}"
        raise TypeError(message)
    for word in argv:
        if "\0" in word:
            message = f"an argument of a command cannot hold a NUL, as {_shortened(word)} does"
            raise ValueError(message)
    return argv[0]


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
    return start + os.strerror(error.errno or 0)


def _hint(code: int) -> str:
    """What a shell means by its exit codes."""
    if code == 126:
        return " (a shell says so of a program that may not be executed)"
    if code == 127:
        return " (a shell says so of a program that it did not find)"
    if 128 < code <= 128 + 64:
        return f" (a shell says so of a program that was killed by {processes.signal_name(code - 128)})"
    return ""


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


def _write(descriptor: int, text: bytes) -> bool:
    """All of it; False when nobody takes it, which is no reason to fail: the result is kept all the same."""
    rest = memoryview(text)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    _write(2, line.encode(errors="backslashreplace"))


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]} … {text[-30:]}"
