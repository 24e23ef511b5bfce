"""``workflow doctor``: facts are data, shown in two ways; a real one is right about this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import __version__
from workflow.cli.doctor import as_json_text, as_text, find_problems
from workflow.engine.machine import Fact, Trial, gather
from workflow.engine.marks import Ended

FACTS = (
    Fact("versions", "Python 3"),
    Fact("process descriptors", "pidfd_open works", "good"),
    Fact("subreaper", "there is none", "weak", "a daemon is not found"),
    Fact("descriptors", "8; a pool of 2 needs 21", "missing", "raise it"),
)
ENDED = (Ended(7, "7 (sleep 1000)", 5), Ended(8, "8 (sh)", 0))
FINE = Trial(2, 0.123, None)
BROKEN = Trial(1, 0.5, "the engine failed: no fork")


def test_what_is_shown_to_people() -> None:
    """Each fact with a sign, what is done without it below, and the verdict last."""
    assert as_text(FACTS[:3], FINE, ENDED, []).splitlines() == [
        f"workflow {__version__}",
        "",
        "   versions             Python 3",
        "ok process descriptors  pidfd_open works",
        "-- subreaper            there is none",
        "                        a daemon is not found",
        "",
        "a pool of 2 workers started, ran a task and ended in 0.12 s",
        "ended a process that an earlier run left, whose parent 5 is gone: 7 (sleep 1000)",
        "ended a process that an earlier run left: 8 (sh)",
        "a run works here",
    ]


def test_why_a_run_would_not_work_stands_last() -> None:
    problems = find_problems(FACTS, BROKEN)
    assert problems == ["descriptors: 8; a pool of 2 needs 21; raise it", "the engine failed: no fork"]
    lines = as_text(FACTS, BROKEN, (), problems).splitlines()
    assert lines[-3:] == ["a run would not work here:", *(f"  {problem}" for problem in problems)]
    assert "!! descriptors          8; a pool of 2 needs 21" in lines


def test_the_same_as_json() -> None:
    told = json.loads(as_json_text(FACTS, BROKEN, ENDED, ["x"]))
    assert told["works"] is False
    assert told["problems"] == ["x"]
    assert told["facts"][2] == {
        "name": "subreaper",
        "value": "there is none",
        "state": "weak",
        "without": "a daemon is not found",
    }
    assert told["trial"]["problem"] == "the engine failed: no fork"
    assert [one["pid"] for one in told["ended"]] == [7, 8]


def test_a_pool_that_is_too_large_for_the_limits_is_told() -> None:
    """Facts are judged for a size."""
    assert {fact.state for fact in gather(10**7) if fact.name == "descriptors"} <= {"missing", "good"}
    small, large = (
        next(fact for fact in gather(pool) if fact.name == "descriptors").value.rsplit(None, 1)[1] for pool in (1, 100)
    )
    assert int(large) - int(small) > 100


def test_this_machine_is_fine(workflow: Callable[..., Any], tmp_path: Path) -> None:
    """A pool is tried; what is printed is machine-readable where that was asked for; nothing is written."""
    ran = workflow("doctor", "-j", "2")
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.splitlines()[-1] == "a run works here"
    told = json.loads(workflow("doctor", "--json", "-j", "2").stdout)
    assert told["works"] is True
    assert {"process descriptors", "subreaper", "pipes", "/proc", "descriptors", "processes"} <= {
        fact["name"] for fact in told["facts"]
    }
    unknown = {fact["name"] for fact in told["facts"] if "cannot be found out" in fact["value"]}
    assert unknown <= {"shared memory", "control group", "pid namespace"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [9, 12, 16])
def test_a_machine_on_which_a_run_would_not_work_is_told_with_exit_code_4(
    tmp_path: Path, environ: dict[str, str], limit: int
) -> None:
    """And why."""
    shell = shutil.which("sh")
    assert shell is not None
    command = [
        shell,
        "-c",
        f'ulimit -n {limit}; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "workflow",
        "doctor",
        "-j",
        "2",
    ]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=40, check=False)
    assert ran.returncode == 4, ran.stdout
    assert "a run would not work here:" in ran.stdout
    assert "ulimit -n" in ran.stdout.split("a run would not work here:")[1]
    assert "Traceback" not in ran.stderr
