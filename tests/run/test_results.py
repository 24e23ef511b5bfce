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
from workflow.plan.plan import Ended, Need, PlannedTask
from workflow.run.plain import Opaque, read_plain
from workflow.run.results import KeptResults
from workflow.spec.reference import describe

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
    kept = KeptResults([*tasks, last])
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
    kept, handle = KeptResults([task, other]), Returned(7)
    kept.take(task, Outcome.SUCCEEDED, handle)
    assert (handle.asked, kept.ended) == (0, {})


def test_a_result_is_forgotten_with_the_last_who_refers_to_it(make_task: Make) -> None:
    """Instances that share what they refer to, and a task that refers to a part of it."""
    tasks = instances(make_task, 2)
    shared = frozenset(task.id for task in tasks)
    users = [make_task("b", id=f"b@{number}", uses_results=shared) for number in range(2)]
    single = make_task("c", uses=["a@1"])
    kept = KeptResults([*tasks, *users, single])
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
    kept = KeptResults([*tasks, *users])
    for task in tasks:
        kept.take(task, Outcome.SUCCEEDED, Returned(1))
    for user in users:
        kept.release(user)
    assert kept.ended == {}
    assert time.process_time() - begun < 5
