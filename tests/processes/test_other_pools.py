"""Real trials of the comparison with other pools: two of the pools, and faults that are over in a second."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by /proc")

OURS, THEIRS = "workflow.MultiProcess", "ProcessPoolExecutor"

Lost = Callable[[str, str], dict[str, Any]]


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Lost:
    """What a pool loses in a scenario, by the letter of the promise."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))  # the benchmarks are no part of the package

    def try_one(pool: str, scenario: str) -> dict[str, Any]:
        from bench.promises.trial import try_it

        finding = try_it(pool, scenario).finding
        assert not finding.unjudged
        return {promise.value: reasons for promise, reasons in finding.broken.items()}

    return try_one


@pytest.mark.parametrize("scenario", ["crash.sigkill", "payload.unpicklable", "stop.exit"])
def test_ours_keeps_what_is_asked_of_any_pool(lost: Lost, scenario: str) -> None:
    """A cell of the comparison in which ours fails is a defect of ours."""
    assert lost(OURS, scenario) == {}


def test_a_pool_that_is_documented_to_lose_the_neighbours_is_seen_to(lost: Lost) -> None:
    """And to lose nothing else: everything else about the trial is the same."""
    assert list(lost(THEIRS, "crash.sigkill")) == ["N"]


@pytest.mark.parametrize("scenario", ["payload.unpicklable", "stop.exit"])
def test_others_pass_where_they_do_well(lost: Lost, scenario: str) -> None:
    """The judge is no friend of ours."""
    assert lost(THEIRS, scenario) == {}
