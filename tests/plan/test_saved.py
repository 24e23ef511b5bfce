"""A saved plan is the plan, or is refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan
from workflow.plan.printing import plan_hash, plan_json
from workflow.plan.saved import load_saved, read_saved

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "tests/corpus/valid").glob("*.toml"), *(ROOT / "examples").glob("*/pipeline.toml")])
GOLDEN = Path(__file__).parent / "every_key.plan.json"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_plan_comes_back_as_it_was(path: Path) -> None:
    """Plan to JSON to plan to JSON: the same plan, and the same bytes."""
    plan = load_plan(path)
    text = plan_json(plan)
    again = read_saved(text, "plan.json", plan.file, plan.root)
    assert again == plan
    assert plan_json(again) == text


def test_a_literal_that_looks_like_a_reference_comes_back_as_a_literal(tmp_path: Path) -> None:
    """In every kind of value that may hold references."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.a]\nshell = "echo $${HOME} $$${x"\nenv.X = "$${run.id} ${run.id}"\ncwd = "$${x}"\n'
        '[tasks.b]\ncall = "m:f"\nargs = ["$${tasks.a.result}", "${tasks.a.result}", {k = "$$${"}]\n'
    )
    plan = load_plan(path)
    assert read_saved(plan_json(plan), "p", plan.file, plan.root) == plan


def refusal(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "plan.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidPipeline) as caught:
        load_saved(path)
    (mistake,) = caught.value.mistakes
    return mistake.headline


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a plan: Expecting value"),
        ("[]", "there is no plan_hash in it"),
        ("{}", "there is no plan_hash in it"),
        (b"\xff{}", "is not UTF-8"),
        ('{"plan_hash": "x", "format": 2}', "is a plan of format the number 2"),
        ('{"plan_hash": "x", "format": true}', "is a plan of format true"),
        ('{"plan_hash": NaN}', "NaN is no number of JSON"),
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ('{"plan_hash": "x", "format": 1}', "name: is missing"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=range(10),
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str | bytes, reason: str) -> None:
    """With what is wrong with it."""
    assert reason in refusal(tmp_path, text)


def task(number: int, **changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda plan: plan["tasks"][number].update(changes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (task(0, doc="other"), "does not match its plan_hash"),
        (lambda plan: plan["tasks"].pop(), "does not match its plan_hash"),
        (lambda plan: plan.update(more=1), "there is no key 'more'"),
        (task(0, more=1), "tasks[0]: there is no key 'more'"),
        (task(0, id="../x"), "tasks[0].id: must be the id of a task"),
        (task(1, id="model"), "the id 'model' stands twice"),
        (task(0, kind="python"), "tasks[0].kind: must be one of"),
        (task(0, timeout_s="1h"), "tasks[0].timeout_s: must be a number"),
        (task(0, timeout_s=0), "tasks[0].timeout_s: must be seconds above 0"),
        (task(0, module="os.system; x"), "is not the dotted path of a Model"),
        (task(1, module="os.system"), "its module is workflow.tasks.Call"),
        (task(1, needs=[]), "refers to 'model' without needing it"),
        (task(1, needs=[{"task": "nobody"}]), "there is no task 'nobody'"),
        (task(0, needs=[{"task": "function"}]), "does not come before it"),
        (task(0, needs=[{"task": "model"}]), "does not come before it"),
        (task(0, needs=["model"]), "tasks[0].needs[0]: must be an object"),
        (task(0, args=["${vars.x}"]), "${vars.x} has no value in a plan"),
        (task(0, args=["${secrets.other}"]), "has no value in a plan"),
        (task(0, args=["${nobody}"]), "unknown reference"),
        (task(2, args=["ls -l"]), "must be a list"),
        (task(0, env={"X": 1}), "tasks[0].env: must be text"),
        (task(0, uses={"db": 2}), "uses what the limits do not have"),
        (task(0, retries={"max": -1}), "tasks[0].retries.max: must be a whole number"),
        (task(0, skipped=1), "tasks[0].skipped: must be true or false"),
        (lambda plan: plan["settings"].update(pool=0), "settings.pool: must be a whole number of 1 or more"),
        (lambda plan: plan["settings"].update(halt="later"), "settings.halt: must be one of"),
        (lambda plan: plan["settings"].pop("path"), "settings.path: is missing"),
        (lambda plan: plan["settings"].update(max_failures="0%"), "settings.max_failures: the text"),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    """By its hash, or before that by what the change broke."""
    document = json.loads(GOLDEN.read_text())
    change(document)
    assert reason in refusal(tmp_path, json.dumps(document))


def test_layout_and_order_of_keys_do_not_matter(tmp_path: Path) -> None:
    """A plan that went through another JSON program is the same plan."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(json.loads(GOLDEN.read_text()), indent=8))
    plan = load_saved(path)
    assert plan.hash == plan_hash(plan)
    assert plan_json(plan) == GOLDEN.read_text()
