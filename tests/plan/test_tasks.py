"""Tasks that are made when they are asked for are those that a list of all would hold."""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.outcome import Outcome
from workflow.plan.build import load_plan
from workflow.plan.expand import Rows, comparable
from workflow.plan.ids import instance_id
from workflow.plan.instances import Instances, Maker
from workflow.plan.plan import PlannedTask
from workflow.plan.printing import plan_json, plan_json_pieces
from workflow.plan.select import select
from workflow.plan.tasks import RECENT_MAX, Ids, Tasks
from workflow.run.admission import Admission
from workflow.run.effects import Push
from workflow.run.facts import TaskEnded
from workflow.run.secrets import needed


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text)
        return path

    return write


MILLION = """
[tasks.each]
cmd = ["convert", "${matrix.i}", "${task.id}.png"]
args = []
env = {N = "${matrix.i}"}
matrix.i = {range = [0, 1000000]}
[tasks.last]
cmd = ["true"]
needs = "each"
"""


def test_nobody_makes_a_million_instances_to_find_no_mistake(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted, and one of them is made when it is asked for."""
    made: list[str] = []
    task = Maker.task

    def counted(self: Maker, id_: str, *more: object, **other: object) -> PlannedTask:
        made.append(id_)
        return task(self, id_, *more, **other)  # type: ignore[arg-type]

    monkeypatch.setattr(Maker, "task", counted)
    plan = load_plan(write(MILLION.replace("args = []\n", "")), hashed=False)
    assert (len(plan.tasks), plan.tasks.names) == (1_000_001, {"each": 1_000_000, "last": 1})
    assert made == ["last"]
    assert plan.tasks[765_432].target == ("convert", "765432", "each@765432.png")
    assert plan.tasks[-1].needs[0].ids[999_999] == "each@999999"
    assert "each@1000000" not in plan.tasks[-1].needs[0].ids
    assert made == ["last", "each@765432"]


@pytest.mark.parametrize("wrong", ['timeout = "${matrix.t}"', 'priority = "${matrix.p}"', 'tags = ["${matrix.x}"]'])
def test_what_is_wrong_in_one_instance_is_found_before_anything_runs(write: Callable[[str], Path], wrong: str) -> None:
    """Though nobody keeps the instances that were looked at."""
    path = write(f"""
[tasks.a]
cmd = ["true"]
matrix = {{i = {{range = [0, 100]}}, t = ["1s", "2s", "never"], p = [1, 2, "x"], x = ["a", "b", "\\u0000"]}}
{wrong}
""")
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path, hashed=False)
    (mistake,) = caught.value.mistakes
    value = {"t": "a@0-never-1-a", "p": "a@0-1s-x-a", "x": "a@0-1s-1-%00"}[wrong[wrong.index("matrix.") + 7]]
    assert mistake.headline.startswith(f"for {value}: ")


def test_rows_are_what_all_combinations_would_be() -> None:
    """By number, one after the other, and back from an id, with what is excluded and included."""
    for seed in range(300):
        rng = random.Random(seed)
        axes = [_axis(rng) for _ in range(rng.randint(1, 3))]
        names = tuple("xyz"[: len(axes)])
        every = list(itertools.product(*axes))
        kept = sorted(rng.sample(range(len(every)), rng.randint(0, len(every)))) if rng.random() < 0.5 else None
        included = tuple(tuple(f"new{n}" for _ in axes) for n in range(rng.randint(0, 2)))
        rows = Rows("t", names, tuple(axes), kept, included)
        wanted = [*(every if kept is None else [every[number] for number in kept]), *included]
        ids = [instance_id("t", row) for row in wanted]
        assert list(rows) == [(id_, dict(zip(names, row, strict=True))) for id_, row in zip(ids, wanted, strict=True)]
        assert [rows[number] for number in range(len(rows))] == list(rows)
        assert [rows.id(number) for number in range(len(rows))] == list(rows.ids()) == ids
        assert [rows.find(id_) for id_ in ids] == list(range(len(rows)))
        assert rows.double() is None
        others = {"t", "t@", "u@1", "t@01", "t@9-9-9-9", "t@~", *(instance_id("t", row) for row in every)}
        for gone in others - set(ids):
            assert rows.find(gone) is None
        for at, name in enumerate(names):
            seen = {comparable(row[at]): row[at] for row in reversed(wanted)}
            assert set(map(comparable, rows.values_of(name))) == set(seen)


def _axis(rng: random.Random) -> list[object] | range:
    if rng.random() < 0.5:
        return range(rng.randint(-4, 4), 12, rng.randint(1, 4))
    words: list[object] = ["a", "b-c", "", 1, 2.5, True, "z" * 150, "y" * 210]
    return rng.sample(words, rng.randint(1, 4))


PARTS = """
[tasks.a]
cmd = ["true"]
matrix = {x = ["p", "q", "r"], y = {range = [0, 4]}}
if = "matrix.y != 2"
[tasks.b]
cmd = ["true"]
matrix.x = {like = "a"}
needs = {task = "a", match = "x"}
[tasks.c]
cmd = ["true"]
needs = ["a", "b"]
"""


def test_ids_are_as_good_as_a_tuple(write: Callable[[str], Path]) -> None:
    """Whoever reads needs does not have to know that nobody listed them."""
    plan = load_plan(write(PARTS))
    b, c = plan.tasks[-2], plan.tasks[-1]
    assert b.needs[0].every == ("a@r-0", "a@r-1", "a@r-2", "a@r-3")
    assert b.needs[0].ids == ("a@r-0", "a@r-1", "a@r-3")
    assert isinstance(b.needs[0].ids, Ids)
    assert ("a@r-2" in b.needs[0].ids, "a@r-2" in b.needs[0].every, "a@p-0" in b.needs[0].every) == (False, True, False)
    assert (c.needs[0].ids[1:3], len(c.needs[0].ids), c.needs[0].every[2]) == (("a@p-1", "a@p-3"), 9, "a@p-2")
    assert hash(b.needs[0].ids) == hash(("a@r-0", "a@r-1", "a@r-3"))
    assert list(plan.tasks.numbers(b.needs[0].ids)) == [8, 9, 11]


def test_a_part_of_a_plan_is_lazy_too(write: Callable[[str], Path]) -> None:
    """What is selected is looked up in what it was selected from."""
    plan = load_plan(write(PARTS))
    part = select(plan, globs=["b@q"], tags=[])
    ids = [task.id for task in part.tasks]
    assert ids == list(part.tasks.ids()) == ["a@q-0", "a@q-1", "a@q-2", "a@q-3", "b@q"]
    assert [part.tasks.number(id_) for id_ in ids] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError):
        part.tasks.number("a@p-0")
    assert [part.tasks.is_skipped(number) for number in range(5)] == [False, False, True, False, False]
    assert tuple(part.tasks) == part.tasks
    assert list(reversed(part.tasks)) == list(part.tasks)[::-1]


def test_a_plan_is_printed_bit_by_bit(write: Callable[[str], Path]) -> None:
    """No piece of it holds more than a thousand tasks."""
    plan = load_plan(write('[tasks.a]\ncmd = ["true"]\nmatrix.i = {range = [0, 2500]}\n'))
    pieces = list(plan_json_pieces(plan))
    assert "".join(pieces) == plan_json(plan)
    assert max(piece.count("\n") for piece in pieces) <= 1000


def test_a_secret_is_found_in_a_matrix_whose_first_instance_is_skipped(write: Callable[[str], Path]) -> None:
    """One of them that runs says which secrets all of them need."""
    plan = load_plan(
        write("""
[secrets]
token = {env = "TOKEN"}
[tasks.a]
cmd = ["true"]
env = {T = "${secrets.token}-${matrix.i}"}
matrix.i = {range = [0, 3]}
if = "matrix.i != 0"
""")
    )
    assert list(needed(plan.tasks.examples(), plan.settings.secrets)) == ["token"]


def test_a_run_holds_few_planned_tasks_at_once(write: Callable[[str], Path]) -> None:
    """However many there are: those that an engine has, and those that have just ended."""
    count = RECENT_MAX * 3 // 2
    plan = load_plan(
        write(f"""
[tasks.each]
cmd = ["echo", "${{matrix.i}}"]
matrix.i = {{range = [0, {count}]}}
if = "matrix.i != 7"
[tasks.last]
cmd = ["true"]
needs = {{task = "each", status = "any"}}
""")
    )
    admission = Admission(plan.tasks, plan.settings)
    waiting = admission.begin()
    others = sum(type(each) is PlannedTask for each in gc.get_objects())  # of tests before this one
    most = step = 0
    while waiting:
        effect = waiting.pop()
        if isinstance(effect, Push):
            assert plan.tasks[effect.task].id == plan.tasks.id(effect.task)  # as whoever pushes it asks for it
            waiting += admission.handle(TaskEnded(effect.task, Outcome.SUCCEEDED))
        step += 1
        if step % (RECENT_MAX // 2) == 0:
            most = max(most, sum(type(each) is PlannedTask for each in gc.get_objects()))
    assert admission.finished
    assert len(admission.outcomes) == count + 1
    assert 0 < most - others < RECENT_MAX + 100


def test_what_is_alike_is_asked_of_one_instance(write: Callable[[str], Path]) -> None:
    """And what is not, of all; of a list, nobody knows."""
    plan = load_plan(write(PARTS + '[tasks.d]\ncmd = ["true"]\nmatrix.p = [1, 2]\npriority = "${matrix.p}"\n'))
    assert [task.id for task in plan.tasks.differing("kind")] == ["a@p-0", "b@p", "c", "d@1"]
    assert [task.id for task in plan.tasks.differing("kind", "priority")] == ["a@p-0", "b@p", "c", "d@1", "d@2"]
    assert len(list(plan.tasks.differing("needs"))) == 1 + 3 + 1 + 1
    assert len(list(Tasks.of(tuple(plan.tasks)).differing("kind"))) == 12 + 3 + 1 + 2
    assert [isinstance(group, Instances) for group in plan.tasks.groups] == [True, True, False, True]
