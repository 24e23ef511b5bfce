"""Ending what earlier runs left, beside a run: it must not wait for that."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow.engine.marks import Ended


class Sweep:
    """A look at all processes of this machine, in a thread of its own."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._ended: list[Ended] = []

    def start(self) -> None:
        """Begin.  Where no thread can be started there is no sweep: the run itself matters more."""
        thread = threading.Thread(target=self._sweep, name="workflow-sweep")
        try:
            thread.start()
        except RuntimeError:
            return
        self._thread = thread

    def told(self) -> list[str]:
        """A line about each process that was ended, once all were."""
        if self._thread is not None:
            self._thread.join()
        return [ended_line(one) for one in self._ended]

    def _sweep(self) -> None:
        from workflow.engine.marks import end_leftovers
        from workflow.engine.memory import remove_leftovers

        with contextlib.suppress(OSError):  # out of descriptors, say, of which the run itself will tell
            self._ended = end_leftovers()
            remove_leftovers()


def ended_line(one: Ended) -> str:
    """What is told about a process that was left and ended."""
    whose = f", whose parent {one.program} is gone" if one.program else ""
    return f"ended a process that an earlier run left{whose}: {one.what}"
