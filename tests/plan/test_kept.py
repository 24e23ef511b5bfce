"""The plan of an unchanged file is kept, and nothing that changed goes unnoticed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.plan import kept
from workflow.plan.build import load_plan_and_facts
from workflow.plan.plan import Plan

TEXT = """
[pipeline]
include = ["parts/*.toml"]
[tasks.a]
cmd = ["echo", "${env.KEPT_X:-none}"]
matrix.photo = {glob = "photos/*.jpg"}
[tasks.b]
cmd = ["true"]
matrix.line = {lines = "lines.txt"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answer a folder with a file that looks at everything a file can look at."""
    monkeypatch.setenv("KEPT_X", "1")
    (tmp_path / "parts").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "parts/one.toml").write_text('[tasks.c]\ncmd = ["true"]\n')
    (tmp_path / "photos/1.jpg").write_text("")
    (tmp_path / "lines.txt").write_text("1\n2\n")
    (tmp_path / "pipeline.toml").write_text(TEXT)
    return tmp_path


def keep(folder: Path) -> tuple[str, Plan]:
    file = folder / "pipeline.toml"
    name = kept.same_request(file, {}, None, ())
    plan, facts = load_plan_and_facts(file)
    assert facts is not None
    kept.keep(folder / "cache", name, facts, plan)
    return name, plan


def read(folder: Path, name: str) -> Plan | None:
    return kept.read_kept(folder / "cache", name)


def test_a_kept_plan_is_the_plan(folder: Path) -> None:
    """To the last value; its file can be read by its owner alone."""
    name, plan = keep(folder)
    assert read(folder, name) == plan
    (path,) = (folder / "cache").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


CHANGES: dict[str, Callable[[Path], object]] = {
    "the file": lambda folder: (folder / "pipeline.toml").write_text(TEXT + "\n"),
    "its inode": lambda folder: (
        (folder / "new").write_text(TEXT), (folder / "new").replace(folder / "pipeline.toml")
    ),
    "an included file": lambda folder: (folder / "parts/one.toml").write_text('[tasks.d]\ncmd = ["true"]\n'),
    "a new include": lambda folder: (folder / "parts/two.toml").write_text('[tasks.d]\ncmd = ["true"]\n'),
    "a new match": lambda folder: (folder / "photos/2.jpg").write_text(""),
    "a match less": lambda folder: (folder / "photos/1.jpg").unlink(),
    "a line": lambda folder: (folder / "lines.txt").write_text("1\n3\n"),
    "the list is gone": lambda folder: (folder / "lines.txt").unlink(),
    "a variable": lambda _folder: os.environ.update(KEPT_X="2"),
    "no variable": lambda _folder: os.environ.pop("KEPT_X"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_plan_was_made_from_is_looked_at_again(folder: Path, change: Callable[[Path], object]) -> None:
    """Whatever it was."""
    name, _ = keep(folder)
    change(folder)
    assert read(folder, name) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"facts": 1, "plan": ""}', "\udce9"])
def test_a_kept_plan_that_is_spoiled_is_passed_over(folder: Path, text: str) -> None:
    """As if there were none."""
    name, _ = keep(folder)
    (folder / f"cache/{name}.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read(folder, name) is None


def test_a_kept_plan_that_was_changed_is_passed_over(folder: Path) -> None:
    """Its hash is checked like that of any saved plan."""
    name, _ = keep(folder)
    path = folder / f"cache/{name}.json"
    found = json.loads(path.read_text())
    found["plan"] = found["plan"].replace("echo", "evil")
    path.write_text(json.dumps(found))
    assert read(folder, name) is None


def test_a_kept_plan_that_others_can_write_or_that_is_a_link_does_not_count(folder: Path) -> None:
    """It says what is run."""
    name, _ = keep(folder)
    path = folder / f"cache/{name}.json"
    path.chmod(0o660)
    assert read(folder, name) is None
    path.chmod(0o600)
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    assert read(folder, name) is None


def test_what_the_command_line_says_is_another_plan(folder: Path) -> None:
    """Each combination is kept by itself, up to a number."""
    file = folder / "pipeline.toml"
    names = {
        kept.same_request(file, {}, None, ()),
        kept.same_request(file, {"x": "1"}, None, ()),
        kept.same_request(file, {}, "p", ()),
        kept.same_request(file, {}, None, ("a=1",)),
        kept.same_request(file, {}, None, ("a=2",)),
    }
    assert len(names) == 5
    plan, facts = load_plan_and_facts(file)
    assert facts is not None
    (folder / "cache").mkdir()
    (folder / "cache/.torn").write_text("{")
    os.utime(folder / "cache/.torn", (1, 1))
    for number in range(kept.PLANS_MAX + 3):
        kept.keep(folder / "cache", f"{number}", facts, plan)
    assert len(list((folder / "cache").iterdir())) == kept.PLANS_MAX


def test_where_nothing_can_be_written_nothing_is_kept(folder: Path) -> None:
    """And nothing is said about it."""
    (folder / "cache").write_text("in the way")
    name, _ = keep(folder)
    assert read(folder, name) is None


@pytest.mark.parametrize("named", ["files", "lists"])
def test_a_pipe_that_a_kept_plan_names_is_not_opened(folder: Path, named: str) -> None:
    """Nobody may ever write to it."""
    name, _ = keep(folder)
    os.mkfifo(folder / "pipe")
    (path,) = (folder / "cache").iterdir()
    spoiled = json.loads(path.read_text())
    spoiled["facts"][named][str(folder / "pipe")] = []
    path.write_text(json.dumps(spoiled))
    assert read(folder, name) is None
