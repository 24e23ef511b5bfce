"""The engine's processes as the program that started them has them: their start, their guards, their end.

The program starts one process, the guardian, by exec and never by fork, for it may have any threads.  What that needs
to know waits in a file in memory whose descriptor it inherits, with one end of each channel and the scoreboard.  The
guardian and the warden look after all others, and each other; both may be stopped or killed by anybody, and then it is
the program that wakes them, or ends what is left of them by the mark that every process of the engine bears.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from marshal import dumps as marshal_dumps
from typing import TYPE_CHECKING, NamedTuple

from workflow import messages
from workflow.engine import marks, processes, scoreboard, system
from workflow.engine.channel import DONT_WAIT, packet_pair, send_message, stream_pair
from workflow.engine.vigil import GIVE_UP, WAKE, Vigil
from workflow.errors import EngineError

if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping
else:
    import _signal

_STOP_S = 5.0

_BOOT = """\
import sys
try:
    import marshal
    with open({config}, "rb") as file: config = marshal.load(file)
    sys.path[:] = config["path"]
    from workflow.engine.guardian import main
except Exception as error:
    sys.exit(f"workflow: the first process of the engine could not start: {{type(error).__name__}}: {{error}}")
main(config)
"""


class Config(NamedTuple):
    """How an engine is set up; see ``MultiProcess``."""

    pool: int
    max_pending: int | None
    log_dir: str | None
    max_log: int | None
    own_output: int | None
    max_result: int | None
    max_tasks_per_child: int | None
    preload: tuple[str, ...]
    path: tuple[str, ...]
    env: Mapping[str, str] | None
    main: str | None
    apart: bool = False
    """Whether large buffers in results stay apart from their pickles: not where callbacks or files take those."""
    initializer: bytes | None = None
    """A packed call that every worker makes first."""
    initializer_s: float | None = None
    """What it gets; None is no limit."""
    authkey: bytes | None = None
    """By which workers know the processes of the program's ``multiprocessing``."""


class ProcessTree:
    """All processes of one engine, which are started with it.

    Returns at once: what is sent to them waits for them.  Raises EngineError when they cannot be started.
    """

    def __init__(self, config: Config) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            message = (
                "the engine cannot be started: its processes are further runs of the Python interpreter, and "
                f"sys.executable is {sys.executable!r}, which is none; a program that was frozen into one file, or "
                "that embeds Python, can set sys.executable to one with the same version and modules, and sys.frozen "
                "to False"
            )
            raise EngineError(message)
        try:
            os.getcwd()
        except OSError:
            message = "the engine cannot be started in a folder that has been deleted; change to one that exists"
            raise EngineError(message) from None
        system.fill_standard_descriptors()
        self._vigils = Vigil(), Vigil()
        """Over the guardian and the warden."""
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                self._board = system.anonymous_file("workflow-scoreboard")
                ours.callback(os.close, self._board)
                self.slots = 2 * config.pool + 8
                os.ftruncate(self._board, scoreboard.size_for(self.slots))
                self.words = scoreboard.map_words(self._board)
                ours.callback(self.words.release)
                self.control, control = packet_pair()
                ours.callback(self.control.close)
                theirs.callback(control.close)
                self.channel, channel = stream_pair()
                ours.callback(self.channel.close)
                theirs.callback(channel.close)
                file = system.anonymous_file("workflow-config")
                theirs.callback(os.close, file)
                system.write_all(file, marshal_dumps(self._settings(config, control.fileno(), channel.fileno())))
                os.lseek(file, 0, os.SEEK_SET)
                flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
                self._mark = marks.new_mark()
                environment = dict(os.environ if config.env is None else config.env)
                if self._mark is not None:
                    environment[marks.NAME] = self._mark.text()
                self.guardian = subprocess.Popen(
                    [sys.executable, *flags, "-c", _BOOT.format(config=file)],
                    stdin=subprocess.DEVNULL,
                    stdout=config.own_output,
                    stderr=config.own_output,
                    env=environment,
                    pass_fds=(control.fileno(), channel.fileno(), self._board, file),
                    start_new_session=True,
                )
            except OSError as error:
                message = f"the engine could not be started: {system.explain(error)}"
                raise EngineError(message) from error
            ours.pop_all()  # kept until it is closed

    def _settings(self, config: Config, control: int, channel: int) -> dict[str, object]:
        """What the engine's processes are told, in plain values."""
        return {
            "parent": os.getpid(),
            "pool": config.pool,
            "slots": self.slots,
            "log_dir": config.log_dir,
            "max_log": config.max_log,
            "max_result": config.max_result,
            "apart": config.apart,
            "max_tasks_per_child": config.max_tasks_per_child,
            "preload": config.preload,
            "main": config.main,
            "path": _import_path(config.path),
            "initializer": config.initializer,
            "initializer_s": config.initializer_s,
            "authkey": config.authkey,
            "control": control,
            "channel": channel,
            "scoreboard": self._board,
        }

    def quit(self) -> None:
        """Tell them to end."""
        try:
            send_message(self.control, messages.encode(messages.Quit()), (), DONT_WAIT)
        except OSError:
            pass  # they have ended, or are about to

    def wake_stopped(self) -> None:
        """Wake those who look after the others, should somebody have stopped them."""
        if any(processes.is_stopped(pid) for pid in (self.guardian.pid, self.words[scoreboard.WARDEN_PID])):
            for pid in self.guards():
                processes.signal_process(pid, _signal.SIGCONT)

    def await_end(self, *, failed: bool) -> None:
        """See that no process is left of the engine, whoever of those that should see to it is left himself.

        ``failed`` is whether it did not end as it should.
        """
        try:
            code = self.guardian.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            for pid in reversed(self.guards()):
                processes.signal_process(pid, _signal.SIGKILL)
            code = self.guardian.wait()
        if self._mark is not None and (code or failed):
            try:
                marks.end_bearers(self._mark)
            except OSError:
                pass  # this program has no descriptor left to look with

    def guards(self) -> list[int]:
        """The guardian and the warden, those of them that are there."""
        if self.guardian.poll() is not None:
            return []
        # The guardian is our child, so its number is its own; the warden's is as long as it is the guardian's child.
        warden = self.words[scoreboard.WARDEN_PID]
        return [self.guardian.pid, *(pid for pid in processes.children(self.guardian.pid) if pid == warden)]

    def look(self, now: float) -> str | None:
        """Wake who guards the others and was stopped; why the engine cannot go on, if it cannot."""
        if not self._vigils[0].due(now):
            return None
        warden = self.words[scoreboard.WARDEN_PID]
        if not warden or self.guardian.poll() is not None:
            return None  # it has not begun yet, or it has ended: that is told in another way
        looks = ("guardian", self.guardian.pid, None), ("warden", warden, self.words[scoreboard.BEAT])
        for (name, pid, beat), vigil in zip(looks, self._vigils, strict=True):
            verdict = vigil.look(now, stopped=processes.is_stopped(pid), beat=beat)
            if verdict == WAKE and pid in self.guards():
                processes.signal_process(pid, _signal.SIGCONT)
            elif verdict == GIVE_UP:
                for guard in reversed(self.guards()):
                    processes.signal_process(guard, _signal.SIGKILL)
                return f"its {name}, process {pid}, was stopped or moved no more; all were ended"
        return None

    def why_it_ended(self, *, had_dispatcher: bool) -> str:
        """The warden's channel is closed, and nobody said why."""
        if had_dispatcher:
            return "its warden died, so no process of it could be trusted any more; all were ended"
        try:
            code = self.guardian.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return "its first process did not start the others"
        return f"its first process could not start the others, and ended with code {code}"

    def close(self) -> None:
        """Let go of what was shared with them, when they have ended."""
        self.control.close()
        self.words.release()
        os.close(self._board)


def _import_path(extra: tuple[str, ...]) -> list[str]:
    """The program's import path, absolute: the engine's processes may be elsewhere when they use it."""
    here = os.getcwd()
    entries: list[object] = [*sys.path]  # anything may stand there, and what is no text is passed over, as by imports
    own = [os.path.join(here, entry) for entry in entries if isinstance(entry, str)]
    return [*extra, *[entry for entry in own if entry not in extra]]
