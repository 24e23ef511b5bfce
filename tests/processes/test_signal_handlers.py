"""A signal handler of the program that uses the engine which it interrupts: it pushes and cancels, and never waits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workflow import Handle, InfoTask, MultiProcess, WorkflowExecutor


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Have a handler called once, when a method is: in whatever that was called in the middle of."""
    before = signal.getsignal(signal.SIGUSR1)

    def interrupt(place: Any, name: str, handler: Callable[[], object]) -> None:
        original = getattr(place, name)
        due = [True]

        def method(*args: Any, **options: Any) -> Any:
            if due and due.pop():
                signal.raise_signal(signal.SIGUSR1)
            return original(*args, **options)

        signal.signal(signal.SIGUSR1, lambda *_: handler())
        monkeypatch.setattr(place, name, method)

    yield interrupt
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("most", [None, 1])
@pytest.mark.parametrize("method", ["__init__", "_write"])
def test_a_handler_pushes_in_the_middle_of_a_push(
    make_pool: Callable[..., MultiProcess], interrupted: Callable[..., None], method: str, most: int | None
) -> None:
    """Inside each of the locks, also where a push would have to wait for room: all tasks end."""
    mp = make_pool(1, max_pending=most)
    pushed: list[Handle] = []
    place = Handle if method == "__init__" else mp._client._out
    interrupted(place, method, lambda: pushed.append(mp.push(InfoTask("victims.Echo", 30, "handler"))))
    handle = mp.push(InfoTask("victims.Echo", 30, "program"))
    assert handle.result(30) == "program"
    assert pushed[0].result(30) == "handler"
    assert handle.number != pushed[0].number


@pytest.mark.parametrize("method", ["__init__", "_write"])
def test_a_handler_that_waits_in_the_middle_of_a_push_is_told_so(
    make_pool: Callable[..., MultiProcess], interrupted: Callable[..., None], method: str
) -> None:
    """For a task or for all: the push would go on only after the handler.  The pool is as it was."""
    mp = make_pool(1)
    first = mp.push(InfoTask("victims.Sleep", 30, 1))
    refused: list[str] = []

    def wait() -> None:
        for way in (first.result, mp.stop):
            with pytest.raises(RuntimeError) as raised:
                way()
            refused.append(str(raised.value))

    interrupted(Handle if method == "__init__" else mp._client._out, method, wait)
    handle = mp.push(InfoTask("victims.Echo", 30, "program"))
    mp._client._flush()
    assert handle.result(30) == "program"
    assert ["a handler may push and cancel" in text for text in refused] == [True, True]


def test_a_handler_submits_and_cancels_in_the_middle_of_a_submit(interrupted: Callable[..., None]) -> None:
    """And shuts down what is being shut down."""
    with WorkflowExecutor(1) as executor:
        executor.submit(abs, -1).result(30)
        futures: list[Any] = []

        def handler() -> None:
            futures.append(executor.submit(abs, -2))
            futures.append(executor.submit(abs, -3))
            assert futures[1].cancel()

        interrupted(Handle, "__init__", handler)
        assert executor.submit(abs, -4).result(30) == 4
        assert futures[0].result(30) == 2
        assert futures[1].cancelled()
        interrupted(executor._pool.client._tree, "await_end", executor.shutdown)


def test_a_handler_that_submits_while_the_engine_starts_is_told_so(interrupted: Callable[..., None]) -> None:
    with WorkflowExecutor(1) as executor:

        def handler() -> None:
            with pytest.raises(RuntimeError, match="starts the engine"):
                executor.submit(abs, -2)

        interrupted(executor._pool, "_start", handler)
        assert executor.submit(abs, -4).result(30) == 4
