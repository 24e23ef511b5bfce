"""Executors whose calls are the victims, and programs that have some."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from workflow import WorkflowExecutor

VICTIMS = Path(__file__).parent / "victims"


sys.path.append(str(VICTIMS))  # the tests import them as a program would, and so do the workers


@pytest.fixture
def make_executor() -> Iterator[Callable[..., WorkflowExecutor]]:
    """Make executors; whatever a failing test leaves in them is ended."""
    made: list[WorkflowExecutor] = []

    def make(max_workers: int = 2, **options: Any) -> WorkflowExecutor:
        made.append(WorkflowExecutor(max_workers, **{"timeout": 30, "grace": 1, **options}))
        return made[-1]

    yield make
    for executor in made:
        executor._pool.interrupt()
        executor.shutdown()


@pytest.fixture
def executor(make_executor: Callable[..., WorkflowExecutor]) -> WorkflowExecutor:
    """One of 2 workers."""
    return make_executor(2)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program of the user's: as a script, ``python -c`` or on stdin; what it printed, and how it ended."""

    def run(
        text: str, *, way: str = "script", code: int | None = 0, limit: float = 45
    ) -> subprocess.CompletedProcess[str]:
        text = dedent(text)
        (tmp_path / "program.py").write_text(text)
        arguments = {"script": ["program.py"], "-c": ["-c", text], "stdin": ["-"], "session": ["-i", "-q"]}[way]
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(VICTIMS), *sys.path])},
            input=text if way in ("stdin", "session") else "",
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
