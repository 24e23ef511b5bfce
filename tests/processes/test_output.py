"""What tasks and callbacks print."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow import Attempt, InfoTask, MultiProcess, Outcome
from workflow.outcome import LogRange

Program = Callable[..., "subprocess.Popen[str]"]


def text(log: LogRange | None) -> bytes:
    if log is None:
        return b""
    with open(log.file, "rb") as file:
        file.seek(log.offset)
        return file.read(log.size)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("python", b"from python\n"),
        ("unterminated", b"no newline"),
        ("stderr", b"to stderr\n"),
        ("c", b"from C\n"),
        ("child", b"from a child\nits stderr\n"),
        ("bytes", b"\xff\x00\x1b[31m\n"),
        ("crash", b"last words\n"),
        ("quiet", b""),
    ],
)
def test_output_is_captured_at_the_descriptors(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, how: str, expected: bytes
) -> None:
    """Each attempt has its own part of its worker's log, also the one that crashed."""
    mp = make_pool(1, log_dir=tmp_path)
    before, handle, after = (mp.push(InfoTask("victims.Print", 10, one)) for one in ("python", how, "python"))
    mp.stop()
    assert text(handle.attempts[0].log) == expected
    assert [text(one.attempts[0].log) for one in (before, after)] == [b"from python\n"] * 2
    if handle.outcome is Outcome.SUCCEEDED:
        assert handle.callback is not None
        assert text(handle.callback.log) == b"from the callback\n"


def test_what_a_child_writes_late_stays_with_its_task(make_pool: Callable[..., MultiProcess], tmp_path: Path) -> None:
    """The next task of that worker writes to another file."""
    mp = make_pool(1, log_dir=tmp_path)
    leaves = mp.push(InfoTask("victims.Grandchildren", 30, str(tmp_path / "pids"), kwargs={"stay": False}))
    after = mp.push(InfoTask("victims.Print", 10, "python"))
    mp.stop()
    assert leaves.attempts[0].left == 3
    log = after.attempts[0].log
    assert log is not None
    assert log.file.endswith(".1.log")
    assert text(log) == b"from python\n"


def test_uncaptured_output_goes_where_the_programs_goes(tmp_path: Path, python: Program) -> None:
    """Whole lines, of tasks and of callbacks."""
    code = (
        "from workflow import MultiProcess, InfoTask\n"
        "with MultiProcess(2) as mp:\n"
        "    for _ in range(20): mp.push(InfoTask('victims.Print', 10, 'python'))\n"
    )
    out, err = python(tmp_path, "-c", code).communicate(timeout=30)
    assert sorted(out.splitlines()) == sorted(["from the callback"] * 20 + ["from python"] * 20)
    assert err == ""


def test_attempts_of_half_a_second_tell_processor_time_and_memory(make_pool: Callable[..., MultiProcess]) -> None:
    mp = make_pool(1)
    long, short = mp.push(InfoTask("victims.Sleep", 10, 0.6)), mp.push(InfoTask("victims.Echo", 10, 1))
    mp.stop()
    attempt: Attempt = long.attempts[0]
    assert attempt.cpu_s is not None
    assert attempt.cpu_s < 0.6
    assert attempt.peak_rss_bytes is not None
    assert attempt.peak_rss_bytes > 2**20
    assert (short.attempts[0].cpu_s, short.attempts[0].peak_rss_bytes) == (None, None)
