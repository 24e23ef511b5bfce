"""What a pipeline file may say: the models that check it, and that the JSON Schema is written from.

Each field's description is what an editor shows beside the key.  Values are checked by functions that say what is
wrong in our own words (``checks``); pydantic gives the shape: which keys there are, which tables, where each mistake
stands.  A field whose value waits for the matrix or for results holds a ``Template``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from workflow.info_task import POOL_MAX, RetryPolicy
from workflow.spec import checks, schemas, values
from workflow.spec.checks import NeedTable, array, checked, json_schema, table
from workflow.spec.condition import Condition
from workflow.spec.matrix import Matrix
from workflow.spec.reference import Template

KINDS = ("module", "call", "cmd", "shell")

Limit = Annotated[Union[float, Template, None], checked(values.limit_s, template=True), json_schema(schemas.LIMIT)]
Text = Annotated[Union[str, Template], checked(values.plain_text, template=True), json_schema(schemas.TEXT)]
Function = Annotated[Union[str, Template], checked(values.function_path, template=True), json_schema(schemas.FUNCTION)]
Flag = Annotated[Union[bool, Template], checked(values.flag, template=True), json_schema(schemas.FLAG)]
Size = Annotated[Union[int, None], checked(values.size_bytes), json_schema(schemas.SIZE)]


class Table(BaseModel):
    """A table of the file: every key it may have is named, and nothing changes after the check."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)


class PipelineTable(Table):
    """What holds for the whole file."""

    format: Annotated[int, checked(checks.format_version), json_schema({"const": 1})] = Field(
        default=1, description="Version of this grammar: 1."
    )
    name: Annotated[Union[str, None], checked(values.plain_text), json_schema(schemas.TEXT)] = Field(
        default=None, description="A name for people."
    )
    doc: Annotated[Union[str, None], checked(values.plain_text), json_schema(schemas.TEXT)] = Field(
        default=None, description="What the pipeline is for."
    )
    pool: Annotated[
        Union[int, Literal["cpus"]],
        checked(checks.pool),
        json_schema(
            {"anyOf": [{"type": "integer", "minimum": 1, "maximum": POOL_MAX}, {"const": "cpus"}, schemas.REFERENCE]}
        ),
    ] = Field(default="cpus", description='Workers: a number, or "cpus", one for each CPU this process may use.')
    timeout: Annotated[Union[float, None], checked(values.limit_s), json_schema(schemas.LIMIT)] = Field(
        default=None, description="Limit for the whole run (none)."
    )
    include: Annotated[
        tuple[Annotated[str, checked(values.some_text)], ...],
        array('["more/*.toml"]', single=True),
        json_schema(schemas.PATHS),
    ] = Field(default=(), description="Other pipeline files merged in: paths or globs, relative to this file.")
    path: Annotated[
        tuple[Annotated[str, checked(values.some_text)], ...], array('["src"]'), json_schema(schemas.FILLED_TEXTS)
    ] = Field(default=(), description="Folders put on sys.path, after the file's own folder, which always is.")
    preload: Annotated[
        tuple[Annotated[str, checked(values.module_path)], ...], array('["numpy"]'), json_schema(schemas.MODULES)
    ] = Field(default=(), description="Modules imported once, before workers fork.")
    halt: Annotated[
        Union[Literal["never", "soon", "now"], None],
        checked(checks.halt),
        json_schema({"anyOf": [{"enum": ["never", "soon", "now"]}, schemas.REFERENCE]}),
    ] = Field(
        default=None,
        description='When max_failures is reached: "never" halt (default), start nothing more ("soon"), '
        'kill what runs ("now"). "soon" and "now" imply max_failures = 1.',
    )
    max_failures: Annotated[
        Union[int, str, None],
        checked(checks.max_failures),
        json_schema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,6})?%$"},
                    schemas.REFERENCE,
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
    max_tasks_per_child: Annotated[
        Union[int, None],
        checked(checks.attempts_per_worker),
        json_schema({"anyOf": [{"type": "integer", "minimum": 1}, schemas.NONE, schemas.REFERENCE]}),
    ] = Field(default=None, description="Attempts before a worker is renewed (none: it never is).")
    seed: Annotated[Union[int, None], checked(checks.seed), json_schema(schemas.SEED)] = Field(
        default=None, description="Seed of the run, which its tasks' seeds come from (drawn, and recorded)."
    )
    engine: Annotated[Literal["local"], checked(checks.engine), json_schema({"const": "local"})] = Field(
        default="local", description="What runs the tasks: the processes of this machine."
    )


class OnTable(Table):
    """Functions called after a task ended."""

    success: Union[Function, None] = Field(default=None, description="Called with the result: package.module:function.")
    failure: Union[Function, None] = Field(default=None, description="Called with the error: package.module:function.")


class TaskTable(Table):
    """One task, or what [defaults] says for all.  Exactly one of module, call, cmd and shell says what runs."""

    module: Annotated[
        Union[str, Template, None], checked(values.model_path, template=True), json_schema(schemas.MODEL)
    ] = Field(default=None, description="A Model: package.module.Class.")
    call: Annotated[
        Union[str, Template, None], checked(values.function_path, template=True), json_schema(schemas.FUNCTION)
    ] = Field(default=None, description="A plain function: package.module:function.")
    cmd: Annotated[
        Union[tuple[Annotated[Union[str, Template], checked(checks.argument, template=True)], ...], None],
        BeforeValidator(checks.argv),
        json_schema(
            schemas.or_reference(
                {"type": "array", "items": schemas.TEXT, "minItems": 1, "prefixItems": [schemas.SOME_TEXT]}
            )
        ),
    ] = Field(default=None, description="A program and its arguments, run without a shell.")
    shell: Annotated[
        Union[str, Template, None], checked(values.shell_line, template=True), json_schema(schemas.SOME_TEXT)
    ] = Field(default=None, description="A line for /bin/sh -c; values put into it are quoted for the shell.")
    args: Annotated[
        Union[tuple[object, ...], Template],
        checked(checks.arguments),
        json_schema(schemas.or_reference({"type": "array"})),
    ] = Field(default=(), description="Positional arguments, for module and call.")
    kwargs: Annotated[
        dict[str, object], checked(checks.keyword_names), json_schema(schemas.or_reference({"type": "object"}))
    ] = Field(default_factory=dict, description="Keyword arguments, for module and call.")
    timeout: Limit = Field(default=3600.0, description='Limit of one attempt, from its start ("1h"); "none" lifts it.')
    grace: Annotated[
        Union[float, Template],
        checked(values.grace_s, template=True),
        json_schema(
            {
                "anyOf": [
                    {"type": "number", "minimum": 0, "maximum": values.LONGEST_S},
                    schemas.DURATION,
                    schemas.REFERENCE,
                ]
            }
        ),
    ] = Field(default=5.0, description='Time between SIGTERM and SIGKILL ("5s").')
    needs: Annotated[
        tuple[Annotated[NeedTable, checked(checks.need)], ...],
        array('["fetch"]', single=True),
        json_schema({"anyOf": [*schemas.NEED["anyOf"], {"type": "array", "items": schemas.NEED}]}),
    ] = Field(
        default=(),
        description='Tasks that must have succeeded before: names, or {task = "fetch", status = "any"} for another '
        "ending; one with a matrix means all its instances.",
    )
    matrix: Annotated[Union[Matrix, None], PlainValidator(checks.matrix), json_schema(schemas.MATRIX)] = Field(
        default=None,
        description="Axes: the task is run once for each combination of their values. A list, {range = [0, 10]}, "
        '{glob = "photos/*.jpg"}, {lines = "urls.txt"} or {like = "fetch"}; include adds instances, '
        "exclude removes them.",
    )
    env: Annotated[
        dict[str, Annotated[Union[str, Template, None], checked(values.environment_text, template=True)]],
        BeforeValidator(checks.env_names),
        json_schema(schemas.or_reference(schemas.ENV)),
    ] = Field(default_factory=dict, description="Added environment; false removes a variable.")
    cwd: Annotated[
        Union[str, Template, None], checked(values.some_text, template=True), json_schema(schemas.SOME_TEXT)
    ] = Field(default=None, description="Working folder, relative to the file's folder, which is the default.")
    on: Annotated[Union[OnTable, None], table('on = {failure = "package.module:function"}')] = Field(
        default=None, description="Functions called after the task ended, in the dispatcher."
    )
    deadline: Limit = Field(
        default=None, description="Limit over all attempts and the waits between them, from the first's start (none)."
    )
    warn_after: Limit = Field(
        default=None, description="Time after which an attempt is told to be slow; it goes on (none)."
    )
    retries: Annotated[RetryPolicy, checked(checks.retries), json_schema(schemas.RETRIES)] = Field(
        default_factory=RetryPolicy,
        description='Tries after the first (0), or {max = 3, delay = "1s", backoff = 2, max_delay = "1m", '
        'jitter = true, on = ["failed"]}.',
    )
    if_: Annotated[Union[Condition, None], checked(checks.condition), json_schema(schemas.SOME_TEXT)] = Field(
        default=None,
        alias="if",
        description="A comparison of vars, env and matrix; where it is false the task is skipped: "
        "matrix.os == 'linux' and vars.size in [1, 2].",
    )
    uses: Annotated[dict[str, int], checked(checks.uses), json_schema(schemas.USES)] = Field(
        default_factory=dict, description='Tokens of [limits] taken while it runs: "db", ["db"] or {db = 2}.'
    )
    priority: Annotated[
        Union[int, Template], checked(checks.priority, template=True), json_schema(schemas.PRIORITY)
    ] = Field(default=0, description="Tasks that may start are started in this order, higher first (0).")
    memory: Annotated[
        Union[int, Template, None], checked(values.memory_bytes, template=True), json_schema(schemas.MEMORY)
    ] = Field(
        default=None, description='Limit on the memory of it and all processes it starts, such as "512MiB" (none).'
    )
    seed: Annotated[Union[int, Template, None], checked(checks.seed, template=True), json_schema(schemas.SEED)] = Field(
        default=None, description="Seeds random, and numpy if loaded (from the run's seed and the task's id)."
    )
    inputs: Annotated[
        tuple[Annotated[Union[str, Template], checked(values.some_text, template=True)], ...],
        array('["data/*.csv"]', single=True),
        json_schema(schemas.PATHS),
    ] = Field(default=(), description="Files, folders or globs it reads; one that another task makes is needed.")
    outputs: Annotated[
        tuple[Annotated[Union[str, Template], checked(values.some_text, template=True)], ...],
        array('["report.md"]', single=True),
        json_schema(schemas.PATHS),
    ] = Field(
        default=(), description="Files, folders or globs it makes: without them it failed, with them it is cached."
    )
    extends: Annotated[
        tuple[Annotated[str, checked(checks.template_name)], ...],
        array('["heavy"]', single=True),
        json_schema(schemas.NAMES),
    ] = Field(default=(), description="Templates laid under it, the later over the earlier.")
    callback_timeout: Limit = Field(default=30.0, description='Limit of a callback or hook ("30s").')
    isolate: Flag = Field(default=False, description="Whether it gets a process of its own (false).")
    allow_failure: Flag = Field(
        default=False, description="Whether its failure is left out of exit code, halt and max_failures (false)."
    )
    tags: Annotated[
        tuple[Annotated[Union[str, Template], checked(values.some_text, template=True)], ...],
        array('["slow"]'),
        json_schema(schemas.FILLED_TEXTS),
    ] = Field(default=(), description="Words to select tasks by.")
    doc: Union[Text, None] = Field(default=None, description="What the task is for.")

    @property
    def kind(self) -> str:
        """Which of the four it is; exactly one is set in a task that was accepted."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys a table may have, as the file writes them."""
    return tuple(field.alias or name for name, field in model.model_fields.items())
