"""What a pipeline file may say: the models that check it, and that the JSON Schema is written from.

Each field's description is what an editor shows beside the key.  Values are checked by functions of ``values`` that
say what is wrong in our own words; pydantic gives the shape: which keys there are, which tables, where each mistake
stands.  A field whose value waits for the matrix or for results holds a ``Template``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from workflow.diagnostics.suggest import did_you_mean
from workflow.info_task import POOL_MAX
from workflow.spec import values
from workflow.spec.matrix import Findings, Matrix, read_matrix
from workflow.spec.reference import Template, describe
from workflow.spec.shell import as_command
from workflow.spec.values import Refused

KINDS = ("module", "call", "cmd", "shell")


def _schema(schema: dict[str, Any]) -> WithJsonSchema:
    """A copy for each field: the oldest pydantic we allow writes a field's default into the dictionary it was given."""
    return WithJsonSchema(deepcopy(schema))


def _checked(check: Callable[[Any], object], *, template: bool = False) -> PlainValidator:
    """A check of ``values`` as pydantic wants it; with ``template``, one that lets templates wait."""

    def validate(value: object) -> object:
        if isinstance(value, Template):
            if template:
                return value
            raise _refused(Refused(f"{value} has no place here", "only ${vars.…} can be used for this key"))
        try:
            return check(value)
        except Refused as error:
            raise _refused(error) from None

    return PlainValidator(validate)


def _refused(error: Refused) -> PydanticCustomError:
    story = {"headline": error.headline, "help": error.help, "below": error.below, "code": error.code}
    return PydanticCustomError("refused", "{headline}", {"headline": error.headline, "findings": [story]})


def _array(example: str, *, single: bool = False) -> BeforeValidator:
    """An array, said in our words; with ``single``, one element may stand without its brackets."""

    def validate(value: object) -> object:
        if single and isinstance(value, (str, dict)):
            return [value]
        if not isinstance(value, list):
            raise _refused(Refused(f"must be an array, not {describe(value)}", f"such as {example}"))
        return value

    return BeforeValidator(validate)


def _table(example: str) -> BeforeValidator:
    def validate(value: object) -> object:
        if not isinstance(value, dict):
            raise _refused(Refused(f"must be a table, not {describe(value)}", f"such as {example}"))
        return value

    return BeforeValidator(validate)


def _pool(value: object) -> object:
    if value == "cpus" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= POOL_MAX):
        return value
    raise Refused(f'must be a number of workers, from 1 to {POOL_MAX}, or "cpus", not {describe(value)}')


def _halt(value: object) -> object:
    if value in ("never", "soon", "now") and isinstance(value, str):
        return value
    near = did_you_mean(value, ["never", "soon", "now"]) if isinstance(value, str) else None
    raise Refused(f'must be "never", "soon" or "now", not {describe(value)}' + (f", {near}" if near else ""))


def _max_failures(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, str) and value.endswith("%"):
        import re

        if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value[:-1]) and 0 < float(value[:-1]) <= 100:
            return value
    raise Refused(f'must be a count, 1 or more, or a percentage such as "10%", not {describe(value)}')


def _format(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value == 1:
        return value
    raise Refused(f"must be 1, the only format there is, not {describe(value)}")


@dataclass(frozen=True, slots=True)
class NeedTable:
    """One entry of ``needs``: a name alone, or a table that says how the task has to end."""

    task: str
    status: Literal["success", "failure", "any"] = "success"


_NEED_KEYS: dict[str, Callable[[object], str]] = {"task": values.task_name, "status": values.status}


def _need(value: object) -> NeedTable:
    if isinstance(value, str):
        return NeedTable(values.task_name(value))
    if not isinstance(value, dict):
        example = 'such as "fetch" or {task = "fetch", status = "any"}'
        raise Refused(f"must be the name of a task or a table, not {describe(value)}", example)
    if "task" not in value:
        raise Refused("does not say which task", 'such as {task = "fetch", status = "any"}')
    findings: list[dict[str, object]] = []
    for key, each in value.items():
        if key not in _NEED_KEYS:
            near = did_you_mean(key, _NEED_KEYS)
            headline = "unknown key" + (f", {near}" if near else "")
            help_ = None if near else "the keys here are task and status"
            findings.append(
                {"headline": headline, "help": help_, "below": (key,), "at_key": True, "code": "unknown-key"}
            )
            continue
        try:
            _NEED_KEYS[key](each)
        except Refused as error:
            findings.append({"headline": error.headline, "help": error.help, "below": (key,), "code": error.code})
    if findings:
        raise PydanticCustomError("refused", "{headline}", {"headline": "", "findings": findings})
    return NeedTable(**value)


def _argument(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise Refused(f"must be text in quotes, not {describe(value)}", f'write "{value}"')
    return values.plain_text(value)


def _argv(value: object) -> object:
    """The program and its arguments; more can be said about a string here than about other wrong values."""
    if isinstance(value, (str, Template)):
        raise _refused(Refused("must be an array of texts, not a text", as_command(str(value))))
    if not isinstance(value, list):
        raise _refused(Refused(f"must be an array of texts, not {describe(value)}", 'such as ["ls", "-l"]'))
    if not value or value[0] == "":
        raise _refused(Refused("must name a program", 'such as ["ls", "-l"]'))
    return value


def _env_names(value: object) -> object:
    if not isinstance(value, dict):
        raise _refused(Refused(f"must be a table, not {describe(value)}", 'such as env = {LANG = "C"}'))
    findings = []
    for name in value:
        if not name or "=" in name or "\0" in name:
            headline = "the name of a variable is not empty and holds no '=' and no NUL"
        elif name in ("WORKFLOW_RUN_ID", "WORKFLOW_TASK_ID", "WORKFLOW_ATTEMPT"):
            headline = "is set for each task by workflow itself"
        else:
            continue
        findings.append({"headline": headline, "help": None, "below": (name,), "at_key": True})
    if findings:
        raise PydanticCustomError("refused", "{headline}", {"headline": "", "findings": findings})
    return value


def _keyword_names(value: object) -> object:
    if not isinstance(value, dict):
        raise Refused(f"must be a table, not {describe(value)}", "such as kwargs = {size = 3}")
    return values.json_value(value)


def _arguments(value: object) -> object:
    if not isinstance(value, list):
        raise Refused(f"must be an array, not {describe(value)}", 'such as args = ["photo.jpg", 3]')
    return tuple(value) if values.json_value(value) is value else ()


def _matrix(value: object) -> object:
    try:
        return read_matrix(value)
    except Findings as error:
        findings = [
            {
                "headline": each.headline,
                "help": each.help,
                "below": each.below,
                "at_key": each.at_key,
                "code": "bad-matrix",
            }
            for each in error.findings
        ]
        raise PydanticCustomError("refused", "{headline}", {"headline": "", "findings": findings}) from None


# The JSON Schemas below say what an editor can check; a string that holds a reference passes, as its value is unknown.
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
_DURATION_PATTERN = "^(?=[0-9])" + "".join(rf"([0-9]+(\.[0-9]+)?{unit})?" for unit in ("d", "h", "m", "s", "ms")) + "$"
_DURATION = {"type": "string", "pattern": _DURATION_PATTERN, "examples": ["250ms", "90s", "1h30m"]}
_NONE = {"const": "none"}
_SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": values.LONGEST_S}
_LIMIT = {"anyOf": [_SECONDS, _DURATION, _NONE, _REFERENCE]}
_TEXT = {"type": "string"}
_SOME_TEXT = {"type": "string", "minLength": 1}
_SIZE = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*([kKMGT]B|[KMGT]iB|B)$", "examples": ["512MiB", "2GB"]},
        _NONE,
        _REFERENCE,
    ]
}
_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)"
_MODEL = {"anyOf": [{"type": "string", "pattern": rf"^{_DOTTED}+$"}, _REFERENCE], "examples": ["package.module.Class"]}
_FUNCTION = {
    "anyOf": [{"type": "string", "pattern": rf"^{_DOTTED}*:{_DOTTED}*$"}, _REFERENCE],
    "examples": ["package.module:function"],
}
_FLAG = {"anyOf": [{"type": "boolean"}, _REFERENCE]}
_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
_TASK_NAME = {"type": "string", "anyOf": [{"pattern": _NAME_PATTERN}, {"pattern": r"\$\{"}]}
_NEED = {
    "anyOf": [
        _TASK_NAME,
        {
            "type": "object",
            "properties": {
                "task": {**_TASK_NAME, "description": "The name of the task."},
                "status": {
                    "anyOf": [{"enum": [*values.STATUSES]}, _REFERENCE],
                    "description": "All its instances succeeded (success, the default); at least one failed, timed "
                    "out, crashed or exceeded its memory, and all ended (failure); all ended (any).",
                },
            },
            "required": ["task"],
            "additionalProperties": False,
        },
    ]
}
_ENV = {
    "type": "object",
    "propertyNames": {
        "pattern": "^[^=]+$",
        "not": {"enum": ["WORKFLOW_RUN_ID", "WORKFLOW_TASK_ID", "WORKFLOW_ATTEMPT"]},
    },
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}, {"const": False}]},
}
_AXIS = {
    "anyOf": [
        {"type": "array", "minItems": 1},
        {
            "type": "object",
            "properties": {
                "range": {
                    "anyOf": [
                        {
                            "type": "array",
                            "items": {"anyOf": [{"type": "integer"}, _REFERENCE]},
                            "minItems": 2,
                            "maxItems": 3,
                        },
                        _REFERENCE,
                    ],
                    "description": "[first, end] or [first, end, step] in whole numbers; the end is left out.",
                },
                "glob": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Files that match when the plan is made, relative to the file's folder.",
                },
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
        _REFERENCE,
    ]
}
_ROWS = {
    "anyOf": [{"type": "array", "items": {"anyOf": [{"type": "object", "minProperties": 1}, _REFERENCE]}}, _REFERENCE]
}
_MATRIX = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"include": _ROWS, "exclude": _ROWS},
            "propertyNames": {"pattern": _NAME_PATTERN},
            "additionalProperties": _AXIS,
            "minProperties": 1,
        },
        _REFERENCE,
    ]
}


def _or_reference(schema: dict[str, object]) -> dict[str, object]:
    return {"anyOf": [schema, _REFERENCE]}


_TEXTS = _or_reference({"type": "array", "items": _TEXT})
_MODULES = _or_reference({"type": "array", "items": _or_reference({"type": "string", "pattern": rf"^{_DOTTED}*$"})})
_FILLED_TEXTS = _or_reference({"type": "array", "items": _SOME_TEXT})

Limit = Annotated[Union[float, Template, None], _checked(values.limit_s, template=True), _schema(_LIMIT)]
Text = Annotated[Union[str, Template], _checked(values.plain_text, template=True), _schema(_TEXT)]
Function = Annotated[Union[str, Template], _checked(values.function_path, template=True), _schema(_FUNCTION)]
Flag = Annotated[Union[bool, Template], _checked(values.flag, template=True), _schema(_FLAG)]
Size = Annotated[Union[int, None], _checked(values.size_bytes), _schema(_SIZE)]


class Table(BaseModel):
    """A table of the file: every key it may have is named, and nothing changes after the check."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)


class PipelineTable(Table):
    """What holds for the whole file."""

    format: Annotated[int, _checked(_format), _schema({"const": 1})] = Field(
        default=1, description="Version of this grammar: 1."
    )
    name: Annotated[Union[str, None], _checked(values.plain_text), _schema(_TEXT)] = Field(
        default=None, description="A name for people."
    )
    doc: Annotated[Union[str, None], _checked(values.plain_text), _schema(_TEXT)] = Field(
        default=None, description="What the pipeline is for."
    )
    pool: Annotated[
        Union[int, Literal["cpus"]],
        _checked(_pool),
        _schema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": POOL_MAX}, {"const": "cpus"}, _REFERENCE]}),
    ] = Field(default="cpus", description='Workers: a number, or "cpus", one for each CPU this process may use.')
    timeout: Annotated[Union[float, None], _checked(values.limit_s), _schema(_LIMIT)] = Field(
        default=None, description="Limit for the whole run (none)."
    )
    path: Annotated[
        tuple[Annotated[str, _checked(values.some_text)], ...], _array('["src"]'), _schema(_FILLED_TEXTS)
    ] = Field(default=(), description="Folders put on sys.path, after the file's own folder, which always is.")
    preload: Annotated[
        tuple[Annotated[str, _checked(values.module_path)], ...], _array('["numpy"]'), _schema(_MODULES)
    ] = Field(default=(), description="Modules imported once, before workers fork.")
    halt: Annotated[
        Union[Literal["never", "soon", "now"], None],
        _checked(_halt),
        _schema({"anyOf": [{"enum": ["never", "soon", "now"]}, _REFERENCE]}),
    ] = Field(
        default=None,
        description='When max_failures is reached: "never" halt (default), start nothing more ("soon"), '
        'kill what runs ("now"). "soon" and "now" imply max_failures = 1.',
    )
    max_failures: Annotated[
        Union[int, str, None],
        _checked(_max_failures),
        _schema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,6})?%$"},
                    _REFERENCE,
                ]
            }
        ),
    ] = Field(
        default=None,
        description='Failures after which halt applies: a count, or "10%" of all planned tasks, rounded up. '
        'Implies halt = "soon".',
    )
    max_log: Size = Field(default=10 * 2**20, description='Log kept for each task, its head and its tail ("10MiB").')
    max_result: Size = Field(default=2**30, description='Largest result of a task ("1GiB").')


class OnTable(Table):
    """Functions called after a task ended."""

    success: Union[Function, None] = Field(default=None, description="Called with the result: package.module:function.")
    failure: Union[Function, None] = Field(default=None, description="Called with the error: package.module:function.")


class TaskTable(Table):
    """One task, or what [defaults] says for all.  Exactly one of module, call, cmd and shell says what runs."""

    module: Annotated[Union[str, Template, None], _checked(values.model_path, template=True), _schema(_MODEL)] = Field(
        default=None, description="A Model: package.module.Class."
    )
    call: Annotated[Union[str, Template, None], _checked(values.function_path, template=True), _schema(_FUNCTION)] = (
        Field(default=None, description="A plain function: package.module:function.")
    )
    cmd: Annotated[
        Union[tuple[Annotated[Union[str, Template], _checked(_argument, template=True)], ...], None],
        BeforeValidator(_argv),
        _schema(_or_reference({"type": "array", "items": _TEXT, "minItems": 1, "prefixItems": [_SOME_TEXT]})),
    ] = Field(default=None, description="A program and its arguments, run without a shell.")
    shell: Annotated[Union[str, Template, None], _checked(values.shell_line, template=True), _schema(_SOME_TEXT)] = (
        Field(default=None, description="A line for /bin/sh -c; values put into it are quoted for the shell.")
    )
    args: Annotated[
        Union[tuple[object, ...], Template], _checked(_arguments), _schema(_or_reference({"type": "array"}))
    ] = Field(default=(), description="Positional arguments, for module and call.")
    kwargs: Annotated[dict[str, object], _checked(_keyword_names), _schema(_or_reference({"type": "object"}))] = Field(
        default_factory=dict, description="Keyword arguments, for module and call."
    )
    timeout: Limit = Field(default=3600.0, description='Limit of one attempt, from its start ("1h"); "none" lifts it.')
    grace: Annotated[
        Union[float, Template],
        _checked(values.grace_s, template=True),
        _schema({"anyOf": [{"type": "number", "minimum": 0, "maximum": values.LONGEST_S}, _DURATION, _REFERENCE]}),
    ] = Field(default=5.0, description='Time between SIGTERM and SIGKILL ("5s").')
    needs: Annotated[
        tuple[Annotated[NeedTable, _checked(_need)], ...],
        _array('["fetch"]', single=True),
        _schema({"anyOf": [*_NEED["anyOf"], {"type": "array", "items": _NEED}]}),
    ] = Field(
        default=(),
        description='Tasks that must have succeeded before: names, or {task = "fetch", status = "any"} for another '
        "ending; one with a matrix means all its instances.",
    )
    matrix: Annotated[Union[Matrix, None], PlainValidator(_matrix), _schema(_MATRIX)] = Field(
        default=None,
        description="Axes: the task is run once for each combination of their values. A list, {range = [0, 10]} or "
        '{glob = "photos/*.jpg"}; include adds instances, exclude removes them.',
    )
    env: Annotated[
        dict[str, Annotated[Union[str, Template, None], _checked(values.environment_text, template=True)]],
        BeforeValidator(_env_names),
        _schema(_or_reference(_ENV)),
    ] = Field(default_factory=dict, description="Added environment; false removes a variable.")
    cwd: Annotated[Union[str, Template, None], _checked(values.some_text, template=True), _schema(_SOME_TEXT)] = Field(
        default=None, description="Working folder, relative to the file's folder, which is the default."
    )
    on: Annotated[Union[OnTable, None], _table('on = {failure = "package.module:function"}')] = Field(
        default=None, description="Functions called after the task ended, in the dispatcher."
    )
    callback_timeout: Limit = Field(default=30.0, description='Limit of a callback or hook ("30s").')
    isolate: Flag = Field(default=False, description="Whether it gets a process of its own (false).")
    allow_failure: Flag = Field(
        default=False, description="Whether its failure is left out of exit code, halt and max_failures (false)."
    )
    tags: Annotated[
        tuple[Annotated[Union[str, Template], _checked(values.some_text, template=True)], ...],
        _array('["slow"]'),
        _schema(_FILLED_TEXTS),
    ] = Field(default=(), description="Words to select tasks by.")
    doc: Union[Text, None] = Field(default=None, description="What the task is for.")

    @property
    def kind(self) -> str:
        """Which of the four it is; exactly one is set in a task that was accepted."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)
