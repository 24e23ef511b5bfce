"""A night that is killed again and again, and completed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = int(os.environ.get("WORKFLOW_TEST_KILLS", "20"))
SEED = int(os.environ.get("WORKFLOW_TEST_SEED", "7"))
CHAIN_MAX = 7
"""Kills of one night, before it is let to its end."""
COUNTED = """

def _counted(function):
    import functools, os

    @functools.wraps(function)
    def counted(*args, **kwargs):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ran.txt"), "a") as file:
            file.write(f"{os.environ['WORKFLOW_RUN_ID']} {os.environ['WORKFLOW_TASK_ID']}\\n")
        return function(*args, **kwargs)

    return counted

"""
FUNCTIONS = {"sources.py": ["fetch"], "tables.py": ["clean", "load", "join"], "page.py": ["write", "publish"]}


@pytest.fixture
def new_night(copy_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a copy of the example whose tasks write down that they ran, and in which run."""
    monkeypatch.setenv("NIGHTLY_TOKEN", "nightly-demo-token")
    folder = copy_of("nightly")
    for name, functions in FUNCTIONS.items():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(COUNTED + "".join(f"{each} = _counted({each})\n" for each in functions))

    def make(name: str) -> Path:
        copy = folder.with_name(name)
        subprocess.run(["cp", "-r", folder, copy], check=True)
        return copy

    return make


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "workflow", "run", str(folder / "pipeline.toml"), "-q"]


def resumed(folder: Path) -> list[str]:
    """Nothing, where no run has said anything yet."""
    said = any(events.stat().st_size for events in folder.glob(".workflow/runs/*/events.jsonl"))
    return ["--resume"] if said else []


def outcomes(folder: Path) -> dict[str, str]:
    report = json.loads((folder / ".workflow/latest/report.json").read_text("utf-8"))
    return {task["id"]: task["outcome"] for task in report["tasks"]}


def made(folder: Path) -> dict[str, bytes]:
    """What a night makes for people."""
    return {path.name: path.read_bytes() for path in sorted((folder / "out/public").iterdir())}


def announced(folder: Path) -> dict[str, str]:
    """In which run each task was first told to have succeeded."""
    first: dict[str, str] = {}
    for run in sorted((folder / ".workflow/runs").iterdir()):
        for line in (run / "events.jsonl").read_text("utf-8").splitlines() if (run / "events.jsonl").exists() else ():
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "task_finished" and event["outcome"] == "succeeded":
                first.setdefault(event["task"], run.name)
    return first


@pytest.mark.timeout(240)
def test_a_night_that_is_killed_at_any_moment_and_resumed_ends_as_any_other(new_night: Callable[[str], Path]) -> None:
    """Killed 20 times at moments from a seed: the same is made, and nothing that was announced runs again."""
    chance = random.Random(SEED)
    quiet = new_night("quiet")
    ended = subprocess.run(command(quiet), check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    kills = 0
    nights = carried = 0
    while kills < KILLS:
        nights += 1
        night = new_night(f"night-{nights}")
        for _ in range(min(CHAIN_MAX, KILLS - kills)):
            process = subprocess.Popen(
                [*command(night), *resumed(night)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            try:
                _, told = process.communicate(timeout=chance.uniform(0.2, 2.0))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate(timeout=10)
                kills += 1
            else:
                assert process.returncode == 0, told
                break
        last = subprocess.run(
            [*command(night), *resumed(night)], check=False, capture_output=True, text=True, timeout=60
        )
        assert last.returncode == 0, last.stderr
        assert outcomes(night) == outcomes(quiet)
        assert made(night) == made(quiet)
        first = announced(night)
        ran = [line.split() for line in (night / "ran.txt").read_text("utf-8").splitlines()]
        carried += len({task for task, run in first.items() if run != max(first.values())})
        assert [(run, task) for run, task in ran if task in first and run > first[task]] == []
    assert carried > nights
