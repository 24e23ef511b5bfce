"""Needs and references from the file to the engine and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULE = """\
import json

def half(n):
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2

def write(path, **values):
    with open(path, "w") as file:
        json.dump(values, file)

def strange():
    return {1, 2}

def size(values):
    return len(values[0])
"""
FILE = """\
[tasks.half]
call = "work:half"
args = ["${matrix.n}"]
matrix = {n = [4, 3, 20]}
allow_failure = true

[tasks.summary]
call = "work:write"
args = ["summary.json"]
kwargs = {items = "${tasks.half.items}", results = "${tasks.half.results}", second = "${tasks.half.items.1.outcome}"}
needs = [{task = "half", status = "any"}]

[tasks.line]
cmd = ["echo", "${tasks.half.results}"]
needs = [{task = "half", status = "failure"}]

[tasks.strict]
cmd = ["echo", "${tasks.half.results}"]

[tasks.after_strict]
cmd = ["true"]
needs = [{task = "strict", status = "any"}]

[tasks.cleanup]
cmd = ["true"]
needs = [{task = "line", status = "failure"}]
"""


def tasks_of(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / ".workflow/latest/report.json").read_text())
    return {task["id"]: task for task in report["tasks"]}


def test_a_task_sees_how_all_instances_ended_and_runs_or_not_by_it(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Each status, with one instance of three that failed."""
    (tmp_path / "work.py").write_text(MODULE)
    pipeline(FILE)
    ran = workflow("run")
    tasks = tasks_of(tmp_path)
    assert {id_: task["outcome"] for id_, task in tasks.items()} == {
        "half@4": "succeeded", "half@3": "failed", "half@20": "succeeded", "summary": "succeeded",
        "line": "succeeded", "strict": "skipped", "after_strict": "succeeded", "cleanup": "skipped",
    }, ran.stderr  # fmt: skip
    assert ran.returncode == 0
    assert tasks["strict"]["reason"] == "it needs half@3, which failed"
    assert tasks["cleanup"]["reason"] == "it needs a failure of line, and there was none"
    assert "[2, 10]" in (tmp_path / ".workflow/latest" / tasks["line"]["log"]).read_text()
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "items": [
            {"id": "half@4", "matrix": {"n": 4}, "outcome": "succeeded", "result": 2},
            {"id": "half@3", "matrix": {"n": 3}, "outcome": "failed", "result": None},
            {"id": "half@20", "matrix": {"n": 20}, "outcome": "succeeded", "result": 10},
        ],
        "results": [2, 10],
        "second": "failed",
    }


def test_a_result_without_a_form_as_text_goes_to_python_and_not_into_a_command(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """The command fails before it begins, and the reason names the result."""
    (tmp_path / "work.py").write_text(MODULE)
    pipeline(
        '[tasks.s]\ncall = "work:strange"\n'
        '[tasks.python]\ncall = "work:size"\nargs = ["${tasks.s.results}"]\n'
        '[tasks.text]\ncmd = ["echo", "${tasks.s.items}"]\n'
    )
    assert workflow("run").returncode == 1
    tasks = tasks_of(tmp_path)
    assert (tasks["python"]["outcome"], tasks["text"]["outcome"]) == ("succeeded", "failed")
    assert tasks["text"]["attempts"] == []
    assert tasks["text"]["reason"] == (
        "text cannot start: ${tasks.s.items}: the result of s is an object of type set, which has no form as text"
    )
