"""What a run was made of, as its manifest has it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from workflow.plan.build import load_plan_and_facts
from workflow.plan.plan import Plan
from workflow.plan.printing import plan_json
from workflow.plan.saved import load_saved
from workflow.report.models import Manifest
from workflow.report.records import RunRecord
from workflow.run.manifest import write_manifest
from workflow.run.mask import NO_MASK, Mask

FILE = """
[pipeline]
include = ["more.toml"]
[vars]
size = 1
[secrets]
T = { env = "TOKEN" }
[defaults]
timeout = "9s"
[templates.t]
tags = ["heavy"]
[profiles.ci.tasks.fetch]
retries = 2
[tasks.fetch]
call = "mine:fetch"
extends = ["t"]
args = ["${vars.size}", "${secrets.T}", "plain-token-1"]
matrix.n = { range = [0, 500] }
[tasks.there]
call = "yaml.reader:open"
[tasks.standard]
call = "time:sleep"
"""


def run_of(plan: Plan) -> RunRecord:
    return RunRecord(
        "2026-1", None, str(plan.file), plan.hash, 5.0, "local", 2, "host", 7, "3.11.1", "1", "abc",
        ("workflow", "run"), len(plan.tasks), 9, "",
    )  # fmt: skip


def written(plan: Plan, path: Path, mask: Mask = NO_MASK) -> Manifest:
    """Answer what was written, which must be as the schema has it, and as JSON."""
    write_manifest(path, plan, run_of(plan), mask)
    return Manifest.model_validate_json(path.read_bytes())


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    """Answer a maker of the file's plan."""
    (tmp_path / "pipeline.toml").write_text(FILE)
    (tmp_path / "more.toml").write_text('[tasks.more]\ncmd = ["true"]\n')
    (tmp_path / "mine.py").write_text("raise SystemExit('nobody is to import this')\n")

    def make(variables: dict[str, str] | None = None, **how: object) -> Plan:
        return load_plan_and_facts(tmp_path / "pipeline.toml", variables, **how)[0]  # type: ignore[arg-type]

    return make


def test_the_file_is_there_with_everything_laid_into_it(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Includes, profile, templates, defaults, --set and --var; a matrix as it is written, a secret as its reference."""
    made = plan({"size": "3"}, profile="ci", sets=("tasks.more.priority=4",))
    found = written(made, tmp_path / "manifest.json")
    assert found.resolved is not None
    assert found.resolved["tasks"]["fetch"] == {
        "timeout": "9s", "tags": ["heavy"], "call": "mine:fetch", "extends": ["t"], "retries": 2,
        "args": [3, "${secrets.T}", "plain-token-1"], "matrix": {"n": {"range": [0, 500]}},
    }  # fmt: skip
    assert found.resolved["tasks"]["more"]["priority"] == 4
    assert found.resolved["vars"] == {"size": 3}
    assert found.resolved["secrets"] == {"T": {"env": "TOKEN"}}
    assert found.tasks == 503
    assert (tmp_path / "manifest.json").stat().st_size < 50_000
    assert [Path(file).name for file in found.sources] == ["pipeline.toml", "more.toml"]
    assert plan().resolved != made.resolved


def test_two_runs_of_the_same_have_the_same_hash_and_another_value_another(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """Of what was resolved."""
    first, second, third = (
        written(plan(variables), tmp_path / "m.json").resolved_hash for variables in ({}, {}, {"size": "2"})
    )
    assert first == second != third


def test_versions_are_those_that_an_import_would_find(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Of workflow's own requirements, and of whatever else is installed; the interpreter's too."""
    found = written(plan(), tmp_path / "m.json")
    for name in ("click", "pydantic", "pytest"):
        assert found.distributions[name] == version(name)
    assert found.python.executable == sys.executable


def test_modules_of_tasks_are_files_with_a_hash_or_distributions(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is imported."""
    library = tmp_path / "library"
    (library / "PyYAML-6.1.dist-info").mkdir(parents=True)
    (library / "PyYAML-6.1.dist-info/top_level.txt").write_text("_yaml\nyaml\n")
    monkeypatch.syspath_prepend(str(library))
    found = written(plan(), tmp_path / "m.json").modules
    assert found["mine"].file == str(tmp_path / "mine.py")
    assert found["mine"].hash is not None
    assert (found["yaml.reader"].distribution, found["yaml.reader"].version) == ("pyyaml", "6.1")
    assert found["time"].distribution is None
    (tmp_path / "mine.py").write_text("changed")
    assert written(plan(), tmp_path / "m.json").modules["mine"].hash != found["mine"].hash


def test_of_the_environment_there_are_names_and_of_secrets_nothing(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where somebody has written one out in the file."""
    monkeypatch.setenv("SOME_NAME", "some-value-77")
    path = tmp_path / "m.json"
    found = written(plan(), path, Mask(["plain-token-1"]))
    assert "SOME_NAME" in found.environment
    assert "some-value-77" not in path.read_text()
    assert "plain-token" not in path.read_text()
    assert found.resolved is not None
    assert found.resolved["tasks"]["fetch"]["args"][2] == "***"


def test_a_saved_plan_has_no_file_behind_it(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Its name and its hash say which it was."""
    saved = tmp_path / "plan.json"
    saved.write_text(plan_json(plan()))
    found = written(load_saved(saved, tmp_path), tmp_path / "m.json")
    assert found.resolved is None
    assert found.file == str(saved)
    assert list(found.sources) == [str(saved)]
    assert found.plan_hash == plan().hash
    assert found.modules["mine"].hash is not None


def test_it_is_written_whole_or_not_at_all(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """And a line a name, so that two of them can be compared line by line."""
    path = tmp_path / "m.json"
    written(plan(), path)
    assert '\n   "click": ' in path.read_text()
    assert json.loads(path.read_text())
    with pytest.raises(OSError, match="No such"):
        write_manifest(tmp_path / "no/m.json", plan(), run_of(plan()), NO_MASK)
    assert not (tmp_path / "no").exists()
