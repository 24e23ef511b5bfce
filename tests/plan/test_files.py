"""Files that tie tasks together."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.plan.build import load_plan
from workflow.plan.printing import plan_json
from workflow.plan.saved import load_saved
from workflow.plan.select import select


def needs(tmp_path: Path, text: str) -> dict[str, list[str]]:
    """Of each task, the ids it waits for."""
    path = tmp_path / "pipeline.toml"
    path.write_text(text)
    return {task.id: [id_ for need in task.needs for id_ in need.ids] for task in load_plan(path).tasks}


@pytest.mark.parametrize(
    ("output", "reads"),
    [
        ("out/x.csv", "out/x.csv"),
        ("out/x.csv", "./out//x.csv"),
        ("out/x.csv", "out"),
        ("out/x.csv", "out/"),
        ("out/", "out/deep/x.csv"),
        ("out/x.csv", "out/*.csv"),
        ("out/a/b/x.csv", "out/**/*.csv"),
        ("out/x.csv", "**/x.csv"),
        ("out/", "out/*.csv"),
        ("out/one/", "out/*/x.csv"),
        ("out/*.csv", "out/x.csv"),
        ("out/*.csv", "out/*.csv"),
        ("out/*.csv", "out/"),
    ],
)
def test_an_input_waits_for_who_makes_it(tmp_path: Path, output: str, reads: str) -> None:
    """The maker comes first, though it stands later in the file."""
    tasks = f'[tasks.b]\ncmd = ["true"]\ninputs = "{reads}"\n[tasks.a]\ncmd = ["true"]\noutputs = "{output}"\n'
    assert needs(tmp_path, tasks) == {"a": [], "b": ["a"]}


@pytest.mark.parametrize(
    ("output", "reads"),
    [("out/x.csv", "out/y.csv"), ("out/x.csv", "out2"), ("out/x.csv", "*.csv"), ("out/*.csv", "out/x.txt"),
     ("out/x", "out/x.csv"), ("out/one/", "out/t*/x"), ("out/.x", "out/*")],
)  # fmt: skip
def test_an_input_waits_for_nobody_else(tmp_path: Path, output: str, reads: str) -> None:
    """A name that only looks alike ties nothing."""
    tasks = f'[tasks.b]\ncmd = ["true"]\ninputs = "{reads}"\n[tasks.a]\ncmd = ["true"]\noutputs = "{output}"\n'
    assert needs(tmp_path, tasks)["b"] == []


MATRIX = """
[tasks.one]
cmd = ["true"]
matrix.n = {range = [0, 3]}
outputs = "out/${matrix.n}.txt"
[tasks.two]
cmd = ["true"]
matrix.n = {like = "one"}
inputs = "out/${matrix.n}.txt"
[tasks.all]
cmd = ["true"]
inputs = "out/"
"""


def test_an_instance_waits_for_the_one_that_makes_its_input(tmp_path: Path) -> None:
    """And not for all the others; selecting it selects that one, and the saved plan says the same."""
    found = needs(tmp_path, MATRIX)
    assert found["two@1"] == ["one@1"]
    assert found["all"] == ["one@0", "one@1", "one@2"]
    plan = load_plan(tmp_path / "pipeline.toml")
    part = select(plan, globs=["two@1", "two@2"], tags=[])
    assert [task.id for task in part.tasks] == ["one@1", "one@2", "two@1", "two@2"]
    saved = tmp_path / "plan.json"
    saved.write_text(plan_json(part))
    assert load_saved(saved).tasks == part.tasks


def test_what_needs_says_comes_before_what_files_say(tmp_path: Path) -> None:
    """A need that is written keeps its status."""
    text = MATRIX + '[tasks.last]\ncmd = ["true"]\nneeds = [{task = "one", status = "any"}]\ninputs = "out/1.txt"\n'
    path = tmp_path / "pipeline.toml"
    path.write_text(text)
    last = load_plan(path).tasks[-1]
    assert [(need.name, need.status, need.by_files) for need in last.needs] == [("one", "any", False)]


def test_ten_thousand_instances_are_paired_by_look_ups(tmp_path: Path) -> None:
    """Each with each would be a hundred million comparisons, and not end within the limit of a test."""
    found = needs(tmp_path, MATRIX.replace("[0, 3]", "[0, 10000]"))
    assert found["two@9999"] == ["one@9999"]
