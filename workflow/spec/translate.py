"""pydantic's findings in our own words: nobody should have to know what checks the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.models import OnTable, PipelineTable, TaskTable, keys_of
from workflow.spec.reference import describe

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


def translate(error: ValidationError, place: Place, model: type[BaseModel]) -> list[Mistake]:
    """One mistake for each finding; ``place`` is where the table stands that was checked."""
    return [
        mistake
        for finding in error.errors(include_url=False)
        for mistake in _translated(finding, (*place, *_steps(finding["loc"])), place, model)
    ]


def _steps(loc: tuple[int | str, ...]) -> Place:
    return tuple(step for step in loc if step != "[key]")


def _translated(finding: Any, where: Place, base: Place, model: type[BaseModel]) -> list[Mistake]:
    kind = finding["type"]
    if kind == "refused":
        return [
            Mistake(
                "bad-value",
                (*where, *each["below"]),
                each["headline"],
                each["help"],
                at_key=each.get("at_key", False),
                needle=each.get("needle"),
            )
            for each in finding["ctx"]["findings"]
        ]
    if kind == "extra_forbidden":
        return [unknown_key(where, model if len(where) == len(base) + 1 else OnTable)]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return [Mistake("bad-value", where, f"must be a table, not {describe(finding['input'])}")]
    return [Mistake("bad-value", where, f"{describe(finding['input'])} cannot be used here")]


def unknown_key(where: Place, model: type[BaseModel]) -> Mistake:
    """A key that nothing reads, with the nearest that is read, here or elsewhere."""
    key = str(where[-1])
    near = did_you_mean(key, keys_of(model))
    help_ = None
    if near is None:
        if model is not PipelineTable and key in keys_of(PipelineTable):
            help_ = f"'{key}' is a key of [pipeline]"
        elif model is PipelineTable and key in keys_of(TaskTable):
            help_ = f"'{key}' is a key of a task; for all tasks, write it in [defaults]"
        else:
            help_ = f"the keys here are {', '.join(keys_of(model))}"
    return Mistake("unknown-key", where, "unknown key" + (f", {near}" if near else ""), help_, at_key=True)
