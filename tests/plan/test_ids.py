"""Ids of instances: no clash, safe as file names."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from workflow.plan.ids import LONGEST, instance_id, meant

_VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)
_ROWS = st.lists(_VALUES, min_size=2, max_size=2)


def test_values_stand_in_the_order_of_the_axes() -> None:
    """name@a-b."""
    assert instance_id("fetch", ["eu", 3]) == "fetch@eu-3"


def test_what_is_not_safe_is_percent_escaped() -> None:
    """The dash too, as it parts the values."""
    assert instance_id("a", ["x/y", "-", "é", "a.b_c=d+e", True]) == "a@x%2Fy-%2D-%C3%A9-a.b_c=d+e-true"


@given(_ROWS)
def test_who_types_the_values_as_they_are_is_told_the_id(row: list[object]) -> None:
    """Where that is another one; however unlike the two look."""
    values = [value if isinstance(value, str) else json.dumps(value) for value in row]
    typed, id_ = f"t@{'-'.join(values)}", instance_id("t", row)
    if typed != id_ and len(id_) < LONGEST and "%" not in typed:
        assert meant(typed, ["t", id_]) == f"did you mean {id_!r}?"


@given(_ROWS, _ROWS)
def test_different_values_have_different_ids(one: list[object], other: list[object]) -> None:
    """Unless they are the same as text: 1 and "1"."""
    same_text = [v if isinstance(v, str) else json.dumps(v) for v in one] == [
        v if isinstance(v, str) else json.dumps(v) for v in other
    ]
    assert (instance_id("t", one) == instance_id("t", other)) == same_text


@given(_ROWS)
def test_an_id_is_a_file_name(row: list[object]) -> None:
    """Letters, digits and signs that no file system minds, and not too long."""
    id_ = instance_id("t", row)
    assert re.fullmatch(r"t@[A-Za-z0-9._=+%~-]*", id_)
    assert len(id_) <= LONGEST


def test_an_id_too_long_is_cut_and_stays_different() -> None:
    """The digest is of the whole."""
    one, other = instance_id("t", ["x" * 500 + "a"]), instance_id("t", ["x" * 500 + "b"])
    assert len(one) == len(other) == LONGEST
    assert one != other
