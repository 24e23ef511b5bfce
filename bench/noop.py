"""The task of the benchmarks, as light a module as a task's can be: a worker imports it before its first task."""

from __future__ import annotations

from workflow import Model


def same(value: int) -> int:
    """For pools that call functions."""
    return value


def block(size: int) -> bytes:
    """A large result."""
    return bytes(size)


class Same(Model):
    """For ours, with a callback to be called."""

    def runnable(self, value: int) -> int:
        return value

    def callback(self, result: int) -> None:
        if result < 0:
            raise ValueError(result)
