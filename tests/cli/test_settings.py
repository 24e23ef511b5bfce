"""How to run: the command line, then the environment, then the project's table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from workflow.cli.settings import settings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], Path]:
    """Answer a maker of a project with a pipeline in a folder below it."""
    for name in ("JOBS", "STATE_DIR", "COLOR", "VERBOSITY"):
        monkeypatch.delenv(f"WORKFLOW_{name}", raising=False)

    def make(text: str | None) -> Path:
        if text is not None:
            (tmp_path / "pyproject.toml").write_text(text)
        (tmp_path / "below").mkdir(exist_ok=True)
        return tmp_path / "below" / "pipeline.toml"

    return make


def test_the_command_line_comes_before_the_environment_and_that_before_the_project(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting for itself."""
    file = project('[tool.workflow]\njobs = 2\ncolor = "never"\nverbosity = "quiet"\n')
    monkeypatch.setenv("WORKFLOW_COLOR", "always")
    monkeypatch.setenv("WORKFLOW_JOBS", "3")
    how = settings({"jobs": 4, "color": None}, file)
    assert (how.jobs, how.color, how.verbosity) == (4, "always", "quiet")


def test_a_state_folder_is_relative_to_where_it_is_written(
    project: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the project's table to that file; in the environment to the working folder."""
    file = project('[tool.workflow]\nstate_dir = "runs"\n')
    assert settings({}, file).state_dir == tmp_path / "runs"
    monkeypatch.setenv("WORKFLOW_STATE_DIR", "elsewhere")
    assert settings({}, file).state_dir == Path("elsewhere")
    assert settings({"state_dir": Path("given")}, file).state_dir == Path("given")


@pytest.mark.parametrize(
    ("table", "environ", "said"),
    [
        ("jbs = 2", {}, "tool.workflow.jbs: unknown key, did you mean 'jobs'?"),
        ("jobs = 0", {}, "tool.workflow.jobs: must be a number of workers, from 1 to 4096, not 0"),
        ("", {"WORKFLOW_JOBS": "many"}, "WORKFLOW_JOBS: must be a number of workers, from 1 to 4096, not 'many'"),
        ("", {"WORKFLOW_COLOR": "blue"}, "WORKFLOW_COLOR: must be auto, always or never, not 'blue'"),
    ],
)
def test_a_mistake_says_where_it_stands(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, table: Any, environ: dict[str, str], said: str
) -> None:
    """The file and the key, or the variable."""
    file = project(f"[tool.workflow]\n{table}\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(click.UsageError) as caught:
        settings({}, file)
    assert said in caught.value.message


def test_a_variable_that_is_nearly_a_setting_is_told(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else: not what a task is given, and not what belongs to somebody else."""
    for name in ("WORKFLOW_JOB", "WORKFLOW_RUN_ID", "WORKFLOW_TASK_ID", "WORKFLOW_OWNER", "WORKFLOW_JOBS"):
        monkeypatch.setenv(name, "3")
    assert settings({}, project(None)).jobs == 3
    assert capsys.readouterr().err == "workflow: WORKFLOW_JOB is no setting, did you mean WORKFLOW_JOBS?\n"


@pytest.mark.parametrize("text", [None, "[project]\nname = 'x'\n", "[tool.other]\nworkflow = 1\n"])
def test_a_project_that_says_nothing_changes_nothing(project: Callable[..., Path], text: str | None) -> None:
    """Also one that merely has the word in it."""
    assert settings({}, project(text)).jobs is None


def test_a_broken_project_file_is_told(project: Callable[..., Path]) -> None:
    """It might have held a setting."""
    with pytest.raises(click.UsageError, match="pyproject.toml"):
        settings({}, project("[tool.workflow\n"))


def test_settings_cost_nothing_when_there_are_none() -> None:
    """pydantic-settings takes longer to import than a small run takes."""
    code = (
        "import sys; from pathlib import Path; from workflow.cli.settings import settings;"
        "settings({}, Path('/nowhere/pipeline.toml'), {}); print('pydantic_settings' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "False\n"
