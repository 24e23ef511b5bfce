"""A file on disk to its TOML document: everything that can go wrong before a key is looked at."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from workflow.diagnostics.mistake import InvalidPipeline, Mistake
from workflow.spec.hints import hint, one_header
from workflow.spec.reading import Unfit, read_regular
from workflow.spec.toml11 import find_newer_syntax

DEEPEST = 64
"""Levels of tables and arrays in each other.  Python's own limit would do as well, but not on each Python alike."""


@dataclass(frozen=True, slots=True)
class Source:
    """A pipeline file as it was read."""

    shown: str
    """The path as the user gave it, for messages."""
    file: Path
    """Absolute."""
    text: str
    document: dict[str, object]

    @property
    def folder(self) -> Path:
        """What relative paths in the file are relative to."""
        return self.file.parent


def read_source(path: Path) -> Source:
    """Read and parse a file.  Raises InvalidPipeline."""
    shown = os.fspath(path)
    if "\0" in shown:
        raise InvalidPipeline(shown, [Mistake("unreadable-file", (), "a path cannot hold a NUL character")])
    try:
        data = read_regular(path)
    except FileNotFoundError:
        raise InvalidPipeline(shown, [_missing(path)]) from None
    except IsADirectoryError:
        help_ = f"name the file in it: {os.path.join(shown, 'pipeline.toml')}"
        raise InvalidPipeline(shown, [Mistake("unreadable-file", (), "is a folder, not a file", help_)]) from None
    except Unfit as error:
        raise InvalidPipeline(shown, [Mistake("unreadable-file", (), str(error))]) from None
    except OSError as error:
        mistake = Mistake("unreadable-file", (), f"cannot be read: {error.strerror or error}")
        raise InvalidPipeline(shown, [mistake]) from None
    text = _decoded(shown, data)
    return Source(shown, Path(os.path.realpath(path)), text, _parsed(shown, text))


def source_of(text: str, shown: str, file: Path) -> Source:
    """What stands in no file, as if it stood in this one.  Raises InvalidPipeline."""
    return Source(shown, file, text, _parsed(shown, text))


def _missing(path: Path) -> Mistake:
    from workflow.diagnostics.suggest import did_you_mean

    try:
        near = did_you_mean(path.name, (each for each in os.listdir(path.parent) if each.endswith(".toml")))
    except OSError:
        return Mistake("unreadable-file", (), f"there is no such file, and no folder {os.fspath(path.parent)!r}")
    return Mistake("unreadable-file", (), "there is no such file" + (f", {near}" if near else ""))


def _decoded(shown: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        start = before.rfind(b"\n") + 1
        stop = data.find(b"\n", start)
        line = data[start : len(data) if stop == -1 else stop].decode(errors="replace").rstrip("\r")
        column = len(data[start : error.start].decode(errors="replace")) + 1
        headline = f"is not UTF-8: byte 0x{data[error.start]:02x} cannot be read"
        mistake = Mistake(
            "not-utf-8",
            (),
            headline,
            "save the file as UTF-8",
            line=before.count(b"\n") + 1,
            column=column,
            end=column + 1,
            source_line=line,
        )
        raise InvalidPipeline(shown, [mistake]) from None
    return text


def _parsed(shown: str, text: str) -> dict[str, object]:
    import tomli

    newer = find_newer_syntax(text)
    if newer is not None:
        headline = f"{newer.what}, this file is TOML 1.0"
        raise InvalidPipeline(shown, [_at_offset("toml-1.1", text, newer.offset, headline, newer.instead)])
    try:
        document: dict[str, object] = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise InvalidPipeline(shown, [_not_toml(text, str(error))]) from None
    except RecursionError:
        raise InvalidPipeline(shown, [_too_deep()]) from None
    except ValueError as error:  # a number of more digits than Python converts
        raise InvalidPipeline(shown, [_unreadable_value(text, error)]) from None
    if _depth_exceeds(document, DEEPEST):
        raise InvalidPipeline(shown, [_too_deep()])
    return document


def _too_deep() -> Mistake:
    return Mistake("too-deep", (), f"tables and arrays are nested deeper than {DEEPEST} levels", line=1)


_TABLE_TWICE = re.compile(r"cannot declare \((.*)\) twice")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def _not_toml(text: str, message: str) -> Mistake:
    found = _POSITION.search(message)
    problem = message[: found.start()] if found else message
    headline = problem[:1].lower() + problem[1:]
    names: list[str] = []
    if twice := _TABLE_TWICE.fullmatch(headline):
        names = [each[0] or each[1] for each in _QUOTED.findall(twice.group(1))]
        headline = f"[{'.'.join(names)}] stands twice"
    if found and found.group(1):
        line, column = int(found.group(1)), int(found.group(2))
    else:
        last = text.rstrip("\r\n")
        line, column = last.count("\n") + 1, len(last) - last.rfind("\n")
    lines = text.split("\n")
    source_line = lines[line - 1].rstrip("\r") if line <= len(lines) else ""
    return Mistake(
        "not-toml",
        (),
        f"not TOML: {headline}",
        one_header(lines, line, names) if twice else hint(lines, line, column, problem),
        line=line,
        column=column,
        end=column + 1,
        source_line=source_line,
    )


def _unreadable_value(text: str, error: ValueError) -> Mistake:
    digits = re.search(r"[0-9_]{4000,}", text)
    if digits is None:
        return Mistake("not-toml", (), f"not TOML: {error}", line=1)
    return _at_offset("not-toml", text, digits.start(), "this number has too many digits", None)


def _at_offset(code: str, text: str, offset: int, headline: str, help_: str | None) -> Mistake:
    line = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    stop = text.find("\n", offset)
    source_line = text[start : len(text) if stop == -1 else stop].rstrip("\r")
    column = offset - start + 1
    return Mistake(code, (), headline, help_, line=line, column=column, end=column + 1, source_line=source_line)


def _depth_exceeds(document: object, limit: int) -> bool:
    level: list[object] = [document]
    for _ in range(limit):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(each for each in value.values() if isinstance(each, (dict, list)))
            elif isinstance(value, list):
                below.extend(each for each in value if isinstance(each, (dict, list)))
        if not below:
            return False
        level = below
    return True
