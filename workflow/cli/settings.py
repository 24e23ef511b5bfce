"""How to run: the command line, then ``WORKFLOW_*``, then ``[tool.workflow]`` of the nearest ``pyproject.toml``.

pydantic-settings reads and checks all of them, but importing it takes 0.2 s, twice what a small run takes.  So it is
imported only when there is something to read: a variable of that name, or such a table.  What comes from the command
line alone has been checked by click.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from workflow.info_task import POOL_MAX
from workflow.report.console import Verbosity
from workflow.report.terminal import When

NAMES = ("jobs", "state_dir", "color", "verbosity")
_PREFIX = "WORKFLOW_"
_NEAR = 0.85
_OTHERS = ("WORKFLOW_RUN_ID", "WORKFLOW_TASK_ID", "WORKFLOW_ATTEMPT", "WORKFLOW_SEED", "WORKFLOW_DEBUG")
_MUST = {
    "jobs": f"must be a number of workers, from 1 to {POOL_MAX}",
    "color": "must be auto, always or never",
    "verbosity": "must be quiet, normal or verbose",
    "state_dir": "must be a path",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that hold."""

    jobs: int | None = None
    """Workers; None is what the pipeline file says."""
    state_dir: Path | None = None
    """Where runs are recorded; None is ``.workflow`` beside the pipeline file."""
    color: When = "auto"
    verbosity: Verbosity = "normal"


def settings(given: Mapping[str, object], file: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Answer the settings for a run of ``file``; ``given`` is what the command line said.

    Raises UsageError, naming where it stands, for a value that cannot be meant.
    """
    said = {name: value for name, value in given.items() if value is not None}
    project, table = _project_table(file.absolute().parent)
    _tell_misspelt(environ)
    in_environ = any(environ.get(_PREFIX + name.upper()) for name in NAMES)
    if not table and not in_environ:
        return Settings(**said)  # type: ignore[arg-type]  # click has checked it
    return Settings(**_read(said, table, project))


def _tell_misspelt(environ: Mapping[str, str]) -> None:
    """Say which variables are near to a setting, and none.  No mistake: they may be somebody else's."""
    known = [_PREFIX + name.upper() for name in NAMES]
    for name in environ:
        if name.startswith(_PREFIX) and name not in known and name not in _OTHERS:
            from difflib import get_close_matches

            for near in get_close_matches(name, known, 1, _NEAR):
                click.echo(f"workflow: {name} is no setting, did you mean {near}?", err=True)


def origins(file: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where each setting comes from that the command line does not give: for ``workflow config``."""
    project, table = _project_table(file.absolute().parent)
    said = {str(name).replace("-", "_") for name in table}
    where = dict.fromkeys(NAMES, "default")
    for name in NAMES:
        if environ.get(_PREFIX + name.upper()):
            where[name] = _PREFIX + name.upper()
        elif name in said:
            where[name] = f"[tool.workflow] of {project}"
    return where


def _project_table(folder: Path) -> tuple[Path | None, dict[str, object]]:
    """Answer the nearest pyproject.toml at or above the folder that has something to say, and what it says."""
    from workflow.spec.reading import read_regular

    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        try:
            text = read_regular(path).decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"{path} cannot be read: {error}") from error
        if "workflow" not in text:
            return path, {}
        return path, _parse(path, text)
    return None, {}


def _parse(path: Path, text: str) -> dict[str, object]:
    import tomli

    try:
        tool = tomli.loads(text).get("tool", {})
    except tomli.TOMLDecodeError as error:
        raise click.UsageError(f"{path}: {error}") from error
    table = tool.get("workflow", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise click.UsageError(f"{path}: [tool.workflow] must be a table, not {table!r}")
    return table


def _read(said: Mapping[str, object], table: dict[str, object], project: Path | None) -> dict[str, Any]:
    from pydantic import ValidationError

    from workflow.cli.settings_model import read

    try:
        model = read(said, table)
    except ValidationError as error:
        raise click.UsageError("\n".join(_mistakes(error, project))) from error
    values: dict[str, Any] = {name: getattr(model, name) for name in NAMES}
    if "state_dir" in table and project is not None and values["state_dir"] == Path(str(table["state_dir"])):
        values["state_dir"] = project.parent / values["state_dir"]  # relative to the file it is written in
    return values


def _mistakes(error: Any, project: Path | None) -> list[str]:
    from difflib import get_close_matches

    lines = []
    for mistake in error.errors():
        name = str(mistake["loc"][0])
        if mistake["type"] == "extra_forbidden":
            close = get_close_matches(name, NAMES, 1)
            hint = f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(NAMES)}"
            lines.append(f"{project}: tool.workflow.{name}: unknown key{hint}")
            continue
        place = _PREFIX + name.upper() if os.environ.get(_PREFIX + name.upper()) else f"{project}: tool.workflow.{name}"
        lines.append(f"{place}: {_MUST[name]}, not {mistake['input']!r}")
    return lines
