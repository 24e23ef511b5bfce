"""The plan as JSON and as text."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from workflow.plan.build import load_plan
from workflow.plan.plan import PlannedTask
from workflow.plan.printing import _FIELDS, _line, _task, _task_lines, plan_document, plan_json, plan_text

VALID = Path(__file__).parents[1] / "corpus/valid"
GOLDEN = Path(__file__).parent / "every_key.plan.json"


def test_the_listing_shows_pairs_and_what_an_if_has_removed(tmp_path: Path) -> None:
    """Which instances wait for which, a few by name; and why one does not run."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.a]\ncmd = ["true"]\nmatrix = {x = [1, 2], y = {range = [0, 5]}}\n'
        '[tasks.b]\ncmd = ["true"]\nmatrix = {x = [1, 2], y = [1]}\n'
        'needs = [{task = "a", match = ["x", "y"]}]\nif = "matrix.x == 2"\n'
        '[tasks.c]\ncmd = ["true"]\nmatrix.x = [1]\nneeds = [{task = "a", match = ["x"], status = "any"}]\n'
    )
    lines = plan_text(load_plan(path)).splitlines()
    rows = {line.split()[0]: line.split("1h")[-1].strip() for line in lines}
    assert rows["b@1-1"] == "skipped, for its 'if' is false: matrix.x == 2"
    assert rows["b@2-1"] == "a@2-1"
    assert rows["c@1"] == "a@1-0, (3 more), a@1-4 (any)"
    assert lines[-1].startswith("13 tasks, 1 of them skipped, sha256:")


def test_of_very_many_instances_the_first_and_the_last_are_listed(tmp_path: Path) -> None:
    """Nobody reads a million lines."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["true"]\nmatrix = {x = {range = [0, 1001]}}\n[tasks.b]\ncmd = ["true"]\n')
    lines = [line.split("  ")[0] for line in plan_text(load_plan(path)).splitlines()]
    assert lines[1:-1] == [*(f"a@{n}" for n in range(10)), "(990 more)", "a@1000", "b"]
    assert lines[-1].startswith("1,002 tasks, ")


def test_the_plan_of_a_file_is_the_same_bytes_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked in once, compared in another folder, under another working folder and environment."""
    copy = tmp_path / "elsewhere" / "every_key.toml"
    copy.parent.mkdir()
    shutil.copy(VALID / "every_key.toml", copy)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    assert plan_json(load_plan(Path("elsewhere/every_key.toml"))).encode() == GOLDEN.read_bytes()


@pytest.mark.parametrize("path", sorted(VALID.glob("*.toml")), ids=lambda path: path.stem)
def test_text_and_document_say_the_same(path: Path) -> None:
    """And neither holds a path of this machine."""
    plan = load_plan(path)
    text = plan_json(plan)
    assert json.loads(text) == plan_document(plan)
    assert str(VALID) not in text
    assert text.isascii()
    assert text.endswith("}\n")


def test_a_change_of_the_file_is_a_change_of_the_hash(tmp_path: Path) -> None:
    """Of a value, and of the order; not of a comment."""
    one, two = '[tasks.a]\ncmd = ["true"]\n', '[tasks.b]\ncmd = ["true"]\n'
    path = tmp_path / "pipeline.toml"
    hashes = []
    for text in (one + two, "# a comment\n" + one + two, two + one, one.replace("true", "false") + two):
        path.write_text(text)
        hashes.append(load_plan(path).hash)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert all(len(each) == len("sha256:") + 64 for each in hashes)


def test_a_literal_and_a_reference_print_differently(tmp_path: Path) -> None:
    """As the file would write them, so that the plan can be read back."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["true"]\n[tasks.b]\ncmd = ["$${tasks.a.result}", "${tasks.a.result}"]\n')
    assert plan_document(load_plan(path))["tasks"][1]["args"] == [["$${tasks.a.result}", "${tasks.a.result}"]]  # type: ignore[index]


def test_the_listing_is_short_and_shows_hostile_text_as_escapes(tmp_path: Path) -> None:
    """A line a task."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["\\u001b[31m"]\n[tasks.b]\nshell = "true"\nneeds = ["a"]\ntimeout = "90s"\n')
    head, first, second, count = plan_text(load_plan(path)).splitlines()
    assert head.split() == ["id", "runs", "timeout", "needs"]
    assert first.split() == ["a", "cmd", "\\x1b[31m", "1h"]
    assert second.split() == ["b", "shell", "true", "1m30s", "a"]
    assert count.startswith("2 tasks, sha256:")


def test_a_plan_without_tasks_prints_too(tmp_path: Path) -> None:
    """Selection may leave nothing."""
    from workflow.plan.select import select

    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["true"]\n')
    plan = select(load_plan(path), globs=["nobody"], tags=[])
    assert json.loads(plan_json(plan)) == plan_document(plan)
    assert plan_text(plan).splitlines()[-1].startswith("0 tasks")


def test_a_line_of_json_is_what_its_task_is_by_itself_whoever_stood_before_it(tmp_path: Path) -> None:
    """Values that tasks share are written once, and no other: true after 1, another table that is equal."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.a]\ncall = "m:f"\nargs = ["${matrix.x}"]\nkwargs = {k = "${matrix.y}"}\npriority = "${matrix.p}"\n'
        'matrix = {x = [1, true, 1.0, "one"], y = [{a = 1}, {a = true}], p = [0, 1]}\nif = "matrix.y.a != 1"\n'
        '[tasks.b]\nmodule = "m.F"\nargs = [1, true]\n[tasks.c]\ncmd = ["echo", "x"]\nneeds = ["a"]\n'
        '[tasks.d]\nshell = "echo x"\nenv = {A = "1"}\non.success = "m:f"\n'
        '[tasks.e]\ncall = "m:f"\nargs = [true, 1]\nneeds = {task = "a", status = "any"}\non.failure = "m:f"\n'
    )
    plan = load_plan(path)
    assert json.loads(plan_json(plan))["tasks"] == [_task(task) for task in plan.tasks]
    assert list(_task_lines(plan)) == [_line(_task(task)) for task in plan.tasks]


def test_a_hash_is_found_while_the_plan_is_written(tmp_path: Path) -> None:
    """As it would have been before, so that a plan of a million tasks is gone through once."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncmd = ["true"]\nmatrix = {x = {range = [0, 2500]}}\n')
    plan = load_plan(path)
    assert plan_json(replace(plan, hash="")) == plan_json(plan)


def test_every_field_of_a_task_is_written() -> None:
    """One that were not would be no part of the hash; what is known of results is in needs and references."""
    assert set(PlannedTask._fields) - set(_FIELDS) == {"uses_results"}
