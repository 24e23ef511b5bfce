"""What tasks and callbacks print."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow import Attempt, InfoTask, MultiProcess, Outcome
from workflow.engine import scoreboard
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


def test_the_middle_of_a_flood_is_given_back_to_the_disk(
    make_pool: Callable[..., MultiProcess], tmp_path: Path
) -> None:
    """While it goes on: head and tail of the limit's size stay, and offsets stay what they were."""
    mp = make_pool(1, log_dir=tmp_path, max_log=100_000)
    handle = mp.push(InfoTask("victims.Print", 30, "flood"))
    after = mp.push(InfoTask("victims.Print", 10, "python"))
    mp.stop()
    log = handle.attempts[0].log
    assert log is not None
    assert log.size == 64 << 16
    whole = text(log)
    assert whole[:100_000] == b"0" * 65536 + b"1" * 34464
    assert whole[-65536:] == b"3" * 65536
    assert os.stat(log.file).st_blocks * 512 < 2 << 20
    assert text(after.attempts[0].log) == b"from python\n"


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


@pytest.mark.parametrize("what", ["link", "hard link", "pipe", "folder"])
def test_what_a_task_puts_in_the_place_of_a_log_is_not_written_into(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, what: str
) -> None:
    """The next log that its worker begins is another; and so is the first of the next worker."""
    folder = tmp_path / "logs"
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("worker-1.1.log", "worker-2.0.log"):
        make = {"link": Path.symlink_to, "hard link": Path.hardlink_to}.get(what)
        if make is not None:
            make(folder / name, precious)
        elif what == "pipe":
            os.mkfifo(folder / name)
        else:
            (folder / name).mkdir()
    mp = make_pool(2, log_dir=folder)
    leaves = [
        mp.push(InfoTask("victims.Grandchildren", 30, str(tmp_path / f"pids{n}"), kwargs={"stay": False}))
        for n in range(4)
    ]
    after = [mp.push(InfoTask("victims.Print", 10, "python")) for _ in range(4)]
    mp.stop()
    assert {handle.outcome for handle in leaves} == {Outcome.SUCCEEDED}
    assert (folder / "worker-1.2.log").exists()
    assert [text(handle.attempts[0].log) for handle in after] == [b"from python\n"] * 4
    assert precious.read_text() == "mine"


def test_the_middle_of_a_flood_is_cut_out_of_nothing_else(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    """While a task floods its log, of which another has taken the place."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine" * 100_000)
    folder = tmp_path / "logs"
    folder.mkdir()
    mp = make_pool(1, log_dir=folder, max_log=10_000)
    handle = mp.push(InfoTask("victims.Sleep", 30, 1000.0, grace=0.1))
    wait_until(handle.running)
    log = folder / "worker-1.0.log"
    log.rename(folder / "moved")
    log.symlink_to(precious)
    looks = mp._client._tree.words[scoreboard.BEAT]
    wait_until(lambda: mp._client._tree.words[scoreboard.BEAT] > looks + 20)
    handle.cancel()
    mp.stop()
    assert precious.read_bytes() == b"mine" * 100_000


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
