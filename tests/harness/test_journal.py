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
