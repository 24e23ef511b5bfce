"""Key paths to positions, in every form TOML can write a key."""

from __future__ import annotations

import time

import pytest

from workflow.diagnostics.locate import locate
from workflow.diagnostics.mistake import Mistake, Place

TEXT = """\
top = 1
a.b.c = 2
"quoted key" = { in = [1, { deep = "é${x}" }] }

[tables."with.dot".'single']
k = \"\"\"
first
second\"\"\"
[[rows]]
x = 1
[[rows]]
  x = 2 # comment
[rows.below]
y = [
  # comment
  "one",
  "two",
]
[late.child]
z = 1
[late]
w = 1
"""


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        (("top",), (1, 1), (1, 7)),
        (("a", "b", "c"), (2, 5), (2, 9)),
        (("a", "b"), (2, 3), (2, 3)),
        (("quoted key",), (3, 1), (3, 16)),
        (("quoted key", "in", 0), (3, 24), (3, 24)),
        (("quoted key", "in", 1, "deep"), (3, 29), (3, 36)),
        (("tables", "with.dot", "single"), (5, 20), (5, 20)),
        (("tables", "with.dot", "single", "k"), (6, 1), (6, 5)),
        (("rows", 0, "x"), (10, 1), (10, 5)),
        (("rows", 1, "x"), (12, 3), (12, 7)),
        (("rows", 1, "below", "y", 1), (17, 3), (17, 3)),
        (("late",), (21, 2), (21, 2)),
        (("late", "child", "z"), (20, 1), (20, 5)),
        (("late", "w"), (22, 1), (22, 5)),
    ],
)
def test_a_key_and_its_value_are_found(place: Place, key: tuple[int, int], value: tuple[int, int]) -> None:
    """Dotted keys, inline tables, arrays of tables, quoted keys, tables out of order."""
    (at_key,) = locate(TEXT, [Mistake("c", place, "h", at_key=True)])
    (at_value,) = locate(TEXT, [Mistake("c", place, "h")])
    assert (at_key.line, at_key.column) == key
    assert (at_value.line, at_value.column) == value


def test_columns_count_characters_and_a_needle_is_found_in_its_value() -> None:
    """Not bytes: é is one column."""
    (found,) = locate(TEXT, [Mistake("c", ("quoted key", "in", 1, "deep"), "h", needle="${x}")])
    assert (found.line, found.column, found.end) == (3, 38, 42)
    assert found.source_line == '"quoted key" = { in = [1, { deep = "é${x}" }] }'


def test_a_place_that_is_not_there_is_shown_at_the_nearest_that_is() -> None:
    """Something that came from a variable, for instance."""
    (found,) = locate(TEXT, [Mistake("c", ("rows", 0, "x", "more", 3), "h")])
    assert (found.line, found.column) == (10, 1)


def test_mistakes_are_sorted_and_doubles_left_out() -> None:
    """By line and column; a position that is known stays."""
    known = Mistake("c", (), "known", line=2)
    top, row = Mistake("c", ("top",), "h"), Mistake("c", ("rows", 0, "x"), "h")
    assert [each.line for each in locate(TEXT, [row, top, known, top])] == [1, 2, 10]


def test_a_mistake_without_a_place_gets_no_position() -> None:
    """It is not about the text."""
    (found,) = locate(TEXT, [Mistake("c", (), "h")])
    assert found.line is None


def test_very_many_mistakes_on_one_very_long_line_take_no_time_worth_mention() -> None:
    """Nor memory: the line is there once."""
    text = f'top = "{"x" * 1_000_000}"\n'
    began = time.process_time()
    found = locate(text, [Mistake("c", ("top",), f"h{number}") for number in range(20_000)])
    assert time.process_time() - began < 3
    assert len(found) == 20_000
    assert len({id(each.source_line) for each in found}) == 1
