"""How a task ended, as a value."""

from __future__ import annotations

from workflow import Outcome


def test_an_outcome_is_found_by_its_text() -> None:
    """It is equal to it, so it is the same key of a dictionary."""
    counts = {outcome: number for number, outcome in enumerate(Outcome)}
    assert [counts[outcome.value] for outcome in Outcome] == list(counts.values())  # type: ignore[index]  # a text
