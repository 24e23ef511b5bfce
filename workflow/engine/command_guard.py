"""The end of a command that a program runs by itself, without an engine, when the program is killed meanwhile.

The command cannot be told to die with the program: that is forgotten when it starts another.  So a process of its own
waits for the program's end, knows what the command is marked with, and ends whatever bears that.  The mark is a
variable of this one command, and not that of an engine: what the command has left running when it ended, an agent say,
was left on purpose, and nobody is to end it later.

Choices seen: to have the guard run the command, as its parent, would need no variable, but its start would come before
that of each command, and how that ended would have to be told.  So it starts beside it, and whoever did not need it
kills it.  It finds no process whose environment was cleared and that has lost its parent.  Linux only.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from workflow.engine import marks
from workflow.engine.survivor import start_survivor

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType

    from typing_extensions import Self

NAME = "WORKFLOW_COMMAND"

_GUARD = """\
import os, _signal, sys
for number in (1, 2, 3, 15): _signal.signal(number, _signal.SIG_IGN)
try:
    with open("/proc/self/comm", "w") as file: file.write("wf-cleaner")
except OSError: pass
os.read(0, 1)  # until the program ends
import time
sys.path.insert(0, sys.argv[1])
from workflow.engine.marks import end_marked
for pause_s in (0.0, 0.05, 0.2):  # it may have been about to start
    time.sleep(pause_s)
    end_marked(sys.argv[2], sys.argv[3])
"""
_IMPORT_FROM = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class CommandGuard:
    """Guards what is started with ``environment`` for as long as the context lasts.  Entering it raises OSError."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        """What the command is to be started with."""
        self._value = secrets.token_hex(8)
        self._guard: subprocess.Popen[bytes] | None = None
        self._alive = -1

    def __enter__(self) -> Self:
        if marks.where() is not None:
            self._guard, self._alive = start_survivor(_GUARD, _IMPORT_FROM, NAME, self._value)
            self.environment[NAME] = self._value
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            os.close(self._alive)

    def end(self) -> None:
        """End the command, and all it has started."""
        if self._guard is not None:
            marks.end_marked(NAME, self._value)
