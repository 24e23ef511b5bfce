"""From the files that workers share to a log for each task."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from workflow.outcome import Attempt, ErrorRecord, LogRange, Outcome
from workflow.run.logs import Cut, Logs, Streams, tail


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
        line for size in range(1, len(data) + 1) for line in flat(streams.news("a", 1, LogRange(str(shared), 0, size)))
    ]
    assert seen == ["ünd", "zwei"]
    assert list(streams.last("a", [attempt(shared, 0, len(data))])) == [["drei"]]
    assert list(streams.last("a", [])) == []


def failed(path: Path, offset: int, size: int) -> Attempt:
    error = ErrorRecord(
        "KeyError", "'x'", 'Traceback (most recent call last):\n  File "/a.py", line 1, in f\nKeyError: 1\n'
    )
    return attempt(path, offset, size)._replace(error=error)


def test_an_error_stands_behind_the_output_of_its_attempt(shared: Path) -> None:
    """Whole, on a line of its own, and also of a task that printed nothing or that no worker had."""
    shared.write_bytes(b"out")
    folder = shared.parent.parent
    logs = Logs(folder, tasks=10, max_bytes=None)
    trace = 'Traceback (most recent call last):\n  File "/a.py", line 1, in f\nKeyError: 1\n'
    assert logs.keep("a", [failed(shared, 0, 3)]) == "logs/a.log"
    assert (folder / "a.log").read_text() == f"out\n--- error ---\n{trace}"
    assert logs.keep("b", [failed(shared, 0, 3)._replace(log=None)]) == "logs/b.log"
    assert (folder / "b.log").read_text() == f"--- error ---\n{trace}"
    assert logs.keep_reason("c", "no such result") == "logs/c.log"
    assert (folder / "c.log").read_text() == "--- error ---\nno such result\n"


def test_above_ten_thousand_tasks_failures_share_a_file(tmp_path: Path) -> None:
    """Each knows its part of it: output and error."""
    (tmp_path / "logs").mkdir()
    logs = Logs(tmp_path / "logs", tasks=10_001, max_bytes=None)
    path = tmp_path / "logs/worker-3.0.log"
    path.write_bytes(b"onetwo")
    for name, offset in (("a", 0), ("b", 3)):
        log = logs.keep(name, [failed(path, offset, 3)])
        assert log is not None
        file, _, part = log.partition("#")
        start, _, size = part.partition("+")
        text = (tmp_path / file).read_text()[int(start) :][: int(size)]
        assert text.startswith("one\n--- error ---" if name == "a" else "two\n--- error ---")
        assert text.endswith("KeyError: 1\n")


def flat(pieces: Iterable[list[str] | Cut]) -> list[str | Cut]:
    return [part for piece in pieces for part in ([piece] if isinstance(piece, Cut) else piece)]


def test_a_hole_in_a_stream_is_marked_between_whole_lines(shared: Path) -> None:
    """However it lies between looks; every byte is shown or counted."""
    data = b"one\ntwo" + b"\0" * 10_000 + b"ree\nfour\n"
    shared.write_bytes(data)
    for step in (1, 7, 5000, len(data)):
        streams = Streams()
        seen: list[str | Cut] = []
        for size in [*range(step, len(data), step), len(data)]:
            seen += flat(streams.news("a", 1, LogRange(str(shared), 0, size)))
        seen += flat(streams.last("a", [attempt(shared, 0, len(data))]))
        if step >= 5000:
            assert seen == ["one", Cut(3 + 10_000 + 4), "four"]
        assert "twoee" not in seen
        assert "tworee" not in seen


def test_a_hole_made_across_what_was_read_is_one_too(shared: Path) -> None:
    """The part of it that is still to come may be short."""
    shared.write_bytes(b"x\n" * 3000)
    streams = Streams()
    assert len(flat(streams.news("a", 1, LogRange(str(shared), 0, 6000)))) == 3000
    shared.write_bytes(b"\0" * 6100 + b"lf\nwhole\n")
    assert flat(streams.last("a", [attempt(shared, 0, 6109)])) == [Cut(103), "whole"]


def test_of_a_flood_that_has_ended_head_and_tail_are_shown(shared: Path) -> None:
    """As its log keeps them: nobody waits for hundreds of megabytes."""
    data = b"".join(b"%07d\n" % number for number in range(1000))
    shared.write_bytes(data)
    seen = flat(Streams(max_bytes=160).last("a", [attempt(shared, 0, len(data))]))
    cut = next(part for part in seen if isinstance(part, Cut))
    assert seen[:2] == ["0000000", "0000001"]
    assert seen[-1] == "0000999"
    assert cut.size == len(data) - 8 * (len(seen) - 1)


def test_a_look_at_a_flood_leaves_time_for_others(shared: Path) -> None:
    """It says that there is more."""
    shared.write_bytes(b"a\nb\nc\n")
    streams = Streams()
    part = LogRange(str(shared), 0, 6)
    assert flat(streams.news("a", 1, part, 4)) == ["a", "b"]
    assert streams.behind("a", 1, part)
    assert flat(streams.news("a", 1, part, 4)) == ["c"]
    assert not streams.behind("a", 1, part)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "link", "link to nothing", "second name"])
@pytest.mark.parametrize("tasks", [10, 10_001])
def test_what_a_task_has_put_in_the_place_of_a_log_is_left_alone(shared: Path, kind: str, tasks: int) -> None:
    """Nobody waits at a pipe, and what a link leads to is not written into: that the log cannot be kept is told."""
    shared.write_bytes(b"out")
    folder = shared.parent.parent
    precious = folder.parent / "precious"
    if kind != "link to nothing":
        precious.write_text("precious")
    for log in (folder / "b.log", folder / "failures.log"):
        if kind == "pipe":
            os.mkfifo(log)
        elif kind == "second name":
            os.link(precious, log)
        else:
            log.symlink_to(precious)
    logs = Logs(folder, tasks=tasks, max_bytes=None)
    with pytest.raises(OSError, match="what is there is not a log"):
        logs.keep("b", [failed(shared, 0, 3)])
    with pytest.raises(OSError, match="what is there is not a log"):
        logs.keep_reason("b", "no such result")
    if tasks == 10:
        with pytest.raises(OSError, match="what is there is not a log"):
            logs.keep_callback("b", LogRange(str(shared), 0, 3), "logs/b.log")
    assert not precious.exists() if kind == "link to nothing" else precious.read_text() == "precious"


@pytest.mark.timeout(10)
def test_a_pipe_in_the_place_of_what_workers_share_is_not_waited_for(shared: Path) -> None:
    """It has nothing to show."""
    os.mkfifo(shared)
    assert tail([attempt(shared, 0, 4)]) == ()
