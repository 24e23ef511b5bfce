"""What a shell offers after Tab."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FILE = """
[vars]
size = 3
[profiles.ci]
[templates.t]
tags = ["heavy"]
[tasks.fetch]
cmd = ["true"]
doc = "Get it\\nfrom afar"
tags = ["net"]
[tasks.merge]
cmd = ["true"]
"""
Workflow = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["va"], ["validate"]),
        (["run", "--sel"], ["--select"]),
        (["run", "--select", ""], ["fetch", "merge"]),
        (["run", "other.toml", "--select", ""], ["elsewhere"]),
        (["run", "--tag", ""], ["net", "heavy"]),
        (["plan", "--profile", "c"], ["ci"]),
        (["run", "--var", ""], ["size="]),
        (["completion", "z"], ["zsh"]),
        (["explain", "import-"], ["import-hangs", "import-dies"]),
    ],
)
def test_names_of_the_file_are_offered(
    workflow: Workflow, tmp_path: Path, words: list[str], offered: list[str]
) -> None:
    """Of the file that is named, or of pipeline.toml; and commands and options."""
    (tmp_path / "pipeline.toml").write_text(FILE)
    (tmp_path / "other.toml").write_text("[tasks.elsewhere]\ncmd = 3\n")
    line = " ".join(["workflow", *words])
    environ = {"_WORKFLOW_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    done = workflow(env=environ)
    assert [each.partition(",")[2] for each in done.stdout.splitlines()] == offered


@pytest.mark.parametrize("text", ["[tasks", "tasks = 3\nvars = 1\n", ""])
def test_a_file_in_the_middle_of_being_written_offers_nothing_and_says_nothing(
    workflow: Workflow, tmp_path: Path, text: str
) -> None:
    """No traceback into somebody's command line."""
    (tmp_path / "pipeline.toml").write_text(text)
    environ = {"_WORKFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "workflow run --select ", "COMP_CWORD": "3"}
    done = workflow(env=environ)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(workflow: Workflow, shell: str) -> None:
    """And bash accepts its own."""
    done = workflow("completion", shell)
    assert done.returncode == 0
    assert "_WORKFLOW_COMPLETE" in done.stdout
    if shell == "bash":
        subprocess.run(["/bin/bash", "-n"], input=done.stdout, text=True, check=True)


def test_config_says_where_each_setting_comes_from(workflow: Workflow, tmp_path: Path) -> None:
    """The environment comes before the project's table."""
    (tmp_path / "pyproject.toml").write_text('[tool.workflow]\njobs = 2\ncolor = "never"\nstate_dir = "state"\n')
    done = workflow("config", env={"WORKFLOW_JOBS": "3"})
    assert [line.split(maxsplit=2) for line in done.stdout.splitlines()] == [
        ["jobs", "3", "WORKFLOW_JOBS"],
        ["state_dir", str(tmp_path / "state"), f"[tool.workflow] of {tmp_path}/pyproject.toml"],
        ["color", "never", f"[tool.workflow] of {tmp_path}/pyproject.toml"],
        ["verbosity", "normal", "default"],
    ]
    assert '"from": "WORKFLOW_JOBS"' in workflow("config", "--json", env={"WORKFLOW_JOBS": "3"}).stdout
