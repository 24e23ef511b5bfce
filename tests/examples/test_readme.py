from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from workflow.cli.main import cli
from workflow.harness.faults_file import load_faults
from workflow.harness.oracle import PROMISES
from workflow.harness.results import MARKS
from workflow.harness.rules import Rule
from workflow.outcome import Outcome
from workflow.plan.build import load_plan
from workflow.run.exit_code import ExitCode
from workflow.spec.models import PipelineTable, TaskTable, keys_of
from workflow.spec.reference import NAMESPACES, TASK_PARTS
from workflow.spec.values import STATUSES

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_pipeline_on_the_first_screen_is_one(python: Run, tmp_path: Path) -> None:
    """What a reader sees first is accepted as it stands; the faults file further down is one for it."""
    block, faults = _blocks("toml")
    (tmp_path / "pipeline.toml").write_text(block, encoding="utf-8")
    run = python("-m", "workflow", "plan")
    assert run.returncode == 0, run.stderr
    assert all(task in run.stdout for task in ("fetch@de", "fetch@fr", "fetch@jp", "merge", "upload"))
    (tmp_path / "faults.toml").write_text(faults, encoding="utf-8")
    table = load_faults(tmp_path / "faults.toml", load_plan(tmp_path / "pipeline.toml"))
    assert table.rules() == [Rule("crash.segv", "fetch@*", 0.3)]


def test_the_program_runs_as_it_stands(python: Run, tmp_path: Path) -> None:
    """Nine tasks call back with a result, and the one that divides by nought with its error."""
    block, *_ = _blocks("python")
    (tmp_path / "demo.py").write_text(block, encoding="utf-8")
    run = python("demo.py")
    assert run.returncode == 0, run.stderr
    told = run.stdout.splitlines()
    assert sorted(line.split()[0] for line in told) == ["error", *["result"] * 9]
    assert "result 11" in told


def test_the_executor_s_program_runs_as_it_stands(python: Run, tmp_path: Path) -> None:
    """One call, a thousand, and a hundred as they end."""
    _, block, _ = _blocks("python")
    (tmp_path / "calls.py").write_text(block, encoding="utf-8")
    run = python("calls.py")
    assert (run.returncode, run.stderr) == (0, "")
    first, _, *ended = run.stdout.splitlines()
    assert (int(first), len(ended)) == (2**100, 100)


def test_the_pipeline_of_a_program_runs_as_it_stands(python: Run, tmp_path: Path) -> None:
    """Four tasks, of which one fails and says why."""
    *_, block = _blocks("python")
    (tmp_path / "roots.py").write_text(block, encoding="utf-8")
    run = python("roots.py")
    assert run.returncode == 0, run.stderr
    *told, last = run.stdout.splitlines()
    assert sorted(told) == ["root@4 succeeded", "root@9 succeeded", "root@x failed", "sum succeeded"]
    assert last == "1 ['root@x'] must be real number, not str"


def test_every_exit_code_is_explained() -> None:
    """The table of exit codes has those that the command can give, and no others."""
    section = README.split("### How a run can end")[1].split("###")[0]
    named = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for code in row.split(",")}
    assert named == {int(code) for code in ExitCode}


def test_every_outcome_is_explained() -> None:
    """The table of outcomes has those that a report can say, and no others."""
    section = README.split("### How a task can end")[1].split("###")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("command", re.findall(r"^\| `workflow (\w+)", README, re.MULTILINE))
def test_every_command_of_the_readme_is_one(command: str) -> None:
    """None is promised that is not there."""
    assert command in cli.commands


@pytest.mark.parametrize(
    ("heading", "model"), [("### `[pipeline]`", PipelineTable), ("### `[tasks.NAME]` and `[defaults]`", TaskTable)]
)
def test_every_key_of_the_file_is_explained(heading: str, model: type[BaseModel]) -> None:
    """The tables of keys have those that the schema has, and no others."""
    section = README.split(heading + "\n")[1].split("\n## ")[0].split("\n### ")[0].split("| reference |")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    assert {key for cell in cells for key in re.findall(r"`(\w+)`", cell)} == set(keys_of(model))


def test_every_reference_and_status_is_explained() -> None:
    """Each namespace, each part of a task, and each status of a need."""
    section = README.split("## The file\n")[1].split("\n## ")[0]
    assert all(f"${{{namespace}." in section for namespace in NAMESPACES)
    assert all(f"${{tasks.a.{part}}}" in section for part in TASK_PARTS)
    assert all(f'`"{status}"`' in section for status in STATUSES)


def test_every_promise_and_every_mark_is_explained() -> None:
    """The nine, in their order, and what stands below them."""
    section = README.split("## When things go wrong, on purpose\n")[1].split("\n## ")[0]
    assert [int(number) for number in re.findall(r"^(\d)\. ", section, re.MULTILINE)] == list(PROMISES)
    assert re.findall(r"^\| `(.)` \|", section, re.MULTILINE) == list(MARKS.values())


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
