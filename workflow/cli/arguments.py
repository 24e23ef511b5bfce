"""Arguments that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_FILE = "pipeline.toml"


def file_argument(command: Command) -> Command:
    """The pipeline file."""
    path = click.Path(dir_okay=False, path_type=Path)
    return click.argument("file", type=path, default=DEFAULT_FILE, required=False)(command)


def variables_option(command: Command) -> Command:
    """``--var k=v``, as often as wanted."""
    return click.option(
        "--var", "variables", multiple=True, metavar="K=V", callback=_variables, help="Set a variable of [vars]."
    )(command)


def selection_options(command: Command) -> Command:
    """``--select`` and ``--tag``."""
    command = click.option(
        "--tag", "tags", multiple=True, metavar="TAG", help="Only tasks with this tag, and what they need."
    )(command)
    return click.option(
        "--select",
        "globs",
        multiple=True,
        metavar="GLOB",
        help="Only tasks whose id or name matches, and what they need.",
    )(command)


def existing(file: Path) -> Path:
    """Answer the file, if there is one.  Raises UsageError."""
    if file.is_file():
        return file
    hint = "; give the path of a pipeline file" if str(file) == DEFAULT_FILE else ""
    raise click.UsageError(
        f"there is no file {str(file)!r} here{hint}" if not file.is_absolute() else f"there is no file {str(file)!r}"
    )


def _variables(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    variables = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        variables[name] = text
    return variables
