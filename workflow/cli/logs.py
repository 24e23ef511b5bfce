"""``workflow logs``: what a task printed, after it has ended or while it does.

A pipe gets the bytes as they are in the log; on a terminal, control characters are shown and do nothing.  Of several
instances each log has a line above it that names it, as ``tail`` does; while they are followed, each line has the id
before it.

To follow is to look again and again: nothing that every system has tells of a file that grows.  What an attempt has
printed so far is where the run says it is (``run.running``); once the task has ended, the rest comes from its log,
in which the same bytes stand.  Of what is cut there to ``max_log`` only as much is shown.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli import completing
from workflow.cli.arguments import NoOutput
from workflow.cli.looking import (
    is_run,
    matches,
    names_planned,
    no_such_task,
    state_dir_option,
    tasks_of,
    the_run,
    the_state_dir,
    waiting_lines,
    waiting_of,
)
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.run.past import PastRun
    from workflow.run.running import RunningNow

LOOK_S = 0.2
_CHUNK = 1 << 18
_LINE_MAX = 1 << 20
_CUT = re.compile(rb"\n?\xe2\x80\xa6 (\d+) bytes cut \xe2\x80\xa6\n")
_SECRET = "its output is there when it has ended: until then it may hold secrets"


@click.command(short_help="Print what a task printed.")
@click.argument("words", nargs=-1, required=True, metavar="[RUN] TASK", shell_complete=completing.run_and_task)
@click.option("-f", "--follow", is_flag=True, help="Go on as long as the task, or what has its name, goes on.")
@state_dir_option
def logs(words: tuple[str, ...], state_dir: Path | None, *, follow: bool) -> int:
    """Print the log of TASK in RUN: what all its attempts printed, and why those that failed did.

    TASK is an id, or a name, which means all its instances.  RUN is an id as ``workflow runs`` lists them, a beginning
    of one, or latest, which is also meant where none is given.
    """
    if len(words) > 2:
        raise click.UsageError("one task at a time: [RUN] TASK")
    run, task = (None, words[0]) if len(words) == 1 else (words[0], words[1])
    if run is None and is_run(task):
        raise click.UsageError(f"say which task of the run {task!r}: logs {task} TASK")
    if run is not None and not is_run(run):
        raise click.UsageError("a run stands before the task: [RUN] TASK; its id begins with a digit, or say latest")
    past = the_run(the_state_dir(state_dir), run)
    out = _Out(sys.stdout.isatty())
    if follow and past.status == "running":
        return _Following(past, task, out).until_the_end()
    return _print(past, task, out)


class _Out:
    """Standard output, for what tasks printed."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._rest: dict[str, bytes] = {}

    def write(self, data: bytes, task: str = "", prefix: str = "") -> None:
        """Pass on bytes of a task's output; with a prefix, or on a terminal, whole lines."""
        if not self._is_terminal and not prefix:
            self._pass_on(data)
            return
        whole, newline, rest = (self._rest.get(task, b"") + data).rpartition(b"\n")
        if len(rest) > _LINE_MAX:
            whole, newline, rest = rest, b"\n", b""
        self._rest[task] = rest
        if newline:
            self._pass_on(b"".join(self._line(line, prefix) for line in whole.split(b"\n")))

    def end(self, task: str, prefix: str = "") -> None:
        """Nothing follows."""
        rest = self._rest.pop(task, b"")
        if rest:
            self._pass_on(self._line(rest, prefix))

    def line(self, text: str) -> None:
        """A line of ours."""
        self._pass_on(f"{text}\n".encode("utf-8", "backslashreplace"))

    def _line(self, line: bytes, prefix: str) -> bytes:
        from workflow.report.terminal import neutral

        if self._is_terminal:
            line = neutral(line.decode("utf-8", "replace")).encode("utf-8", "backslashreplace")
        return prefix.encode("utf-8", "backslashreplace") + line + b"\n"

    def _pass_on(self, data: bytes) -> None:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NoOutput(f"cannot write to standard output: {error.strerror or error}") from error


def _print(past: PastRun, name: str, out: _Out) -> int:
    """All there is now."""
    from workflow.run.past import log_of
    from workflow.run.running import read_running

    found, known = tasks_of(past, name)
    ended = {task["id"] for task in found}
    now = [each for each in (() if past.is_over else read_running(past.folder.path)) if each.id not in ended]
    now = [each for each in now if matches(name, each.id, each.id.partition("@")[0])]
    told = [(task["id"], task["log"]) for task in found] + [(each.id, log_of(each, past)) for each in now]
    waiting = waiting_of(past, name, now)
    if not told and not waiting:
        raise no_such_task(past, name, [*known, *names_planned(past.folder)])
    for line in waiting_lines(past, name, waiting):
        click.echo(line, err=True)
    for id_, log in told:
        if len(told) > 1:
            out.line(f"==> {id_} <==")
        there = _whole(past.folder.path, log)
        for piece in there or ():
            out.write(piece, id_)
        out.end(id_)
        if there is None and (id_ in ended or past.status != "running"):  # or else it may have moved just now
            place = past.folder.path / str(log)
            click.echo(f"{id_}: its log is gone, or something else is in its place: {place}", err=True)
    for each in now:
        if each.file is None and past.status == "running":
            click.echo(f"{each.id}: {_SECRET}", err=True)
    return ExitCode.SUCCEEDED


def _whole(folder: Path, log: str | None) -> Iterator[bytes] | None:
    """A log as it is, from the run's folder; None where there is one no more."""
    from workflow.report.tails import log_range

    if log is None:
        return iter(())
    part = log_range(folder, log)
    return None if part is None else _read(*part)


def _pieces(folder: Path, log: str | None, skip: int = 0) -> Iterator[bytes]:
    """What is there of a log now, from the run's folder."""
    from workflow.report.tails import log_range

    part = log_range(folder, log)
    return iter(()) if part is None else _read(part[0], part[1] + skip, part[2])


def _read(descriptor: int, first: int, last: int) -> Iterator[bytes]:
    try:
        while first < last:
            data = os.pread(descriptor, min(_CHUNK, last - first), first)
            if not data:
                return
            first += len(data)
            yield data
    finally:
        os.close(descriptor)


class _Following:
    """What is shown of a run that goes on, as it comes."""

    def __init__(self, past: PastRun, name: str, out: _Out) -> None:
        self._past = past
        self._folder = past.folder.path
        self._name = name
        self._out = out
        self._shown: dict[str, dict[int, int]] = {}  # bytes of each attempt, by task
        self._ended: set[str] = set()
        self._secret: set[str] = set()
        self._read = 0
        self._events = b""

    def until_the_end(self) -> int:
        """Follow what has this name until it has ended, or the run has."""
        from workflow.run.folder import is_alive
        from workflow.run.past import past_run
        from workflow.run.running import read_running

        planned = names_planned(self._past.folder)
        if planned and self._name not in planned:
            raise no_such_task(self._past, self._name, planned)
        while True:
            alive = is_alive(self._folder)  # before what it wrote is read: nothing comes after that
            running = read_running(self._folder)  # before the events: of whom they say that it has ended, all is known
            for id_, log in self._news():
                self._rest(id_, log)
            for each in running:
                self._grown(each)
            if self._name in self._ended:
                return ExitCode.SUCCEEDED
            if not alive:
                break
            time.sleep(LOOK_S)
        self._past = past_run(self._past.folder, self._folder.parent.parent)
        if not self._shown and not self._ended:
            return _print(self._past, self._name, self._out)
        if self._past.status == "killed":
            for each in read_running(self._folder):  # what it printed since the run looked at it last
                self._grown(each)
                self._out.end(each.id, self._prefix(each.id))
            click.echo("the run was killed", err=True)
        return ExitCode.SUCCEEDED

    def _prefix(self, id_: str) -> str:
        return "" if id_ == self._name else f"{id_} | "

    def _wanted(self, id_: str) -> bool:
        return matches(self._name, id_, id_.partition("@")[0]) and id_ not in self._ended

    def _news(self) -> Iterator[tuple[str, str | None]]:
        """Tasks that have ended since the last look, with where their logs are."""
        try:
            with (self._folder / "events.jsonl").open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        self._read += len(data)
        whole, _, self._events = (self._events + data).rpartition(b"\n")
        for line in whole.split(b"\n"):
            if b'"task_finished"' not in line:
                continue
            event = json.loads(line)
            if event.get("event") == "task_finished" and self._wanted(event["task"]):
                yield event["task"], event["log"]

    def _grown(self, now: RunningNow) -> None:
        from workflow.run.past import log_of

        if not self._wanted(now.id):
            return
        if now.file is None:
            if now.id not in self._secret:
                self._secret.add(now.id)
                click.echo(f"{now.id}: {_SECRET}", err=True)
            return
        shown = self._shown.setdefault(now.id, {})
        if now.attempt not in shown and now.attempt > 1:
            self._out.end(now.id, self._prefix(now.id))
            self._out.write(_header(now.attempt), now.id, self._prefix(now.id))
        for piece in _pieces(self._folder, log_of(now, self._past), shown.setdefault(now.attempt, 0)):
            shown[now.attempt] += len(piece)
            self._out.write(piece, now.id, self._prefix(now.id))

    def _rest(self, id_: str, log: str | None) -> None:
        """What is in the log of a task that has ended and was not shown yet."""
        self._ended.add(id_)
        shown = self._shown.get(id_, {})
        data = b"".join(_pieces(self._folder, log))
        sections = _sections(data)
        last = max(shown, default=0)
        for attempt, (header, text) in sections.items():
            rest = _unshown(text, shown.get(attempt, 0))
            if rest and header and attempt != last:
                self._out.end(id_, self._prefix(id_))
                self._out.write(header, id_, self._prefix(id_))
            self._out.write(rest, id_, self._prefix(id_))
        self._out.end(id_, self._prefix(id_))


def _sections(log: bytes) -> dict[int, tuple[bytes, bytes]]:
    """A log by attempts: the line above each, and what follows it."""
    if not log.startswith(_header(1)):
        return {1: (b"", log)}
    found: dict[int, tuple[bytes, bytes]] = {}
    number = begin = 0
    while begin < len(log):
        number += 1
        begin += len(_header(number))
        end = log.find(b"\n" + _header(number + 1), begin - 1) + 1 or len(log)
        found[number] = (_header(number), log[begin:end])
        begin = end
    return found


def _header(attempt: int) -> bytes:
    """The line above what an attempt printed, where there are several (see ``run.logs``)."""
    return b"--- attempt %d ---\n" % attempt


def _unshown(text: bytes, shown: int) -> bytes:
    """What follows the first ``shown`` bytes of what an attempt printed, as far as its log has it."""
    cut = _CUT.search(text) if shown else None
    if cut is None or shown <= cut.start():
        return text[shown:]
    missing = max(0, shown - cut.start() - int(cut[1]))
    return text[cut.end() + missing :]
