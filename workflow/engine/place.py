"""The environment and the folder of a worker: a task may have its own, and leaves none of it to the next."""

from __future__ import annotations

import os


class Place:
    """What a worker's environment and folder are between tasks."""

    __slots__ = ("_environment", "_folder")

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._environment = dict(_raw())

    def enter(self, options: dict[str, object], attempt: int) -> None:
        """Set what the task asks for.  Raises OSError when its folder cannot be entered."""
        identity = options.get("id")
        if identity is not None:
            os.environ["WORKFLOW_TASK_ID"] = str(identity)
            os.environ["WORKFLOW_ATTEMPT"] = str(attempt)
        environment = options.get("env")
        if isinstance(environment, dict):
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        folder = options.get("cwd")
        if isinstance(folder, str):
            os.chdir(folder)

    def restore(self) -> None:
        """Undo what the task changed, asked for or not.  Costs 1 µs when it changed nothing."""
        if _raw() != self._environment:
            # Decoding is done by the mapping itself, for the few names that differ.
            wanted = self._environment
            current = _raw()
            for name in [name for name in current if name not in wanted]:
                del os.environ[_decode(name)]
            for name, value in wanted.items():
                if current.get(name) != value:
                    os.environ[_decode(name)] = _decode(value)
        try:
            if os.getcwd() == self._folder:
                return
        except OSError:
            pass  # the folder it was in is gone
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
