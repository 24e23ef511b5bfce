"""How often the warden looks at the memory of a task, under a pretend clock."""

from __future__ import annotations

import array
from itertools import pairwise

import pytest

from workflow.engine import processes, scoreboard
from workflow.engine.seat import Seat
from workflow.engine.sentences import Sentences
from workflow.engine.stacks import StackFiles
from workflow.engine.timers import Timers
from workflow.engine.warden import _LOOK_S


def test_memory_is_looked_at_every_100_ms_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the warden's turns, which come every 20 ms while something runs; of tasks with a limit alone."""
    words = memoryview(array.array("Q", [0] * (3 * scoreboard.WORDS)))
    for slot, limit in ((1, 1000), (2, 0)):
        base = slot * scoreboard.WORDS
        words[base + scoreboard.STATE] = (1 << 16 | 1) << 2 | scoreboard.RUNNING
        words[base + scoreboard.DEADLINE] = scoreboard.NEVER
        words[base + scoreboard.MEMORY] = limit
    now, looks = 0.0, []

    def looked(pid: int, limit: int) -> None:
        looks.append(now)
        assert (pid, limit) == (10, 1000)

    monkeypatch.setattr(processes, "tree_memory_exceeds", looked)
    sentences = Sentences(words, StackFiles(), Timers())
    seats = [Seat(1, 1, 10, -1, -1), Seat(2, 2, 20, -1, -1)]
    for turn in range(200):
        now = turn * _LOOK_S
        sentences.look(seats, now)
    assert looks[0] == 0.0
    assert max(later - earlier for earlier, later in pairwise(looks)) <= 0.1 + 1e-9
    assert len(looks) >= 200 * _LOOK_S / 0.1
