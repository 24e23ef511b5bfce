"""References in strings: ``${vars.x}``, ``${matrix.x}``, ``${tasks.x.result}``; ``$${`` stands for ``${``.

Of another task there are its ``result``, the ``results`` of its instances that succeeded, and ``items``, all its
instances; of the task itself ``task.id``, ``task.name`` and ``task.attempt``; of the run ``run.id`` and ``run.dir``.
A variable of the environment may be missing: ``${env.X:-default}``.

A string is read once, into literal text and references, and never again: a value that is put into it and happens
to hold ``${…}`` stays what it is.  A string without references becomes a plain ``str`` at once; one that waits for
the matrix or for results is a ``Template`` until they are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Union

from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.shell import Spots

Mode = Literal["value", "text", "shell"]
"""What a value becomes: itself where the string is one reference and nothing else, always text (argv, environment),
or text quoted for the shell."""

NAMESPACES = ("env", "matrix", "run", "secrets", "task", "tasks", "vars")
TASK_PARTS = ("result", "results", "items")
OWN_PARTS = {"run": ("id", "dir"), "task": ("id", "name", "attempt")}


@dataclass(frozen=True, slots=True)
class Reference:
    """``${namespace.path}``."""

    namespace: str
    path: tuple[str, ...]
    default: str | None = None
    """What stands for a variable of the environment that is not set."""

    def __str__(self) -> str:
        default = "" if self.default is None else f":-{self.default}"
        return "${" + ".".join((self.namespace, *self.path)) + default + "}"


@dataclass(frozen=True, slots=True)
class Template:
    """A string with references in it; two literals never stand side by side."""

    parts: tuple[Union[str, Reference], ...]
    mode: Mode = "value"

    def __str__(self) -> str:
        """As the file would write it."""
        return "".join(escape(part) if isinstance(part, str) else str(part) for part in self.parts)

    @property
    def references(self) -> tuple[Reference, ...]:
        """Those in the text, in its order."""
        return tuple(part for part in self.parts if not isinstance(part, str))


class BadReference(Exception):
    """A reference that cannot be meant: the text of it, what is wrong, what to do."""

    def __init__(self, text: str, headline: str, help_: str | None = None) -> None:
        super().__init__(headline)
        self.text = text
        self.headline = headline
        self.help = help_


def escape(text: str) -> str:
    """Literal text as the file would write it."""
    return text.replace("${", "$${") if "${" in text else text


_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}\n]*)(\}?)")
_PART = re.compile(r"[A-Za-z0-9_-]+")


def parse(text: str, mode: Mode = "value") -> tuple[Template | str, list[BadReference]]:
    """Read a string.  What is wrong with it is returned, not raised: a string may hold several mistakes."""
    if "${" not in text:
        return text, []
    parts: list[str | Reference] = []
    wrong: list[BadReference] = []
    literal, at, spots = "", 0, Spots(text)
    for match in _REFERENCE.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match.group() == "$${":
            literal += "${"
            continue
        try:
            reference = _reference(match, shell=mode == "shell")
        except BadReference as error:
            wrong.append(error)
            continue
        spot = spots.unsafe(match.start()) if mode == "shell" else None
        if spot is not None:
            headline = f"{match.group()} stands {spot}, where quoting it for the shell does not keep it one word"
            help_ = "take the quotes around it away: it is quoted already" if spot == "inside quotes" else "move it out"
            help_ += f', or put the value into env and write "${reference.path[-1]}"'
            wrong.append(BadReference(match.group(), headline, help_))
            continue
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(reference)
    literal += text[at:]
    if literal:
        parts.append(literal)
    if any(isinstance(part, Reference) for part in parts):
        return Template(tuple(parts), mode), wrong
    return literal, wrong


def resolve(template: Template, lookup: Callable[[Reference], object]) -> object:
    """The value of a template whose references are all known to ``lookup``."""
    parts, mode = template.parts, template.mode
    if len(parts) == 1 and mode == "value" and not isinstance(parts[0], str):
        return lookup(parts[0])
    return "".join(part if isinstance(part, str) else as_text(lookup(part), mode) for part in parts)


def resolve_some(
    template: Template, known: Callable[[Reference], bool], lookup: Callable[[Reference], object]
) -> object:
    """Fill in the references that are known; a Template where others remain."""
    if all(isinstance(part, str) or known(part) for part in template.parts):
        return resolve(template, lookup)
    if len(template.parts) == 1:
        return template
    parts: list[str | Reference] = []
    for part in template.parts:
        if isinstance(part, Reference) and not known(part):
            parts.append(part)
            continue
        text = part if isinstance(part, str) else as_text(lookup(part), template.mode)
        if parts and isinstance(parts[-1], str):
            parts[-1] += text
        elif text:
            parts.append(text)
    return Template(tuple(parts), template.mode)


def as_text(value: object, mode: Mode = "text") -> str:
    """A value inside text: strings as they are, the rest as JSON.  Raises TypeError or ValueError for what has none."""
    # Whole numbers are most of what a large matrix holds, and Python writes them as JSON does, in a third of the time.
    text = value if isinstance(value, str) else str(value) if type(value) is int else _json(value)
    if mode != "shell":
        return text
    from shlex import quote

    return quote(text)


_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def follow(value: object, path: tuple[str, ...], walked: str) -> object:
    """Go on into tables by key and into lists by number.  Raises LookupError with a sentence."""
    for step in path:
        if isinstance(value, dict):
            if step not in value:
                near = did_you_mean(step, [key for key in value if isinstance(key, str)])
                message = f"{walked} has no {step!r}" + (f", {near}" if near else "")
                raise LookupError(message)
            value = value[step]
        elif isinstance(value, (list, tuple)):
            if not step.isdecimal():
                message = f"{walked} is a list: {step!r} is not a position in it"
                raise LookupError(message)
            if int(step) >= len(value):
                message = f"{walked} has no element {step}: there are {len(value)}, counted from 0"
                raise LookupError(message)
            value = value[int(step)]
        else:
            message = f"{walked} is {describe(value)}, there is nothing in it to take {step!r} from"
            raise LookupError(message)  # noqa: TRY004  # for the caller all of these are "it is not there"
        walked += f".{step}"
    return value


def describe(value: object) -> str:
    """A value for a message: what kind it is, and what it is where that is short."""
    import datetime

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:37] + "…"
        return f"the text {json.dumps(shown, ensure_ascii=False)}"
    if isinstance(value, (int, float)):
        shown = (
            f"{value:.6e}" if isinstance(value, int) and value.bit_length() > 130 and value.bit_length() < 1000 else ""
        )
        if isinstance(value, int) and value.bit_length() >= 1000:
            shown = "with very many digits"
        return f"the number {shown or value}"
    if isinstance(value, (list, tuple)):
        return "an array" if value else "an empty array"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (datetime.datetime, datetime.date)):
        return f"the date {value}"
    if isinstance(value, datetime.time):
        return f"the time of day {value}"
    if value is None:
        return "nothing (None)"
    if isinstance(value, Template):
        return f"the text {json.dumps(str(value), ensure_ascii=False)}"
    kind = getattr(value, "kind", None)  # of a result that only the task which takes it may unpickle
    return f"an object of type {kind if isinstance(kind, str) else type(value).__qualname__}"


def _reference(match: re.Match[str], *, shell: bool) -> Reference:
    text, inner = match.group(), match.group(1)
    own = f"the shell's own is written $${{{inner}}}" if shell else f"for the text {text} itself write $${{{inner}}}"
    if match.string.startswith("{", match.end()):
        raise BadReference(text, "a reference has one brace on each side", "such as ${matrix.size}")
    if not match.group(2):
        raise BadReference(text, f"the reference {text!r} has no closing '}}'", "for a literal ${ write $${")
    namespace, dot, rest = inner.partition(".")
    if namespace not in NAMESPACES:
        raise _unknown_namespace(text, inner, namespace, own, shell=shell)
    if namespace == "env":
        return _variable_of_environment(text, rest, own)
    path = tuple(rest.split(".")) if dot else ()
    if not path or not all(_PART.fullmatch(part) for part in path):
        raise BadReference(text, f"{text} is not a reference: after {namespace!r} stand a dot and a name", own)
    if namespace == "tasks":
        _check_tasks_path(text, path)
    elif namespace in OWN_PARTS and (len(path) > 1 or path[0] not in OWN_PARTS[namespace]):
        known = OWN_PARTS[namespace]
        near = did_you_mean(path[0], known) if len(path) == 1 else None
        if near is None and namespace == "task" and len(path) > 1:
            near = f"did you mean ${{tasks.{'.'.join(path)}}}?"
        headline = f"unknown reference {text}" + (f", {near}" if near else "")
        raise BadReference(text, headline, f"there are {', '.join(f'{namespace}.{each}' for each in known)}")
    elif namespace == "secrets" and len(path) > 1:
        raise BadReference(text, f"{text}: a secret is a text, there is nothing in it to refer to")
    return Reference(namespace, path)


def _variable_of_environment(text: str, rest: str, own: str) -> Reference:
    name, separator, default = rest.partition(":-")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        help_ = f"a variable is written ${{env.NAME}}, or ${{env.NAME:-default}}; {own}"
        raise BadReference(
            text, f"{text} is not a reference: after 'env' stand a dot and the name of a variable", help_
        )
    return Reference("env", (name,), default if separator else None)


def _unknown_namespace(text: str, inner: str, namespace: str, own: str, *, shell: bool) -> BadReference:
    known = f"references begin with {', '.join(f'{each}.' for each in NAMESPACES[:-1])} or {NAMESPACES[-1]}."
    if inner == namespace and re.fullmatch(r"[A-Z_][A-Z0-9_]*", inner):  # ${HOME}: somebody thinks of the environment
        simple = f" or ${inner}" if shell else ""
        environment = f"the variable of the environment is ${{env.{inner}}}"
        help_ = f"the shell's own is written $${{{inner}}}{simple}" if shell else f"{environment}; {own}"
        return BadReference(text, f"unknown reference {text}", help_)
    if inner.strip() != inner and inner.strip():
        return BadReference(text, f"there is no space in a reference, as in {text}", f"write ${{{inner.strip()}}}")
    near = did_you_mean(namespace, NAMESPACES)
    return BadReference(text, f"unknown reference {text}" + (f", {near}" if near else ""), f"{known}; {own}")


def _check_tasks_path(text: str, path: tuple[str, ...]) -> None:
    if len(path) < 2:
        raise BadReference(text, f"{text} names no part of the task", f"its result is ${{tasks.{path[0]}.result}}")
    if path[1] not in TASK_PARTS:
        near = did_you_mean(path[1], TASK_PARTS)
        headline = f"a task has no {path[1]!r} to refer to" + (f", {near}" if near else "")
        raise BadReference(text, headline, f"its result is ${{tasks.{path[0]}.result}}")
    if path[1] != "result" and len(path) > 2 and not path[2].isdecimal():
        help_ = f"one of them is ${{tasks.{path[0]}.{path[1]}.0}}"
        raise BadReference(text, f"{text}: {path[1]} is a list, {path[2]!r} is not a position in it", help_)
