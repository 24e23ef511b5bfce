"""Checks one after the other, or some at a time, and their results as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence

from workflow.harness.experiment import Interrupted, interrupted
from workflow.harness.scenario import Result

Check = Callable[[], Iterable[Result]]
"""What gives results, one or more."""


def run_checks(checks: Sequence[Check], jobs: int) -> Generator[Result]:
    """The results, in the order in which the checks end; those that were interrupted have none.

    Each check runs in a thread that does little but watch processes.  When ``interrupt`` is called, what runs is ended
    and nothing more is started; the generator then stops.  The same is done when it is closed.
    """
    waiting: queue.SimpleQueue[Check] = queue.SimpleQueue()
    for check in checks:
        waiting.put(check)
    ended: queue.SimpleQueue[Result | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while not interrupted.is_set():
                for result in waiting.get_nowait()():
                    ended.put(result)
        except (queue.Empty, Interrupted):
            pass
        finally:
            ended.put(None)

    threads = [threading.Thread(target=work, name=f"check-{number}") for number in range(min(jobs, len(checks)))]
    for thread in threads:
        thread.start()
    working = len(threads)
    try:
        while working:
            result = ended.get()
            if result is None:
                working -= 1
            else:
                yield result
    finally:
        if working:  # nobody wants the rest
            interrupt()
        for thread in threads:
            thread.join()


def interrupt() -> None:
    """End what runs.  May be called by a signal handler."""
    interrupted.set()
