"""The event log, on disks that do not take what they are given."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from workflow.outcome import Outcome
from workflow.report.events import EventLog
from workflow.report.records import TaskRecord


def test_a_disk_that_takes_half_a_line_is_left_with_whole_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And when there is room again, nothing is missing."""
    path = tmp_path / "events.jsonl"
    log = EventLog("1", path)
    for task in ("a", "b"):
        log.task_finished(TaskRecord(task, task, None, Outcome.SUCCEEDED, None), 0.0)
        if task == "a":
            log.flush()
    before = path.read_bytes()
    write, calls = os.write, 0

    def full(descriptor: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"events\.jsonl"):
            log.flush()
    assert path.read_bytes() == before
    log.flush()
    log.close()
    assert [json.loads(line)["task"] for line in path.read_text().splitlines()] == ["a", "b"]
