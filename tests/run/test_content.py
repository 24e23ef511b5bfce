"""Digests of files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from workflow.run import content
from workflow.run.content import MISSING, Contents, Stopped, Unstable


def test_a_snapshot_names_every_file_and_never_opens_what_is_none(tmp_path: Path) -> None:
    """Links to folders are not walked, pipes not opened, circles not gone round."""
    (tmp_path / "d/empty").mkdir(parents=True)
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "d/link").symlink_to("f")
    (tmp_path / "d/circle").symlink_to("..")
    (tmp_path / "d/dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "d/pipe")
    found = Contents().snapshot(str(tmp_path), ["d/", "none", "*.none"])
    assert set(found) == {
        "d/", "d/empty/", "d/f", "d/link", "d/circle", "d/dangling", "d/pipe", "none", "*.none",
    }  # fmt: skip
    assert found["none"] == found["*.none"] == MISSING
    assert found["d/link"] != found["d/f"]


def test_an_input_that_is_a_link_is_followed_and_its_target_counts(tmp_path: Path) -> None:
    """So that data may lie elsewhere."""
    (tmp_path / "f").write_text("x")
    (tmp_path / "link").symlink_to("f")
    before = Contents().snapshot(str(tmp_path), ["link"])
    (tmp_path / "f").write_text("y")
    assert Contents().snapshot(str(tmp_path), ["link"]) != before


def test_a_file_that_rested_is_read_once_and_one_that_was_just_written_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git's index does it."""
    path = tmp_path / "f"
    path.write_text("one")
    contents = Contents()
    first = contents.file(str(path))
    stamp = path.stat()
    with path.open("r+") as file:  # the same inode and size, and then the same time of content
        file.write("two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert contents.file(str(path)) != first
    monkeypatch.setattr(content, "RACY_NS", -time.time_ns())
    second = contents.file(str(path))
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read again"))
    assert contents.file(str(path)) == second


def test_many_files_of_one_folder_are_one_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which changes with any of them."""
    monkeypatch.setattr(content, "FILES_MAX", 3)
    for name in "abcd":
        (tmp_path / name).write_text(name)
    before = Contents().snapshot(str(tmp_path), ["."])
    assert list(before) == ["."]
    (tmp_path / "c").write_text("other")
    assert Contents().snapshot(str(tmp_path), ["."]) != before


def test_own_outputs_in_an_input_folder_are_left_out(tmp_path: Path) -> None:
    """Else each run would change the key of the next."""
    (tmp_path / "in").write_text("")
    (tmp_path / "out").write_text("")
    assert set(Contents().snapshot(str(tmp_path), ["./", "*"], frozenset({"out"}))) == {"./", "in"}


def test_what_cannot_be_read_and_what_nobody_waits_for_is_said(tmp_path: Path) -> None:
    """The first is no content, the second no answer."""
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(Unstable, match="cannot be read"):
        Contents().snapshot(str(tmp_path), ["loop"])
    (tmp_path / "f").write_text("x")
    with pytest.raises(Stopped):
        Contents(lambda: True).file(str(tmp_path / "f"))
