"""What is kept of tasks that have ended, for how long, and for whom."""

from __future__ import annotations

import collections
import ctypes
import datetime
import decimal
import pickle
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.outcome import Outcome
from workflow.plan.compile import MissingResult, Surroundings, compile_task
from workflow.plan.plan import Ended, Need, PlannedTask
from workflow.run.plain import Opaque, read_plain
from workflow.run.results import KeptResults
from workflow.run.stored import LARGE_BYTES, LostResult, store
from workflow.spec.reference import describe, parse

Make = Callable[..., PlannedTask]


class Returned:
    """A handle, as far as it is asked here."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.asked = 0

    def pickled_result(self) -> bytes:
        self.asked += 1
        return self.value if isinstance(self.value, bytes) else pickle.dumps(self.value, 5)


def instances(make_task: Make, count: int, **more: Any) -> list[PlannedTask]:
    return [make_task("a", id=f"a@{number}", matrix={"n": number}, **more) for number in range(count)]


def test_how_a_task_ended_is_kept_also_where_there_is_no_result(make_task: Make) -> None:
    """With the values of its matrix: skipped, failed and succeeded ones."""
    tasks = instances(make_task, 3)
    last = make_task("b", uses=[task.id for task in tasks])
    kept = KeptResults([*tasks, last], "nowhere")
    kept.take(tasks[0], Outcome.SUCCEEDED, Returned(7))
    kept.take(tasks[1], Outcome.SKIPPED, None)
    failed = Returned(ValueError())
    kept.take(tasks[2], Outcome.FAILED, failed)
    assert kept.ended == {
        "a@0": Ended({"n": 0}, "succeeded", 7),
        "a@1": Ended({"n": 1}, "skipped", None),
        "a@2": Ended({"n": 2}, "failed", None),
    }
    assert failed.asked == 0


def test_a_result_nobody_refers_to_is_not_even_read(make_task: Make) -> None:
    """It stays bytes; needing a task is not referring to it."""
    task, other = make_task("a"), make_task("b", ["a"])
    kept, handle = KeptResults([task, other], "nowhere"), Returned(7)
    kept.take(task, Outcome.SUCCEEDED, handle)
    assert (handle.asked, kept.ended) == (0, {})


def test_a_result_is_forgotten_with_the_last_who_refers_to_it(make_task: Make) -> None:
    """Instances that share what they refer to, and a task that refers to a part of it."""
    tasks = instances(make_task, 2)
    shared = frozenset(task.id for task in tasks)
    users = [make_task("b", id=f"b@{number}", uses_results=shared) for number in range(2)]
    single = make_task("c", uses=["a@1"])
    kept = KeptResults([*tasks, *users, single], "nowhere")
    for number, task in enumerate(tasks):
        kept.take(task, Outcome.SUCCEEDED, Returned(number))
    kept.release(users[0])
    assert set(kept.ended) == {"a@0", "a@1"}
    kept.release(users[1])
    assert set(kept.ended) == {"a@1"}
    kept.release(single)
    assert kept.ended == {}


class Deadly:
    """Kills whoever unpickles it."""

    def __reduce__(self) -> Any:
        return (ctypes.string_at, (0,))


PLAIN = [
    {"a": [1, 2.5, None, True, "text", b"bytes", (1, 2)], "b": {1, 2}, "c": frozenset({3}), "d": 1j},
    collections.OrderedDict(a=collections.deque([1])),
    [datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), datetime.timedelta(1), decimal.Decimal("1.5")],
    [Path("a/b"), uuid.UUID(int=7), range(3), bytearray(b"x")],
]


@pytest.mark.parametrize("value", PLAIN)
def test_plain_results_are_read(value: object) -> None:
    """Those of Python itself and of the standard library's simple types."""
    assert read_plain(pickle.dumps(value, 5)) == value


@pytest.mark.parametrize("value", [Deadly(), [1, Deadly()], {"a": SystemExit(3)}, print])
def test_other_results_travel_as_bytes_and_run_nothing_here(value: object) -> None:
    """This process is still alive; the one that unpickles it again gets what was returned."""
    pickled = pickle.dumps(value, 5)
    opaque = read_plain(pickled)
    assert isinstance(opaque, Opaque)
    assert opaque.pickled == pickled
    assert pickled in pickle.dumps(((opaque,), {}), 5)
    assert describe(opaque) == f"an object of type {opaque.kind}"


def test_an_opaque_result_is_itself_again_where_it_is_unpickled() -> None:
    value = SystemExit(3)
    again = pickle.loads(pickle.dumps([read_plain(pickle.dumps(value, 5))], 5))
    assert isinstance(again[0], SystemExit)


def test_bytes_that_are_no_pickle_are_the_takers_failure() -> None:
    opaque = read_plain(b"no pickle")
    assert isinstance(opaque, Opaque)
    assert opaque.kind == "broken pickle"


def test_many_instances_that_refer_to_many_are_no_many_times_many_steps(make_task: Make) -> None:
    """Twenty thousand that share twenty thousand: four hundred million pairs are not visited."""
    count = 20_000
    tasks = instances(make_task, count)
    ids = tuple(task.id for task in tasks)
    template = make_task("b", [Need("a", ids, ids, "any")], uses_results=frozenset(ids))
    users = [template] * count
    begun = time.process_time()
    kept = KeptResults([*tasks, *users], "nowhere")
    for task in tasks:
        kept.take(task, Outcome.SUCCEEDED, Returned(1))
    for user in users:
        kept.release(user)
    assert kept.ended == {}
    assert time.process_time() - begun < 5


LARGE = b"x" * (2 * LARGE_BYTES)
AROUND = Surroundings("/", "run", "/run", 7)


def taker(make_task: Make, *args: object, kind: str = "call", **more: Any) -> PlannedTask:
    def template(text: object) -> object:
        return parse(text)[0] if isinstance(text, str) else text

    fields = {"args": tuple(map(template, args)), "uses": ["a"], "base": "."}
    return make_task("b", ["a"], kind=kind, **{**fields, **more})


def kept_large(make_task: Make, folder: Path, value: object) -> KeptResults:
    task = make_task("a")
    kept = KeptResults([task, taker(make_task)], str(folder))
    kept.take(task, Outcome.SUCCEEDED, Returned(value))
    return kept


def test_a_large_result_is_stored_where_only_we_can_read_it_and_taken_by_its_name(
    make_task: Make, tmp_path: Path
) -> None:
    """What is pushed is small; where it is unpickled, it is what was returned."""
    kept = kept_large(make_task, tmp_path / "results", [LARGE])
    path = tmp_path / "results/a.pickle"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == ["a.pickle"]
    made = compile_task(
        taker(make_task, "${tasks.a.result}", "${tasks.a.results}", "${tasks.a.items}"), kept.ended, AROUND
    )
    pickled = pickle.dumps(made.args, 5)
    assert len(pickled) < 1000
    result, results, items = pickle.loads(pickled)[1]
    assert (result, results, items[0]["result"]) == ([LARGE], [[LARGE]], [LARGE])


def test_a_part_of_a_large_result_and_text_of_it_are_read_by_the_parent(make_task: Make, tmp_path: Path) -> None:
    """As of a small one; of a class that is not plain there is neither."""
    kept = kept_large(make_task, tmp_path, {"rows": [1, 2], "rest": "x" * 2 * LARGE_BYTES})
    made = compile_task(
        taker(make_task, "${tasks.a.result.rows.1}", "${tasks.a.results.0.rows}", "n=${tasks.a.result.rows}"),
        kept.ended,
        AROUND,
    )
    assert made.args[1] == [2, [1, 2], "n=[1, 2]"]
    opaque = kept_large(make_task, tmp_path, [Deadly(), LARGE])
    with pytest.raises(MissingResult, match="an object of type "):
        compile_task(taker(make_task, "${tasks.a.result.rows}"), opaque.ended, AROUND)
    with pytest.raises(MissingResult, match="which has no form as text"):
        compile_task(taker(make_task, "n=${tasks.a.result}"), opaque.ended, AROUND)


@pytest.mark.parametrize(
    ("hurt", "said"),
    [
        (lambda path: path.unlink(), "cannot be read from {path}: No such file or directory"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "in {path} is not what was written there"),
        (lambda path: path.write_bytes(b"y" + path.read_bytes()[1:]), "in {path} is not what was written there"),
    ],
)
def test_a_file_that_was_touched_is_the_takers_failure(make_task: Make, tmp_path: Path, hurt: Any, said: str) -> None:
    """In the worker before anything of it is unpickled, and in the parent where it reads a part."""
    kept = kept_large(make_task, tmp_path, {"a": LARGE})
    made = compile_task(taker(make_task, "${tasks.a.result}"), kept.ended, AROUND)
    path = tmp_path / "a.pickle"
    pickled = pickle.dumps(made.args, 5)
    hurt(path)
    with pytest.raises(LostResult, match=f"the result of a {said.format(path=path)}"):
        pickle.loads(pickled)
    with pytest.raises(MissingResult, match=f"the result of a {said.format(path=path)}"):
        compile_task(taker(make_task, "${tasks.a.result.a}"), kept.ended, AROUND)


def test_a_result_that_cannot_be_stored_is_the_takers_failure(make_task: Make, tmp_path: Path) -> None:
    """Of whoever takes it as a whole, in part, or among others; nothing half is left."""
    (tmp_path / "results").write_text("a file")
    kept = kept_large(make_task, tmp_path / "results", LARGE)
    for written in ("${tasks.a.result}", "${tasks.a.results}", "${tasks.a.items}", "n=${tasks.a.result}"):
        with pytest.raises(MissingResult, match=r"the result of a could not be written to .*results/a\.pickle: "):
            compile_task(taker(make_task, written), kept.ended, AROUND)
    (tmp_path / "a.pickle").mkdir()
    assert "Is a directory" in str(store("a", str(tmp_path), LARGE).problem)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.pickle", "results"]
