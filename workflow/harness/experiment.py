"""One run under faults, from its start to the evidence that is left of it.

The run is a process of its own in a session of its own, with a mark in its environment that every process it makes
inherits.  While it goes on it is only watched (and struck, where that is planned); what it says goes to files, for a
pipe could be held open by whoever survives it.  When it is over, and nothing of it is left or should be, it is resumed
with nothing that hurts it, which is evidence too.  At the end, or over time, everything with the mark is ended here,
and what had to be ended is evidence.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow.failpoints import FOLDER_VARIABLE, HARNESS_VARIABLE, POINT_VARIABLE
from workflow.harness import journal
from workflow.harness.blows import Blow, Striker
from workflow.harness.census import LOOK_S, Census
from workflow.harness.evidence import Evidence, Expected, Recorded, Resumed, Second
from workflow.harness.injection import Injected, write_injection
from workflow.harness.neighbours import RESUMED_VARIABLE
from workflow.harness.program import read_account
from workflow.harness.stacks import dump_stacks

TEMPORARY = "temporary file "
"""How what is left in the folder for temporary files is told."""
_LOG_END = 2000
_LOGS_MAX = 200

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
    state: Path | None = None
    """The state folder, if it is shared with other runs; its own otherwise."""
    launcher: tuple[str, ...] = ()
    """A command that is given the run's command: a shell that sets a limit or ignores SIGINT, say."""
    stdout: int | None = None
    """A descriptor for its standard output, in place of a file."""
    then: tuple[str, ...] = ()
    """Arguments of another ``workflow run`` with the same state folder, once this has ended, in whatever way."""
    resume: tuple[str, ...] | None = None
    """Arguments with which it can be resumed, if not with its own."""
    resumed_unhurt: bool = True
    """Whether what strikes its tasks does not when it is resumed."""


def perform(run: Run, expected: Expected, folder: Path) -> Evidence:
    """Run it, hurt it as planned, and collect what there is to know.  Returns when nothing of it is left alive.

    Raises Interrupted when ``interrupted`` is set; nothing is left alive then either.
    """
    mark = f"{HARNESS_VARIABLE}={os.getpid()}-{secrets.token_hex(6)}"
    chaos, temporary = folder / "chaos", folder / "tmp"
    for each in (chaos, temporary):
        each.mkdir()
    write_injection(chaos, run.injected or {})
    reader = journal.Reader(str(chaos))
    began_s = time.monotonic()
    process = _start(run, folder, mark)
    census = Census(mark, process.pid)
    striker = Striker(run.blows, census, process.pid, (run.state or folder / "state") / "latest" / "report.json")
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
        report, events = _read(run, folder, process.pid)
        second = None if hung or not run.then else _run_again(run, expected, folder, mark, census)
        left = [] if hung else _wait_until_gone(census, process.pid, expected.gone_s)
        recorded = _recorded(run.state or folder / "state", str(events[0]["run"])) if events else None
        resumed = None
        if events and not (hung or left or run.program):
            resumed, more = _resume(run, expected, folder, mark, str(events[0]["run"]))
            left += more
    finally:
        _end_all(census, process)
    reader.rest()
    left += [f"{TEMPORARY}{path.name}" for path in sorted(temporary.rglob("*"))]
    left += [f"shared memory {name}" for name in census.shared_left()]
    if report is not None and not run.program and run.state is None:
        left += _strays(folder / "state")
    return Evidence(
        exit_code=None if hung else process.returncode,
        began_s=began_s,
        ended_s=ended_s,
        stdout=_text(folder / "stdout"),
        stderr=_text(folder / "stderr"),
        report=report,
        events=events,
        journal=tuple(reader.entries),
        spoilt=tuple(reader.spoilt),
        logs={} if run.program or report is None else _logs(folder / "state" / "latest", report),
        sightings=census.sightings(),
        left=tuple(left),
        struck=tuple(striker.struck),
        missed=tuple(striker.missed()),
        point=_text(chaos / "point") if (chaos / "point").exists() else None,
        stacks=stacks,
        program=run.program,
        samples=tuple(census.samples),
        second=second,
        recorded=recorded,
        resumed=resumed,
    )


def _resume(run: Run, expected: Expected, folder: Path, mark: str, id_: str) -> tuple[Resumed, list[str]]:
    """The same run once more, to finish what it had not; and what that leaves alive."""
    out = folder / "resumed"
    (out / "chaos").mkdir(parents=True)
    injected = dict(run.injected or {})
    if run.resumed_unhurt:
        injected = {task: each._replace(strikes=(), unpicklable=False) for task, each in injected.items()}
    write_injection(out / "chaos", injected)
    again = replace(
        run,
        arguments=(*(run.resume or run.arguments), "--resume-from", id_),
        environment={**(run.environment or {}), RESUMED_VARIABLE: "1"},
        point=None,
        launcher=(),
        stdout=None,
    )
    process = _start(again, folder, mark, out)
    census = Census(mark, process.pid)
    end = time.monotonic() + expected.longest_s
    while process.poll() is None and time.monotonic() < end and not interrupted.is_set():
        census.look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
    code = process.poll()
    process.kill()
    process.wait()
    if interrupted.is_set():
        raise Interrupted
    left = [f"{each}, of the resumed run" for each in _wait_until_gone(census, process.pid, expected.gone_s)]
    reader = journal.Reader(str(out / "chaos"))
    reader.rest()
    report = _of_pid(run.state or folder / "state", process.pid)[0]
    return Resumed(code, id_, report, tuple(reader.entries), _text(out / "stderr")), left


def _run_again(run: Run, expected: Expected, folder: Path, mark: str, census: Census) -> Second:
    """The run behind the one that was hurt; it is given as long, and looked at as well."""
    out = folder / "second"
    (out / "chaos").mkdir(parents=True)
    write_injection(out / "chaos", run.injected or {})
    process = _start(replace(run, arguments=run.then, then=(), program=False, point=None), folder, mark, out)
    end = time.monotonic() + expected.longest_s
    while process.poll() is None and time.monotonic() < end:
        census.look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
    code = process.poll()
    process.kill()
    process.wait()
    return Second(code, _read_run((run.state or folder / "state") / "latest")[0], _text(out / "stderr"))


def _start(run: Run, folder: Path, mark: str, out: Path | None = None) -> subprocess.Popen[bytes]:
    out = out or folder
    name, _, value = mark.partition("=")
    environment = {key: text for key, text in os.environ.items() if not key.startswith("WORKFLOW_")}
    environment.update(
        {name: value, FOLDER_VARIABLE: str(out / "chaos"), "TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1"}
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
        options = ("--state-dir", str(run.state or folder / "state"))
        command = [sys.executable, "-m", "workflow.cli.subject", *options, *run.arguments]
    with open(out / "stdout", "wb") as stdout, open(out / "stderr", "wb") as stderr:
        return subprocess.Popen(
            [*run.launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout if run.stdout is None else run.stdout,
            stderr=stderr,
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


def _read(run: Run, folder: Path, pid: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None]:
    if run.program:
        return read_account(folder / "chaos"), None
    if run.state is None:
        return _read_run(folder / "state" / "latest")
    return _of_pid(run.state, pid)


def _of_pid(state: Path, pid: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None]:
    """What the run left that was this process."""
    for own in (state / "runs").glob("*"):
        report, events = _read_run(own)
        if events and events[0]["pid"] == pid:
            return report, events
    return None, None


def _read_run(folder: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None]:
    report = events = None
    with contextlib.suppress(OSError, ValueError):
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "events.jsonl").read_bytes().split(b"\n")
        events = [json.loads(line) for line in lines[:-1]]  # a last line that is torn ends the run, not a line
    return report, events


def _recorded(state: Path, id_: str) -> Recorded | None:
    """What the database says of a run; read as the file it is, and not by those who wrote it."""
    with (
        contextlib.suppress(sqlite3.Error, OSError),
        contextlib.closing(
            sqlite3.connect(f"{(state / 'runs.db').as_uri()}?mode=ro", uri=True, timeout=10)
        ) as database,
    ):
        for number, exit_code in database.execute("SELECT number, exit_code FROM run WHERE id = ?", (id_,)):
            ended = database.execute("SELECT task, outcome FROM ended WHERE at >> 32 = ?", (number,))
            return Recorded(exit_code, dict(ended.fetchall()))
    return None


def _strays(state: Path) -> list[str]:
    """Files in the state folder that no run leaves."""
    known = {".gitignore", "latest", "runs", "runs.db", "runs.db-wal", "runs.db-shm", "cache", "results"}
    found = [path for path in state.iterdir() if path.name not in known]
    for run in (state / "runs").iterdir():
        found += [path for path in run.iterdir() if path.name.endswith((".tmp", ".lock")) or path.name.startswith(".")]
    return [f"file {path.relative_to(state)}" for path in sorted(found)]


def _logs(run: Path, report: Mapping[str, Any]) -> dict[str, str]:
    """The ends of the logs of its tasks, as far as there are any."""
    logged = [task for task in report["tasks"] if task.get("log")]
    logged.sort(key=lambda task: task["outcome"] == "succeeded")
    ends = {}
    for task in logged[:_LOGS_MAX]:
        with contextlib.suppress(OSError), open(run / task["log"], "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_END))
            ends[task["id"]] = file.read(_LOG_END).decode(errors="replace").strip()
    return {id_: text for id_, text in ends.items() if text}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
