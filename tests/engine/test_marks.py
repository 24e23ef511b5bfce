"""Whom a mark condemns: tables of processes, decided without one."""

from __future__ import annotations

import os

import pytest

from workflow.engine import marks
from workflow.engine.marks import Here, Mark, Seen, bearers, leftovers

HERE = Here("boot-1", "pid:[1]+time:[2]", 1000)
ME = 900
GONE = Mark(HERE, 100, 5000, 1)
LIVING = Mark(HERE, 200, 6000, 1)
BASE = [
    Seen(1, 0, 1, 0, None),
    Seen(200, 1, 6000, 1000, None),  # a program that lives
    Seen(800, 1, 100, 1000, None),  # a shell
    Seen(ME, 800, 9000, 1000, None),
]


def ended(*more: Seen) -> list[int]:
    return [seen.pid for seen in leftovers([*BASE, *more], HERE, ME)]


def test_a_process_whose_program_is_gone_is_left() -> None:
    assert ended(Seen(300, 1, 7000, 1000, GONE)) == [300]


def test_the_number_of_its_program_may_have_been_given_to_another() -> None:
    """That one is not harmed, and does not protect it."""
    assert ended(Seen(100, 1, 8000, 1000, None), Seen(300, 1, 7000, 1000, GONE)) == [300]


def test_a_process_of_a_living_run_is_not_touched() -> None:
    assert ended(Seen(300, 1, 7000, 1000, LIVING)) == []
    assert ended(Seen(100, 1, 5000, 1000, None), Seen(300, 1, 7000, 1000, GONE)) == []


def test_a_program_that_is_there_and_cannot_be_looked_at_counts_as_living() -> None:
    assert ended(Seen(100, 0, None, -1, None), Seen(300, 1, 7000, 1000, GONE)) == []


@pytest.mark.parametrize(
    "mark",
    [
        GONE._replace(here=HERE._replace(boot="boot-0")),
        GONE._replace(here=HERE._replace(namespaces="pid:[9]+time:[2]")),
        GONE._replace(here=HERE._replace(namespaces="pid:[1]+time:[9]")),
        GONE._replace(here=HERE._replace(uid=0)),
        None,
    ],
    ids=["another boot", "another pid namespace", "another time namespace", "another user's program", "no mark"],
)
def test_what_another_world_started_is_not_touched(mark: Mark | None) -> None:
    assert ended(Seen(300, 1, 7000, 1000, mark)) == []


def test_a_process_of_another_user_is_not_touched() -> None:
    assert ended(Seen(300, 1, 7000, 1001, GONE)) == []


def test_neither_oneself_nor_who_is_above_is_touched() -> None:
    """Somebody may run this from a shell that a task of the lost run started."""
    table = [
        Seen(1, 0, 1, 0, None),
        Seen(700, 1, 100, 1000, GONE),
        Seen(800, 700, 110, 1000, GONE),
        Seen(ME, 800, 9000, 1000, GONE),
        Seen(701, 700, 120, 1000, GONE),
    ]
    assert [seen.pid for seen in leftovers(table, HERE, ME)] == [701]


def test_what_cleared_its_environment_below_one_that_is_left_is_left_too() -> None:
    """What bears the mark of a living program below it is not: that one ends it."""
    table = (
        Seen(300, 1, 7000, 1000, GONE),
        Seen(301, 300, 7001, 1000, None),
        Seen(302, 301, 7002, 1000, None),
        Seen(303, 300, 7003, 1000, LIVING),
        Seen(304, 303, 7004, 1000, None),
        Seen(305, 300, 7005, 0, None),
    )
    assert ended(*table) == [300, 301, 302]


def test_an_engine_of_ones_own_is_ended_by_its_exact_mark() -> None:
    """Another engine of the same program is not."""
    mine = Mark(HERE, ME, 9000, 2)
    table = [*BASE, Seen(300, 1, 7000, 1000, mine), Seen(301, 1, 7000, 1000, mine._replace(engine=3))]
    assert [seen.pid for seen in bearers(table, mine, ME)] == [300]


def test_init_is_never_ended() -> None:
    table = [Seen(1, 0, 1, 1000, GONE), Seen(ME, 0, 9000, 1000, None)]
    assert leftovers(table, HERE, ME) == []


def test_a_mark_comes_back_as_it_was() -> None:
    mark = marks.new_mark()
    if mark is None:
        pytest.skip("there is no /proc of our own here")
    assert marks.parse(mark.text()) == mark
    assert mark.pid == os.getpid()
    second = marks.new_mark()
    assert second is not None
    assert second.engine == mark.engine + 1


@pytest.mark.parametrize(
    "text",
    ["", "x", "a/b/c/d/e/f", "a/b/1/2/3", "a/b/1/2/3/4/5", "a/b/1/9999999999/3/4", "a/b/1/0/3/4", "a/b/1/-1/3/4"],
)
def test_what_is_no_mark_is_none(text: str) -> None:
    assert marks.parse(text) is None


@pytest.mark.parametrize("number", ["0", "-1", "2147483648", "9" * 30])
def test_a_number_that_no_process_can_have_is_no_mark(number: str) -> None:
    """Any process of this machine may say so, and every run would have to ask the kernel about it."""
    assert marks.parse(f"a/b/1/{number}/3/4") is None
