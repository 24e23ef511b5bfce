from __future__ import annotations

import pickle
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


def test_what_a_run_imports_leaves_multiprocessing_alone() -> None:
    """The base of one exception is there: it is made when somebody asks for it."""
    assert "multiprocessing" not in _modules_after_importing("workflow.run.conductor, workflow.engine.parent")


def test_the_exception_that_is_made_late_is_one_class() -> None:
    from concurrent.futures.process import BrokenProcessPool

    import workflow
    from workflow import errors

    assert errors.TaskCrashed is workflow.TaskCrashed is errors.TaskCrashed
    assert issubclass(errors.TaskCrashed, BrokenProcessPool)
    assert pickle.loads(pickle.dumps(errors.TaskCrashed("died", signal="SIGKILL"))).signal == "SIGKILL"
    with pytest.raises(AttributeError, match="TaskCrash"):
        errors.TaskCrash  # type: ignore[attr-defined]  # noqa: B018


def _modules_after_importing(name: str) -> set[str]:
    # Without `site`: what .pth files of this environment import is not the package's doing.
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; before = set(sys.modules)\n"
        f"import {name}; print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())
