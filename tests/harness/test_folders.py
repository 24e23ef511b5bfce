"""Which folders of experiments are removed: those of harnesses that are dead, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workflow.harness.folders import place, remove_forsaken


@pytest.fixture
def words() -> list[str]:
    """What the name of a folder of this harness is made of."""
    with place() as mine:
        return mine.name.split("-")


@pytest.fixture
def dead(tmp_path: Path, words: list[str]) -> Path:
    """The folder of a harness whose pid was given away again, with a state folder and a link in it."""
    words[4] = str(int(words[4]) - 1)
    folder = tmp_path / "-".join(words)
    (folder / "state" / "runs").mkdir(parents=True)
    (folder / "state" / "runs" / "report.json").write_text("{}")
    (folder / "link").symlink_to(tmp_path)
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
        assert list(folder.iterdir()) == []
        assert folder.name.split("-")[3] == str(os.getpid())
        assert remove_forsaken(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "text"), [(0, "other"), (2, "000000"), (2, ""), (3, "x"), (3, "9" * 30), (4, ""), (4, "-1")]
)
def test_one_whose_maker_is_not_provably_dead_stays(
    tmp_path: Path, dead: Path, words: list[str], part: int, text: str
) -> None:
    """It is of another machine or another namespace, or its name says nothing."""
    words[part] = text
    other = dead.rename(tmp_path / "-".join(words))
    assert remove_forsaken(str(tmp_path)) == []
    assert (other / "state" / "runs" / "report.json").exists()


def test_what_only_looks_like_one_stays(tmp_path: Path, dead: Path) -> None:
    """A link to a folder, a file, one of before there were such names; and a folder that is not there has none."""
    name = dead.name
    other = dead.rename(tmp_path / "wf-chaos-1ybp03vc")
    (tmp_path / name).symlink_to(other)
    (tmp_path / f"{name}x").write_text("")
    assert remove_forsaken(str(tmp_path)) == []
    assert remove_forsaken(str(tmp_path / "nowhere")) == []
    assert (other / "state").exists()
