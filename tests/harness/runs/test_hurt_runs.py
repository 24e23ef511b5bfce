"""Scenarios run for real: some that are quick, of payloads, callbacks and deaths.  ``workflow chaos`` runs all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from workflow.harness.blows import Blow, Striker, When
from workflow.harness.catalogue import by_id
from workflow.harness.census import Census
from workflow.harness.injection import Injected, read_injection, write_injection
from workflow.harness.journal import BEGAN, Entry
from workflow.harness.scenario import check

QUICK = [
    "callback.raise",
    "error_callback.raise",
    "payload.unpicklable",
    "payload.huge.limit",
    "payload.killed_midway.inline",
    "death.parent",
    "death.guardian",
]


@pytest.mark.parametrize("id_", QUICK)
def test_the_promises_hold(id_: str) -> None:
    result = check(by_id()[id_], 1)
    assert result.passed, (result.error, [v for v in result.verdicts if not v.finding.passes], result.details)


def test_every_id_of_the_catalogue_is_there() -> None:
    """Those of the groups payload, callback and death, letter for letter."""
    ids = by_id().keys()
    assert {f"payload.{name}" for name in ("huge", "killed_midway", "unpicklable", "flood", "backlog")} <= ids
    assert {f"callback.{name}" for name in ("raise", "hang", "gil", "exit", "segv", "missing")} <= ids
    assert {f"death.{name}" for name in ("dispatcher", "parent", "both", "any", "stop", "guardian")} <= ids
    assert "error_callback.raise" in ids


def test_what_a_seed_draws_is_drawn_again(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    prepare = by_id()["death.any"].prepare
    first, again = (prepare(tmp_path / name, random.Random("7")).run.blows for name in ("one", "two"))
    assert first == again
    assert prepare(tmp_path / "one", random.Random("8")).run.blows != first


def test_a_blow_that_found_nobody_is_not_taken_for_one_that_struck(tmp_path: Path) -> None:
    """The process had ended between its line in the journal and the blow."""
    gone = 2**22 - 3  # above any pid that is given out here
    striker = Striker(
        [Blow("SIGKILL", "worker of a", When(BEGAN, "a"))], Census("NAME=nobody", gone), gone, tmp_path / "report.json"
    )
    striker.act([Entry(0.0, gone, BEGAN, "a", 1)])
    assert not striker.struck
    assert striker.missed() == ["SIGKILL to worker of a at began a"]


def test_what_is_injected_comes_back_as_it_was_written(tmp_path: Path) -> None:
    injected = {"a": Injected(bare=True), "b": Injected(retries=2, delay_s=0.5, timeout_s=1.0)}
    write_injection(tmp_path, injected)
    assert read_injection(tmp_path) == injected
