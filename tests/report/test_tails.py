"""The ends of logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow.report.tails import Tail, output_tail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run" / "logs").mkdir(parents=True)
    return tmp_path / "run"


def tail(folder: Path, log: str | None, **more: Any) -> Tail | None:
    return output_tail(folder, log, **{"failed": True, "lines": 3, "max_bytes": 100, **more})


def test_the_last_lines_without_the_account_of_the_error(folder: Path) -> None:
    """Of a file of its own, and of a part of one."""
    (folder / "logs/a.log").write_bytes(b"1\r\n2\n3\n4\n--- error ---\nTraceback\n")
    assert tail(folder, "logs/a.log") == Tail("2\n3\n4", cut=True)
    assert tail(folder, "logs/a.log#3+4", failed=False) == Tail("2\n3", cut=False)


def test_a_task_may_have_printed_the_same_words(folder: Path) -> None:
    """In the middle of a line they are its own; where it succeeded they are its own too."""
    (folder / "logs/a.log").write_bytes(b"x--- error ---\ny\n")
    assert tail(folder, "logs/a.log") == Tail("x--- error ---\ny", cut=False)
    (folder / "logs/a.log").write_bytes(b"--- error ---\ny\n")
    assert tail(folder, "logs/a.log") is None
    assert tail(folder, "logs/a.log", failed=False) == Tail("--- error ---\ny", cut=False)


@pytest.mark.parametrize(
    "log", [None, "logs/none.log", "../secret", "/etc/passwd", "logs/../../secret", "logs/link", "logs", "logs/\0",
            "logs/fifo", f"logs/a.log#{10**30}+1", "logs/a.log#9+9"],
)  # fmt: skip
def test_what_is_not_there_or_not_in_the_folder_is_nothing(folder: Path, log: str | None) -> None:
    """A report may have been made by anybody."""
    import os

    (folder.parent / "secret").write_text("secret")
    (folder / "logs/a.log").write_bytes(b"x")
    (folder / "logs/link").symlink_to(folder.parent / "secret")
    os.mkfifo(folder / "logs/fifo")
    assert tail(folder, log) is None
