from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

WAYS = {
    "script": (["example.py"], ""),
    "module": (["-m", "example"], ""),
    "interactive": (["-i"], "import example\nexample.main()\n"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ten_tasks_get_exactly_one_callback_each(
    way: str, copy_of: Callable[[str], Path], python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Seven succeed, two raise, one is ended at its limit, however the program is started."""
    arguments, typed = WAYS[way]
    run = python(*arguments, cwd=copy_of("engine"), stdin=typed)
    assert run.returncode == 0, run.stderr
    told = sorted(line.split(" was given")[0] for line in run.stdout.splitlines())
    assert told[:7] == [f"callback: task {number}" for number in (0, 1, 2, 4, 5, 7, 9)]
    assert told[7].startswith("error_callback: TaskTimeout: ")
    assert told[8:] == [f"error_callback: ValueError: {number} is not a number that I like" for number in (3, 6)]
