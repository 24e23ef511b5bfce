"""The JSON Schema: current, well-formed, and a help in an editor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from workflow.plan.build import load_plan
from workflow.spec import examples
from workflow.spec.models import OnTable, PipelineTable, TaskTable, keys_of
from workflow.spec.schema import pipeline_schema, schema_text

FILE = Path(__file__).parents[2] / "schemas/pipeline.schema.json"


def test_the_checked_in_schema_is_the_one_the_models_make() -> None:
    """Whoever changes a model writes the schema again: workflow.spec.schema.schema_text()."""
    assert FILE.read_text("utf-8") == schema_text()


def test_the_schema_is_a_valid_schema() -> None:
    """By the rules of its own dialect."""
    jsonschema.Draft202012Validator.check_schema(pipeline_schema())


def test_every_key_has_a_description() -> None:
    """It is what an editor shows beside the key."""
    for model in (PipelineTable, OnTable, TaskTable):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
    text = schema_text()
    assert all(
        model.model_fields[name].description is not None for model in (TaskTable,) for name in model.model_fields
    )
    assert "null" not in text, "TOML has no null"


def test_every_key_has_an_example() -> None:
    """And no example is of a key that is not there."""
    assert set(examples.PIPELINE) == set(keys_of(PipelineTable))
    assert set(examples.TASK) == set(keys_of(TaskTable))


@pytest.mark.parametrize(
    ("table", "key", "example"),
    [
        *(("pipeline", key, example) for key, shown in examples.PIPELINE.items() for example in shown),
        *(("task", key, example) for key, shown in examples.TASK.items() for example in shown),
    ],
    ids=lambda each: str(each).replace("/", "_")[:40],
)
def test_an_example_is_right_by_schema_and_program(tmp_path: Path, table: str, key: str, example: Any) -> None:
    """In a file that has what it refers to."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    task: dict[str, Any] = {"call": "m:f"}
    if table == "task":
        if key in ("module", "cmd", "shell"):
            del task["call"]
        task |= {"matrix": {"os": ["linux"]}} if key == "if" else {}
        task |= {"matrix": {"country": ["de"]}} if "match" in str(example) else {}
        task |= {key: example}
    document = {
        "pipeline": {key: example} if table == "pipeline" else {},
        "limits": {"db": 2, "web": 1},
        "templates": {"heavy": {}},
        "tasks": {
            "fetch": {"cmd": ["true"], **({"matrix": {"country": ["de"]}} if "match" in str(example) else {})},
            "it": task,
        },
    }
    if key == "if":
        document["vars"] = {"size": 3}
    jsonschema.Draft202012Validator(pipeline_schema()).validate(document)
    path = tmp_path / "pipeline.toml"
    path.write_text("\n".join(_toml(document)), encoding="utf-8")
    assert load_plan(path).tasks


def _toml(document: dict[str, Any]) -> list[str]:
    """As inline tables below their headers: JSON's texts, numbers and arrays are TOML's too."""
    lines = []
    for section, table in document.items():
        if section in ("tasks", "templates"):
            for name, keys in table.items():
                lines += [f"[{section}.{name}]", *(f"{key} = {_value(value)}" for key, value in keys.items())]
        else:
            lines += [f"[{section}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return lines


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
