"""``workflow run`` at a real terminal, driven through a pty: what is on the screen, and that the terminal survives."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest

Pipeline = Callable[[str], Path]
GATED = """
[pipeline]
pool = 2
[tasks.quick]
cmd = ["true"]
matrix.n = {range = [0, 3]}
[tasks.bad]
shell = "echo what a pity; exit 3"
[tasks.gated]
shell = "until test -e gate; do sleep 0.02; done"
grace = 0.5
"""


class Terminal:
    """The other end of a pty, with a screen behind it."""

    def __init__(self, columns: int, args: tuple[str, ...], cwd: Path, environ: dict[str, str]) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self.screen = pyte.Screen(columns, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workflow", *args], cwd=cwd, env=environ, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=_own_the_terminal,  # noqa: PLW1509  # this test has no threads
        )  # fmt: skip
        self.slave = slave

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def read_until(self, there: Callable[[], bool]) -> None:
        """Take in what is written until something is so; the limit is the test's."""
        give_up_at = time.monotonic() + 30
        while not there():
            assert time.monotonic() < give_up_at, self.text
            if select.select([self.master], [], [], 0.05)[0]:
                self._take()

    def ended(self) -> int:
        """Answer the exit code, with everything that was said by then on the screen."""
        self.read_until(lambda: self.process.poll() is not None)
        while select.select([self.master], [], [], 0)[0]:
            self._take()
        return self.process.returncode

    def _take(self) -> None:
        data = os.read(self.master, 65536)
        self.seen += data
        self._stream.feed(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)


def _own_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Answer ``terminal(80, "run", TERM="dumb")``."""
    made: list[Terminal] = []

    def start(columns: int, *args: str, **more: Any) -> Terminal:
        made.append(Terminal(columns, args, tmp_path, {**environ, "TERM": "xterm-256color", **more}))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.mark.parametrize("columns", [80, 200])
def test_a_person_sees_how_it_stands_and_then_how_it_ended(
    terminal: Callable[..., Terminal], pipeline: Pipeline, tmp_path: Path, columns: int
) -> None:
    """The view while it runs, failures above it as they come, and none of the view afterwards."""
    pipeline(GATED)
    seen = terminal(columns, "run")
    seen.read_until(lambda: any(line.startswith("━") and "4/5" in line for line in seen.text))
    assert any("gated" in line and line.startswith("  ") for line in seen.text)
    assert any("bad" in line and "failed" in line for line in seen.text)
    assert "    | what a pity" in seen.text
    (tmp_path / "gate").touch()
    assert seen.ended() == 1
    assert not any("━" in line for line in seen.text)
    assert seen.text[-2].startswith("4 succeeded, 1 failed in ")
    assert seen.text[-1].startswith("report: .workflow/runs/")


def test_after_ctrl_c_the_terminal_is_as_it_was(terminal: Callable[..., Terminal], pipeline: Pipeline) -> None:
    """The view goes, the cursor stays, the modes are what they were, and the end is told."""
    pipeline(GATED)
    seen = terminal(80, "run")
    seen.read_until(lambda: any("4/5" in line for line in seen.text))
    os.write(seen.master, b"\x03")
    assert seen.ended() == 130
    assert not any("━" in line for line in seen.text)
    assert not seen.screen.cursor.hidden
    assert termios.tcgetattr(seen.slave) == seen.modes
    assert seen.text[-1].startswith("report: ")


def test_a_terminal_that_is_closed_ends_the_run(
    terminal: Callable[..., Terminal], pipeline: Pipeline, tmp_path: Path
) -> None:
    """As by SIGHUP from anybody: the tasks end, and the report is written although nobody can be told of it."""
    pipeline(GATED)
    seen = terminal(80, "run")
    seen.read_until(lambda: any("4/5" in line for line in seen.text))
    os.close(seen.master)
    seen.master = os.open(os.devnull, os.O_RDONLY)
    assert seen.process.wait(timeout=20) == 129
    report = json.loads((tmp_path / ".workflow/latest/report.json").read_bytes())
    assert (report["run"]["exit_code"], report["run"]["status"]) == (129, "interrupted")
    assert {task["id"]: task["outcome"] for task in report["tasks"]}["gated"] == "cancelled"


def test_ctrl_backslash_shows_where_the_running_tasks_are_and_they_go_on(
    terminal: Callable[..., Terminal], pipeline: Pipeline, tmp_path: Path
) -> None:
    """Also one whose C code holds the interpreter's lock."""
    (tmp_path / "mine.py").write_text(
        "import os, re, time\n\ndef holds():\n    re.match('(a+)+$', 'a' * 200 + 'b')\n\n"
        "def waits():\n    while not os.path.exists('gate'):\n        time.sleep(0.02)\n"
    )
    pipeline(
        '[pipeline]\npool = 3\n[tasks.holds]\ncall = "mine:holds"\ntimeout = "20s"\ngrace = 0\nallow_failure = true\n'
        '[tasks.waits]\ncall = "mine:waits"\n[tasks.shell]\nshell = "until test -e gate; do sleep 0.02; done"\n'
    )
    seen = terminal(100, "run")
    seen.read_until(
        lambda: all(any(name in line for line in seen.text) for name in ("  holds", "  waits", "  shell", "0/3"))
    )
    os.write(seen.master, b"\x1c")
    seen.read_until(lambda: b"in waits" in seen.seen and b"in holds" in seen.seen)
    assert re.search(rb"holds \(process \d+\) is at", seen.seen)
    assert re.search(rb"process \d+: /bin/sh -c 'until test", seen.seen)
    assert b"engine/worker.py" not in seen.seen
    (tmp_path / "gate").touch()
    seen.read_until(lambda: any("2/3  2 succeeded" in line for line in seen.text))
    os.write(seen.master, b"\x03")
    assert seen.ended() == 130


def test_a_killed_run_leaves_a_terminal_that_works(terminal: Callable[..., Terminal], pipeline: Pipeline) -> None:
    """Nobody is there to repair it, so nothing was changed."""
    pipeline(GATED)
    seen = terminal(80, "run")
    seen.read_until(lambda: any("4/5" in line for line in seen.text))
    seen.process.send_signal(signal.SIGKILL)
    seen.ended()
    assert not seen.screen.cursor.hidden
    assert b"\x1b[?" not in seen.seen
    assert termios.tcgetattr(seen.slave) == seen.modes


@pytest.mark.parametrize("variable", [{"TERM": "dumb"}, {"CI": "true"}])
def test_where_nothing_can_be_redrawn_there_are_lines(
    terminal: Callable[..., Terminal], pipeline: Pipeline, tmp_path: Path, variable: dict[str, str]
) -> None:
    """No movement of the cursor, and a line a task."""
    (tmp_path / "gate").touch()
    pipeline(GATED)
    seen = terminal(80, "run", **variable)
    assert seen.ended() == 1
    assert b"\x1b[2K" not in seen.seen
    assert sum("succeeded" in line and line.startswith("[") for line in seen.text) == 4


def test_without_colour_nothing_is_coloured(
    terminal: Callable[..., Terminal], pipeline: Pipeline, tmp_path: Path
) -> None:
    """The view is there all the same."""
    pipeline(GATED)
    seen = terminal(80, "run", NO_COLOR="1")
    seen.read_until(lambda: any(line.startswith("━") and "4/5" in line for line in seen.text))
    (tmp_path / "gate").touch()
    assert seen.ended() == 1
    assert b"\x1b[3" not in seen.seen
    assert b"\x1b[9" not in seen.seen


def test_a_reader_that_leaves_early_is_no_trouble(pipeline: Pipeline, tmp_path: Path, environ: dict[str, str]) -> None:
    """``workflow run 2>&1 | head -1``: the run goes on to its end."""
    (tmp_path / "gate").touch()
    pipeline(GATED)
    line = f"{sys.executable} -m workflow run 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", line], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith("run 2")
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
