"""The task of the benchmarks, as light a module as a task's can be: a worker imports it before its first task."""

from __future__ import annotations

import resource
from typing import Any

from workflow import Model


def same(value: int) -> int:
    """For pools that call functions."""
    return value


def block(size: int) -> bytes:
    """A large result."""
    return bytes(size)


def weigh(array: Any) -> int:
    """Read an array; the most memory that this process has had, in bytes."""
    array.sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ones(size: int) -> Any:
    """An array of so many bytes."""
    import numpy

    return numpy.ones(size // 8)


def warm() -> int:
    """What ``weigh`` tells of a process that has numpy and no array."""
    return weigh(ones(8))


class Same(Model):
    """For ours, with a callback to be called."""

    def runnable(self, value: int) -> int:
        return value

    def callback(self, result: int) -> None:
        if result < 0:
            raise ValueError(result)
