"""Selecting a part of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.plan.build import load_plan
from workflow.plan.plan import Plan
from workflow.plan.select import select

TEXT = """
[pipeline]
max_failures = "50%"
[tasks.fetch]
cmd = ["true"]
matrix.n = {range = [0, 4]}
tags = ["net"]
[tasks.clean]
cmd = ["true"]
[tasks.build]
cmd = ["true"]
needs = ["fetch"]
matrix.os = ["linux", "mac"]
tags = ["slow", "net"]
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two matrices, the second of which needs the first, and a task beside them."""
    path = tmp_path / "pipeline.toml"
    path.write_text(TEXT)
    return load_plan(path)


def ids(plan: Plan) -> list[str]:
    return [task.id for task in plan.tasks]


def test_a_name_selects_all_instances_and_what_they_need(plan: Plan) -> None:
    """In the order of the plan."""
    assert ids(select(plan, globs=["build"], tags=[])) == [
        *(f"fetch@{n}" for n in range(4)),
        "build@linux",
        "build@mac",
    ]


def test_a_glob_selects_by_id(plan: Plan) -> None:
    """One instance, and all that it needs."""
    assert ids(select(plan, globs=["fetch@[12]", "cl*"], tags=[])) == ["fetch@1", "fetch@2", "clean"]


def test_tags_narrow_what_globs_select(plan: Plan) -> None:
    """Either alone asks for its own; several of one kind widen."""
    assert len(select(plan, globs=[], tags=["slow"]).tasks) == 6
    assert ids(select(plan, globs=["*@1", "clean"], tags=["net", "other"])) == ["fetch@1"]


def test_nothing_selected_is_an_empty_plan(plan: Plan) -> None:
    """What to say about it is the caller's business."""
    assert select(plan, globs=["nobody"], tags=[]).tasks == ()


def test_nothing_asked_for_is_the_plan_itself(plan: Plan) -> None:
    """No selection, no change."""
    assert select(plan, globs=[], tags=[]) is plan


def test_a_part_of_a_plan_is_another_plan(plan: Plan) -> None:
    """With a hash of its own, and its percentage counted again."""
    part = select(plan, globs=["fetch@1"], tags=[])
    assert plan.settings.max_failures == 4
    assert part.settings.max_failures == 1
    assert part.hash != plan.hash
