"""The JSON Schema: current, well-formed, and a help in an editor."""

from __future__ import annotations

from pathlib import Path

import jsonschema

from workflow.spec.models import OnTable, PipelineTable, TaskTable
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
