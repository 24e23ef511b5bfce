"""What an editor can check of single values: pieces of JSON Schema, used by the models.

A string that holds a reference passes everywhere, as its value is unknown.
"""

from __future__ import annotations

from workflow.info_task import MAX_RETRIES, RETRYABLE
from workflow.spec import values

REFERENCE = {"type": "string", "pattern": r"\$\{"}
DURATION_PATTERN = "^(?=[0-9])" + "".join(rf"([0-9]+(\.[0-9]+)?{unit})?" for unit in ("d", "h", "m", "s", "ms")) + "$"
DURATION = {"type": "string", "pattern": DURATION_PATTERN, "examples": ["250ms", "90s", "1h30m"]}
NONE = {"const": "none"}
SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": values.LONGEST_S}
LIMIT = {"anyOf": [SECONDS, DURATION, NONE, REFERENCE]}
TEXT = {"type": "string"}
SOME_TEXT = {"type": "string", "minLength": 1}
SIZE = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*([kKMGT]B|[KMGT]iB|B)$", "examples": ["512MiB", "2GB"]},
        NONE,
        REFERENCE,
    ]
}
MEMORY = {"anyOf": [{"type": "integer", "minimum": values.LEAST_MEMORY}, *SIZE["anyOf"][1:]]}
DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)"
MODEL = {"anyOf": [{"type": "string", "pattern": rf"^{DOTTED}+$"}, REFERENCE], "examples": ["package.module.Class"]}
FUNCTION = {
    "anyOf": [{"type": "string", "pattern": rf"^{DOTTED}*:{DOTTED}*$"}, REFERENCE],
    "examples": ["package.module:function"],
}
FLAG = {"anyOf": [{"type": "boolean"}, REFERENCE]}
NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
TASK_NAME = {"type": "string", "anyOf": [{"pattern": NAME_PATTERN}, {"pattern": r"\$\{"}]}
NEED = {
    "anyOf": [
        TASK_NAME,
        {
            "type": "object",
            "properties": {
                "task": {**TASK_NAME, "description": "The name of the task."},
                "status": {
                    "anyOf": [{"enum": [*values.STATUSES]}, REFERENCE],
                    "description": "All its instances succeeded (success, the default); at least one failed, timed "
                    "out, crashed or exceeded its memory, and all ended (failure); all ended (any).",
                },
                "match": {
                    "anyOf": [SOME_TEXT, {"type": "array", "items": SOME_TEXT, "minItems": 1}],
                    "description": "Axes by which instances are paired: each needs those with the same values.",
                },
            },
            "required": ["task"],
            "additionalProperties": False,
        },
    ]
}
ENV = {
    "type": "object",
    "propertyNames": {
        "pattern": "^[^=]+$",
        "not": {"enum": ["WORKFLOW_RUN_ID", "WORKFLOW_TASK_ID", "WORKFLOW_ATTEMPT"]},
    },
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}, {"const": False}]},
}
AXIS = {
    "anyOf": [
        {"type": "array", "minItems": 1},
        {
            "type": "object",
            "properties": {
                "range": {
                    "anyOf": [
                        {
                            "type": "array",
                            "items": {"anyOf": [{"type": "integer"}, REFERENCE]},
                            "minItems": 2,
                            "maxItems": 3,
                        },
                        REFERENCE,
                    ],
                    "description": "[first, end] or [first, end, step] in whole numbers; the end is left out.",
                },
                "glob": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Files that match when the plan is made, relative to the file's folder.",
                },
                "lines": {
                    "type": "string",
                    "minLength": 1,
                    "description": "The lines of a file when the plan is made, empty ones left out.",
                },
                "like": {**TASK_NAME, "description": "The values of the axis of this name of another task."},
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
        REFERENCE,
    ]
}
ROWS = {
    "anyOf": [{"type": "array", "items": {"anyOf": [{"type": "object", "minProperties": 1}, REFERENCE]}}, REFERENCE]
}
MATRIX = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"include": ROWS, "exclude": ROWS},
            "propertyNames": {"pattern": NAME_PATTERN},
            "additionalProperties": AXIS,
            "minProperties": 1,
        },
        REFERENCE,
    ]
}


def or_reference(schema: dict[str, object]) -> dict[str, object]:
    """The same, or a string with a reference in it."""
    return {"anyOf": [schema, REFERENCE]}


TEXTS = or_reference({"type": "array", "items": TEXT})
MODULES = or_reference({"type": "array", "items": or_reference({"type": "string", "pattern": rf"^{DOTTED}*$"})})
FILLED_TEXTS = or_reference({"type": "array", "items": SOME_TEXT})
SHORT_DURATION = {"anyOf": [{"type": "number", "minimum": 0, "maximum": values.LONGEST_S}, DURATION, REFERENCE]}
TRIES = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_RETRIES}, REFERENCE]}
RETRIES = {
    "default": 0,
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES},
        {
            "type": "object",
            "properties": {
                "max": {**TRIES, "description": "Tries after the first."},
                "delay": {**SHORT_DURATION, "description": "Time between an attempt's end and the next one (0)."},
                "backoff": {
                    "anyOf": [{"type": "number", "minimum": 1, "maximum": 1e6}, REFERENCE],
                    "description": "Factor by which the delay grows from try to try (1).",
                },
                "max_delay": {**SHORT_DURATION, "description": "Longest delay (none)."},
                "jitter": {
                    **FLAG,
                    "description": "Whether a delay is drawn between its half and its whole, by the run's seed (true).",
                },
                "on": {
                    "anyOf": [
                        {"enum": [*RETRYABLE]},
                        {"type": "array", "items": {"enum": [*RETRYABLE]}, "minItems": 1},
                        REFERENCE,
                    ],
                    "description": "Outcomes that are tried again (all four).",
                },
            },
            "required": ["max"],
            "additionalProperties": False,
        },
        REFERENCE,
    ],
}
TOKENS = {"anyOf": [{"type": "integer", "minimum": 1}, REFERENCE]}
USES = {
    "anyOf": [
        SOME_TEXT,
        {"type": "array", "items": SOME_TEXT},
        {"type": "object", "additionalProperties": TOKENS},
    ]
}
LIMIT_TABLE = {
    "anyOf": [
        TOKENS,
        {
            "type": "object",
            "properties": {
                "tokens": {**TOKENS, "description": "How many there are."},
                "per": {
                    "anyOf": [SECONDS, DURATION, REFERENCE],
                    "description": "A rate: a token that was taken comes back after this time.",
                },
            },
            "required": ["tokens"],
            "additionalProperties": False,
        },
    ]
}
SECRET_TABLE = {
    "type": "object",
    "properties": {
        "env": {"type": "string", "pattern": "^[^=]+$", "description": "The variable of the environment it is in."},
        "file": {**SOME_TEXT, "description": "The file it is in, relative to this file; its last newline is left out."},
        "cmd": {
            "type": "array",
            "items": TEXT,
            "minItems": 1,
            "prefixItems": [SOME_TEXT],
            "description": "The program that prints it, and its arguments.",
        },
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
SEED = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**32 - 1}, REFERENCE]}
PRIORITY = {"anyOf": [{"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}, REFERENCE]}
NAMES = {
    "anyOf": [
        {"type": "string", "pattern": NAME_PATTERN},
        {"type": "array", "items": {"type": "string", "pattern": NAME_PATTERN}},
    ]
}
PATHS = {"anyOf": [SOME_TEXT, {"type": "array", "items": SOME_TEXT}]}
