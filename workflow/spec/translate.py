"""pydantic's findings in our own words: nobody should have to know what checks the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow.diagnostics.mistake import Mistake, Place
from workflow.spec import slips
from workflow.spec.document import SECTIONS
from workflow.spec.models import OnTable, PipelineTable, TaskTable, keys_of
from workflow.spec.reference import describe
from workflow.spec.slips import Meant

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
                each.get("code", "bad-value"),
                (*where, *each["below"]),
                each["headline"],
                _of_the_task((*where[len(base) :], *each["below"])) or each["help"],
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


def _of_the_task(path: Place) -> str | None:
    """What to say when a key of a task is wrong as an axis or a variable: it fell below their header."""
    if len(path) == 2 and path[0] in ("matrix", "env") and path[1] in keys_of(TaskTable):
        return f"'{path[1]}' is a key of the task too: if that is meant, it goes above a header [tasks.NAME.{path[0]}]"
    return None


def unknown_key(where: Place, model: type[BaseModel]) -> Mistake:
    """A key that nothing reads, with the one that was probably meant, here or elsewhere."""
    key = str(where[-1])
    near, help_ = _meant(key, model)
    return Mistake("unknown-key", where, "unknown key" + (f", {near}" if near else ""), help_, at_key=True)


def _meant(key: str, model: type[BaseModel]) -> Meant:
    if model is OnTable and key in keys_of(TaskTable):
        return Meant(None, f"'{key}' is a key of the task: it goes above a header [tasks.NAME.on]")
    if model is TaskTable and key == "name":
        return Meant(None, "a task has its name from its header: [tasks.NAME]")
    if model is not OnTable and key in SECTIONS:
        one = "each task a table [tasks.NAME]" if key == "tasks" else f"as [{key}]"
        return Meant(None, f"'{key}' stands in the file itself, {one}")
    if model is not PipelineTable and key in keys_of(PipelineTable):
        return Meant(None, f"'{key}' is {_OF_PIPELINE}")
    if model is PipelineTable and key in keys_of(TaskTable):
        return Meant(None, f"'{key}' is {_OF_TASK}")
    words = slips.OF_PIPELINE if model is PipelineTable else slips.OF_TASK if model is TaskTable else {}
    meant = slips.meant_key(key, keys_of(model), words)
    if meant is not None:
        return meant
    if model is PipelineTable:
        elsewhere, where = slips.meant_key(key, keys_of(TaskTable), slips.OF_TASK), _OF_TASK
    else:
        elsewhere, where = slips.meant_key(key, keys_of(PipelineTable), slips.OF_PIPELINE), _OF_PIPELINE
    if elsewhere is not None:
        return Meant(None, f"{elsewhere.near} it is {where}")
    return Meant(None, f"the keys here are {', '.join(keys_of(model))}")


_OF_PIPELINE = "a key of [pipeline]"
_OF_TASK = "a key of a task; for all tasks, write it in [defaults]"
