"""The checks of single values as pydantic wants them: functions of ``values`` and ``matrix``, with the plumbing.

A check answers the value that the program goes on with, or says in our own words what is wrong: ``Refused``, which
becomes a finding of pydantic with the story in its context.  ``translate`` reads it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from workflow.diagnostics.suggest import did_you_mean
from workflow.info_task import MAX_RETRIES, POOL_MAX, RETRYABLE, RetryPolicy
from workflow.spec import values
from workflow.spec.condition import Condition, read_condition
from workflow.spec.matrix import Findings, read_matrix
from workflow.spec.reference import Template, describe
from workflow.spec.shell import as_command
from workflow.spec.values import Refused


def json_schema(schema: dict[str, Any]) -> WithJsonSchema:
    """A copy for each field: the oldest pydantic we allow writes a field's default into the dictionary it was given."""
    return WithJsonSchema(deepcopy(schema))


def checked(check: Callable[[Any], object], *, template: bool = False) -> PlainValidator:
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
    story = {
        "headline": error.headline,
        "help": error.help,
        "below": error.below,
        "code": error.code,
        "needle": error.needle,
    }
    # Its own message is empty, for it cannot hold what is not UTF-8.
    return PydanticCustomError("refused", "{headline}", {"headline": "", "findings": [story]})


def array(example: str, *, single: bool = False) -> BeforeValidator:
    """An array, said in our words; with ``single``, one element may stand without its brackets."""

    def validate(value: object) -> object:
        if single and isinstance(value, (str, dict, Template)):
            return [value]
        if not isinstance(value, list):
            raise _refused(Refused(f"must be an array, not {describe(value)}", f"such as {example}"))
        return value

    return BeforeValidator(validate)


def table(example: str) -> BeforeValidator:
    """A table, said in our words."""

    def validate(value: object) -> object:
        if not isinstance(value, dict):
            raise _refused(Refused(f"must be a table, not {describe(value)}", f"such as {example}"))
        return value

    return BeforeValidator(validate)


def pool(value: object) -> object:
    """Workers."""
    if value == "cpus" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= POOL_MAX):
        return value
    raise Refused(f'must be a number of workers, from 1 to {POOL_MAX}, or "cpus", not {describe(value)}')


def halt(value: object) -> object:
    """What happens at ``max_failures``."""
    if value in ("never", "soon", "now") and isinstance(value, str):
        return value
    near = did_you_mean(value, ["never", "soon", "now"]) if isinstance(value, str) else None
    raise Refused(f'must be "never", "soon" or "now", not {describe(value)}' + (f", {near}" if near else ""))


def max_failures(value: object) -> object:
    """A count or a percentage."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, str) and value.endswith("%"):
        import re

        if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value[:-1]) and 0 < float(value[:-1]) <= 100:
            return value
    raise Refused(f'must be a count, 1 or more, or a percentage such as "10%", not {describe(value)}')


def format_version(value: object) -> object:
    """The grammar."""
    if isinstance(value, int) and not isinstance(value, bool) and value == 1:
        return value
    raise Refused(f"must be 1, the only format there is, not {describe(value)}")


@dataclass(frozen=True, slots=True)
class NeedTable:
    """One entry of ``needs``: a name alone, or a table that says how the task has to end."""

    task: str
    status: Literal["success", "failure", "any"] = "success"
    match: tuple[str, ...] = ()
    """Axes that pair an instance of this task with those instances of the other that have the same values."""


@dataclass(frozen=True, slots=True)
class LimitTable:
    """One entry of [limits]: so many tokens, each taken while a task runs or, with ``per_s``, for that long."""

    tokens: int
    per_s: float | None = None


@dataclass(frozen=True, slots=True)
class SecretTable:
    """Where a secret comes from: a variable of the environment, a file, or what a command prints."""

    source: Literal["env", "file", "cmd"]
    value: str | tuple[str, ...]


class Needed(NamedTuple):
    """A key that a small table must have, and what to say where it has not."""

    key: str
    headline: str
    help: str


def table_of(
    value: dict[str, object], keys: Mapping[str, Callable[[object], object]], needed: Needed | None = None
) -> dict[str, Any]:
    """Check a small table whose keys are all scalars.  Raises pydantic's error with everything that is wrong in it."""
    findings: list[dict[str, object]] = []
    if needed is not None and needed.key not in value:
        findings.append({"headline": needed.headline, "help": needed.help, "below": (), "code": "bad-value"})
    checked: dict[str, Any] = {}
    for key, each in value.items():
        if key not in keys:
            near = did_you_mean(key, keys)
            headline = "unknown key" + (f", {near}" if near else "")
            help_ = None if near else f"the keys here are {_listed(tuple(keys))}"
            findings.append(
                {"headline": headline, "help": help_, "below": (key,), "at_key": True, "code": "unknown-key"}
            )
            continue
        try:
            checked[key] = keys[key](each)
        except Refused as error:
            findings.append(
                {"headline": error.headline, "help": error.help, "below": (key, *error.below), "code": error.code}
            )
    if findings:
        raise PydanticCustomError("refused", "{headline}", {"headline": "", "findings": findings})
    return checked


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _axes(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(each, str) for each in names):
        raise Refused(f"must be the names of axes, not {describe(value)}", 'such as match = ["file"]')
    return tuple(dict.fromkeys(names))


def need(value: object) -> NeedTable:
    """One entry of ``needs``."""
    if isinstance(value, str):
        return NeedTable(values.task_name(value))
    if not isinstance(value, dict):
        example = 'such as "fetch" or {task = "fetch", status = "any"}'
        raise Refused(f"must be the name of a task or a table, not {describe(value)}", example)
    needed = Needed("task", "does not say which task", 'such as {task = "fetch", status = "any"}')
    return NeedTable(**table_of(value, {"task": values.task_name, "status": values.status, "match": _axes}, needed))


def _factor(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 <= value <= 1e6:
        return float(value)
    raise Refused(f"must be a factor, 1 or more, not {describe(value)}")


def _tries(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_RETRIES:
        return value
    raise Refused(f"must be how many times to try again, 0 to {MAX_RETRIES}, not {describe(value)}")


def _delay_s(value: object) -> float:
    if value == "none":
        raise Refused('is a time and cannot be "none"', "0 is no delay")
    return values.duration_s(value, above_zero=False)


def _retried(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise Refused(f"must be an array of outcomes, not {describe(value)}", 'such as on = ["failed", "timed_out"]')
    for number, name in enumerate(names):
        if name not in RETRYABLE:
            near = did_you_mean(name, RETRYABLE) if isinstance(name, str) else None
            headline = f"{describe(name)} is no outcome that is tried again" + (f", {near}" if near else "")
            raise Refused(headline, f"those are {_listed(RETRYABLE)}", (number,))
    return tuple(dict.fromkeys(names))


_RETRIES: dict[str, Callable[[object], object]] = {
    "max": _tries,
    "delay": _delay_s,
    "backoff": _factor,
    "max_delay": _delay_s,
    "jitter": values.flag,
    "on": _retried,
}
_POLICY_FIELDS = {"delay": "delay_s", "max_delay": "max_delay_s"}


def retries(value: object) -> RetryPolicy:
    """A number of tries after the first, or a table that says when and which."""
    if isinstance(value, dict):
        example = 'such as retries = {max = 3, delay = "1s", backoff = 2}'
        found = table_of(value, _RETRIES, Needed("max", "does not say how many times to try again", example))
        return RetryPolicy(**{_POLICY_FIELDS.get(key, key): each for key, each in found.items()})
    if isinstance(value, int) and not isinstance(value, bool):
        return RetryPolicy(max=_tries(value))
    raise Refused(f"must be a number or a table, not {describe(value)}", 'such as 3 or {max = 3, delay = "1s"}')


def uses(value: object) -> dict[str, int]:
    """Tokens of [limits]: a name, several, or a table of how many of each."""
    if isinstance(value, str):
        return {values.some_text(value): 1}
    if isinstance(value, list):
        for number, each in enumerate(value):
            if not isinstance(each, str) or not each:
                raise Refused(f"must be the name of a limit, not {describe(each)}", None, (number,))
        return dict.fromkeys(value, 1)
    if isinstance(value, dict):
        return table_of(value, dict.fromkeys(value, _token_count))
    example = 'such as uses = "db" or uses = {db = 2}'
    raise Refused(f"must be the names of limits or a table of tokens, not {describe(value)}", example)


def _token_count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise Refused(f"must be a number of tokens, 1 or more, not {describe(value)}")


def limit(value: object) -> LimitTable:
    """One entry of [limits]."""
    if isinstance(value, dict):
        example = 'such as web = {tokens = 10, per = "1s"}'
        needed = Needed("tokens", "does not say how many tokens there are", example)
        found = table_of(value, {"tokens": _token_count, "per": values.duration_s}, needed)
        return LimitTable(found["tokens"], found.get("per"))
    if isinstance(value, int) and not isinstance(value, bool):
        return LimitTable(_token_count(value))
    example = 'such as db = 1 or web = {tokens = 10, per = "1s"}'
    raise Refused(f"must be a number of tokens or a table, not {describe(value)}", example)


_SECRET_FORMS = 'such as {env = "API_TOKEN"}, {file = "token.txt"} or {cmd = ["pass", "show", "api"]}'


def _secret_argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value) or not value[0]:
        raise Refused(f"must be an array of texts, not {describe(value)}", 'such as ["pass", "show", "api"]')
    return tuple(values.plain_text(each) for each in value)


def _variable_name(value: object) -> str:
    name = values.some_text(value)
    if "=" in name:
        raise Refused(f"{describe(name)} is not the name of a variable of the environment")
    return name


_SECRET: dict[str, Callable[[object], object]] = {
    "env": _variable_name,
    "file": values.some_text,
    "cmd": _secret_argv,
}


def secret(value: object) -> SecretTable:
    """One entry of [secrets]."""
    if not isinstance(value, dict):
        headline = f"must be a table that says where the secret comes from, not {describe(value)}"
        if isinstance(value, str):
            headline = "must be a table that says where the secret comes from, not the secret itself"
        raise Refused(headline, _SECRET_FORMS)
    found = table_of(value, _SECRET)
    if len(found) != 1:
        raise Refused("must say where the secret comes from, in one way", _SECRET_FORMS)
    ((source, where),) = found.items()
    return SecretTable(source, where)  # type: ignore[arg-type]  # its key is one of the three


def engine(value: object) -> object:
    """The engine that runs the tasks."""
    if value == "local":
        return value
    raise Refused(f'must be "local", the only engine there is, not {describe(value)}')


def seed(value: object) -> int:
    """A seed: what numpy takes as well as Python."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32:
        return value
    raise Refused(f"must be a whole number from 0 to 4294967295, not {describe(value)}")


def priority(value: object) -> int:
    """Higher first."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    raise Refused(f"must be a whole number, higher first, not {describe(value)}")


def attempts_per_worker(value: object) -> int | None:
    """Attempts before a worker is renewed; None for ``"none"``."""
    if value == "none":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise Refused(f'must be a number of attempts, 1 or more, or "none", not {describe(value)}')


def template_name(value: object) -> str:
    """The name of a table in [templates]."""
    if isinstance(value, str) and values.NAME.fullmatch(value):
        return value
    raise Refused(f"must be the name of a template, not {describe(value)}")


def argument(value: object) -> object:
    """One word of a ``cmd``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise Refused(f"must be text in quotes, not {describe(value)}", f'write "{value}"')
    return values.plain_text(value)


def argv(value: object) -> object:
    """The program and its arguments; more can be said about a string here than about other wrong values."""
    if isinstance(value, (str, Template)):
        raise _refused(Refused("must be an array of texts, not a text", as_command(str(value))))
    if not isinstance(value, list):
        raise _refused(Refused(f"must be an array of texts, not {describe(value)}", 'such as ["ls", "-l"]'))
    if not value or value[0] == "":
        raise _refused(Refused("must name a program", 'such as ["ls", "-l"]'))
    return value


def env_names(value: object) -> object:
    """The names of variables."""
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


def keyword_names(value: object) -> object:
    """``kwargs``."""
    if not isinstance(value, dict):
        raise Refused(f"must be a table, not {describe(value)}", "such as kwargs = {size = 3}")
    return values.json_value(value)


def arguments(value: object) -> object:
    """``args``."""
    if not isinstance(value, list):
        raise Refused(f"must be an array, not {describe(value)}", 'such as args = ["photo.jpg", 3]')
    return tuple(value) if values.json_value(value) is value else ()


def condition(value: object) -> Condition:
    """The question of an ``if``."""
    return read_condition(value)


def matrix(value: object) -> object:
    """The axes."""
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
