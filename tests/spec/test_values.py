"""Durations, sizes and paths as people write them."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.spec.values import (
    Refused,
    duration_s,
    function_path,
    grace_s,
    json_value,
    limit_s,
    model_path,
    size_bytes,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("1.5h", 5400),
        (90, 90),
        (0.5, 0.5),
        ("1m1ms", 60.001),
    ],
)
def test_a_duration_is_read(written: object, seconds: float) -> None:
    """Every form the language has."""
    assert duration_s(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "s",
        "90",
        "1 h",
        "30m1h",
        "1h1h",
        "-5s",
        "1e3s",
        "5 minutes",
        "∞",
        "٣s",
        True,
        None,
        [],
        -1,
        0,
        math.nan,
        math.inf,
        10**400,
    ],
)
def test_a_wrong_duration_is_refused(written: object) -> None:
    """With a sentence and never another exception."""
    with pytest.raises(Refused):
        limit_s(written)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("5 minutes", '"5m"'),
        ("1h 30min", '"1h30m"'),
        ("90", '"90s"'),
        ("1:30:00", '"1h30m00s"'),
        (datetime.time(1, 30), '"1h30m"'),
    ],
)
def test_a_wrong_duration_gets_a_hint(written: object, hint: str) -> None:
    """What to write instead is said, not only what is wrong."""
    with pytest.raises(Refused) as caught:
        limit_s(written)
    assert hint in (caught.value.help or "")


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(1, 999))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, seconds: int, ms: int) -> None:
    """Whatever the numbers."""
    text = f"{days}d{hours}h{minutes}m{seconds}s{ms}ms"
    assert duration_s(text) == pytest.approx(days * 86_400 + hours * 3600 + minutes * 60 + seconds + ms / 1000)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()))
def test_anything_is_a_duration_or_refused(value: object) -> None:
    """No other exception leaves, and what is accepted is a positive finite number."""
    try:
        seconds = limit_s(value)
    except Refused:
        return
    assert seconds is None or 0 < seconds < math.inf


def test_none_lifts_a_limit_but_not_grace() -> None:
    """A grace is no limit: a task that cleans up for ever would never end."""
    assert limit_s("none") is None
    assert grace_s(0) == 0
    with pytest.raises(Refused):
        grace_s("none")


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("512MiB", 512 * 2**20),
        ("2GB", 2 * 10**9),
        (77, 77),
        ("1.5KiB", 1536),
        ("10 MB", 10**7),
        ("1kB", 1000),
        ("none", None),
    ],
)
def test_a_size_is_read(written: object, size: int | None) -> None:
    """Every form the language has."""
    assert size_bytes(written) == size


@given(st.one_of(st.text(), st.from_regex(r"[0-9.]{1,30} ?[kKMGTiB]{0,3}", fullmatch=True), st.integers(), st.floats()))
def test_anything_is_a_size_or_refused(value: object) -> None:
    """No other exception leaves, and what is accepted is a positive number of bytes."""
    try:
        size = size_bytes(value)
    except Refused:
        return
    assert size is None or 1 <= size < 2**63


@given(st.integers(1, 2**50), st.sampled_from(["B", "kB", "MB", "KiB", "MiB"]))
def test_a_whole_size_is_exact(number: int, unit: str) -> None:
    """No rounding through floating point."""
    factor = {"B": 1, "kB": 1000, "MB": 1000**2, "KiB": 1024, "MiB": 1024**2}[unit]
    if number * factor < 2**63:
        assert size_bytes(f"{number}{unit}") == number * factor


def test_a_wrong_unit_gets_the_right_one() -> None:
    """Mib is MiB."""
    with pytest.raises(Refused) as caught:
        size_bytes("10mib")
    assert caught.value.help == 'write "10MiB"'


def test_paths_of_python_things_tell_each_other_apart() -> None:
    """A Model where a function belongs gets the right spelling, and the other way round."""
    assert model_path("a.b.C") == "a.b.C"
    assert function_path("a.b:f.g") == "a.b:f.g"
    with pytest.raises(Refused) as caught:
        model_path("a.b:C")
    assert 'call = "a.b:C"' in (caught.value.help or "")
    with pytest.raises(Refused) as caught:
        function_path("a.b.f")
    assert caught.value.help == 'write "a.b:f"'


def test_a_value_that_json_has_not_is_refused_where_it_stands() -> None:
    """The place inside the value is told."""
    with pytest.raises(Refused) as caught:
        json_value([1, {"a": datetime.date(2024, 1, 1)}])
    assert caught.value.below == (1, "a")
