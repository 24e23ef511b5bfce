"""Where running tasks are, asked while they run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workflow import InfoTask, MultiProcess, Outcome

Pool = Callable[..., MultiProcess]
Wait = Callable[[Callable[[], bool]], None]


def victim(name: str, *, timeout: float | None = 30.0, **options: object) -> InfoTask:
    return InfoTask(f"victims.{name}", timeout, **options)


@pytest.mark.parametrize("name", ["Sleep", "HoldTheInterpreter", "IgnoreSignals"])
def test_a_running_task_tells_where_it_is_and_goes_on(make_pool: Pool, wait_until: Wait, name: str) -> None:
    """Whatever it does: sleep, hold the interpreter's lock, block its signals.  And as often as it is asked."""
    pool = make_pool(1)
    handle = pool.push(victim(name, id="it", grace=0))
    wait_until(lambda: any(each.stage == "run" for each in pool.running()))
    wait_until(lambda: "in runnable" in "".join(each.stack for each in pool.stacks()))
    for _ in range(3):
        (told,) = pool.stacks()
        assert (told.id, told.attempt, told.number) == ("it", 1, handle.number)
        assert told.stack.count("victims.py") == 1
    assert handle.outcome is None
    handle.cancel()
    pool.stop()
    assert handle.outcome is Outcome.CANCELLED


def test_a_stack_that_was_shown_is_not_taken_for_that_of_the_end(make_pool: Pool, wait_until: Wait) -> None:
    """The error of a task that is ended later tells where it was then, and once."""
    pool = make_pool(1)
    handle = pool.push(victim("Sleep", timeout=1.0, grace=0))
    wait_until(lambda: bool(pool.stacks()))
    error = handle.exception()
    assert error is not None
    assert handle.outcome is Outcome.TIMED_OUT
    assert error.stack.count("in runnable") == 1  # type: ignore[attr-defined]  # TaskTimeout has one


def test_nothing_that_runs_is_nothing_to_tell(make_pool: Pool) -> None:
    """And a pool that has ended has nobody to ask."""
    pool = make_pool(2)
    assert pool.stacks() == ()
    pool.stop()
    assert pool.stacks() == ()


def test_a_stopped_process_tells_nothing(make_pool: Pool, wait_until: Wait) -> None:
    """It is named all the same."""
    pool = make_pool(2)
    handle = pool.push(victim("StopItself", id="stopped", grace=0))
    wait_until(lambda: [each.stack for each in pool.stacks()] == [""])
    handle.cancel()
