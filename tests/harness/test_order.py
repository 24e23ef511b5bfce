"""What the journal tells about tasks that stood behind others."""

from __future__ import annotations

import pytest

from workflow.harness.journal import BEGAN, ENDED, Entry
from workflow.harness.order import stood_behind, taken_back, waits

PLACES = {name: place for place, name in enumerate("abcdef")}


def story(text: str) -> list[Entry]:
    """``"1:+a 2:+d 2:-d 2:+b"``: worker 1 begins a, worker 2 begins d and ends it, then begins b; a second apart."""
    entries = []
    for second, word in enumerate(text.split()):
        pid, _, what = word.partition(":")
        entries.append(Entry(float(second), int(pid), BEGAN if what[0] == "+" else ENDED, what[1:], 1))
    return entries


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:+a 2:+d 2:-d 2:+b 2:-b 2:+c", ["b", "c"]),  # both were sent to 1, who does not get on
        ("1:+a 2:+b 2:-b 2:+c", []),
        ("1:+d 2:+a 2:-a 1:-d 1:+e 2:+b", []),  # two workers with a batch each
    ],
)
def test_who_begins_what_comes_earlier_was_sent_it_later(text: str, expected: list[str]) -> None:
    assert [entry.task for entry in taken_back(story(text), PLACES)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:+a 2:+d 2:-d 2:+b", [("b", 2.0, 3.0)]),
        ("1:+a 2:+d 3:+f 2:-d 2:+b", [("b", 3.0, 4.0)]),
        ("1:+a 2:+d 2:-d 3:+b", [("b", 2.0, 3.0)]),  # another began it, yet 2 was free
        ("1:+a 1:-a 1:+b", []),  # nobody knows that b had been pushed before
        ("1:+a 2:+c 1:-a 1:+d 1:-d 2:-c", []),  # nothing waited
    ],
)
def test_a_task_waits_while_somebody_is_free(text: str, expected: list[tuple[str, float, float]]) -> None:
    assert [(wait.task, wait.since_s, wait.until_s) for wait in waits(story(text), PLACES)] == expected


def test_what_was_handed_out_before_and_began_after_stood_behind() -> None:
    """In a pool of 2: the other had begun something later by then, so these had been sent to the one who died."""
    entries = story("1:+a 2:+d 2:-d 2:+b 3:+c")
    assert [entry.task for entry in stood_behind(entries, PLACES, "a", 1.5)] == ["b", "c"]
    assert stood_behind(entries, PLACES, "a", 0.5) == []
