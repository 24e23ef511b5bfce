"""What the libraries under test have called in workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

_kept: list[str] = []


def remember(text: str) -> None:
    _kept.append(text)


def remembered() -> str:
    return _kept[-1]


def square(number: int) -> int:
    return number * number


def where(_number: int = 0) -> int:
    return os.getpid()


def refuse(number: int) -> int:
    """All but three."""
    if number == 3:
        raise ValueError(f"{number} is not liked")
    return number


def refuse_while_others_run(number: int) -> int:
    """At one, when nought has ended and two runs."""
    if number == 1:
        time.sleep(1)
        raise ValueError(f"{number} is not liked")
    if number > 1:
        time.sleep(100)
    return number


def die(number: int) -> int:
    """At three."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang(number: int) -> int:
    """At three; whoever waits for it has a limit."""
    if number == 3:
        time.sleep(100)
    return number


def hang_in_sight(folder: str) -> None:
    """Say that it runs, and where, then hang."""
    Path(folder, "began.part").write_text(str(os.getpid()))
    Path(folder, "began.part").rename(Path(folder, "began"))
    time.sleep(100)


def sum_of_squares(number: int) -> int:
    """A parallel call in a parallel call."""
    from joblib import Parallel, delayed

    results: list[int] = Parallel(n_jobs=2)(delayed(square)(each) for each in range(number))
    return sum(results)


def largest_memory() -> int:
    """Of this process so far, numpy in it."""
    import resource

    import numpy  # noqa: F401

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def add_up(array: Any) -> tuple[float, int]:
    """The sum, and the memory that it took to get here."""
    return float(array.sum()), largest_memory()


def count_up(size: int) -> Any:
    import numpy

    return numpy.arange(size, dtype=numpy.float64)


def sums_by_shop(chunk: Any) -> Any:
    return chunk.groupby("shop")["price"].sum()
