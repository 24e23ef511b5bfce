"""Mistakes in the forms that programs read, and in one line each.

The names are those of ruff: ``full`` is the text of ``render``, ``concise`` its first line with the code, ``json`` an
array of objects, ``github`` the workflow commands that GitHub Actions turns into annotations.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Literal

from workflow.diagnostics.mistake import Mistake
from workflow.diagnostics.render import dotted, headline, render, visible

Format = Literal["full", "concise", "json", "github"]
FORMATS: tuple[Format, ...] = ("full", "concise", "json", "github")


def formatted(file: str, mistakes: Sequence[Mistake], form: Format, workspace: str | None = None) -> str:
    """All mistakes in one of the forms, without a newline at the end."""
    if form == "full":
        return "\n".join(part for part in (render(file, mistakes), explanation(mistakes)) if part)
    if form == "concise":
        return "\n".join(f"{headline(file, mistake)} [{mistake.code}]" for mistake in mistakes)
    if form == "json":
        return json.dumps([as_object(file, mistake) for mistake in mistakes], indent=2)
    return "\n".join(annotation(file, mistake, workspace) for mistake in mistakes)


def explanation(mistakes: Iterable[Mistake]) -> str:
    """The line that says how to read more about these; empty where there is nothing more."""
    from workflow.diagnostics.codes import CODES

    codes = dict.fromkeys(mistake.code for mistake in mistakes if mistake.code in CODES)
    return f"explain: workflow explain {' '.join(codes)}" if codes else ""


def as_object(file: str, mistake: Mistake) -> dict[str, object]:
    """A mistake as JSON has it.  Without a position, line and columns are null; columns count characters, from 1."""
    known = mistake.line is not None
    shown = mistake.file or file
    return {
        "code": mistake.code,
        "file": shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),  # a name need not be UTF-8
        "line": mistake.line,
        "column": mistake.column if known else None,
        "end_column": mistake.end if known else None,
        "place": list(mistake.place),
        "message": mistake.headline,
        "help": mistake.help,
    }


def annotation(file: str, mistake: Mistake, workspace: str | None = None) -> str:
    """A mistake as a workflow command of GitHub Actions.

    A relative path would be looked for in the workspace, wherever the step runs: so a file below ``workspace`` is
    named from there, any other by its absolute path.
    """
    # What the command line says is in no file, and is told at that which was run.
    in_a_file = mistake.line is not None or mistake.file is None
    properties = {"file": _from(workspace, (mistake.file if in_a_file else None) or file)}
    if mistake.line is not None:
        properties |= {"line": str(mistake.line), "col": str(mistake.column), "endColumn": str(mistake.end)}
    properties["title"] = mistake.code
    shown = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    place = f"{dotted(mistake.place)}: " if mistake.place else ""
    help_ = f"\nhelp: {visible(mistake.help)}" if mistake.help else ""
    where = "" if in_a_file else f"{visible(str(mistake.file))}: "
    return f"::error {shown}::{_data(where + place + visible(mistake.headline) + help_)}"


def _from(workspace: str | None, file: str) -> str:
    if workspace is None:
        return visible(file)
    real, root = os.path.realpath(file), os.path.realpath(workspace)
    inside = os.path.commonpath([real, root]) == root
    return visible(os.path.relpath(real, root) if inside else real)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
