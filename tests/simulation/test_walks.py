"""Thousands of seeded walks of the scheduler through a pretend world."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from workflow.scheduler.states import TRANSITIONS

WALKS = 4_000
CHUNKS = 8


@pytest.fixture(scope="module")
def rows() -> Counter[tuple[str, str]]:
    """How often the walks of this module took each row of the table."""
    return Counter()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_pushed_task_settles_exactly_once(chunk: int, world: ModuleType, rows: Counter[tuple[str, str]]) -> None:
    """Whatever dies, is late or lies: one final outcome each, no attempt run twice or beside another, blame exact."""
    size = WALKS // CHUNKS
    for seed in range(chunk * size, (chunk + 1) * size):
        walk = world.World(seed, lambda state, move: rows.update([(state, move)]))
        try:
            walk.run()
        except Exception as error:  # noqa: BLE001  # whatever it was, the seed is what is needed
            story = "\n".join(walk.history[-40:])
            pytest.fail(f"World({seed}).run(): {type(error).__name__}: {error}\n{story}")


def test_the_walks_took_every_row_of_the_table(rows: Counter[tuple[str, str]]) -> None:
    """A row that no walk takes is a race that was not tried."""
    if not rows:
        pytest.skip("the walks of this module were not run")
    missed = [row for row in TRANSITIONS if row not in rows]
    assert not missed


def test_a_walk_is_the_same_each_time(world: ModuleType) -> None:
    """The printed seed is enough to see a failure again."""
    stories = []
    for _ in range(2):
        walk = world.World(17, lambda _state, _move: None)
        walk.run()
        stories.append(walk.history)
    assert stories[0] == stories[1]
