"""Which folders of experiments are removed: those of harnesses that are dead, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workflow.harness.folders import place, remove_forsaken


def words(folder: Path) -> list[str]:
    return (folder / "owner").read_text().split()


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    """The folder of a harness whose pid was given away again, with a state folder in it."""
    folder = tmp_path / "wf-chaos-dead"
    (folder / "state" / "runs").mkdir(parents=True)
    (folder / "state" / "runs" / "report.json").write_text("{}")
    (folder / "link").symlink_to(tmp_path)
    with place() as mine:
        boot, namespace, pid, start = words(mine)
    (folder / "owner").write_text(f"{boot} {namespace} {pid} {int(start) - 1}\n")
    return folder


def test_the_folder_of_a_dead_harness_is_removed(tmp_path: Path, dead: Path) -> None:
    assert remove_forsaken(str(tmp_path)) == [str(dead)]
    assert list(tmp_path.iterdir()) == []


def test_the_first_folder_that_a_harness_makes_removes_it_too(
    tmp_path: Path, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with place() as folder:
        assert list(tmp_path.iterdir()) == [folder]
        assert words(folder)[2] == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_one_whose_owner_is_not_provably_dead_stays(tmp_path: Path, dead: Path) -> None:
    """It lives, is on another machine or in another namespace, is not named, or what names it is no file."""
    boot, namespace, pid, start = words(dead)
    for text in (
        f"{boot} {namespace} {pid} {int(start) + 1}",
        f"another {namespace} {pid} {start}",
        f"{boot} pid:[1] {pid} {start}",
        f"{boot} {namespace} x {start}",
        f"{boot} {namespace}",
        "",
    ):
        (dead / "owner").write_text(text)
        assert remove_forsaken(str(tmp_path)) == []
    (dead / "owner").unlink()
    assert remove_forsaken(str(tmp_path)) == []
    os.mkfifo(dead / "owner")
    assert remove_forsaken(str(tmp_path)) == []
    assert (dead / "state" / "runs" / "report.json").exists()


def test_what_only_looks_like_one_stays(tmp_path: Path, dead: Path) -> None:
    """A folder of another name, a link to one, a file; and a folder that is not there has none."""
    other = dead.rename(tmp_path / "other")
    (tmp_path / "wf-chaos-link").symlink_to(other)
    (tmp_path / "wf-chaos-file").write_text("")
    assert remove_forsaken(str(tmp_path)) == []
    assert remove_forsaken(str(tmp_path / "nowhere")) == []
    assert (other / "state").exists()
