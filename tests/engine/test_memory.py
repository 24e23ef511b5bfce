"""The folder that is on no disk, and gone with its program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow.engine import marks, memory
from workflow.engine.memory import MemoryFolder, NoMemoryFolder, remove_leftovers

HOLDER = """\
import os, sys, time
from workflow.engine.memory import MemoryFolder
with MemoryFolder() as folder:
    os.makedirs(folder.path + "/folder/below")
    os.symlink("/", folder.path + "/folder/link")
    open(folder.path + "/worker-1.0.log", "w").write("secret")
    print(folder.path, flush=True)
    time.sleep(60)
"""


def test_it_is_in_memory_and_for_its_owner_alone() -> None:
    """And what is in it goes with it."""
    with MemoryFolder() as folder:
        path = Path(folder.path)
        assert memory._file_system(folder.path) in {"tmpfs", "ramfs"}
        assert path.stat().st_mode & 0o777 == 0o700
        assert folder.free_bytes() > 0
        (path / "file").write_text("secret")
    assert not path.exists()


def test_it_goes_with_a_program_that_is_killed() -> None:
    """Nobody is left of it who could remove it, but the one who waits for that, with all that it needs for it."""
    assert "import" not in memory._CLEANER.partition("os.read")[2]
    program = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with program.stdout:
        path = Path(program.stdout.readline().strip())
    assert (path / "worker-1.0.log").exists()
    program.kill()
    program.wait()
    gone(path)


def test_what_is_left_when_all_were_killed_at_once_is_found_by_its_name() -> None:
    """By whoever looks next; the folders of programs that live are left alone."""
    program = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    with program.stdout:
        path = Path(program.stdout.readline().strip())
    remove_leftovers()
    assert path.exists()
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    program.send_signal(signal.SIGSTOP)
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    program.kill()
    program.wait()
    assert path.exists()
    remove_leftovers()
    assert not path.exists()


def test_a_name_says_whose_it_is() -> None:
    """And nothing else is taken for such a name."""
    mark = marks.new_mark()
    assert mark is not None
    assert memory._mark_in(f"workflow-{mark.text().replace('/', ',')},00ff") == mark
    assert memory._mark_in("workflow-notes") is None
    assert memory._mark_in("workflow-") is None


def test_without_memory_it_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk is no place for it, and neither is what is not there."""
    monkeypatch.setattr(memory, "_places", lambda: iter([str(tmp_path / "none"), "/proc"]))
    with pytest.raises(NoMemoryFolder, match="none is not there, /proc is proc"), MemoryFolder():
        pass


def gone(path: Path) -> None:
    deadline = time.monotonic() + 2
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not path.exists()
