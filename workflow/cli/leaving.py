"""What a signal does to the command outside of a run, which has handlers of its own: it ends it, at once.

There is no moment without an answer.  Before a run, the exit code is that of a run which the signal ended.  Once a run
has said in its report what the exit code is, that code is kept, however late a signal comes; the interpreter, which
takes its handlers down before it ends, is left with signals ignored.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_code: int | None = None
_actions: list[Callable[[], None]] = []


def leave_on_signals() -> None:
    """From now on, a signal ends the command, whatever it inherited from who started it.

    That one may have blocked signals, or ignore SIGCHLD: then no command would have an exit code.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in SIGNALS:
        signal.signal(number, _leave)


def keep_code(code: int) -> None:
    """The exit code is known, and written down: nothing changes it any more."""
    global _code  # noqa: PLW0603  a process has one exit code
    _code = code


def ignore_signals() -> None:
    """The command is about to end by itself."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def before_leaving(action: Callable[[], None]) -> None:
    """Have this done first when a signal ends the command: what it started is not left behind."""
    _actions.append(action)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    for action in _actions:
        with suppress(Exception):  # it was interrupted anywhere
            action()
    os._exit(128 + number if _code is None else _code)
