"""[vars]: constants of the file, and what ``--var`` makes of them."""

from __future__ import annotations

from collections.abc import Mapping

from workflow.diagnostics.mistake import Mistake, Place
from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.interpolate import Names, interpolate
from workflow.spec.reference import Template, describe, parse
from workflow.spec.values import NAME, Refused, json_value


def read_variables(
    declared: Mapping[str, object], overrides: Mapping[str, str], environ: Names, mistakes: list[Mistake]
) -> dict[str, object]:
    """The values of all variables.  Appends to ``mistakes``; what no value can be is its text then."""
    values: dict[str, object] = {}
    for name, written in declared.items():
        if not NAME.fullmatch(name):
            headline = "the name of a variable is made of letters, digits, '_' and '-', and begins with a letter or '_'"
            mistakes.append(Mistake("bad-name", ("vars", name), headline, at_key=True))
        value = written
        try:
            json_value(written)
        except Refused as error:
            place = ("vars", name, *error.below)
            mistakes.append(Mistake("bad-value", place, error.headline, error.help))
            # The other mistakes are to be found as well, and for that it may have to stand in a text.
            value = _speakable(written)
        values[name] = _unescaped(value, ("vars", name), environ, mistakes)
    for name, text in overrides.items():
        if name not in declared:
            near = did_you_mean(name, declared)
            help_ = f"the file declares {', '.join(declared)}" if declared else "the file has no [vars]"
            headline = f"--var {name}: the file declares no such variable" + (f", {near}" if near else "")
            mistakes.append(Mistake("unknown-variable", (), headline, help_))
            continue
        try:
            values[name] = _typed(text, declared[name])
        except Refused as error:
            mistakes.append(Mistake("bad-variable", (), f"--var {name}: {error.headline}", error.help))
    return values


def _speakable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _speakable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_speakable(each) for each in value]
    try:
        return json_value(value)
    except Refused:
        return str(value)


def _unescaped(value: object, place: Place, environ: Names, mistakes: list[Mistake]) -> object:
    if isinstance(value, str):
        text, wrong = parse(value)
        if isinstance(text, str) and not wrong:
            return text
        if isinstance(text, Template) and not wrong and all(each.namespace == "env" for each in text.references):
            return interpolate(value, place, environ, mistakes)
        needle = wrong[0].text if wrong else None
        headline = "a variable is a constant and can refer to nothing but the environment"
        mistakes.append(Mistake("bad-reference", place, headline, "for a literal ${ write $${", needle=needle))
        return ""
    if isinstance(value, dict):
        return {key: _unescaped(each, (*place, key), environ, mistakes) for key, each in value.items()}
    if isinstance(value, list):
        return [_unescaped(each, (*place, number), environ, mistakes) for number, each in enumerate(value)]
    return value


def _typed(text: str, declared: object) -> object:
    """What was typed at the command line, with the type of the declared value."""
    if isinstance(declared, str):
        return text
    wanted = f"the variable is {describe(declared)} in the file, and {describe(text)} is not of that type"
    if isinstance(declared, bool):
        if text in ("true", "false"):
            return text == "true"
        raise Refused(wanted, "write true or false")
    if isinstance(declared, int):
        try:
            return int(text)
        except ValueError:
            raise Refused(wanted, "write a whole number") from None
    if isinstance(declared, float):
        try:
            return json_value(float(text))
        except ValueError:
            raise Refused(wanted, "write a number") from None
    return _parsed(text, declared, wanted)


def _parsed(text: str, declared: object, wanted: str) -> object:
    import tomli

    try:
        value = tomli.loads(f"value = {text}")["value"]
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        raise Refused(wanted, "write it as TOML, such as [1, 2] or {a = 1}") from None
    if type(value) is not type(declared):
        raise Refused(wanted, "write it as TOML, such as [1, 2] or {a = 1}")
    return json_value(value)
