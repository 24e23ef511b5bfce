"""Selecting a part of a plan."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from workflow.plan.build import load_plan
from workflow.plan.plan import Plan
from workflow.plan.select import matches, matching, select

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


GLOBS = [
    "fetch", "fetch@1", "fetch@9", "fetch@*", "fetch@[!0]", "f*@3", "*", "*@*", "?etch", "fetch@", "fetch*2", "clean@1",
    "build@linux", "b[u]ild@m*", "cl?an", "*n*", "", "[", "fetch@1[", "@1", "Fetch", "build@lin*x", "fetch@0-*",
]  # fmt: skip


@pytest.mark.parametrize("glob", GLOBS)
def test_what_matches_is_found_as_if_each_had_been_looked_at(plan: Plan, glob: str) -> None:
    """By id or by name, as the shell would."""
    for group in plan.tasks.groups:
        looked = [at for at, task in enumerate(group) if fnmatchcase(task.id, glob) or fnmatchcase(task.name, glob)]
        assert list(matching(group, glob)) == looked
    assert matches(plan, glob) == any(
        fnmatchcase(each, glob) for task in plan.tasks for each in (task.id, task.name)
    )  # fmt: skip


def test_one_of_a_million_is_found_without_a_look_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id, or where the beginning of a glob rules a task out."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["true", "${matrix.n}"]\nmatrix.n = {range = [0, 1000000]}\n')
    million = load_plan(path, hashed=False)
    monkeypatch.setattr(type(million.tasks.groups[0]), "ids", None)
    assert ids(select(million, globs=["a@765432", "b@*"], tags=[])) == ["a@765432"]
    assert not matches(million, "a@1000000")
