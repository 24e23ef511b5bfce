"""What is kept of tasks that have ended, for how long, and for whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from workflow.outcome import Outcome
from workflow.plan.plan import Ended, Need, PlannedTask
from workflow.run.results import KeptResults, UnreadableResult

Make = Callable[..., PlannedTask]


class Returned:
    """A handle, as far as it is asked here."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.asked = 0

    def result(self) -> object:
        self.asked += 1
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def instances(make_task: Make, count: int, **more: Any) -> list[PlannedTask]:
    return [make_task("a", id=f"a@{number}", matrix={"n": number}, **more) for number in range(count)]


def test_how_a_task_ended_is_kept_also_where_there_is_no_result(make_task: Make) -> None:
    """With the values of its matrix: skipped, failed and succeeded ones."""
    tasks = instances(make_task, 3)
    last = make_task("b", uses=[task.id for task in tasks])
    kept = KeptResults([*tasks, last], [])
    kept.take(tasks[0], Outcome.SUCCEEDED, Returned(7))
    kept.take(tasks[1], Outcome.SKIPPED, None)
    failed = Returned(ValueError())
    kept.take(tasks[2], Outcome.FAILED, failed)
    assert kept.of(last) == {
        "a@0": Ended({"n": 0}, "succeeded", 7),
        "a@1": Ended({"n": 1}, "skipped", None),
        "a@2": Ended({"n": 2}, "failed", None),
    }
    assert failed.asked == 0


def test_a_result_nobody_refers_to_is_not_even_read(make_task: Make) -> None:
    """It stays bytes; needing a task is not referring to it."""
    task, other = make_task("a"), make_task("b", ["a"])
    kept, handle = KeptResults([task, other], []), Returned(7)
    kept.take(task, Outcome.SUCCEEDED, handle)
    assert (handle.asked, kept.of(other)) == (0, {})


def test_a_result_is_forgotten_with_the_last_who_refers_to_it(make_task: Make) -> None:
    """Instances that share what they refer to, and a task that refers to a part of it."""
    tasks = instances(make_task, 2)
    shared = frozenset(task.id for task in tasks)
    users = [make_task("b", id=f"b@{number}", uses_results=shared) for number in range(2)]
    single = make_task("c", uses=["a@1"])
    kept = KeptResults([*tasks, *users, single], [])
    for number, task in enumerate(tasks):
        kept.take(task, Outcome.SUCCEEDED, Returned(number))
    kept.release(users[0])
    assert set(kept.of(users[1])) == {"a@0", "a@1"}
    kept.release(users[1])
    assert set(kept.of(single)) == {"a@1"}
    kept.release(single)
    assert kept.of(single) == {}


def test_a_result_that_cannot_be_read_is_told_to_who_refers_to_it(make_task: Make) -> None:
    """And to nobody else."""
    task, user = make_task("a"), make_task("b", uses=["a"])
    kept = KeptResults([task, user], [])
    kept.take(task, Outcome.SUCCEEDED, Returned(SystemExit(3)))
    assert kept.of(make_task("c")) == {}
    with pytest.raises(UnreadableResult, match="the result of a cannot be read: SystemExit: 3"):
        kept.of(user)


def test_many_instances_that_refer_to_many_are_no_many_times_many_steps(make_task: Make) -> None:
    """Twenty thousand that share twenty thousand: four hundred million pairs are not visited."""
    count = 20_000
    tasks = instances(make_task, count)
    ids = tuple(task.id for task in tasks)
    template = make_task("b", [Need("a", ids, "any")], uses_results=frozenset(ids))
    users = [template] * count
    begun = time.process_time()
    kept = KeptResults([*tasks, *users], [])
    for task in tasks:
        kept.take(task, Outcome.SUCCEEDED, Returned(1))
    for user in users:
        kept.of(user)
        kept.release(user)
    assert kept.of(template) == {}
    assert time.process_time() - begun < 5
