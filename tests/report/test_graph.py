"""What is kept of a plan for reports that are made later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workflow.plan.build import load_plan
from workflow.plan.plan import Plan
from workflow.plan.printing import plan_json
from workflow.plan.saved import load_saved
from workflow.plan.select import select
from workflow.plan.tasks import Tasks
from workflow.report.graph import graph_of, read_graph
from workflow.report.html import html_pieces
from workflow.report.junit import junit_pieces

PIPELINE = """\
[vars]
x = 1
[tasks.a]
cmd = ["true"]
matrix.n = [1, 2, 3]
outputs = ["o${matrix.n}"]
[tasks.other]
cmd = ["true"]
[tasks.first_removed]
cmd = ["true"]
needs = ["other"]
matrix.n = [1, 2, 3]
if = "matrix.n != 1"
[tasks.paired]
cmd = ["true"]
needs = [{task = "a", match = ["n"]}, {task = "other", status = "any"}]
matrix.n = [1, 2, 3]
if = "matrix.n == 3"
[tasks.removed]
cmd = ["true"]
needs = ["a"]
if = "vars.x == 2"
[tasks.all_removed]
cmd = ["true"]
needs = ["a"]
matrix.n = [1, 2]
if = "vars.x == 2"
[tasks.needing]
cmd = ["true"]
needs = ["removed", "all_removed"]
[tasks.by_files]
cmd = ["true"]
matrix.file = ["none", "o1", "o2"]
inputs = ["${matrix.file}"]
[tasks.removed_by_files]
cmd = ["true"]
matrix.file = ["none", "o1"]
inputs = ["${matrix.file}"]
if = "matrix.file != 'o1'"
"""
NEEDS = {
    "a": [],
    "other": [],
    "first_removed": [("other", "success")],
    "paired": [("a", "success"), ("other", "any")],
    "removed": [],
    "all_removed": [],
    "needing": [("removed", "success"), ("all_removed", "success")],
    "by_files": [("a", "success")],
    "removed_by_files": [],
}
"""What is skipped needs nothing."""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    path = tmp_path / "pipeline.toml"
    path.write_text(PIPELINE)
    for name in ("none", "o1"):
        (tmp_path / name).touch()
    return load_plan(path)


def needs(tasks: Tasks) -> dict[str, list[tuple[str, str]]]:
    return {name: [(need["task"], need["status"]) for need in part["needs"]] for name, part in graph_of(tasks).items()}


def test_a_name_needs_what_any_of_its_instances_needs(plan: Plan) -> None:
    """Whichever of them ``if`` has removed, and whichever has the file that another task makes."""
    assert needs(plan.tasks) == NEEDS


def test_of_a_saved_plan_and_of_a_part_it_is_the_same(plan: Plan, tmp_path: Path) -> None:
    """Where tasks are held otherwise; what nothing selected needs is not there."""
    path = tmp_path / "plan.json"
    path.write_text(plan_json(plan))
    assert needs(load_saved(path).tasks) == NEEDS
    part = select(plan, globs=["paired@3", "first_removed@1", "needing"], tags=[])
    kept = {**NEEDS, "first_removed": []}
    assert needs(part.tasks) == {name: kept[name] for name in needs(part.tasks)}
    assert set(needs(part.tasks)) == {"a", "other", "first_removed", "paired", "removed", "all_removed", "needing"}


def test_each_instance_may_be_allowed_to_fail_by_itself(
    material: Callable[..., Any], record: Any, tmp_path: Path
) -> None:
    """A report says of each what holds for it, and JUnit counts the others."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.h]\ncmd = ["false"]\nmatrix.x = [true, false]\nallow_failure = "${matrix.x}"\n'
        '[tasks.i]\ncmd = ["false"]\nallow_failure = true\n'
        '[tasks.j]\ncmd = ["false"]\nmatrix.x = [true]\nallow_failure = "${matrix.x}"\n'
    )
    graph = graph_of(load_plan(path).tasks)
    assert {name: part["allow_failure"] for name, part in graph.items()} == {"h": ["h@true"], "i": True, "j": True}
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    assert read_graph(tmp_path / "graph.json") == graph
    records = [record(id_, "failed") for id_ in ("h@true", "h@false", "i", "j@true")]
    made = replace(material(*records), graph=graph)
    assert [made.allowed(task) for task in made.document["tasks"]] == [True, False, True, True]
    assert '<testsuite name="audit" tests="4" failures="1"' in "".join(junit_pieces(made))
    assert '"h":{"needs":[],"allow_failure":true}' in "".join(html_pieces(made))
