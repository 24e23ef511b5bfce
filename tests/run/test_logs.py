"""From the files that workers share to a log for each task."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.outcome import Attempt, LogRange, Outcome
from workflow.run.logs import Logs, Streams, tail


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "logs/.workers").mkdir(parents=True)
    return tmp_path / "logs/.workers/worker-1.0.log"


def attempt(path: Path, offset: int, size: int, number: int = 1) -> Attempt:
    return Attempt(number, Outcome.FAILED, 0.0, 0.0, 1, log=LogRange(str(path), offset, size))


def test_a_log_is_the_range_of_its_task(shared: Path) -> None:
    """Nothing of its neighbours."""
    shared.write_bytes(b"beforeMINEafter")
    logs = Logs(shared.parent.parent, tasks=10, max_bytes=None)
    assert logs.keep("a", [attempt(shared, 6, 4)]) == "logs/a.log"
    assert (shared.parent.parent / "a.log").read_bytes() == b"MINE"
    logs.remove_shared()
    assert not shared.parent.exists()


def test_head_and_tail_of_a_flood_are_kept(shared: Path) -> None:
    """Between them stands how much is missing, what the engine has cut out already included."""
    shared.write_bytes(b"HEAD\n" + b"\0" * 100 + b"TAIL\n")
    logs = Logs(shared.parent.parent, tasks=10, max_bytes=20)
    logs.keep("a", [attempt(shared, 0, 110)])
    assert (shared.parent.parent / "a.log").read_text() == "HEAD\n… 100 bytes cut …\nTAIL\n"


def test_attempts_share_the_limit_of_their_task(shared: Path) -> None:
    """The limit is a task's, not an attempt's."""
    shared.write_bytes(b"a" * 100)
    logs = Logs(shared.parent.parent, tasks=10, max_bytes=20)
    logs.keep("a", [attempt(shared, 0, 100), attempt(shared, 0, 4, number=2)])
    text = (shared.parent.parent / "a.log").read_text()
    assert text == "--- attempt 1 ---\naaaaa\n… 90 bytes cut …\naaaaa\n--- attempt 2 ---\naaaa"


def test_above_ten_thousand_tasks_the_shared_files_stay(tmp_path: Path) -> None:
    """A file for each would cost more than the tasks."""
    (tmp_path / "logs").mkdir()
    logs = Logs(tmp_path / "logs", tasks=10_001, max_bytes=None)
    assert logs.shared == tmp_path / "logs"
    (tmp_path / "logs/worker-3.0.log").write_bytes(b"x" * 400)
    assert logs.keep("a", [attempt(tmp_path / "logs/worker-3.0.log", 120, 220)]) == "logs/worker-3.0.log#120+220"
    logs.remove_shared()
    assert (tmp_path / "logs/worker-3.0.log").exists()


def test_what_a_callback_printed_stands_behind_its_task(shared: Path) -> None:
    """In a log of its own name when the task printed nothing."""
    shared.write_bytes(b"taskhook")
    logs = Logs(shared.parent.parent, tasks=10, max_bytes=None)
    log = logs.keep("a", [attempt(shared, 0, 4)])
    assert logs.keep_callback("a", LogRange(str(shared), 4, 4), log) == "logs/a.log"
    assert (shared.parent.parent / "a.log").read_text() == "task\n--- callback ---\nhook"
    assert logs.keep_callback("b", LogRange(str(shared), 4, 4), None) == "logs/b.log"
    assert (shared.parent.parent / "b.log").read_text() == "--- callback ---\nhook"


def test_a_task_that_printed_nothing_has_no_log(tmp_path: Path) -> None:
    """And no empty file."""
    logs = Logs(tmp_path, tasks=1, max_bytes=None)
    assert logs.keep("a", [Attempt(1, Outcome.SUCCEEDED, 0.0, 0.0, 1)]) is None
    assert list(tmp_path.iterdir()) == []


def test_the_tail_is_the_last_twenty_lines(shared: Path) -> None:
    """Of the last attempt, whatever bytes they are."""
    text = "".join(f"line {number}\r\n" for number in range(100)).encode() + b"\xff"
    shared.write_bytes(text)
    lines = tail([attempt(shared, 0, len(text))])
    assert len(lines) == 20
    assert lines[-2:] == ("line 99", "\ufffd")


def test_a_stream_cuts_lines_wherever_it_was_looked_at(shared: Path) -> None:
    """A line, or a character, seen in two looks is one; the unfinished rest comes at the end."""
    data = "ünd\nzwei\ndrei".encode()
    shared.write_bytes(data)
    streams = Streams()
    seen = [
        line
        for size in range(1, len(data) + 1)
        for part in streams.news("a", 1, LogRange(str(shared), 0, size))
        for line in part
    ]
    assert seen == ["ünd", "zwei"]
    assert list(streams.last("a", [attempt(shared, 0, len(data))])) == [["drei"]]
    assert list(streams.last("a", [])) == []
