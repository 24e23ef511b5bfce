"""Cached tasks, saved plans and kept ones, as a user sees them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.cli.show import DEFAULTS
from workflow.spec.models import KINDS, TaskTable, keys_of

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/plan/every_key.plan.json"
Run = Callable[..., subprocess.CompletedProcess[str]]

TEXT = """
[tasks.make]
shell = "cat in > out; echo made"
inputs = "in"
outputs = "out"
[tasks.take]
shell = "echo ${tasks.make.result} > taken"
outputs = "taken"
"""


def outcomes(folder: Path) -> dict[str, str]:
    report = json.loads((folder / ".workflow/latest/report.json").read_text())
    return {task["id"]: task["outcome"] for task in report["tasks"]}


def test_a_run_a_change_and_force(workflow: Run, pipeline: Any, tmp_path: Path) -> None:
    """With real processes."""
    pipeline(TEXT)
    (tmp_path / "in").write_text("1")
    seen = []
    for arguments in ((), (), ("--force=take",), ("--force", "pipeline.toml"), ("--force",)):
        ran = workflow("run", *arguments)
        assert (ran.returncode, "nothing is cached" in ran.stderr) == (0, False)
        seen.append([outcome[0] for outcome in outcomes(tmp_path).values()])
    assert seen == [["s", "s"], ["c", "c"], ["c", "s"], ["s", "s"], ["s", "s"]]
    (tmp_path / "in").write_text("2")
    why = workflow("plan", "--why")
    assert why.stdout.splitlines() == [
        "make  run     inputs: in changed",
        "take  run     make will run, and it takes its result; cached if that is what it was",
        "2 would run",
    ]
    told = json.loads(workflow("plan", "--why", "--json").stdout)
    assert told["tasks"][0] == {"id": "make", "action": "run", "reasons": ["inputs: in changed"], "warnings": []}


def test_an_input_that_is_not_there_fails_its_task(workflow: Run, pipeline: Any, tmp_path: Path) -> None:
    """A slip in its name is told, by a look as by a run; a glob may match nothing, and a look warns of it."""
    pipeline('[tasks.a]\nshell = "cat *.txt > out"\ninputs = ["inn.txt", "*.csv"]\noutputs = "out"\n')
    (tmp_path / "in.txt").write_text("1")
    said = "its input 'inn.txt' is not there, did you mean 'in.txt'?"
    then = "it fails if that is still so when it may start"
    assert workflow("plan", "--why").stdout.splitlines() == [
        f"a  run     {said}; {then}; warning: nothing matches its input '*.csv'",
        "1 would run",
    ]
    ran = workflow("run")
    assert ran.returncode == 1
    assert said in ran.stdout + ran.stderr
    assert outcomes(tmp_path) == {"a": "failed"}
    assert not (tmp_path / "out").exists()
    (tmp_path / "inn.txt").write_text("1")
    assert workflow("run").returncode == 0
    why = json.loads(workflow("plan", "--why", "--json").stdout)["tasks"]
    assert (why[0]["action"], why[0]["warnings"]) == ("cached", ["nothing matches its input '*.csv'"])


def test_force_names_what_it_does_not_find(workflow: Run, pipeline: Any) -> None:
    """A name that matches nothing would force nothing, silently."""
    pipeline(TEXT)
    ran = workflow("run", "--force=mak")
    assert ran.returncode == 2
    assert "no task matches 'mak', did you mean 'make'?" in ran.stderr


def test_a_saved_plan_runs_elsewhere_and_is_refused_when_changed(workflow: Run, pipeline: Any, tmp_path: Path) -> None:
    """With --root it says what its paths are relative to; it shares what is cached there."""
    pipeline(TEXT)
    (tmp_path / "in").write_text("1")
    (tmp_path / "kept").mkdir()
    saved = tmp_path / "kept/plan.json"
    saved.write_text(workflow("plan", "--json").stdout)
    assert workflow("run", "kept/plan.json", "--root", ".").returncode == 0
    assert outcomes(tmp_path) == {"make": "succeeded", "take": "succeeded"}
    assert workflow("run").returncode == 0
    assert outcomes(tmp_path) == {"make": "cached", "take": "cached"}
    assert workflow("plan", "kept/plan.json", "--json").stdout == saved.read_text()
    saved.write_text(saved.read_text().replace("echo made", "echo mead"))
    for command in ("run", "plan", "validate"):
        ran = workflow(command, "kept/plan.json")
        assert ran.returncode == 2
        assert "kept/plan.json: its content does not match its plan_hash" in ran.stderr
    assert "--root is for a saved plan" in workflow("run", "--root", ".").stderr
    assert "is a saved plan: --profile, --var and --set" in workflow("run", str(saved), "--set", "a.b=1").stderr


def test_the_second_run_of_an_unchanged_file_does_not_check_it_again(
    pipeline: Any, workflow: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    """Checking is what takes long to import."""
    pipeline('[tasks.a]\ncmd = ["true"]\n')

    def imported() -> set[str]:
        command = [sys.executable, "-X", "importtime", "-m", "workflow", "run"]
        ran = subprocess.run(command, cwd=tmp_path, env=environ, text=True, capture_output=True, check=True, timeout=30)
        return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}

    heavy = {"pydantic", "pydantic_core", "tomli", "tree_sitter"}
    assert imported() & heavy >= {"pydantic"}
    assert imported() & heavy == set()
    pipeline('[tasks.a]\ncmd = ["false"]\n')
    assert workflow("run").returncode == 1


def pythons() -> list[str]:
    """Every interpreter here that has what the package needs."""
    places = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, (ROOT / ".tox").glob("py3*/bin"))]
    places += map(str, (Path.home() / ".pyenv/versions").glob("3.*/bin"))
    found = {sys.executable: sys.executable}
    needs = "import click, pydantic, tomli, tree_sitter, sys; print(sys.version_info[:2] >= (3, 10))"
    for place in places:
        for minor in range(10, 15):
            path = shutil.which(f"python3.{minor}", path=place)
            if path is None or os.path.realpath(path) in found:
                continue
            ran = subprocess.run([path, "-c", needs], capture_output=True, text=True, check=False, timeout=20)
            if ran.stdout.strip() == "True":
                found[os.path.realpath(path)] = path
    return list(found.values())


def test_the_plan_is_the_same_bytes_for_each_python_and_each_seed_of_hashes(environ: dict[str, str]) -> None:
    """Compared with the one that is checked in; `tox` asks each Python from 3.10 to 3.13 by running this in it."""
    file = ROOT / "tests/corpus/valid/every_key.toml"
    for python in pythons():
        for seed in ("0", "1", "random"):
            ran = subprocess.run(
                [python, "-m", "workflow", "plan", str(file), "--json"],
                env={**environ, "PYTHONHASHSEED": seed}, cwd="/", capture_output=True, check=True, timeout=30,
            )  # fmt: skip
            assert ran.stdout == GOLDEN.read_bytes(), (python, seed)


def test_show_says_where_each_value_comes_from(workflow: Run, pipeline: Any) -> None:
    """A line of the file, a layer of it, the command line, or nowhere."""
    pipeline(
        '[vars]\nt = "9s"\n[defaults]\ngrace = "1s"\nenv.A = "a"\n[templates.heavy]\nmemory = "1GiB"\n'
        '[profiles.ci.tasks.x]\nretries = 2\n[tasks.x]\ncmd = ["true"]\nextends = "heavy"\n'
        'timeout = "${vars.t}"\nenv.B = "b"\n'
    )
    ran = workflow("show", "x@1", "--resolved", "--profile", "ci", "--set", "tasks.x.priority=3")
    assert ran.returncode == 0, ran.stderr
    rows = {line.split()[0]: line.split(None, 1)[1] for line in ran.stdout.splitlines()}
    assert rows["x"] == "pipeline.toml:10"
    assert rows["timeout"].split(None, 1) == ['"9s"', "pipeline.toml:13, ${vars.t}"]
    assert rows["grace"].endswith("pipeline.toml:4, [defaults]")
    assert rows["memory"].endswith("pipeline.toml:7, template heavy")
    assert rows["env.A"].endswith("[defaults]")
    assert rows["env.B"].endswith("pipeline.toml:14")
    assert rows["retries"].endswith("pipeline.toml:9, profile ci")
    assert rows["priority"].endswith("--set tasks.x.priority=3")
    assert rows["deadline"].endswith("default")
    assert "args" not in rows
    assert "did you mean 'x'" in workflow("show", "xx", "--resolved").stderr


def test_show_knows_every_key() -> None:
    """One that is added to the grammar is shown too."""
    assert set(DEFAULTS) | {*KINDS, "extends", "if", "doc"} == set(keys_of(TaskTable))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--mermaid", "--json"), "exclude each other"),
        (("plan", "--state-dir", "x"), "--state-dir is for --why"),
        (("show", "make"), "/.workflow: runs are kept beside"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    workflow: Run, pipeline: Any, arguments: tuple[str, ...], said: str
) -> None:
    """None is accepted and ignored."""
    pipeline(TEXT)
    ran = workflow(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
