"""The JSON Schema of a pipeline file, for editors and for anybody without Python.

Written from the models, so that a key cannot be in one and not in the other.  A schema sees one value at a time:
what refers to another place (variables, prerequisites, cycles) only the program can tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

ID = "urn:infotask:schema:pipeline:1"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = "^[A-Za-z_][A-Za-z0-9_-]*$"


def pipeline_schema() -> dict[str, object]:
    """The schema, draft 2020-12."""
    from workflow.spec import examples, schemas
    from workflow.spec.models import KINDS, OnTable, PipelineTable, TaskTable

    task = _of(TaskTable, examples.TASK)
    task.pop("$defs", None)
    told = {key: task["properties"]["on"][key] for key in ("description", "examples")}
    task["properties"]["on"] = {"$ref": "#/$defs/on", **told}
    # Two of them are always wrong; none of them only where [defaults] has none either.
    task["allOf"] = [
        *({"not": {"required": [first, second]}} for at, first in enumerate(KINDS) for second in KINDS[at + 1 :]),
        *(_excludes(key, ("cmd", "shell")) for key in ("args", "kwargs")),
        _excludes("on", ("module",)),
    ]
    pipeline = _of(PipelineTable, examples.PIPELINE)
    pipeline["not"] = {"required": ["halt", "max_failures"], "properties": {"halt": {"const": "never"}}}
    has_kind = [{"required": [kind]} for kind in KINDS]
    extends = {"required": ["extends"]}
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
            "secrets": {
                "type": "object",
                "description": "Where secrets come from, used as ${secrets.NAME} in env, args and kwargs.",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"$ref": "#/$defs/secret"},
            },
            "limits": {
                "type": "object",
                "description": 'Tokens that tasks take while they run (uses): db = 1, web = {tokens = 10, per = "1s"}.',
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"$ref": "#/$defs/limit"},
            },
            "defaults": {"$ref": "#/$defs/task", "description": "Task keys for all tasks, laid under each."},
            "templates": {
                "type": "object",
                "description": 'Bundles of task keys that a task takes by name: extends = ["NAME"].',
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"allOf": [{"$ref": "#/$defs/task"}, {"not": {"required": ["extends"]}}]},
            },
            "profiles": {
                "type": "object",
                "description": "Keys of the file that --profile NAME lays over it.",
                "additionalProperties": {"$ref": "#/$defs/profile"},
            },
            "tasks": {
                "type": "object",
                "description": "The tasks, each a table [tasks.NAME].",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"$ref": "#/$defs/task"},
                "minProperties": 1,
            },
        },
        # A file that is only included may have no tasks; a file of nothing but settings is no pipeline.
        "anyOf": [
            *({"required": [section]} for section in ("tasks", "templates", "vars", "secrets", "limits")),
            {"required": ["pipeline"], "properties": {"pipeline": {"required": ["include"]}}},
        ],
        "additionalProperties": False,
        # A task says what runs, unless something that is laid under or over it may say so.
        "if": {
            "not": {
                "anyOf": [
                    {"required": ["defaults"], "properties": {"defaults": {"anyOf": [*has_kind, extends]}}},
                    {"required": ["profiles"]},
                ]
            }
        },
        "then": {"properties": {"tasks": {"additionalProperties": {"anyOf": [*has_kind, extends]}}}},
        "$defs": {
            "on": _of(OnTable, {"success": ["alerts:done"], "failure": ["alerts:mail"]}),
            "pipeline": pipeline,
            "task": task,
            "limit": deepcopy(schemas.LIMIT_TABLE),
            "secret": deepcopy(schemas.SECRET_TABLE),
            "profile": {
                "type": "object",
                "properties": {
                    "pipeline": {"allOf": [{"$ref": "#/$defs/pipeline"}, {"not": {"required": ["include"]}}]},
                    "vars": {"type": "object"},
                    "secrets": {"type": "object", "additionalProperties": {"$ref": "#/$defs/secret"}},
                    "limits": {"type": "object", "additionalProperties": {"$ref": "#/$defs/limit"}},
                    "defaults": {"$ref": "#/$defs/task"},
                    "templates": {"type": "object", "additionalProperties": {"$ref": "#/$defs/task"}},
                    "tasks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/task"}},
                },
                "additionalProperties": False,
            },
        },
    }


def schema_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(pipeline_schema(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _excludes(key: str, kinds: tuple[str, ...]) -> dict[str, object]:
    return {"not": {"required": [key], "anyOf": [{"required": [kind]} for kind in kinds]}}


def _of(model: Any, shown: Mapping[str, list[Any]]) -> dict[str, Any]:
    """A model's own schema, without what pydantic adds for itself: titles from field names, "null" for absent keys."""
    schema: dict[str, Any] = model.model_json_schema()
    schema.pop("title", None)
    for name, field in schema["properties"].items():
        present = [each for each in field.get("anyOf", ()) if each != {"type": "null"}]
        if len(present) == 1:
            del field["anyOf"]
            field.update({**present[0], **field})
        for key in ("title", "default"):
            if key == "title" or field.get("default") in (None, [], {}):
                field.pop(key, None)
        field["examples"] = shown[name]
    return schema
