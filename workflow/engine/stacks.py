"""The files into which workers write their stacks: one for each slot, made before the fork, without a name.

faulthandler writes there when it is asked by a signal, and when the process crashes.  The worker's end and ours share
one file offset, so emptying a file sets that back too.
"""

from __future__ import annotations

import os

from workflow.engine import system

_TOLD_MAX = 40_000
"""Characters that are passed on, head and tail: more would not fit into a message."""


class StackFiles:
    """By slot."""

    def __init__(self) -> None:
        self._files: dict[int, int] = {}

    def descriptors(self) -> tuple[int, ...]:
        """Of all that were made."""
        return tuple(self._files.values())

    def fresh(self, slot: int) -> int:
        """The descriptor of a slot's file, which is empty."""
        if slot not in self._files:
            self._files[slot] = system.anonymous_file("workflow-stack")
        self.empty(slot)
        return self._files[slot]

    def empty(self, slot: int) -> None:
        """Forget what was written."""
        os.ftruncate(self._files[slot], 0)
        os.lseek(self._files[slot], 0, os.SEEK_SET)

    def add(self, slot: int, line: str) -> None:
        """Write a line of ours behind what stands there."""
        os.write(self._files[slot], line.encode())

    def size(self, slot: int) -> int:
        """Bytes written."""
        return os.fstat(self._files[slot]).st_size

    def text(self, slot: int) -> str:
        """What was written."""
        data = os.pread(self._files[slot], self.size(slot), 0)
        text = data.replace(b"\0", b"").decode("utf-8", "replace")
        if len(text) <= _TOLD_MAX:
            return text
        return f"{text[: _TOLD_MAX // 2]}\n…\n{text[-_TOLD_MAX // 2 :]}"
