"""The secrets of one run: read once, before anything runs, and kept from every disk.

Only those are read that a task of the run refers to; a plan never holds one, and who only looks at a plan reads none.
A secret that cannot be had is a mistake that keeps the run from beginning, all of them at once.

Workers write what tasks print by descriptor, straight into files that they share, long before anybody can mask it.  So
in a run with secrets these files are in memory (``engine.memory``), and what is kept of them is masked on its way to
the run folder.  Where there is no such memory the run is refused.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from workflow.diagnostics.mistake import InvalidPipeline, Mistake
from workflow.engine import processes
from workflow.engine.command_guard import CommandGuard
from workflow.engine.system import process_descriptor, usable_cpus
from workflow.plan.plan import Plan, PlannedTask, SecretSource
from workflow.report.terminal import neutral
from workflow.run.admission import PUSHED_MAX
from workflow.run.mask import Mask
from workflow.run.signals import Signals
from workflow.spec.reference import Template

if TYPE_CHECKING:
    from typing_extensions import Self

    from workflow.engine.memory import MemoryFolder

COMMAND_S = 30.0
"""Limit of a command that prints a secret."""
VALUE_MAX = 64 * 1024
"""Bytes of a secret."""
_TOLD_LINES = 5
_AHEAD = 32
"""Tasks for each worker: so many small ones are sent to it at once."""
_TICK_S = 0.1


class Secrets:
    """The secrets of a run, and the place for what may hold them, for as long as the context lasts."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.mask = Mask(values.values())
        self._memory: MemoryFolder | None = None
        self._engine_says = -1
        self._heard = 0
        self._unheard = b""
        self._said = self.mask.stream()

    def __enter__(self) -> Self:
        """Raises NoMemoryFolder."""
        if self.mask:
            from workflow.engine.memory import MemoryFolder  # milliseconds, which only a run with secrets needs to pay

            self._memory = MemoryFolder().__enter__()
            path = Path(self._memory.path, "engine.txt")
            self._engine_says = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._memory is not None:
            os.close(self._engine_says)
            self._memory.__exit__(kind, error, trace)

    @property
    def folder(self) -> Path | None:
        """Where the engine shall capture output; None is anywhere."""
        return None if self._memory is None else Path(self._memory.path)

    @property
    def own_output(self) -> int | None:
        """Where the engine's own processes shall write what they say to the program's user."""
        return None if self._memory is None else self._engine_says

    def heard(self, *, last: bool = False) -> list[str]:
        """Lines that they have written there since the last call, masked."""
        if self._memory is None:
            return []
        data = os.pread(self._engine_says, 1 << 20, self._heard)
        self._heard += len(data)
        data = self._unheard + self._said.feed(data)
        if last:
            data += self._said.end(broken_off=True)
        whole, newline, self._unheard = data.rpartition(b"\n")
        if last and self._unheard:
            whole, newline = data, b"\n"
        return whole.decode("utf-8", "replace").split("\n") if newline else []

    def pushed_max(self, pool: int) -> int:
        """How many tasks the engine may have at once: what they have printed takes memory until it was masked."""
        return PUSHED_MAX if self._memory is None else min(PUSHED_MAX, _AHEAD * pool)

    def log_bound(self, max_log: int | None, pool: int | None) -> int | None:
        """``max_log``, or less where there is too little memory for the floods of a whole pool."""
        if self._memory is None:
            return max_log
        # The engine gives up the middle of a flood at four times of it, and looks now and then.
        most = max(1 << 16, self._memory.free_bytes() // (8 * (pool or usable_cpus())))
        return most if max_log is None else min(max_log, most)


def read_secrets(plan: Plan) -> Secrets:
    """Read the secrets that the plan's tasks refer to.

    Raises InvalidPipeline when one cannot be had; a signal that arrives meanwhile does what it did before.
    """
    sources = needed(plan.tasks.examples(), plan.settings.secrets)
    if not sources:
        return Secrets({})
    values: dict[str, str] = {}
    mistakes = []
    with Signals(queue.SimpleQueue()) as signals:
        for name, source in sources.items():
            if signals.count:
                break
            try:
                values[name] = _read(source, plan.root, lambda: signals.count > 0)
            except _CannotBeHadError as error:
                what, told = Mask(values.values()).text(error.headline), Mask(values.values()).maybe(error.told)
                mistakes.append(Mistake("secret-missing", ("secrets", name), what, told))
    for number in signals.take():
        signal.raise_signal(number)
        raise KeyboardInterrupt
    if mistakes:
        raise InvalidPipeline(_shown(plan.file), _located(plan.file, mistakes))
    return Secrets(values)


def needed(tasks: Iterable[PlannedTask], secrets: Mapping[str, SecretSource]) -> dict[str, SecretSource]:
    """The secrets that tasks refer to, in the order of the file."""
    if not secrets:
        return {}
    names: set[str] = set()
    seen: dict[int, object] = {}  # the instances of a matrix share much
    for task in tasks:
        if not task.skipped:
            for value in (task.env, task.args, task.kwargs):
                if id(value) not in seen:
                    seen[id(value)] = value
                    names.update(_named(value))
                    if len(names) == len(secrets):
                        break
    return {name: source for name, source in secrets.items() if name in names}


def _named(value: object) -> Iterator[str]:
    if isinstance(value, Template):
        for reference in value.references:
            if reference.namespace == "secrets":
                yield reference.path[0]
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _named(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _named(each)


def _shown(file: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return str(file.relative_to(Path.cwd()))
    return str(file)


def _located(file: Path, mistakes: Sequence[Mistake]) -> Sequence[Mistake]:
    """With line and column, where this file is the one that declares them all, and is as it was."""
    import tomli

    from workflow.diagnostics.locate import locate

    with contextlib.suppress(OSError, ValueError):
        text = file.read_text(encoding="utf-8")
        declared = tomli.loads(text).get("secrets")
        if isinstance(declared, dict) and all(mistake.place[1] in declared for mistake in mistakes):
            return locate(text, mistakes)
    return mistakes


class _CannotBeHadError(Exception):
    def __init__(self, headline: str, told: str | None = None) -> None:
        super().__init__(headline)
        self.headline = headline
        self.told = told


def _read(source: SecretSource, root: Path, stopped: Callable[[], bool]) -> str:
    if source.source == "env":
        what = f"the variable {source.value} of the environment"
        text = os.environ.get(str(source.value))
        if text is None:
            raise _CannotBeHadError(f"{what} is not set")
        data = os.fsencode(text)
    elif source.source == "file":
        path = os.path.normpath(root / str(source.value))
        what = f"the file {path}"
        data = _without_newline(_file(path, what))
    else:
        argv = [source.value] if isinstance(source.value, str) else list(source.value)
        what = f"the command {argv[0]!r}"
        data = _without_newline(_printed(argv, os.path.normpath(root / source.cwd), what, stopped))
    if not data:
        raise _CannotBeHadError(f"{what} {'prints nothing' if source.source == 'cmd' else 'is empty'}")
    if len(data) > VALUE_MAX:
        raise _CannotBeHadError(f"{what} holds more than {VALUE_MAX // 1024} KiB")
    if b"\0" in data:
        raise _CannotBeHadError(f"{what} holds a NUL character, which no process can be given")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _CannotBeHadError(f"{what} holds what is no text in UTF-8") from None


def _without_newline(data: bytes) -> bytes:
    return data[:-2] if data.endswith(b"\r\n") else data.removesuffix(b"\n")


def _file(path: str, what: str) -> bytes:
    try:
        # Not to wait for whoever opens the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _CannotBeHadError(f"{what} is not a regular file")
            return os.read(descriptor, VALUE_MAX + 3)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise _CannotBeHadError(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _printed(argv: Sequence[str], folder: str, what: str, stopped: Callable[[], bool]) -> bytes:
    """What a command prints.  Its end is that of its process: what it leaves running may hold its output for ever."""
    with contextlib.ExitStack() as stack:
        try:
            guard = stack.enter_context(CommandGuard())
            command = subprocess.Popen(
                argv,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=guard.environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise _CannotBeHadError(f"{what} cannot be started: {getattr(error, 'strerror', None) or error}") from None
        assert command.stdout is not None
        assert command.stderr is not None
        stdout, stderr = stack.enter_context(command.stdout), stack.enter_context(command.stderr)
        pipes = {stdout.fileno(): bytearray(), stderr.fileno(): bytearray()}
        ended = _follow(command, pipes, stopped)
        if not ended:
            guard.end()  # who has lost his parent, and left his group
        printed, told = pipes.values()
    if not ended:
        limit = "was given up" if stopped() else f"did not end in {COMMAND_S:g} s, and was killed"
        raise _CannotBeHadError(f"{what} {limit}", _told(told))
    code = command.returncode
    if code:
        how = f"died by {processes.signal_name(-code)}" if code < 0 else f"failed with exit code {code}"
        raise _CannotBeHadError(f"{what} {how}", _told(told))
    return bytes(printed)


def _follow(command: subprocess.Popen[bytes], pipes: Mapping[int, bytearray], stopped: Callable[[], bool]) -> bool:
    """Read until it has ended; False when it had to be killed, with all it started."""
    poll = select.poll()
    for descriptor in pipes:
        os.set_blocking(descriptor, False)
        poll.register(descriptor, select.POLLIN)
    end = process_descriptor(command.pid)
    if end is not None:
        poll.register(end, select.POLLIN)
    until = time.monotonic() + COMMAND_S
    try:
        while command.poll() is None:
            if time.monotonic() >= until or stopped():
                processes.kill_tree(command.pid)
                with contextlib.suppress(OSError):
                    os.killpg(command.pid, signal.SIGKILL)
                return False
            for descriptor, _event in poll.poll(_TICK_S * 1000):
                if descriptor != end and not _take(descriptor, pipes[descriptor]):
                    poll.unregister(descriptor)
        for descriptor, data in pipes.items():
            while len(data) <= VALUE_MAX + 2 and _take(descriptor, data):
                pass
    finally:
        command.wait()
        if end is not None:
            os.close(end)
    return True


def _take(descriptor: int, data: bytearray) -> bool:
    """Read what is there; whether there may be more.  What is too much is not kept."""
    try:
        piece = os.read(descriptor, 1 << 16)
    except OSError:
        return False
    if len(data) <= VALUE_MAX + 2:
        data += piece
    return bool(piece)


def _told(data: bytearray) -> str | None:
    """The end of what a failing command said: nobody else will show it."""
    lines = [neutral(line) for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return "it said: " + " | ".join(lines[-_TOLD_LINES:]) if lines else None


@contextlib.contextmanager
def errors_masked(mask: Mask) -> Iterator[None]:
    """What is raised by a mistake of ours tells no secret either."""
    try:
        yield
    except Exception as error:
        if mask:
            import traceback

            text = "".join(traceback.format_exception(error))
            masked = mask.text(text)
            if masked != text:
                raise RuntimeError(f"{type(error).__name__}: {mask.text(str(error))}\n{masked}") from None
        raise
