"""The faults file: which faults strike which tasks of a pipeline, and what is expected of the run all the same.

    seed = 7

    [[fault]]
    task = "fetch@*"
    kind = "crash.segv"
    probability = 0.1

    [expect]
    exit_code = 1
    longest = "2m"

    [expect.outcomes]
    report = "succeeded"
    "fetch@*" = ["succeeded", "crashed"]

The mistakes in it are told all at once and with their places, like those of a pipeline file; whether it fits to a
pipeline is looked at when everything else is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from workflow.diagnostics.mistake import Mistake
from workflow.diagnostics.suggest import did_you_mean
from workflow.harness.evidence import OUTCOMES
from workflow.harness.kinds import KINDS
from workflow.harness.pipeline import Hypothesis
from workflow.harness.rules import Rule, no_kind, no_task, problem_of
from workflow.plan.plan import Plan
from workflow.spec.document import Document
from workflow.spec.pipeline import raise_mistakes
from workflow.spec.reference import describe
from workflow.spec.source import read_source
from workflow.spec.values import Refused, duration_s

ID = "urn:infotask:schema:faults:1"


def _known_kind(value: str) -> str:
    if value not in KINDS:
        raise ValueError(no_kind(value))
    return value


def _known_outcomes(value: object) -> object:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"must be an outcome or a list of them, not {describe(value)}")
    for name in names:
        if name not in OUTCOMES:
            near = did_you_mean(name, OUTCOMES)
            hint = f", {near}" if near else f"; there are {', '.join(sorted(OUTCOMES))}"
            raise ValueError(f"there is no outcome {name!r}{hint}")
    return frozenset(names)


def _duration(value: object) -> object:
    try:
        return duration_s(value)
    except Refused as error:
        raise ValueError(str(error)) from None


_Kind = Annotated[str, AfterValidator(_known_kind), Field(json_schema_extra={"enum": sorted(KINDS)})]
_Outcome = {"type": "string", "enum": sorted(OUTCOMES)}
_Outcomes = Annotated[
    frozenset[str],
    BeforeValidator(_known_outcomes),
    WithJsonSchema({"anyOf": [_Outcome, {"type": "array", "items": _Outcome, "minItems": 1}]}),
]
_Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class FaultTable(_Table):
    """A fault, and whom it strikes."""

    task: Annotated[str, Field(min_length=1)]
    """A glob over the ids and names of tasks."""
    kind: _Kind
    """What it does; `workflow chaos --list` shows them."""
    attempt: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The attempt that it strikes, counting from 1; each, if it is not given."""
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Its chance for each task that matches, drawn from the seed."""


class ExpectTable(_Table):
    """What is expected of the run under these faults, beyond the promises that always hold."""

    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    """The exit code of the run."""
    outcomes: dict[str, _Outcomes] = Field(default_factory=dict)
    """By glob over ids and names: the outcome of these tasks, or a list of those that are allowed."""
    longest: _Duration | None = None
    """The longest that the run may take: seconds, or text such as "2m"."""


class FaultsTable(_Table):
    """A faults file of workflow."""

    seed: Annotated[int, Field(ge=0)] | None = None
    """What chances are drawn from; `--seed` overrides it."""
    fault: Annotated[list[FaultTable], Field(min_length=1)]
    """The faults."""
    expect: ExpectTable = ExpectTable()
    """What is expected of the run."""

    def rules(self) -> list[Rule]:
        """The faults as rules."""
        return [Rule(fault.kind, fault.task, fault.probability, fault.attempt) for fault in self.fault]

    def hypothesis(self) -> Hypothesis:
        """What is expected."""
        return Hypothesis(self.expect.exit_code, self.expect.outcomes, self.expect.longest)


def load_faults(path: Path, plan: Plan | None = None) -> FaultsTable:
    """Read and check a faults file, and whether it fits to a plan.  Raises InvalidPipeline with all that is wrong."""
    source = read_source(path)
    document = Document(source, source.document, (source,))
    try:
        table = FaultsTable.model_validate(source.document)
    except ValidationError as error:
        raise_mistakes(document, [_mistake(finding) for finding in error.errors(include_url=False)])
        raise  # not reached: there is at least one mistake
    if plan is not None:
        raise_mistakes(document, list(_misfits(table, plan)))
    return table


def _misfits(table: FaultsTable, plan: Plan) -> Iterator[Mistake]:
    for number, rule in enumerate(table.rules()):
        problem = problem_of(rule, plan)
        if problem is not None:
            key, text = problem
            yield Mistake("fault-does-not-fit", ("fault", number, key), text)
    for glob in table.expect.outcomes:
        if not any(Rule("", glob).matches(task) for task in plan.tasks):
            yield Mistake("unknown-task", ("expect", "outcomes", glob), no_task(glob, plan), at_key=True)


def faults_schema() -> dict[str, object]:
    """The JSON Schema of a faults file, draft 2020-12."""
    schema = FaultsTable.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **_tidy(schema)}


_TABLES: dict[str, type[_Table]] = {"fault": FaultTable, "expect": ExpectTable}


_SENTENCES = {
    "dict_type": "must be a table",
    "float_type": "must be a number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le:g}",
    "list_type": "must be an array of tables",
    "model_type": "must be a table",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_short": "must not be empty",
}
"""What we say for what pydantic finds, by its types of errors."""


def _mistake(finding: Any) -> Mistake:
    place = tuple(finding["loc"])
    kind = finding["type"]
    if kind == "extra_forbidden":
        table = _TABLES.get(str(place[0]), FaultsTable) if len(place) > 1 else FaultsTable
        near = did_you_mean(str(place[-1]), table.model_fields)
        hint = None if near else f"the keys here are {', '.join(table.model_fields)}"
        return Mistake("unknown-key", place, "unknown key" + (f", {near}" if near else ""), hint, at_key=True)
    if kind == "missing":
        key = str(place[-1])
        if key == "fault":
            help_ = 'a fault is a table: [[fault]] with task = "*" and kind = "crash.segv"'
            return Mistake("no-faults", (), "there are no faults in this file", help_, line=1)
        return Mistake("missing-key", place[:-1], f"has no {key!r}", at_key=True)
    if kind == "value_error":
        return Mistake("bad-value", place, str(finding["ctx"]["error"]))
    text = _SENTENCES.get(kind, finding["msg"]).format_map(finding.get("ctx", {}))
    not_this = "" if "empty" in text else f", not {describe(finding['input'])}"
    return Mistake(
        "bad-value", place, text + not_this, "write [[fault]], once for each" if place == ("fault",) else None
    )


def _tidy(value: Any) -> Any:
    """Without what pydantic adds for itself: titles from names of fields, "null" and defaults for absent keys."""
    if isinstance(value, list):
        return [_tidy(each) for each in value]
    if not isinstance(value, dict):
        return value
    tidied = {
        key: _tidy(each)
        for key, each in value.items()
        if not (key == "title" and isinstance(each, str)) and not (key == "default" and not isinstance(each, float))
    }
    if "anyOf" in tidied:
        present = [each for each in tidied.pop("anyOf") if each != {"type": "null"}]
        tidied = {**(present[0] if len(present) == 1 else {"anyOf": present}), **tidied}
    return tidied
