"""Where a run leaves what it leaves: the state folder, a folder for each run in it, and the link to the newest.

Ids begin with the time in UTC, so that they sort, and end in chance, so that two runs at once never clash; the folder
is made by one ``mkdir`` that fails if it is there already.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from workflow.errors import WorkflowError
from workflow.report.graph import GRAPH

STATE_DIR = ".workflow"
LOCK = "lock"
LATEST = "latest"


class StateError(WorkflowError):
    """The run cannot be recorded: a file or folder of ours cannot be written.  The message names it."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    id: str
    path: Path

    @property
    def report(self) -> Path:
        """The account of the run."""
        return self.path / "report.json"

    @property
    def manifest(self) -> Path:
        """What the run was made of."""
        return self.path / "manifest.json"

    @property
    def events(self) -> Path:
        """What happened, a line at a time."""
        return self.path / "events.jsonl"

    @property
    def graph(self) -> Path:
        """What needs what, for reports that are made later."""
        return self.path / GRAPH

    @property
    def logs(self) -> Path:
        """What tasks printed."""
        return self.path / "logs"

    @property
    def lock(self) -> Path:
        """Held by the run for as long as it goes on."""
        return self.path / LOCK

    @property
    def results(self) -> Path:
        """Large results that other tasks take; there when there is one."""
        return self.path / "results"


def make_state_dir(state_dir: Path) -> None:
    """Make the state folder where it is missing.  Raises StateError."""
    try:
        _make_state_dir(state_dir.absolute())
    except OSError as error:
        raise StateError(disk_problem(error, state_dir)) from error


def new_run_folder(state_dir: Path, epoch_s: float) -> RunFolder:
    """Make a folder for a run, its state folder too where that is missing, and point ``latest`` at it.

    Raises StateError.
    """
    try:
        state_dir = state_dir.absolute()
        _make_state_dir(state_dir)
        latest = state_dir / LATEST
        if latest.is_dir() and not latest.is_symlink():
            raise StateError(
                f"{latest} is a folder, and a run makes a link of that name, which leads to its own folder: rename it"
            )
        runs = state_dir / "runs"
        runs.mkdir(mode=0o700, exist_ok=True)
        while True:
            folder = RunFolder(_new_id(epoch_s), runs)
            folder = RunFolder(folder.id, runs / folder.id)
            with contextlib.suppress(FileExistsError):
                folder.path.mkdir(mode=0o700)
                break
        folder.logs.mkdir(mode=0o700)
        link_latest(state_dir, folder)
    except OSError as error:
        raise StateError(disk_problem(error, state_dir)) from error
    return folder


def hold(folder: RunFolder) -> int:
    """Hold the run's lock, as long as the descriptor that is answered is open.  Raises StateError.

    No process that is started gets it, so the kernel lets go of it with whoever runs the run, however that dies.
    """
    try:
        descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise StateError(disk_problem(error, folder.lock)) from error
    return descriptor


def let_go(folder: RunFolder, held: int) -> None:
    """Remove the lock and let go of it: the run has ended."""
    with contextlib.suppress(OSError):
        folder.lock.unlink()
    os.close(held)


def is_alive(folder: Path) -> bool:
    """Whether the run that has this folder still goes on.  One that has not ended and is not alive was killed.

    Where that cannot be told, it is alive: nobody is to clear away what may still be written to.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look at once see the same
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def disk_problem(error: OSError, path: Path | str) -> str:
    """Answer what to tell the user when something of ours cannot be written."""
    name = error.filename if isinstance(error.filename, str) else str(path)
    if name == "<stdout>":
        return f"cannot write to standard output: {error.strerror or error}"
    return f"cannot write {name}: {error.strerror or error}; --state-dir puts what a run leaves elsewhere"


def _make_state_dir(state_dir: Path) -> None:
    if state_dir.is_dir():
        return
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        state_dir.mkdir(mode=0o700)
        ignored = state_dir / ".gitignore"
        ignored.touch(mode=0o600)
        ignored.write_text("*\n", encoding="ascii")


def _new_id(epoch_s: float) -> str:
    now = datetime.fromtimestamp(epoch_s, timezone.utc)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{secrets.token_hex(3)}"


def link_latest(state_dir: Path, folder: RunFolder) -> None:
    """Point ``latest`` at a run, at once.  Raises OSError."""
    temporary = state_dir / f".latest-{folder.id}"
    temporary.symlink_to(Path("runs") / folder.id, target_is_directory=True)
    try:
        temporary.replace(state_dir / LATEST)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
