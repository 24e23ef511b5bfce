"""When a guard is woken or given up: looks under a pretend clock."""

from __future__ import annotations

from workflow.engine.vigil import (
    FINE,
    GIVE_UP,
    LOOK_S,
    PAUSED_S,
    STILL_LOOKS,
    STOPPED_LOOKS,
    WAKE,
    WAKE_LOOKS,
    Vigil,
)


def looks(vigil: Vigil, count: int, start: float = 0.0, **seen: object) -> list[str]:
    """What follows from seeing the same thing again and again."""
    return [vigil.look(start + number * LOOK_S, **seen) for number in range(count)]  # type: ignore[arg-type]


def test_one_that_moves_is_fine_whatever_its_state() -> None:
    """Also one that is found stopped at each look and went on in between."""
    vigil = Vigil()
    for number in range(200):
        assert vigil.look(number * LOOK_S, stopped=number % 2 == 0, beat=number) == FINE


def test_a_stopped_one_is_woken_before_it_is_given_up() -> None:
    said = looks(Vigil(), STOPPED_LOOKS + 1, stopped=True, beat=7)
    assert said.index(WAKE) <= WAKE_LOOKS
    assert said.count(WAKE) >= 2
    assert said.index(GIVE_UP) > said.index(WAKE)


def test_a_guard_without_a_beat_is_judged_by_its_state_alone() -> None:
    assert set(looks(Vigil(), 500, stopped=False)) == {FINE}
    assert GIVE_UP in looks(Vigil(), STOPPED_LOOKS, stopped=True)


def test_a_stop_of_a_few_seconds_harms_nothing() -> None:
    vigil = Vigil()
    for start in range(0, 100, 10):
        assert set(looks(vigil, WAKE_LOOKS - 1, start * LOOK_S, stopped=True, beat=start)) == {FINE}
        assert vigil.look((start + WAKE_LOOKS) * LOOK_S, stopped=False, beat=start + 1) == FINE


def test_one_that_is_not_stopped_and_does_not_move_gets_longer() -> None:
    said = looks(Vigil(), STILL_LOOKS + 1, stopped=False, beat=1)
    assert set(said[:-1]) == {FINE}
    assert said[-1] == GIVE_UP


def test_who_was_stopped_himself_begins_to_count_anew() -> None:
    """A sleeping laptop, Ctrl-Z: however long it was, and however often."""
    vigil = Vigil()
    now = 0.0
    for _ in range(50):
        assert set(looks(vigil, WAKE_LOOKS - 1, now, stopped=True, beat=1)) == {FINE}
        now += WAKE_LOOKS * LOOK_S + PAUSED_S + 0.1
    vigil = Vigil()
    assert {vigil.look(number * 3600.0, stopped=False, beat=1) for number in range(200)} == {FINE}


def test_a_look_is_due_a_second_after_the_one_before() -> None:
    vigil = Vigil()
    assert vigil.due(5.0)
    vigil.look(5.0, stopped=False)
    assert not vigil.due(5.0 + LOOK_S / 2)
    assert vigil.due(5.0 + LOOK_S)
