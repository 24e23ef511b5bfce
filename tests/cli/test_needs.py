"""Needs and references from the file to the engine and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODULE = """\
import json
import subprocess
import sys

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


@pytest.mark.unmeasured
def test_two_hundred_large_results_do_not_stay_in_the_parents_memory(
    pipeline: Callable[[str], Path], tmp_path: Path, environ: dict[str, str]
) -> None:
    """A gigabyte goes from task to task, and through the one process that nobody replaces, without being kept there."""
    (tmp_path / "work.py").write_text(
        "import os\n"
        "def make(n):\n    return bytes([n]) * 5_000_000\n"
        "def total(results):\n    return sum(map(len, results)), [each[0] for each in results] == list(range(200))\n"
        "def one(result, n):\n    assert result == bytes([n]) * 5_000_000\n    return n\n"
    )
    pipeline(
        '[pipeline]\npool = 2\n[tasks.make]\ncall = "work:make"\nargs = ["${matrix.n}"]\n'
        "matrix.n = {range = [0, 200]}\n"
        '[tasks.one]\ncall = "work:one"\nargs = ["${tasks.make.result}", "${matrix.n}"]\nmatrix.n = {like = "make"}\n'
        'needs = {task = "make", match = "n"}\n'
        '[tasks.late]\ncall = "work:total"\nargs = ["${tasks.make.results}"]\nneeds = ["one"]\n'
        '[tasks.say]\ncmd = ["echo", "${tasks.late.result}"]\n'
    )
    script = (
        "import resource, sys\nfrom workflow.__main__ import main\nsys.argv = ['workflow', 'run', '-q']\n"
        "try:\n    main()\nfinally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    (tmp_path / "measure.py").write_text(script)
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "measure.py")], cwd=tmp_path, env=environ, text=True, timeout=55, check=False,
        capture_output=True,
    )  # fmt: skip
    tasks = tasks_of(tmp_path)
    assert {task["outcome"] for task in tasks.values()} == {"succeeded"}, ran.stderr
    assert (tmp_path / ".workflow/latest" / tasks["say"]["log"]).read_text() == "[1000000000, true]\n"
    assert int(ran.stdout) < 150, f"{ran.stdout} MiB"


def test_a_large_result_whose_file_is_gone_is_the_failure_of_who_takes_it(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Its error says which file; the task that made it has succeeded."""
    (tmp_path / "work.py").write_text(
        "def make():\n    return 'x' * 3_000_000\ndef take(result):\n    return len(result)\n"
    )
    pipeline(
        '[tasks.make]\ncall = "work:make"\n'
        '[tasks.lose]\nshell = "rm ${run.dir}/results/make.pickle"\nneeds = ["make"]\n'
        '[tasks.take]\ncall = "work:take"\nargs = ["${tasks.make.result}"]\nneeds = ["lose"]\n'
    )
    assert workflow("run").returncode == 1
    tasks = tasks_of(tmp_path)
    assert {id_: task["outcome"] for id_, task in tasks.items()} == {
        "make": "succeeded", "lose": "succeeded", "take": "failed",
    }  # fmt: skip
    message = tasks["take"]["attempts"][0]["error"]["message"]
    assert "the result of make cannot be read from" in message
    assert "results/make.pickle: No such file or directory" in message
