"""Schedules drawn from a seed."""

from __future__ import annotations

from workflow.harness.schedule import draw


def test_every_schedule_strikes_somebody_who_is_always_there() -> None:
    """A process of a task may be gone at the moment that was drawn, and then nothing was tested."""
    for seed in range(5000):
        assert {blow.role for blow in draw(seed).blows} - {"task"}, seed


def test_the_same_seed_draws_the_same() -> None:
    """A round can be done again."""
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
