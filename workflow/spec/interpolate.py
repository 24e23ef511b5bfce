"""Put the variables into a document, and read the references that must wait.

Runs over the raw document before it is checked, so that a variable may stand for a number, a list or a table
wherever one is expected, and so that the models never see text with references in it: what is left is a
``Template``.  Which references may stand where is decided here too.
"""

from __future__ import annotations

from collections.abc import Mapping

from workflow.diagnostics.mistake import Mistake, Place
from workflow.spec.models import TaskTable
from workflow.spec.reference import Mode, Reference, Template, follow, parse, resolve_some

_RESULTS_GO_INTO = ("args", "kwargs", "cmd", "shell", "env")
_FIXED = ("matrix", "needs")
"""Keys that give a task its instances and its order: they cannot depend on either."""


def interpolate(
    value: object, place: Place, variables: Mapping[str, object], mistakes: list[Mistake], key: str | None = None
) -> object:
    """The value with its variables in place.

    ``key`` is the task key that the value belongs to, None outside of tasks.  Appends to ``mistakes``; a string
    with one in it becomes empty text, and whoever looks at it later knows its place as broken.
    """
    if isinstance(value, str):
        return _string(value, place, variables, mistakes, key) if "${" in value else value
    if isinstance(value, dict):
        return {name: interpolate(each, (*place, name), variables, mistakes, key) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, (*place, number), variables, mistakes, key) for number, each in enumerate(value)]
    return value


def interpolate_task(
    table: Mapping[str, object], place: Place, variables: Mapping[str, object], mistakes: list[Mistake]
) -> dict[str, object]:
    """The same for a table of task keys.  At an unknown key nothing is read: that it is unknown is the mistake."""
    return {
        key: interpolate(value, (*place, key), variables, mistakes, key) if key in TaskTable.model_fields else value
        for key, value in table.items()
    }


def _string(
    text: str, place: Place, variables: Mapping[str, object], mistakes: list[Mistake], key: str | None
) -> object:
    template, wrong = parse(text, _mode(place, key))
    before = len(mistakes)
    mistakes.extend(Mistake("bad-reference", place, error.headline, error.help, needle=error.text) for error in wrong)
    if isinstance(template, str):
        return template if not wrong else ""
    for reference in template.references:
        mistakes.extend(_misplaced(reference, place, key))
        if reference.namespace == "vars":
            try:
                _variable(reference, variables)
            except LookupError as error:
                headline, help_ = str(error.args[0]), None
                if not variables:
                    help_ = "variables are declared in a table [vars]"
                mistakes.append(Mistake("unknown-variable", place, headline, help_, needle=str(reference)))
    if len(mistakes) > before:
        return ""
    return resolve_some(template, "vars", lambda reference: _variable(reference, variables))


def _mode(place: Place, key: str | None) -> Mode:
    if key == "shell":
        return "shell"
    # The array of a cmd, or the table of an env, may itself be one reference; what is in them can only be text.
    inside = len(place) > (place.index(key) + 1 if key in place else 0)
    return "text" if key in ("cwd", "doc") or (key in ("cmd", "env", "tags") and inside) else "value"


def _misplaced(reference: Reference, place: Place, key: str | None) -> list[Mistake]:
    namespace = reference.namespace
    if namespace == "vars":
        return []
    if key is None or key in _FIXED:
        where = "[pipeline]" if key is None else f"'{key}'"
        headline = f"{reference} cannot stand in {where}"
        return [Mistake("misplaced-reference", place, headline, "only ${vars.…} can", needle=str(reference))]
    if namespace == "tasks" and key not in _RESULTS_GO_INTO:
        headline = f"{reference} cannot stand in '{key}', which must be known before anything runs"
        help_ = f"results go into {', '.join(_RESULTS_GO_INTO)}"
        return [Mistake("misplaced-reference", place, headline, help_, needle=str(reference))]
    return []


def _variable(reference: Reference, variables: Mapping[str, object]) -> object:
    return follow(variables, reference.path, "[vars]" if len(reference.path) == 1 else "vars")


def templates_in(value: object, place: Place) -> list[tuple[Place, Template]]:
    """Every template in a value, with where it stands."""
    if isinstance(value, Template):
        return [(place, value)]
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in templates_in(each, (*place, name))]
    if isinstance(value, (list, tuple)):
        return [found for number, each in enumerate(value) for found in templates_in(each, (*place, number))]
    return []
