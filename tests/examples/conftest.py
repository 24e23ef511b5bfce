"""Examples are run on a copy, as a reader would: by the command, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[str], Path]:
    """Copy an example to a temporary folder, for a run writes beside its pipeline file."""

    def copy(name: str) -> Path:
        generated = shutil.ignore_patterns("out", ".workflow", "__pycache__")
        return shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=generated)

    return copy


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run this Python with some arguments and wait for it."""

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, stdin: str = "", seconds: float = 50
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            input=stdin,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    return run


@pytest.fixture
def outcomes() -> Callable[[Path], dict[str, str]]:
    """Read which outcome each task had in the latest run of an example."""

    def read(folder: Path) -> dict[str, str]:
        report: dict[str, Any] = json.loads((folder / ".workflow" / "latest" / "report.json").read_text())
        return {task["id"]: task["outcome"] for task in report["tasks"]}

    return read
