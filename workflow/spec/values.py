"""Values a person writes: durations, sizes, paths of Python things.  Each function takes what TOML gave it.

Pure functions that return the value or raise ``Refused``: the models use them once for each task, the plan once for
each instance whose value comes from its matrix.
"""

from __future__ import annotations

import datetime
import math
import re
from typing import Final

from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.reference import describe

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
LONGEST_S: Final = 100 * 365 * 86_400
"""A hundred years: beyond it clocks overflow, and somebody means "none"."""


class Refused(Exception):
    """A value that cannot be meant: what is wrong, and what to write instead."""

    code: str = "bad-value"
    """Of the mistake that comes of it."""

    def __init__(
        self,
        headline: str,
        help_: str | None = None,
        below: tuple[str | int, ...] = (),
        *,
        needle: str | None = None,
    ) -> None:
        super().__init__(headline)
        self.headline = headline
        self.help = help_
        self.below = below
        """Where inside the value."""
        self.needle = needle
        """The part of the text that is wrong."""


class NoDuration(Refused):
    """A value that is no duration."""

    code = "bad-duration"


class NoSize(Refused):
    """A value that is no size."""

    code = "bad-size"


class NoPath(Refused):
    """A value that is no path of something in Python."""

    code = "bad-path"


_UNITS_S: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(
    r"(?:([0-9]+(?:\.[0-9]+)?)d)?(?:([0-9]+(?:\.[0-9]+)?)h)?(?:([0-9]+(?:\.[0-9]+)?)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?(?:([0-9]+(?:\.[0-9]+)?)ms)?"
)
_DURATION_FORMS: Final = 'a duration is written "250ms", "90s", "1h30m" or as a number of seconds'
_UNIT_WORDS: Final = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "msec": "ms",
}  # fmt: skip


def duration_s(value: object, *, above_zero: bool = True) -> float:
    """Seconds.  ``"none"`` is refused here: see ``limit_s``."""
    if isinstance(value, bool):
        raise NoDuration(f"must be a duration, not {describe(value)}", _DURATION_FORMS)
    if isinstance(value, (int, float)):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
    elif isinstance(value, str):
        seconds = _parse_duration(value)
    elif isinstance(value, datetime.time):
        parts = [(value.hour, "h"), (value.minute, "m"), (value.second, "s")]
        written = "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
        raise NoDuration("must be a duration, and this is a time of day in TOML", f'a duration is written "{written}"')
    else:
        raise NoDuration(f"must be a duration, not {describe(value)}", _DURATION_FORMS)
    if seconds < 0 or math.isnan(seconds) or (above_zero and seconds == 0):
        help_ = 'for no limit write "none"' if above_zero and seconds in (0, -1) else None
        raise NoDuration(f"must be {'above 0' if above_zero else '0 or more'} seconds, not {describe(value)}", help_)
    if seconds > LONGEST_S:
        raise NoDuration(
            f"must be at most 100 years, not {describe(value)}", 'for no limit write "none", where there is one'
        )
    return seconds


def limit_s(value: object) -> float | None:
    """Seconds, or None for ``"none"``."""
    return None if value == "none" else duration_s(value)


def grace_s(value: object) -> float:
    """Seconds, 0 included."""
    if value == "none":
        raise NoDuration(
            'is the time between SIGTERM and SIGKILL and cannot be "none"', "write how long a task may clean up"
        )
    return duration_s(value, above_zero=False)


def _parse_duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found and text:
        return math.fsum(
            float(number) * unit
            for number, unit in zip(found.groups(), _UNITS_S.values(), strict=True)
            if number is not None
        )
    raise NoDuration(f"{describe(text)} is not a duration", _duration_hint(text))


def _duration_hint(text: str) -> str:
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return f'write {text} without quotes, or "{text}s"'
    if clock := re.fullmatch(r"([0-9]+):([0-9]{2})(?::([0-9]{2}))?", text):
        hours, minutes, seconds = clock.groups()
        if seconds:
            return f'write "{hours}h{minutes}m{seconds}s"'
        return f'write "{hours}h{minutes}m" or "{hours}m{minutes}s"'
    if part := re.fullmatch(r"(.*[0-9])([hm])\s*([0-9]+)", text):  # 1h30: the next smaller unit was meant
        text = f"{part[1]}{part[2]}{part[3]}{'m' if part[2] == 'h' else 's'}"
        if _DURATION.fullmatch(text):
            return f'write "{text}"'
    words = re.findall(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)", text)
    written = "".join(f"{number}{_UNIT_WORDS.get(unit.lower(), unit.lower())}" for number, unit in words)
    if written and written != text and _DURATION.fullmatch(written):
        return f'write "{written}"'
    if text.lower() in _NO_LIMIT:
        return 'for no limit write "none"'
    if near := did_you_mean(text, ["none"]):
        return near
    return _DURATION_FORMS


_NO_LIMIT: Final = (
    "",
    "0",
    "never",
    "forever",
    "infinite",
    "infinity",
    "inf",
    "unlimited",
    "off",
    "no",
    "false",
    "nolimit",
)


_UNITS_BYTES: Final = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?\s*([A-Za-z]+)")
_SIZE_FORMS: Final = 'a size is written "512MiB", "2GB" or as a number of bytes'


def size_bytes(value: object) -> int | None:
    """Bytes, or None for ``"none"``.  A part of a byte is dropped."""
    if value == "none":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise NoSize(f"must be a size, not {describe(value)}", _SIZE_FORMS)
    size = _parse_size(value) if isinstance(value, str) else value
    if not 1 <= size < 2**63:
        raise NoSize(f"must be from 1 byte to 8 EiB, not {describe(value)}", 'for no limit write "none"')
    return size


LEAST_MEMORY: Final = 2**20
"""Bytes.  No process runs in less, so a lower number lacks its unit."""


def memory_bytes(value: object) -> int | None:
    """Bytes that a process can run in, or None for ``"none"``."""
    size = size_bytes(value)
    if size is not None and size < LEAST_MEMORY:
        help_ = f'write "{value}MiB"' if isinstance(value, int) else 'such as "512MiB"'
        raise NoSize(f"must be at least 1 MiB, not {describe(value)}", help_)
    return size


def _parse_size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found and found.group(3) in _UNITS_BYTES and len(text) < 100:
        whole, fraction, unit = found.groups(default="")
        # In whole numbers: a float would round sizes above 2**53, and differently from what was written.
        return int(whole + fraction) * _UNITS_BYTES[unit] // int("1" + "0" * len(fraction))
    hint = _SIZE_FORMS
    if found and (near := _unit_named(found.group(3))):
        hint = f'write "{text[: found.start(3)].rstrip()}{near}"'
    elif re.fullmatch(r"[0-9]+", text) and len(text) < 30:
        hint = f'write {text} without quotes, or "{text}B"'
    raise NoSize(f"{describe(text)} is not a size", hint)


def _unit_named(text: str) -> str | None:
    lower = text.lower()
    return next((unit for unit in _UNITS_BYTES if lower in (unit.lower(), unit.lower()[:-1])), None) if lower else None


def model_path(value: object) -> str:
    """``"pkg.mod.Class"``."""
    if not isinstance(value, str):
        raise NoPath(f"must be the dotted path of a Model, not {describe(value)}", 'such as "package.module.Class"')
    if ":" in value and _dotted(value.replace(":", "."), 2):
        instead = f'a plain function is run with call = "{value}"; a Model is written "{value.replace(":", ".")}"'
        raise NoPath(f"{describe(value)} is not the dotted path of a Model", instead)
    if not _dotted(value, 2):
        raise NoPath(f"{describe(value)} is not the dotted path of a Model", 'such as "package.module.Class"')
    return value


def function_path(value: object) -> str:
    """``"pkg.mod:function"``."""
    if not isinstance(value, str):
        raise NoPath(f"must be the path of a function, not {describe(value)}", 'such as "package.module:function"')
    module, colon, function = value.partition(":")
    if colon and _dotted(module, 1) and _dotted(function, 1):
        return value
    hint = 'such as "package.module:function"'
    if not colon and _dotted(value, 2):
        hint = f'write "{":".join(value.rsplit(".", 1))}"'
    elif (tidied := _tidied(value)) != value and _dotted(tidied.replace(":", ".", 1), 2) and ":" in tidied:
        hint = f'write "{tidied}"'
    raise NoPath(f"{describe(value)} is not the path of a function", hint)


def _tidied(text: str) -> str:
    """Without what belongs to a file or to a call."""
    return text.removesuffix("()").replace(".py:", ":").removeprefix("./").replace("/", ".").replace("::", ":")


def module_path(value: object) -> str:
    """``"pkg.mod"``."""
    if not isinstance(value, str) or not _dotted(value, 1):
        raise NoPath(f"must be the name of a module, not {describe(value)}", 'such as "package.module"')
    return value


def _dotted(text: str, least: int) -> bool:
    parts = text.split(".")
    return len(parts) >= least and all(part.isidentifier() for part in parts)


STATUSES: Final = ("success", "failure", "any")


def task_name(value: object) -> str:
    """The name of a task, as ``needs`` has it."""
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    if isinstance(value, str) and "@" in value:
        name = value.partition("@")[0]
        raise Refused(f"{describe(value)} is one instance: a task is needed with all its instances", f'write "{name}"')
    names = re.split(r"[,;\s]+", value.strip()) if isinstance(value, str) else []
    help_ = None
    if isinstance(value, str) and NAME.fullmatch(value.removeprefix("tasks.")):
        help_ = f'write "{value.removeprefix("tasks.")}"'
    elif len(names) > 1 and all(NAME.fullmatch(name) for name in names):
        help_ = f"each name is a text of its own: {', '.join(f'{name!r}' for name in names)}".replace("'", '"')
    raise Refused(f"must be the name of a task, not {describe(value)}", help_)


def status(value: object) -> str:
    """How a needed task has to end."""
    if isinstance(value, str) and value in STATUSES:
        return value
    near = did_you_mean(value, STATUSES) if isinstance(value, str) else None
    raise Refused(
        f'must be "success", "failure" or "any", not {describe(value)}' + (f", {near}" if near else ""),
    )


def plain_text(value: object) -> str:
    """Any text without NUL."""
    if not isinstance(value, str):
        raise Refused(f"must be text in quotes, not {describe(value)}")
    if "\0" in value:
        raise Refused("cannot hold a NUL character")
    return value


def some_text(value: object) -> str:
    """Text that is not empty, without NUL."""
    text = plain_text(value)
    if not text:
        raise Refused("must not be empty")
    return text


def shell_line(value: object) -> str:
    """A line for the shell."""
    if isinstance(value, list):
        raise Refused("must be text in quotes, not an array", 'an array is for cmd = ["program", "argument"]')
    return some_text(value)


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Refused(f"must be true or false, not {describe(value)}", _flag_hint(value))
    return value


_FLAG_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "on", "y", "1"), "true"),
    **dict.fromkeys(("false", "no", "off", "n", "0"), "false"),
}  # fmt: skip


def _flag_hint(value: object) -> str | None:
    meant = _FLAG_WORDS.get(str(value).lower()) if isinstance(value, (str, int)) else None
    return meant and f"write {meant}" + (", without quotes" if isinstance(value, str) else "")


def environment_text(value: object) -> str | None:
    """Text for the environment; None for ``false``, which removes the variable."""
    if value is False:
        return None
    if value is True:
        raise Refused("must be text, a number, or false to remove the variable, not true", 'write "true" or "1"')
    if isinstance(value, (int, float)):
        from workflow.spec.reference import as_text

        return as_text(json_value(value))
    if not isinstance(value, str):
        raise Refused(f"must be text, a number, or false to remove the variable, not {describe(value)}")
    return plain_text(value)


_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
"""What Python makes of bytes of the environment or the command line that are not UTF-8."""


def encodable(value: object, below: tuple[str | int, ...] = ()) -> object:
    """A value of JSON whose texts can be written: they become parts of ids and of names of files."""
    if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        raise Refused(f"{describe(value)} cannot be a value here", "it holds bytes that are not UTF-8", below)
    if isinstance(value, dict):
        for key, each in value.items():
            encodable(key, below)
            encodable(each, (*below, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            encodable(each, (*below, number))
    return value


def json_value(value: object, below: tuple[str | int, ...] = ()) -> object:
    """A value that JSON has too: what goes into a plan must mean the same everywhere."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        raise Refused(f"{describe(value)} cannot be a value here", f'write it as text: "{value}"', below)
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{describe(value)} cannot be a value here", "numbers must be finite", below)
    if isinstance(value, int) and value.bit_length() > 1024:
        raise Refused("a whole number has at most 1024 bits here", "write it as text", below)
    if isinstance(value, dict):
        for key, each in value.items():
            json_value(each, (*below, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            json_value(each, (*below, number))
    return value
