from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "stdlib_audit"
FOR_WINDOWS = ["audit@_winapi", "audit@msvcrt", "audit@winreg", "audit@winsound"]
OPENS_A_WINDOW = ["audit@idlelib.idle", "audit@tkinter.__main__"]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The example's own modules, as its tasks import them."""
    loaded = {}
    for name in ("chart", "audit", "report"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded[name])
        spec.loader.exec_module(loaded[name])
    return loaded


def test_functions_lines_and_nesting_are_counted(modules: dict[str, ModuleType]) -> None:
    """A method counts as a function; the longest and the deepest are named with file and line."""
    source = "class A:\n    def f(self):\n        if self:\n            return 1\n\ndef g(): pass\n"
    total = modules["audit"].Measure()
    modules["audit"].measure_tree(ast.parse(source), "a.py", total)
    assert (total.functions, total.classes) == (2, 1)
    assert (total.longest_function, total.longest_function_lines) == ("a.py:2 f", 3)
    assert (total.deepest_nesting, total.deepest_nesting_in) == (3, "a.py:3")


def test_a_chain_of_elif_is_one_level(modules: dict[str, ModuleType]) -> None:
    """An `if` inside of an `else` is two."""
    for source, levels in (
        ("if a:\n    1\nelif b:\n    2\nelif c:\n    3\nelse:\n    4\n", 1),
        ("if a:\n    1\nelse:\n    if b:\n        2\n", 2),
        ("if a:\n    1\nelif b:\n    if c:\n        3\n", 2),
    ):
        total = modules["audit"].Measure()
        modules["audit"].measure_tree(ast.parse(source), "a.py", total)
        assert total.deepest_nesting == levels


def test_a_module_of_another_version_is_absent_and_not_failed(modules: dict[str, ModuleType]) -> None:
    """No Python has it, so no audit can blame this one."""
    assert modules["audit"].audit("module_of_the_future") == {"module": "module_of_the_future", "state": "absent"}


def test_a_module_that_is_not_for_this_machine_fails(modules: dict[str, ModuleType]) -> None:
    """What Python lists as its own and cannot be imported is what the audit is there to find."""
    with pytest.raises(ModuleNotFoundError, match="winreg"):
        modules["audit"].audit("winreg")


def test_files_that_do_not_parse_are_named(
    modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad file does not keep the others from being measured."""
    audit = modules["audit"]
    monkeypatch.setattr(audit, "LIBRARY", tmp_path)
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("x = = 1\n")
    measure, unparsed = audit.measure_files([tmp_path / "bad.py", tmp_path / "good.py"])
    assert (measure.files, measure.lines) == (1, 1)
    assert unparsed == ["bad.py:1: invalid syntax"]


def test_the_report_tells_every_outcome(
    modules: dict[str, ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A task without a result is in the table, in the chart and in the numbers; so is a pip that could not be asked."""

    def item(name: str, outcome: str, result: object) -> dict[str, object]:
        return {"id": f"audit@{name}", "matrix": {"module": name}, "outcome": outcome, "result": result}

    audits = [
        item("json", "succeeded", modules["audit"].audit("json")),
        item("old<one>", "succeeded", {"module": "old<one>", "state": "absent"}),
        *(item(f"was_{outcome}", outcome, None) for outcome in ("failed", "timed_out", "crashed", "cancelled")),
    ]
    packages = [{"id": "packages", "matrix": None, "outcome": "crashed", "result": None}]
    monkeypatch.setenv("WORKFLOW_RUN_ID", "a-run")
    counts = modules["report"].write(audits, packages, str(tmp_path))
    assert counts == {"succeeded": 1, "absent": 1, "failed": 1, "timed_out": 1, "crashed": 1, "cancelled": 1}
    report = (tmp_path / "report.md").read_text()
    assert "| `was_timed_out` | timed_out |" in report
    assert "`.workflow/runs/a-run/report.json`" in report
    assert "did not succeed or are absent are not in these sums" in report
    printed = capsys.readouterr().out
    assert str(tmp_path / "report.md") in printed
    assert str(tmp_path / "chart.svg") in printed
    assert "the task `packages` ended as crashed" in report
    titles = [
        str(element.text) for element in ET.parse(tmp_path / "chart.svg").iter("{http://www.w3.org/2000/svg}title")
    ]
    assert "old<one>: absent" in titles
    assert "was_crashed: crashed" in titles


@pytest.mark.timeout(420)
def test_the_audit_tells_what_failed_and_tells_it_twice(
    copy_of: Callable[[str], Path],
    python: Callable[..., subprocess.CompletedProcess[str]],
    outcomes: Callable[[Path], dict[str, str]],
) -> None:
    """Terminal, report, table and chart agree on what failed; the second run has the outcomes of the first."""
    folder = copy_of("stdlib_audit")
    run = python("-m", "workflow", "run", folder / "pipeline.toml", seconds=200)
    assert run.returncode == 0, run.stderr
    first = outcomes(folder)
    failed = {task for task, outcome in first.items() if outcome != "succeeded"}
    assert {*FOR_WINDOWS, *OPENS_A_WINDOW} <= failed
    assert {"packages", "report", "audit@json", "audit@this", "audit@antigravity"}.isdisjoint(failed)
    assert all(task in run.stderr for task in failed)
    names = {task.removeprefix("audit@") for task in failed}
    report = (folder / "out" / "report.md").read_text()
    assert {name for name in names if f"| `{name}` | failed |" in report} == names
    titles = [
        element.text for element in ET.parse(folder / "out" / "chart.svg").iter("{http://www.w3.org/2000/svg}title")
    ]
    assert {str(title).removesuffix(": failed") for title in titles if str(title).endswith(": failed")} == names
    errors = _errors(folder)
    assert "DoesNotParseError" not in errors["audit@winreg"]
    assert all(errors[task] for task in failed)

    again = python("-m", "workflow", "run", folder / "pipeline.toml", seconds=200)
    assert again.returncode == 0, again.stderr
    assert outcomes(folder) == first


def _errors(folder: Path) -> dict[str, str]:
    report: dict[str, Any] = json.loads((folder / ".workflow" / "latest" / "report.json").read_text())
    return {
        task["id"]: f"{error['type']}: {error['message']}"
        for task in report["tasks"]
        for error in [task["attempts"][-1]["error"] if task["attempts"] else None]
        if error
    }
