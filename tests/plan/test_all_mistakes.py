"""All mistakes of a file are told at once, and none that only follows from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan


def _codes(folder: Path, text: str) -> list[str]:
    path = folder / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    return sorted(mistake.code for mistake in caught.value.mistakes)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("timeout = true", "bad-duration"),
        ('doc = "${vars.nowhere}"', "unknown-variable"),
        ('env = {X = "${matrix.x}"}', "unknown-axis"),
        ("nosuchkey = 1", "unknown-key"),
    ],
)
def test_a_wrong_key_hides_no_unknown_task(tmp_path: Path, line: str, code: str) -> None:
    """Names in needs and in references are checked in the task that was refused, and in every other."""
    wrong = f'[tasks.a]\n{line}\nneeds = ["nope"]\ncmd = ["echo", "${{tasks.neither.result}}"]\n'
    other = '[tasks.b]\nneeds = ["nor"]\ncmd = ["true"]\n'
    assert _codes(tmp_path, wrong + other) == sorted([code, *["unknown-task"] * 3])


def test_a_refused_task_still_exists(tmp_path: Path) -> None:
    """Who needs it, and whom it needs, are not mistakes because of it."""
    text = '[tasks.a]\ntimeout = true\nneeds = ["b"]\ncmd = ["true"]\n[tasks.b]\nneeds = "c"\ncmd = ["true"]\n'
    text += '[tasks.c]\nneeds = ["a", "b${vars.x}"]\ncmd = ["echo", "${tasks.a.result}"]\n'
    assert _codes(tmp_path, text) == ["bad-duration", "unknown-variable"]


@pytest.mark.parametrize("line", ["timout = 1", "timeout = true", 'env = {X = "${vars.nowhere}"}', "matrix.x = []"])
def test_a_task_that_takes_the_axis_of_a_refused_one_is_not_blamed(tmp_path: Path, line: str) -> None:
    """It has no instances, for the other has none: that is no mistake in it."""
    wrong = f'[tasks.a]\n{line}\ncmd = ["true"]\n' + ("" if "matrix" in line else "matrix.x = [1]\n")
    other = '[tasks.b]\nmatrix.x = {like = "a"}\nneeds = {task = "a", match = ["x"]}\ncmd = ["true"]\n'
    assert len(_codes(tmp_path, wrong + other)) == 1


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        (
            'retries = {count = 3, backoff = "2", delay = true}',
            ["bad-duration", "bad-value", "bad-value", "unknown-key"],
        ),
        ('needs = [{tusk = "a", status = 3}]', ["bad-value", "bad-value", "unknown-key"]),
        ('needs = [{name = "a"}]', ["bad-value", "unknown-key"]),
        ("memory = 512\ntimeout = true", ["bad-duration", "bad-size"]),
    ],
)
def test_a_missing_key_hides_nothing_in_its_table(tmp_path: Path, line: str, codes: list[str]) -> None:
    """The key that should have been it is likely to be there, under another name."""
    assert _codes(tmp_path, f'[tasks.b]\n{line}\ncmd = ["true"]\n') == codes


def test_a_limit_without_tokens_hides_nothing(tmp_path: Path) -> None:
    """The same of [limits]."""
    text = '[limits]\nweb = {token = 3, per = true}\n[tasks.b]\ncmd = ["true"]\n'
    assert _codes(tmp_path, text) == ["bad-duration", "bad-value", "unknown-key"]
