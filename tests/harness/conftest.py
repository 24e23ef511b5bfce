"""Evidence made by hand, and plans made from text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from workflow.harness.evidence import Evidence
from workflow.harness.pipeline import Control
from workflow.plan.build import load_plan
from workflow.plan.plan import Plan


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[[str], Plan]:
    """Make the plan of a pipeline file with this text."""

    def make(text: str) -> Plan:
        file = tmp_path / "pipeline.toml"
        file.write_text(text, encoding="utf-8")
        return load_plan(file)

    return make


@pytest.fixture
def told() -> Callable[..., dict[str, Any]]:
    """Make what a report tells of tasks: ``told(a="succeeded", b="skipped")``, each with an attempt if it had one."""

    def tell(**outcomes: str) -> dict[str, Any]:
        return {
            id_: {
                "id": id_,
                "outcome": outcome,
                "callback": None,
                "attempts": [] if outcome in ("skipped", "cancelled") else [{"number": 1, "duration_s": 0.1}],
            }
            for id_, outcome in outcomes.items()
        }

    return tell


@pytest.fixture
def make_control(told: Callable[..., dict[str, Any]]) -> Callable[..., Control]:
    """Make a control in which the tasks ended so; each that succeeded has the digest ``of ID``."""

    def make(tasks: Mapping[str, Any] | None = None, **outcomes: str) -> Control:
        tasks = {**(tasks or {}), **told(**outcomes)}
        evidence = Evidence(
            exit_code=0, began_s=0.0, ended_s=1.0, stdout="", stderr="", report={"tasks": list(tasks.values())},
            events=[], journal=(), sightings=(), left=(),
        )  # fmt: skip
        return Control(evidence, {id_: f"of {id_}" for id_, task in tasks.items() if task["outcome"] == "succeeded"})

    return make
