"""The JSON Schema of a pipeline file, for editors and for anybody without Python.

Written from the models, so that a key cannot be in one and not in the other.  A schema sees one value at a time:
what refers to another place (variables, prerequisites, cycles) only the program can tell.
"""

from __future__ import annotations

import json
from typing import Any

ID = "urn:infotask:schema:pipeline:1"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = "^[A-Za-z_][A-Za-z0-9_-]*$"


def pipeline_schema() -> dict[str, object]:
    """The schema, draft 2020-12."""
    from workflow.spec.models import KINDS, OnTable, PipelineTable, TaskTable

    task = _of(TaskTable)
    task.pop("$defs", None)
    task["properties"]["on"] = {"$ref": "#/$defs/on"} | {"description": task["properties"]["on"]["description"]}
    # Two of them are always wrong; none of them only where [defaults] has none either.
    task["allOf"] = [
        *({"not": {"required": [first, second]}} for at, first in enumerate(KINDS) for second in KINDS[at + 1 :]),
        *(_excludes(key, ("cmd", "shell")) for key in ("args", "kwargs")),
        _excludes("on", ("module",)),
    ]
    pipeline = _of(PipelineTable)
    pipeline["not"] = {"required": ["halt", "max_failures"], "properties": {"halt": {"const": "never"}}}
    has_kind = [{"required": [kind]} for kind in KINDS]
    return {
        "$schema": _DIALECT,
        "$id": ID,
        "title": "A pipeline file of workflow",
        "description": "A batch of Python functions and commands: every task ends, and gets exactly one outcome.",
        "type": "object",
        "properties": {
            "pipeline": {"$ref": "#/$defs/pipeline"},
            "vars": {
                "type": "object",
                "description": "Constants, used as ${vars.NAME} and overridden by --var NAME=VALUE.",
                "propertyNames": {"pattern": _NAME},
            },
            "defaults": {"$ref": "#/$defs/task", "description": "Task keys for all tasks, laid under each."},
            "tasks": {
                "type": "object",
                "description": "The tasks, each a table [tasks.NAME].",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"$ref": "#/$defs/task"},
                "minProperties": 1,
            },
        },
        "required": ["tasks"],
        "additionalProperties": False,
        "if": {"not": {"required": ["defaults"], "properties": {"defaults": {"anyOf": has_kind}}}},
        "then": {"properties": {"tasks": {"additionalProperties": {"anyOf": has_kind}}}},
        "$defs": {"on": _of(OnTable), "pipeline": pipeline, "task": task},
    }


def schema_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(pipeline_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _excludes(key: str, kinds: tuple[str, ...]) -> dict[str, object]:
    return {"not": {"required": [key], "anyOf": [{"required": [kind]} for kind in kinds]}}


def _of(model: Any) -> dict[str, Any]:
    """A model's own schema, without what pydantic adds for itself: titles from field names, "null" for absent keys."""
    schema: dict[str, Any] = model.model_json_schema()
    schema.pop("title", None)
    for field in schema["properties"].values():
        present = [each for each in field.get("anyOf", ()) if each != {"type": "null"}]
        if len(present) == 1:
            del field["anyOf"]
            field.update({**present[0], **field})
        for key in ("title", "default"):
            if key == "title" or field.get("default") in (None, [], {}):
                field.pop(key, None)
    return schema
