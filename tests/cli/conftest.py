"""The command line as a process, as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ() -> dict[str, str]:
    """Answer an environment in which nothing of this machine steers the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WORKFLOW_", "GITHUB_"))}
    for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def workflow(tmp_path: Path, environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Answer ``workflow("run", "x.toml", env={...})``, which runs the command in the test's folder."""

    def call(
        *args: str, env: dict[str, str] | None = None, cwd: Path = tmp_path, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workflow", *args]
        return subprocess.run(
            command, cwd=cwd, env={**environ, **(env or {})}, timeout=30, check=False,
            **{"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **more},
        )  # fmt: skip

    return call


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[[str], Path]:
    """Answer a maker of ``pipeline.toml`` in the test's folder."""

    def make(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make
