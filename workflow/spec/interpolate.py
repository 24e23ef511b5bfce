"""Put the variables into a document, and read the references that must wait.

Runs over the raw document before it is checked, so that a variable may stand for a number, a list or a table
wherever one is expected, and so that the models never see text with references in it: what is left is a
``Template``.  Which references may stand where is decided here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.condition import NAMESPACES as CONDITION_NAMESPACES
from workflow.spec.models import TaskTable, keys_of
from workflow.spec.reference import Mode, Reference, Template, follow, parse, resolve_some

_RESULTS_GO_INTO = ("args", "kwargs", "cmd", "shell", "env")
_SECRETS_GO_INTO = ("args", "kwargs", "env")
_LATE = (*_RESULTS_GO_INTO, "cwd")
"""Keys whose value may wait until the task starts."""
_PATHS = ("inputs", "outputs")
_FIXED = ("matrix", "needs", "extends", "if", "retries", "uses")
"""Keys that give a task its instances and its order, or are the same for all of them: they depend on neither."""


@dataclass(frozen=True, slots=True)
class Names:
    """What references can name while a file is read: variables, the environment, the names of secrets."""

    variables: Mapping[str, object]
    environ: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    read: dict[str, str | None] = field(default_factory=dict)
    """What was read of the environment so far; None for a variable that is not set."""

    def value(self, reference: Reference) -> object:
        """Of a reference to a variable or to the environment.  Raises LookupError with a sentence."""
        if reference.namespace == "vars":
            return follow(self.variables, reference.path, "[vars]" if len(reference.path) == 1 else "vars")
        name = reference.path[0]
        found = self.environ.get(name)
        self.read[name] = found
        # An empty variable counts as set only without a default, as it does for ${X:-default} of a shell.
        if reference.default is not None and not found:
            return reference.default
        if found is None:
            raise LookupError(f"the environment has no variable {name!r}")
        return found

    def variable(self, name: str) -> str:
        """Of the environment; one that is not set is empty."""
        found = self.read[name] = self.environ.get(name)
        return found or ""


def known_early(reference: Reference) -> bool:
    """Whether ``Names`` has it."""
    return reference.namespace in ("vars", "env")


def interpolate(value: object, place: Place, names: Names, mistakes: list[Mistake], key: str | None = None) -> object:
    """The value with what is known in place of its references.

    ``key`` is the task key that the value belongs to, None outside of tasks.  Appends to ``mistakes``; a string
    with one in it becomes empty text, and whoever looks at it later knows its place as broken.
    """
    if isinstance(value, str):
        return _string(value, place, names, mistakes, key) if "${" in value else value
    if isinstance(value, dict):
        return {name: interpolate(each, (*place, name), names, mistakes, key) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, (*place, number), names, mistakes, key) for number, each in enumerate(value)]
    return value


def interpolate_task(
    table: Mapping[str, object], place: Place, names: Names, mistakes: list[Mistake]
) -> dict[str, object]:
    """The same for a table of task keys.  At an unknown key nothing is read: that it is unknown is the mistake."""
    known = keys_of(TaskTable)
    return {
        key: interpolate(value, (*place, key), names, mistakes, key) if key in known else value
        for key, value in table.items()
    }


def _string(text: str, place: Place, names: Names, mistakes: list[Mistake], key: str | None) -> object:
    template, wrong = parse(text, _mode(place, key))
    before = len(mistakes)
    # What stands often in one text is told once: a program may have written it a hundred thousand times.
    told = {(error.text, error.headline): error for error in wrong}.values()
    mistakes.extend(Mistake("bad-reference", place, error.headline, error.help, needle=error.text) for error in told)
    if isinstance(template, str):
        return template if not wrong else ""
    for reference in dict.fromkeys(template.references):
        mistakes.extend(_misplaced(reference, place, key))
        mistakes.extend(_unknown(reference, place, names))
    if len(mistakes) > before:
        return ""
    return resolve_some(template, known_early, names.value)


def _unknown(reference: Reference, place: Place, names: Names) -> list[Mistake]:
    needle = str(reference)
    if reference.namespace == "secrets":
        name = reference.path[0]
        if name in names.secrets:
            return []
        near = did_you_mean(name, names.secrets)
        help_ = 'secrets are declared in a table [secrets], such as token = {env = "API_TOKEN"}'
        headline = f"[secrets] has no {name!r}" + (f", {near}" if near else "")
        return [Mistake("unknown-secret", place, headline, None if near else help_, needle=needle)]
    if not known_early(reference):
        return []
    try:
        names.value(reference)
    except LookupError as error:
        hint: str | None = None
        if reference.namespace == "env":
            hint = f"set it, or write what stands for it: ${{env.{reference.path[0]}:-default}}"
        elif not names.variables:
            hint = "variables are declared in a table [vars]"
        return [Mistake("unknown-variable", place, str(error.args[0]), hint, needle=needle)]
    return []


def _mode(place: Place, key: str | None) -> Mode:
    if key == "shell":
        return "shell"
    # The array of a cmd, or the table of an env, may itself be one reference; what is in them can only be text.
    inside = len(place) > (place.index(key) + 1 if key in place else 0)
    return "text" if key in ("cwd", "doc") or (key in ("cmd", "env", "tags", *_PATHS) and inside) else "value"


def _misplaced(reference: Reference, place: Place, key: str | None) -> list[Mistake]:
    namespace, needle = reference.namespace, str(reference)
    if key == "if":
        # Not even a variable: its value would be read as a part of the question.
        help_ = f"a name stands there by itself: {'.'.join((namespace, *reference.path))}"
        if namespace not in CONDITION_NAMESPACES:
            help_ = "it is answered before anything runs, and asks vars, env and matrix"
        return [Mistake("misplaced-reference", place, f"{reference} cannot stand in 'if'", help_, needle=needle)]
    if known_early(reference):
        return []
    if key is None or key in _FIXED:
        where = f"[{place[0]}]" if key is None else f"'{key}'"
        headline = f"{reference} cannot stand in {where}"
        help_ = "only ${vars.…} and ${env.…} can"
        return [Mistake("misplaced-reference", place, headline, help_, needle=needle)]
    if namespace == "tasks" and key not in _RESULTS_GO_INTO:
        headline = f"{reference} cannot stand in '{key}', which must be known before anything runs"
        help_ = f"results go into {', '.join(_RESULTS_GO_INTO)}"
        return [Mistake("misplaced-reference", place, headline, help_, needle=needle)]
    if namespace == "secrets" and key not in _SECRETS_GO_INTO:
        headline = f"{reference} cannot stand in '{key}', where others would see it"
        secret = reference.path[0]
        help_ = f'give it by the environment: env = {{{secret.upper()} = "{reference}"}}'
        return [Mistake("misplaced-reference", place, headline, help_, needle=needle)]
    if (namespace == "run" or reference == _ATTEMPT) and key not in _LATE:
        headline = f"{reference} cannot stand in '{key}', which must be known before anything runs"
        return [Mistake("misplaced-reference", place, headline, f"it goes into {', '.join(_LATE)}", needle=needle)]
    if reference == _ATTEMPT and key == "cwd":
        help_ = "the folder of a task is the same in all its attempts"
        return [Mistake("misplaced-reference", place, f"{reference} cannot stand in 'cwd'", help_, needle=needle)]
    return []


_ATTEMPT = Reference("task", ("attempt",))


def templates_in(value: object, place: Place) -> list[tuple[Place, Template]]:
    """Every template in a value, with where it stands."""
    if isinstance(value, Template):
        return [(place, value)]
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in templates_in(each, (*place, name))]
    if isinstance(value, (list, tuple)):
        return [found for number, each in enumerate(value) for found in templates_in(each, (*place, number))]
    return []
