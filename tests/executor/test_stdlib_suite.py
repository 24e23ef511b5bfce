"""The interpreter's own tests of process pools pass on ``WorkflowExecutor``, through its public interface."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parent / "stdlib_suite.py"
LEAST = {"as_completed": 5, "deadlock": 8, "init": 1, "process_pool": 8, "shutdown": 4, "wait": 7}
"""Tests that run in every version: that few are skipped is a claim of its own."""
FOLDER = os.environ.get("WORKFLOW_TEST_STDLIB")


def has_suite() -> bool:
    """A folder that was named has to have it."""
    if FOLDER is None:
        return importlib.util.find_spec("test.test_concurrent_futures") is not None
    tests = Path(FOLDER, "test")
    modules = ["test_concurrent_futures.py", "test_concurrent_futures/__init__.py"]
    if any((tests / module).exists() for module in modules) and (tests / "support/script_helper.py").exists():
        return True
    message = (
        f"WORKFLOW_TEST_STDLIB={FOLDER}: there is no whole package `test` of Python "
        f"{sys.version_info.major}.{sys.version_info.minor} in that folder (test/test_concurrent_futures, test/support)"
    )
    raise FileNotFoundError(message)


@pytest.mark.skipif(
    not has_suite(),
    reason="this interpreter was installed without its own tests: let WORKFLOW_TEST_STDLIB name a folder that has the "
    f"package `test` of Python {sys.version_info.major}.{sys.version_info.minor} in it",
)
@pytest.mark.timeout(100)
@pytest.mark.parametrize("part", LEAST)
def test_the_interpreters_own_suite_passes(part: str, tmp_path: Path) -> None:
    """What is skipped, and why, is printed."""
    found = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, str(SUITE), part, str(found)],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            **({} if FOLDER is None else {"WORKFLOW_TEST_STDLIB": str(Path(FOLDER).resolve())}),
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert found.exists(), done.stderr
    came = json.loads(found.read_text())
    print(f"{len(came['passed'])} of the interpreter's tests of {part} passed")
    for name, reason in came["skipped"].items():
        print(f"skipped {name}: {reason}")
    assert not came["failed"], "\n\n".join(f"{name}\n{text}" for name, text in came["failed"].items())
    assert len(came["passed"]) >= LEAST[part], came["passed"]
