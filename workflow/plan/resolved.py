"""The file as it was meant, on one page: what stands in it once everything is laid into it.

Included files, the profile, templates, ``[defaults]``, ``--set`` and variables are in place; matrices are not expanded,
so a run of a million tasks has no more to keep than its file says.  Results of tasks, what differs by instance, and
secrets stay the references that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING

from workflow.plan.plan import Json, Resolved
from workflow.spec.interpolate import Names, interpolate

if TYPE_CHECKING:
    from workflow.spec.pipeline import Pipeline


def resolved(pipeline: Pipeline, sources: Mapping[str, str]) -> Resolved:
    """What a pipeline without mistakes says.  ``sources`` has the digest of each file it was read from."""
    environ = {name: value for name, value in pipeline.environ.items() if value is not None}
    names = Names(pipeline.variables, environ, tuple(pipeline.secrets))
    value = pipeline.document.value
    tables: dict[str, object] = {
        section: interpolate(value[section], (section,), names, [])
        for section in ("pipeline", "limits", "secrets")
        if section in value
    }
    if pipeline.variables:
        tables["vars"] = pipeline.variables
    tables["tasks"] = {name: pipeline.merged(name) for name in pipeline.tasks}
    return Resolved({section: _json(table) for section, table in tables.items()}, sources)


def _json(value: object) -> Json:
    """A value as JSON can say it; what it cannot say, such as NaN, becomes the text of it."""
    if isinstance(value, Mapping):
        return {str(key): _json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
