"""Processes of every kind are found, told apart, and known for whose they are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workflow.harness import census as census_module
from workflow.harness.census import Census

MARK = "WORKFLOW_CENSUS_TEST=here"
PROGRAM = """
import os, subprocess, sys, time

def sleeper(number, **options):
    return subprocess.Popen(["sleep", f"100{number}"], stdin=subprocess.DEVNULL, **options)

def fork(act):
    if os.fork() == 0:
        try:
            act()
        finally:
            os._exit(0)

children = [sleeper(1), sleeper(2, start_new_session=True), sleeper(3, env={})]
fork(lambda: os.execvp("sleep", ["sleep", "1004"]))
fork(lambda: fork(lambda: (os.setsid(), os.execvp("sleep", ["sleep", "1005"]))))
fork(lambda: (sleeper(6, env={}), time.sleep(1000)))
os.wait()
print("ready", flush=True)
time.sleep(1000)
"""


Start = Callable[[str], "tuple[subprocess.Popen[bytes], Census]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program with the mark, that says when it is ready; whatever its census knows is ended with the test."""
    started: list[tuple[subprocess.Popen[bytes], Census]] = []

    def run(code: str) -> tuple[subprocess.Popen[bytes], Census]:
        name, _, value = MARK.partition("=")
        process = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, name: value}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        started.append((process, Census(MARK, process.pid)))
        return started[-1]

    yield run
    for process, census in started:
        while alive := census.look():
            for seen in alive:
                os.kill(seen.pid, 9)
            process.poll()
        process.communicate()


def sleepers(seen: Any) -> set[str]:
    return {each.command.removeprefix("sleep ") for each in seen if each.command.startswith("sleep ")}


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited for 20 s"
        time.sleep(0.01)


def test_nobody_escapes_by_fork_exec_session_or_a_change_of_parent(
    start: Start,
) -> None:
    """Nor by a cleared environment, while the parent lives; roles and ends are told."""
    process, census = start(PROGRAM)
    until(lambda: sleepers(census.look()) == {f"100{number}" for number in range(1, 7)})
    roles = {each.command: each.role for each in census.look()}
    assert {role for command, role in roles.items() if command.startswith("sleep")} == {"task"}
    (root,) = (each for each in census.sightings() if each.pid == process.pid)
    assert root.role == "parent"
    assert len(census.of_role("parent")) == 1

    one = next(each for each in census.look() if each.command == "sleep 1002")
    os.kill(one.pid, 9)
    until(lambda: "1002" not in sleepers(census.look()))
    ended = next(each for each in census.sightings() if each.pid == one.pid)
    assert root.first_s <= ended.first_s < ended.last_s <= time.monotonic()


def test_who_has_lost_parent_and_environment_is_still_known_once_seen(
    start: Start,
) -> None:
    """Pid and start time are who it is, whatever becomes of the rest."""
    process, census = start(PROGRAM)
    until(lambda: len(sleepers(census.look())) == 6)
    process.kill()
    process.wait()
    until(lambda: not census.of_role("parent"))
    assert sleepers(census.look()) == {f"100{number}" for number in range(1, 7)}


def test_a_pid_that_was_given_away_again_is_somebody_else(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another start time is another process, and is a stranger without the mark."""
    process, census = start("import time; print('ready', flush=True); time.sleep(1000)")
    assert [each.pid for each in census.look()] == [process.pid]
    stat = census_module._stat

    def later(pid: int) -> Any:
        told = stat(pid)
        if pid == process.pid and told is not None:
            told.fields[19] = b"%d" % (int(told.fields[19]) + 1)
            told.fields[1] = b"1"
        return told

    monkeypatch.setattr(census_module, "_stat", later)
    monkeypatch.setattr(Census, "_is_marked", lambda _self, _pid: False)
    assert census.look() == []
    (sighting,) = census.sightings()
    assert sighting.last_s < time.monotonic()
    monkeypatch.undo()


def test_a_zombie_is_dead_and_a_stranger_is_nobodys(start: Start) -> None:
    """Who has ended has ended, whether anybody has waited for it or not."""
    code = "import os, time\nif os.fork() == 0: os._exit(0)\nprint('ready', flush=True); time.sleep(1000)"
    process, census = start(code)
    stranger = subprocess.Popen(["sleep", "1000"], env={})
    try:
        until(lambda: [each.pid for each in census.look()] == [process.pid])
    finally:
        stranger.kill()
        stranger.wait()
