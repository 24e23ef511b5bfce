"""Which of many failures are told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from workflow.outcome import Outcome
from workflow.report.alike import LISTED_MAX, Failure, Kind, Novelty, entries, told


def failure(
    id_: str, said: str = "no", error: str = "ValueError", outcome: str = "failed", skipped: int = 0, **more: bool
) -> Failure[None]:
    kind = Kind(id_.partition("@")[0], Outcome(outcome), error, said, more.get("allowed", False))
    return Failure(None, id_, kind, skipped)


def ids(failures: Sequence[Failure[None]]) -> list[str]:
    return [each.id for each in failures]


MANY = [failure(f"t@{n}") for n in range(LISTED_MAX + 1)]


def test_few_are_told_one_by_one() -> None:
    """However alike they are; those that hindered most first, what was allowed to fail last."""
    few = [failure("may", allowed=True), *MANY[: LISTED_MAX - 2], failure("root", skipped=2)]
    assert ids(entries(few)) == ["root", *ids(MANY)[: LISTED_MAX - 2], "may"]
    assert not any(each.like for each in entries(few))


def test_of_many_that_are_alike_the_first_stands_for_the_others() -> None:
    """It hindered what all of them did; among equals those come first that stand for most."""
    first, lone = entries([*MANY, failure("t@x", skipped=3), failure("lone")])
    assert ids(entries([failure("lone"), failure("may", allowed=True), *MANY])) == ["t@0", "lone", "may"]
    assert (first.id, first.like, first.skipped) == ("t@0", (*ids(MANY)[1:], "t@x"), 3)
    assert (lone.id, lone.like, lone.skipped) == ("lone", (), 0)


@pytest.mark.parametrize(
    "other",
    [
        failure("u@0"),
        failure("t@x", said="yes"),
        failure("t@x", error="KeyError"),
        failure("t@x", outcome="crashed"),
        failure("t@x", allowed=True),
    ],
)
def test_what_differs_stands_for_itself(other: Failure[None]) -> None:
    """In its task, what it says, its exception, how it ended, and whether that counts."""
    assert ids(entries([*MANY, other])) == ["t@0", other.id]


def test_values_are_told_apart_while_there_is_room_for_it() -> None:
    """Quoted text, and words with digits in them; not the other words."""
    said = ("no file '/a/x.csv'", 'no file "y"', "no file '/b'")
    files = [failure(f"t@{n}", said=f"{said[n % 3]} at 0x7f{n:02x}, line {n}") for n in range(40)]
    disk = [failure("t@d", said="no disk"), failure("t@e", said="no disk")]
    assert [(each.id, len(each.like)) for each in entries([*files, *disk])] == [("t@0", 39), ("t@d", 1)]
    three = [failure(f"t@{n}", said=said[n % 3]) for n in range(40)]
    assert [(each.id, len(each.like)) for each in entries(three)] == [("t@0", 13), ("t@1", 12), ("t@2", 12)]


def test_where_not_all_have_room_the_most_different_are_told() -> None:
    """After those that come first; each kind from coarse to fine, and the others are left in their order."""
    found = [failure(f"a{n}", skipped=50 - n) for n in range(30)]
    found += [failure("a1", said="x"), failure("b", error="KeyError"), failure("c", outcome="crashed"), failure("d")]
    chosen, left = told(found, 8)
    assert ids(chosen) == ["a0", "a1", "a2", "a3", "a4", "a5", "b", "c"]
    assert ids(left) == [*(f"a{n}" for n in range(6, 30)), "a1", "d"]
    assert told(found, 0) == ([], found)
    assert told(found, 34) == (found, [])
    alike = [failure("t@0")] * 9
    assert told(alike, 4) == (alike[:4], alike[4:])


def test_what_shows_something_new_is_bounded() -> None:
    """The first ones, whatever they are; then so many of each way to see kinds."""
    novelty = Novelty(4)
    assert [novelty.of(failure("t@0").kind) for _ in range(6)] == [True, True, True, True, False, False]
    assert novelty.of(failure("t@9", outcome="crashed").kind)
    assert not novelty.of(failure("t@9", outcome="crashed").kind)
    assert novelty.of(failure("u").kind)
    assert novelty.of(failure("t", said="other words").kind)
    kinds = [failure(f"t{n}", error=f"E{n}", said="x" * n).kind for n in range(1000)]
    novelty = Novelty(20)
    assert [novelty.of(kind) for kind in kinds] == [True] * 20 + [False] * 980
    assert novelty.of(failure("t", outcome="crashed").kind)
    novelty = Novelty(20)
    assert sum(novelty.of(failure("t", said=f"{'x' * n} is wrong").kind) for n in range(1000)) <= 40
    assert novelty.of(failure("t", outcome="crashed").kind)
