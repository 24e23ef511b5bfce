"""The environment and the folder of a worker: a task may have its own, and leaves none of it to the next.

Comparing both after each task would cost it a microsecond.  The interpreter tells of changes made through it by audit
events; changes made by C code behind its back are only looked for after tasks that took a while.
"""

from __future__ import annotations

import os
import sys

from workflow.attempt_text import join_attempt

_OF_TASKS = b"WORKFLOW_TASK_ID", b"WORKFLOW_ATTEMPT"
_CHANGES = frozenset({"os.chdir", "os.fchdir", "os.putenv", "os.unsetenv"})


class Place:
    """What a worker's environment and folder are between tasks."""

    __slots__ = ("_environment", "_folder", "changed")

    def __init__(self) -> None:
        self._folder: str | int
        try:
            self._folder = os.getcwd()
        except OSError:  # somebody has removed it since the engine was started; it can be gone back to all the same
            self._folder = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        self._environment = dict(_raw())
        self.changed = False
        """Whether the interpreter told of a change."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _arguments: tuple[object, ...]) -> None:
        if event in _CHANGES:
            self.changed = True

    def enter(self, options: dict[str, object], attempt: int) -> None:
        """Set what the task asks for.  Raises OSError when its folder cannot be entered."""
        identity = options.get("id")
        if identity is not None:
            for own, raw in zip(_OF_TASKS, (os.fsencode(str(identity)), b"%d" % attempt), strict=True):
                os.putenv(own, raw)
                _raw()[own] = raw
        environment = options.get("env")
        if isinstance(environment, dict):
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                elif isinstance(value, tuple):  # parts of a text with the attempt's number in it
                    os.environ[name] = join_attempt(value, attempt)
                else:
                    os.environ[name] = value
        folder = options.get("cwd")
        if isinstance(folder, str):
            try:
                os.chdir(folder)
            except OSError as error:
                message = f"its working folder cannot be entered: {error.strerror}"
                raise type(error)(error.errno, message, folder) from None

    def restore(self, *, certainly: bool) -> None:
        """Undo what the task changed, asked for or not.  ``certainly`` looks for what was not heard of."""
        if not self.changed and not certainly:
            return
        current = _raw()
        if current != self._environment:
            for own in _OF_TASKS:  # what is there in any case goes first: mostly it is all
                if current.pop(own, None) is not None:
                    os.unsetenv(own)
        if current != self._environment:
            # Decoding is done by the mapping itself, for the few names that differ.
            wanted = self._environment
            for name in [name for name in current if name not in wanted]:
                del os.environ[_decode(name)]
            for name, value in wanted.items():
                if current.get(name) != value:
                    os.environ[_decode(name)] = _decode(value)
        try:
            if os.getcwd() != self._folder:
                os.chdir(self._folder)
        except OSError:
            self._go_back()  # the folder it was in is gone
        self.changed = False

    def _go_back(self) -> None:
        try:
            os.chdir(self._folder)
        except OSError:
            pass  # the usual folder is gone: nothing better is left than where we are


def _raw() -> dict[object, object]:
    # The mapping behind os.environ compares at a hundredth of the cost of os.environ itself; equal objects inside
    # are mostly identical ones.
    raw: dict[object, object] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
    return raw


def _decode(raw: object) -> str:
    return os.fsdecode(raw) if isinstance(raw, bytes) else str(raw)
