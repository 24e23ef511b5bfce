"""``workflow config``: which settings hold for a run of a file, and where each comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from workflow.cli.arguments import file_argument, tell
from workflow.run.exit_code import ExitCode


@click.command()
@file_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def config(file: Path, *, as_json: bool) -> int:
    """Show how FILE (pipeline.toml) would be run: each setting, its value, and where that is said.

    The command line comes before the environment (WORKFLOW_JOBS and so on), and that before the table
    [tool.workflow] of the nearest pyproject.toml. What is run stands in FILE alone.
    """
    from workflow.cli.settings import NAMES, origins, settings

    how = settings({}, file)
    where = origins(file)
    values = {name: getattr(how, name) for name in NAMES}
    shown = {
        name: None if value is None else str(value) if isinstance(value, Path) else value
        for name, value in values.items()
    }
    if as_json:
        rows = {
            name: {"value": value, "from": where[name], "default": where[name] == "default"}
            for name, value in shown.items()
        }
        tell(json.dumps(rows, indent=2))
        return ExitCode.SUCCEEDED
    widths = [max(len(name) for name in shown), max(len(_text(name, value)) for name, value in shown.items())]
    for name, value in shown.items():
        tell(f"{name:<{widths[0]}}  {_text(name, value):<{widths[1]}}  {where[name]}".rstrip())
    return ExitCode.SUCCEEDED


def _text(name: str, value: object) -> str:
    if value is None:
        return _WITHOUT.get(name, "none")
    return os.fspath(value) if isinstance(value, Path) else str(value)


_WITHOUT = {"jobs": "as the file says", "state_dir": ".workflow beside the file"}
