"""Completing a run, as a user sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = """
[tasks.make]
cmd = ["sh", "-c", "echo ran >> made.txt; echo value"]
[tasks.take]
shell = "test -e ready && echo got ${tasks.make.result} > taken.txt"
[tasks.other]
cmd = ["true"]
needs = "take"
"""


def tasks(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / ".workflow/latest/report.json").read_text())
    return {task["id"]: task for task in report["tasks"]}


def test_a_failed_run_is_completed(workflow: Run, pipeline: Any, tmp_path: Path) -> None:
    """With real processes: the result of what is carried over is there, and its side effects happen once."""
    pipeline(TEXT)
    assert workflow("run").returncode == 1
    look = workflow("run", "--resume", "--dry-run")
    assert look.returncode == 0, look.stderr
    assert look.stdout.splitlines()[1:] == [
        "make   carry   it succeeded there",
        "take   run     it failed there",
        "other  run     it was skipped there",
        "2 would run, 1 would be carried over",
    ]
    (tmp_path / "ready").write_text("")
    ran = workflow("run", "--resume")
    assert ran.returncode == 0, ran.stderr
    assert "1; run again: 2 (it failed there: 1, it was skipped there: 1)" in ran.stderr
    assert (tmp_path / "made.txt").read_text() == "ran\n"
    assert (tmp_path / "taken.txt").read_text() == "got value\n"
    assert [tasks(tmp_path)[id_]["carried_from"] is None for id_ in ("make", "take", "other")] == [False, True, True]
    again = workflow("run", "--resume-from", "latest", "-v")
    assert again.returncode == 0, again.stderr
    assert "3; run again: 0" in again.stderr
    assert "(carried over from run " in again.stderr


def test_a_part_of_a_run_is_completed_to_the_whole(workflow: Run, pipeline: Any, tmp_path: Path) -> None:
    """Also the results that only the rest takes are kept."""
    pipeline(TEXT)
    (tmp_path / "ready").write_text("")
    assert workflow("run", "--select", "make").returncode == 0
    assert workflow("run", "--resume").returncode == 0
    assert (tmp_path / "made.txt").read_text() == "ran\n"
    assert (tmp_path / "taken.txt").read_text() == "got value\n"


def test_behind_a_run_of_some_tasks_the_run_before_is_completed(workflow: Run, pipeline: Any, tmp_path: Path) -> None:
    """Who tries what was mended by itself does not lose the night for it."""
    pipeline(TEXT)
    assert workflow("run").returncode == 1
    (tmp_path / "ready").write_text("")
    assert workflow("run", "--select", "other", "--force").returncode == 0
    assert (tmp_path / "made.txt").read_text() == "ran\nran\n"
    pipeline(TEXT + '[tasks.more]\ncmd = ["true"]\n')
    assert workflow("run", "--select", "more").returncode == 0
    ran = workflow("run", "--resume", "-v")
    assert ran.returncode == 0, ran.stderr
    assert "4; run again: 0" in ran.stderr
    assert (tmp_path / "made.txt").read_text() == "ran\nran\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume",), "there is no run of "),
        (("--resume", "--dry-run"), "so no run to resume: run it without --resume"),
        (("--resume-from", "2026"), "there is no run '2026' in "),
        (("--resume", "--resume-from", "2026"), "say one of them"),
    ],
)
def test_where_there_is_nothing_to_resume_nothing_runs(
    workflow: Run, pipeline: Any, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """Exit code 2, and a sentence."""
    pipeline(TEXT)
    ran = workflow("run", *arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / ".workflow/runs").exists()
    assert not (tmp_path / "made.txt").exists()


@pytest.mark.parametrize("how", ["--resume", "--resume-from"])
def test_a_project_that_was_moved_takes_its_runs_along(workflow: Run, tmp_path: Path, how: str) -> None:
    """Wherever its folder lies now, when nothing else has changed; results and logs are there."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "pipeline.toml").write_text(TEXT + '[tasks.out]\nshell = "echo x > made.out"\noutputs = "made.out"\n')
    assert workflow("run", cwd=old).returncode == 1
    new = tmp_path / "else" / "where"
    new.parent.mkdir()
    old.rename(new)
    (new / "ready").write_text("")
    ran = workflow("run", how, *(["latest"] if how == "--resume-from" else []), cwd=new)
    assert ran.returncode == 0, ran.stderr
    assert (new / "made.txt").read_text() == "ran\n"
    assert (new / "taken.txt").read_text() == "got value\n"
    assert tasks(new)["make"]["carried_from"] is not None
    assert workflow("logs", "make", cwd=new).stdout == "value\n"
    (new / "made.out").touch()  # only its content counts, which was noted at the old place
    copy = tmp_path / "copy"
    shutil.copytree(new, copy, symlinks=True)
    again = workflow("run", how, *(["latest"] if how == "--resume-from" else []), cwd=copy)
    assert "carried over from run " in again.stderr
    assert "4; run again: 0" in again.stderr
    assert "cached" in workflow("run", cwd=copy).stderr
    (new / "other.toml").write_text(TEXT)
    assert "no run of" in workflow("run", "other.toml", "--resume", cwd=new).stderr
