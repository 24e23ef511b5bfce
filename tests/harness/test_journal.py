from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from workflow.failpoints import FOLDER_VARIABLE
from workflow.harness import journal


def test_what_is_noted_is_read_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader keeps all, and answers what is new."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    reader = journal.Reader(str(tmp_path))
    assert reader.news() == []
    journal.note(journal.BEGAN, "a", 1)
    (first,) = reader.news()
    assert (first.pid, first.what, first.task, first.attempt, first.detail) == (os.getpid(), "began", "a", 1, "")
    assert reader.news() == []
    journal.note(journal.ENDED, "a", 1, "digest")
    journal.note(journal.FIRED, "b", 2, "crash.segv")
    assert [entry.detail for entry in reader.news()] == ["digest", "crash.segv"]
    assert len(reader.entries) == 3
    assert [entry.at_s for entry in reader.entries] == sorted(entry.at_s for entry in reader.entries)


def test_a_line_that_is_not_whole_waits_for_its_end(tmp_path: Path) -> None:
    """Whoever writes it may be in the middle of it."""
    line = json.dumps((1.0, 2, "began", "a", 1, "")).encode()
    reader = journal.Reader(str(tmp_path))
    with (tmp_path / "journal").open("ab", buffering=0) as file:
        file.write(line[:10])
        assert reader.news() == []
        file.write(line[10:] + b"\n" + line)
        assert len(reader.news()) == 1
        file.write(b"\n")
        assert len(reader.news()) == 1


LINE = json.dumps((1.0, 2, "began", "a", 1, "")).encode() + b"\n"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"hello\n", b"\xff\xfe\n", b"{}\n", b"null\n", b'"sixsix"\n', b"[" * 100_000 + b"\n", b"9" * 5000 + b"\n",
        b'[NaN, 2, "began", "a", 1, ""]\n', b'[1.0, 2, "began", "a"]\n', b'[1.0, 2, "began", ["a"], 1, ""]\n',
        b'[1.0, "2", "began", "a", 1, ""]\n', b'[1.0, true, "began", "a", 1, ""]\n', b"\0" * 10 + b"\n",
    ],
)  # fmt: skip
def test_what_is_no_line_of_ours_is_kept_as_such_and_all_others_are_read(tmp_path: Path, rubbish: bytes) -> None:
    """Whatever a task writes there."""
    (tmp_path / "journal").write_bytes(LINE + rubbish + LINE)
    reader = journal.Reader(str(tmp_path))
    assert len(reader.news()) == 2
    (spoilt,) = reader.spoilt
    assert spoilt.after == 1
    assert "bytes that nobody of ours wrote: b'" in spoilt.what


def test_a_line_behind_rubbish_without_an_end_of_line_is_read(tmp_path: Path) -> None:
    """It was written whole; whoever stands before it did not end theirs."""
    (tmp_path / "journal").write_bytes(b"[1, [2.0 rubbish" + LINE + b"more")
    reader = journal.Reader(str(tmp_path))
    assert [entry.task for entry in reader.news()] == ["a"]
    assert [spoilt.after for spoilt in reader.spoilt] == [0]
    assert reader.rest() == []
    assert [spoilt.after for spoilt in reader.spoilt] == [0, 1]
    assert "4 bytes that nobody of ours wrote: b'more'" in reader.spoilt[1].what


def test_a_journal_that_is_cut_off_deleted_or_replaced_is_spoilt(tmp_path: Path) -> None:
    """What was read stays known, and what comes is read."""
    path = tmp_path / "journal"
    path.write_bytes(LINE * 2)
    reader = journal.Reader(str(tmp_path))
    assert len(reader.news()) == 2
    path.write_bytes(LINE)
    assert reader.news() == []
    path.write_bytes(LINE * 2)
    assert len(reader.news()) == 1
    path.unlink()
    assert reader.news() == []
    path.write_bytes(LINE)
    assert len(reader.news()) == 1
    path.unlink()
    path.mkdir()
    assert reader.news() == reader.news() == []
    assert [spoilt.what for spoilt in reader.spoilt] == [
        "it was cut off", "it was deleted", "it cannot be read: Is a directory",
    ]  # fmt: skip
    assert len(reader.entries) == 4


def test_a_flood_of_rubbish_is_read_to_its_end(tmp_path: Path) -> None:
    """A piece at a time."""
    (tmp_path / "journal").write_bytes(LINE + b"x" * 10_000_000 + LINE)
    reader = journal.Reader(str(tmp_path))
    assert len(reader.news()) == 1
    assert len(reader.rest()) == 1
    assert reader.spoilt


def test_without_a_folder_nothing_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disguised task outside of a run under faults does what it does."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    journal.note(journal.BEGAN, "a", 1)
    assert list(tmp_path.iterdir()) == []


def test_names_with_anything_in_them_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line stays a line."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    name = 'a\nb"c\\d\x00é\ud800'
    journal.note(journal.BEGAN, name, 1)
    assert [entry.task for entry in journal.Reader(str(tmp_path)).news()] == [name]
