"""``workflow init``: what it writes runs at once, and nothing that is there is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

FILES = [".schemas", ".schemas/pipeline.schema.json", "pipeline.toml", "steps.py"]


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_it_writes_is_right_and_runs(workflow: Callable[..., Any], tmp_path: Path) -> None:
    """In a folder that it makes; each command that it names says that all is well."""
    made = workflow("init", "my demo/deep")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.splitlines()[-1] == "now: cd 'my demo/deep' && workflow run"
    folder = tmp_path / "my demo/deep"
    assert listed(folder) == FILES
    assert workflow("validate", "--import", cwd=folder).stderr == ""
    ran = workflow("run", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    log = (folder / ".workflow/latest/logs/post.log").read_text()
    assert log == "Hello, Ada! Hello, Grace! Hello, Edsger!\n"


def test_its_schema_is_where_the_file_says_and_accepts_the_file(workflow: Callable[..., Any], tmp_path: Path) -> None:
    """Here, where no folder is named; and an editor that reads the first line finds it."""
    assert workflow("init").returncode == 0
    text = (tmp_path / "pipeline.toml").read_text()
    schema = tmp_path / text.splitlines()[0].removeprefix("#:schema ")
    jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(tomli.loads(text))


@pytest.mark.parametrize("name", ["pipeline.toml", "steps.py", ".schemas/pipeline.schema.json"])
def test_nothing_that_is_there_is_overwritten(workflow: Callable[..., Any], tmp_path: Path, name: str) -> None:
    """The file is named, and none of the others is written."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to("nowhere") if name == "steps.py" else (tmp_path / name).write_text("mine")
    before = listed(tmp_path)
    ran = workflow("init", ".")
    assert ran.returncode == 2
    assert f"there is {name!r} already; nothing was written" in ran.stderr
    assert listed(tmp_path) == before


def test_what_cannot_be_written_whole_is_not_written(workflow: Callable[..., Any], tmp_path: Path) -> None:
    """A file stands where a folder is needed."""
    (tmp_path / ".schemas").write_text("mine")
    ran = workflow("init")
    assert ran.returncode == 2
    assert "cannot be written" in ran.stderr
    assert listed(tmp_path) == [".schemas"]
    ran = workflow("init", os.fspath(tmp_path / ".schemas"))
    assert ran.returncode == 2


def test_what_was_written_before_a_failure_is_taken_away(tmp_path: Path) -> None:
    """With the folders that were made for it."""
    import click

    from workflow.cli.init import write_all_or_none

    with pytest.raises(click.UsageError, match="nothing was written"):
        write_all_or_none(tmp_path / "a/b", {"c/one.txt": "1", "two.txt": "2", "c/one.txt/three": "3"})
    assert listed(tmp_path) == []
