"""A log is read from the run's folder and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workflow.report.tails import log_range


@pytest.mark.parametrize("log", ["logs/a.log", "logs/a.log#0+3", "logs/link.log", "logs/../logs/a.log", "/etc/passwd"])
def test_a_log_is_not_followed_out_of_the_folder(tmp_path: Path, log: str) -> None:
    """Whatever somebody has planted on the way."""
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.log").write_text("secret")
    (tmp_path / "else" / "link.log").symlink_to("a.log")
    run = tmp_path / "run"
    run.mkdir()
    (run / "logs").symlink_to(tmp_path / "else")
    assert log_range(run, log) is None


def test_a_log_below_the_folder_is_read(tmp_path: Path) -> None:
    """Also where a shared file lies deeper."""
    (tmp_path / "logs" / ".workers").mkdir(parents=True)
    (tmp_path / "logs" / ".workers" / "1.log").write_text("abcdef")
    part = log_range(tmp_path, "logs/.workers/1.log#2+3")
    assert part is not None
    assert os.pread(part[0], part[2] - part[1], part[1]) == b"cde"
    os.close(part[0])
