from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"asyncio", "contextlib", "dataclasses", "enum", "inspect", "logging", "pathlib", "re", "subprocess", "typing"}


@pytest.mark.parametrize("module", ["worker", "warden", "guardian"])
def test_a_process_of_the_engine_imports_little(module: str) -> None:
    """Its start is on every user's way: nothing but the light part of the standard library, and ours."""
    loaded = _modules_after_importing(f"workflow.engine.{module}")
    assert HEAVY.isdisjoint(loaded)
    assert {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "workflow"}} == set()


def test_importing_the_package_imports_nothing_else() -> None:
    """Public names are loaded when they are first used."""
    assert _modules_after_importing("workflow") <= {"workflow", "__future__"}


def _modules_after_importing(name: str) -> set[str]:
    # Without `site`: what .pth files of this environment import is not the package's doing.
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; before = set(sys.modules)\n"
        f"import {name}; print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())
