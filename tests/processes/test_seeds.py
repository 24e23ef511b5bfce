"""The seed of an attempt, and what it reaches."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from workflow import InfoTask, MultiProcess

NUMPY = """
drawn = None
def seed(number):
    global drawn
    drawn = number
def random():
    global drawn
    drawn, was = None, drawn
    return was
"""


@pytest.fixture(autouse=True)
def _numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that tells what it was seeded with last."""
    folder = tmp_path / "numpy" / "random"
    folder.mkdir(parents=True)
    (tmp_path / "numpy" / "__init__.py").write_text("")
    (folder / "__init__.py").write_text(NUMPY)
    monkeypatch.syspath_prepend(str(tmp_path))


def draw(mp: MultiProcess, *names: str, seed: int | None) -> Any:
    return mp.push(InfoTask("victims.Draw", 20, *names, seed=seed)).result(20)


def test_each_attempt_begins_with_its_seed_whether_its_worker_had_the_generator_or_not(make_pool: Any) -> None:
    """The first attempt imports it, the later ones find it."""
    mp = make_pool(1)
    expected = random.Random(7).random()
    for _ in range(3):
        assert draw(mp, "random", seed=7) == [expected]
    assert draw(mp, "random", "random", seed=8)[0] == random.Random(8).random()


def test_numpy_is_seeded_where_it_is_loaded_and_loaded_by_nobody_else(make_pool: Any) -> None:
    """Its global generator."""
    mp = make_pool(1)
    assert draw(mp, "random", seed=7) == [random.Random(7).random()]
    loaded = "sys:modules.__contains__"
    assert mp.push(InfoTask("workflow.tasks.Call", 20, loaded, ["numpy"], seed=7)).result(20) is False
    assert draw(mp, "numpy.random", seed=7) == [7]
    assert draw(mp, "numpy.random", seed=8) == [8]


@pytest.mark.unmeasured
def test_without_a_seed_nothing_is_seeded(make_pool: Any) -> None:
    """Not by an attempt with one before it either."""
    mp = make_pool(1)
    assert draw(mp, seed=7) == []
    assert draw(mp, "random", seed=None) != [random.Random(7).random()]
    assert draw(mp, "numpy.random", seed=None) == [None]


def test_what_the_import_of_a_function_draws_is_not_drawn_from_its_seed(make_pool: Any, tmp_path: Path) -> None:
    """It is drawn once for each worker, so it would make the first task there another than the next."""
    (tmp_path / "drawing.py").write_text("import random\nrandom.random()\ndef draw(): return random.random()\n")
    mp = make_pool(1)
    tasks = [InfoTask("workflow.tasks.Call", 20, "drawing:draw", seed=9) for _ in range(2)]
    assert [mp.push(task).result(20) for task in tasks] == [random.Random(9).random()] * 2


def test_a_retry_begins_with_the_same_seed(make_pool: Any, tmp_path: Path) -> None:
    """Each attempt is as it would be alone."""
    (tmp_path / "flaky.py").write_text(
        "import random\ndrawn = []\ndef draw():\n    drawn.append(random.random())\n"
        "    if len(drawn) < 2: raise ValueError\n    return drawn\n"
    )
    mp = make_pool(1)
    drawn = mp.push(InfoTask("workflow.tasks.Call", 20, "flaky:draw", seed=9, retries=1)).result(20)
    assert drawn == [random.Random(9).random()] * 2
