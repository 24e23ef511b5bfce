"""One run under faults, from its start to the evidence that is left of it.

The run is a process of its own in a session of its own, with a mark in its environment that every process it makes
inherits.  While it goes on it is only watched (and struck, where that is planned); what it says goes to files, for a
pipe could be held open by whoever survives it.  When it is over, or is over time, everything with the mark is ended
here, and what had to be ended is evidence.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.failpoints import FOLDER_VARIABLE, POINT_VARIABLE
from workflow.harness import journal
from workflow.harness.blows import Blow, Striker
from workflow.harness.census import LOOK_S, Census
from workflow.harness.evidence import Evidence, Expected
from workflow.harness.injection import Injected, write_injection
from workflow.harness.stacks import dump_stacks

MARK_VARIABLE = "WORKFLOW_CHAOS_MARK"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  it is looked at, not written to


interrupted = threading.Event()
"""Set when everything that runs is to be ended."""


class Interrupted(Exception):
    """The experiment was given up; nothing can be said of it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is run: ``workflow run`` of a file, or a program."""

    arguments: tuple[str, ...]
    """Of ``workflow run``, the file included; or, with ``program``, of Python."""
    program: bool = False
    """Whether it is a program of its own on the engine, and not ``workflow run``."""
    injected: Mapping[str, Injected] | None = None
    """What strikes its tasks, by id."""
    blows: Sequence[Blow] = ()
    point: str | None = None
    """``point:action:hit``, see ``workflow.failpoints``."""
    environment: Mapping[str, str | None] | None = None
    """Added to the environment; None removes."""
    cwd: Path | None = None
    launcher: tuple[str, ...] = ()
    """A command that is given the run's command: a shell that sets a limit or ignores SIGINT, say."""
    stdout: int | None = None
    """A descriptor for its standard output, in place of a file."""


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder for one experiment, gone after it."""
    folder = Path(tempfile.mkdtemp(prefix="wf-chaos-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def perform(run: Run, expected: Expected, folder: Path) -> Evidence:
    """Run it, hurt it as planned, and collect what there is to know.  Returns when nothing of it is left alive.

    Raises Interrupted when ``interrupted`` is set; nothing is left alive then either.
    """
    mark = f"{MARK_VARIABLE}={os.getpid()}-{secrets.token_hex(6)}"
    chaos, temporary, state = (folder / name for name in ("chaos", "tmp", "state"))
    for each in (chaos, temporary):
        each.mkdir()
    write_injection(chaos, run.injected or {})
    shared = _shared_memory()
    reader = journal.Reader(str(chaos))
    began_s = time.monotonic()
    process = _start(run, folder, mark)
    census = Census(mark, process.pid)
    striker = Striker(run.blows, census, process.pid)
    stacks = ""
    try:
        while process.poll() is None:
            reader.news()
            striker.act(reader.entries)
            census.look()
            if interrupted.is_set():
                raise Interrupted
            if time.monotonic() - began_s > expected.longest_s:
                stacks = dump_stacks(census, chaos)
                break
            _pause(process, striker)
        hung = process.poll() is None
        ended_s = time.monotonic()
        left = [] if hung else _wait_until_gone(census, process.pid, expected.gone_s)
    finally:
        _end_all(census, process)
    reader.news()
    left += [f"temporary file {path.name}" for path in sorted(temporary.rglob("*"))]
    left += [f"shared memory {path.name}" for path in _new_shared_memory(shared, expected.gone_s)]
    report, events = _read_run(state)
    if report is not None:
        left += _strays(state)
    return Evidence(
        exit_code=None if hung else process.returncode,
        began_s=began_s,
        ended_s=ended_s,
        stdout=_text(folder / "stdout"),
        stderr=_text(folder / "stderr"),
        report=report,
        events=events,
        journal=tuple(reader.entries),
        sightings=census.sightings(),
        left=tuple(left),
        struck=tuple(striker.struck),
        missed=tuple(striker.missed()),
        stacks=stacks,
    )


def _start(run: Run, folder: Path, mark: str) -> subprocess.Popen[bytes]:
    name, _, value = mark.partition("=")
    environment = {key: text for key, text in os.environ.items() if not key.startswith("WORKFLOW_")}
    environment.update(
        {name: value, FOLDER_VARIABLE: str(folder / "chaos"), "TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1"}
    )
    if run.point is not None:
        environment[POINT_VARIABLE] = run.point
    for key, text in (run.environment or {}).items():
        environment.pop(key, None)
        if text is not None:
            environment[key] = text
    if run.program:
        command = [sys.executable, *run.arguments]
    else:
        options = ("--state-dir", str(folder / "state"))
        command = [sys.executable, "-m", "workflow.cli.subject", *options, *run.arguments]
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        return subprocess.Popen(
            [*run.launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=out if run.stdout is None else run.stdout,
            stderr=err,
            env=environment,
            cwd=run.cwd or folder,
            start_new_session=True,
        )


def _pause(process: subprocess.Popen[bytes], striker: Striker) -> None:
    """Until the next look, the next blow, or the end."""
    until_s = LOOK_S
    if striker.next_s is not None:
        until_s = min(until_s, max(0.0005, striker.next_s - time.monotonic()))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(until_s)


def _wait_until_gone(census: Census, root: int, patience_s: float) -> list[str]:
    """What is still alive after that long, for people."""
    end = time.monotonic() + patience_s
    while True:
        alive = [seen for seen in census.look() if seen.pid != root]
        if not alive or time.monotonic() > end:
            return [f"{seen.role} {seen.pid} ({seen.command})" for seen in alive]
        time.sleep(LOOK_S)


def _end_all(census: Census, process: subprocess.Popen[bytes]) -> None:
    """Kill whatever has the mark, as often as it takes."""
    end = time.monotonic() + 10
    while alive := census.look():
        for seen in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(seen.pid, signal.SIGKILL)
        process.poll()
        if time.monotonic() > end:
            break
        time.sleep(LOOK_S / 4)
    process.wait()


def _read_run(state: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None]:
    latest = state / "latest"
    report = events = None
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((latest / "report.json").read_text(encoding="utf-8"))
    with contextlib.suppress(OSError, ValueError):
        lines = (latest / "events.jsonl").read_bytes().split(b"\n")
        events = [json.loads(line) for line in lines[:-1]]  # a last line that is torn ends the run, not a line
    return report, events


def _strays(state: Path) -> list[str]:
    """Files in the state folder that no run leaves."""
    known = {".gitignore", "latest", "runs", "runs.db", "runs.db-wal", "runs.db-shm"}
    found = [path for path in state.iterdir() if path.name not in known]
    for run in (state / "runs").iterdir():
        found += [path for path in run.iterdir() if path.name.endswith((".tmp", ".lock")) or path.name.startswith(".")]
    return [f"file {path.relative_to(state)}" for path in sorted(found)]


def _shared_memory() -> set[Path]:
    return set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else set()


def _new_shared_memory(before: set[Path], patience_s: float) -> list[Path]:
    """What came and stays.  Nobody says who made it: what other programs make and drop meanwhile gets time to go."""
    end = time.monotonic() + patience_s
    while found := sorted(path for path in _shared_memory() - before if not _is_used(path)):
        if time.monotonic() > end:
            break
        time.sleep(LOOK_S)
    return found


def _is_used(path: Path) -> bool:
    """Whether some living process has it mapped: then it is another program's, for all of the run's are dead.

    By its inode: a named semaphore is mapped under the name that it was made with, which is not the one it got.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    inode = f" {os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x} {status.st_ino} "
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if inode in maps.read_text():
                return True
    return False


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
