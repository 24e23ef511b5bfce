"""Outputs that a task declared, looked at where it ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow import InfoTask, OutputMissing


def write(*attempts: list[Path], outputs: list[Path | str], log: Path, **options: Any) -> InfoTask:
    named = [[str(path) for path in paths] for paths in attempts]
    return InfoTask("victims.Write", 20, str(log), *named, outputs=[str(path) for path in outputs], **options)


@pytest.mark.parametrize("declared", ["out/a.txt", "out", "out/", "out/*.txt", "**/a.txt"])
def test_a_task_with_its_output_succeeds(make_pool: Any, tmp_path: Path, declared: str) -> None:
    """A file, a folder, a glob."""
    task = write([tmp_path / "out" / "a.txt"], outputs=[f"{tmp_path}/{declared}"], log=tmp_path / "log")
    assert make_pool(1).push(task).exception(20) is None


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("out/b.txt", "out/b.txt is not there, did you mean 'a.txt'?"),
        ("out/report.html", "out/report.html is not there: in {}/out there are a.txt"),
        ("none/a.txt", "none/a.txt is not there: in {} there are log, out"),
        ("out/*.csv", "nothing matches its output {}/out/*.csv: in {}/out there are a.txt"),
        ("out/a.txt/", "out/a.txt/ is not there: what is there is not a folder"),
    ],
)
def test_a_task_without_its_output_failed_and_says_what_is_near(
    make_pool: Any, tmp_path: Path, declared: str, told: str
) -> None:
    """Whichever it returned, with the callback of a failure, and with what it is called for a program."""
    mp = make_pool(1)
    folder = tmp_path / "f"
    folder.mkdir()
    task = write([folder / "out" / "a.txt"], outputs=[f"{folder}/{declared}"], log=folder / "log")
    handle = mp.push(task)
    error = handle.exception(20)
    assert isinstance(error, OutputMissing)
    assert error.missing == (f"{folder}/{declared}",)
    assert told.format(folder, folder) in str(error)
    assert str(handle.outcome) == "failed"
    mp.stop()
    assert handle.callback is not None
    assert handle.callback.name == "error_callback"


def test_all_that_are_missing_are_told(make_pool: Any, tmp_path: Path) -> None:
    """The first with its story."""
    task = write([], outputs=[tmp_path / "a", tmp_path / "b"], log=tmp_path / "log")
    error = make_pool(1).push(task).exception(20)
    assert isinstance(error, OutputMissing)
    assert error.missing == (str(tmp_path / "a"), str(tmp_path / "b"))


def test_a_retry_sees_the_missing_output_and_may_make_it(make_pool: Any, tmp_path: Path) -> None:
    """The outcome of the attempt is failed, so it is tried again."""
    made = tmp_path / "a"
    (tmp_path / "tried.py").write_text(
        f"import os\ndef make():\n    if os.environ['WORKFLOW_ATTEMPT'] == '2': open({str(made)!r}, 'w').close()\n"
    )
    options: dict[str, Any] = {"outputs": [str(made)], "retries": 1, "id": "t"}
    mp = make_pool(1, path=[str(tmp_path)])
    handle = mp.push(InfoTask("workflow.tasks.Call", 20, "tried:make", **options))
    assert handle.exception(20) is None
    assert [attempt.outcome.value for attempt in handle.attempts] == ["failed", "succeeded"]


@pytest.mark.parametrize("declared", ["out/a.txt", "out", "out/*.txt"])
def test_what_an_earlier_attempt_left_does_not_count(make_pool: Any, tmp_path: Path, declared: str) -> None:
    """Unless this one writes it again."""
    folder = tmp_path / "out"
    mp = make_pool(1)
    options: dict[str, Any] = {"outputs": [f"{tmp_path}/{declared}"], "retries": 1}
    lazy = mp.push(write([folder / "a.txt"], [], log=tmp_path / "lazy", **options))
    assert "was left by an earlier attempt, and this one did not touch it" in str(lazy.exception(20))
    busy = mp.push(write([folder / "a.txt"], [folder / "a.txt"], log=tmp_path / "busy", **options))
    assert busy.exception(20) is None
