"""The parent's end of the engine, without an engine."""

from __future__ import annotations

import itertools

import pytest

from workflow.engine import outgoing
from workflow.engine.client import Client
from workflow.engine.process_tree import Config

CONFIG = Config(
    pool=1,
    max_pending=None,
    log_dir=None,
    max_log=None,
    own_output=None,
    max_tasks_per_child=None,
    max_result=None,
    preload=(),
    path=(),
    env=None,
    main=None,
)
MOMENTS = 10
"""More than the sender thread has in the two rounds that it makes at most, woken once and then for the end."""


class NobodyWillWakeIt(Exception):
    """The sender waits for its event, which has been set for the last time."""


class Ending:
    """The sender's event, its pause and its channel: before each of these something of the pool's end may happen.

    Whoever ends a pool first says so and then wakes the sender: the one at moment ``says_at``, the other at moment
    ``wakes_at``.  Who waits for the event sees everything happen that is still to come.
    """

    def __init__(self, client: Client, says_at: int, wakes_at: int) -> None:
        self.sent: list[bytes] = []
        self._client = client
        self._says_at, self._wakes_at = says_at, wakes_at
        self._moment = 0
        self._is_set = True  # a push has woken the sender

    def wait(self) -> None:
        self._pass()
        while not self._is_set:
            if self._moment > self._wakes_at:
                raise NobodyWillWakeIt
            self._pass()

    def clear(self) -> None:
        self._pass()
        self._is_set = False
        self._pass()

    def sleep(self, _seconds: float) -> None:
        self._pass()

    def send(self, data: memoryview, _flags: int) -> int:
        self._pass()
        self.sent.append(bytes(data))
        return len(data)

    def _pass(self) -> None:
        if self._moment == self._says_at:
            self._client._out.ending = True
        if self._moment == self._wakes_at:
            self._is_set = True
        self._moment += 1


def test_the_sender_ends_whenever_the_pool_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never takes back the event that was to wake it for the last time, and then waits for it."""
    waits_for_ever, sent = [], set()
    for says_at, wakes_at in itertools.combinations_with_replacement(range(MOMENTS), 2):
        client = Client(CONFIG, None)
        client._out.frames.append(b"a frame")
        ending = Ending(client, says_at, wakes_at)
        with monkeypatch.context() as patch:
            patch.setattr(client._out, "_bell", ending)
            patch.setattr(client._out, "channel", ending, raising=False)
            patch.setattr(outgoing, "time", ending)
            try:
                client._out.send_until_end()
            except NobodyWillWakeIt:
                waits_for_ever.append((says_at, wakes_at))
        sent.add(tuple(ending.sent))
    assert waits_for_ever == []
    assert sent == {(), (b"a frame",)}, "the end came never before what was to be sent, or always"
