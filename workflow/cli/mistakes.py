"""Mistakes in the user's file, told: for people on standard error, for programs on standard output."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import tell
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.diagnostics.formats import Format
    from workflow.diagnostics.mistake import InvalidPipeline


def tell_mistakes(error: InvalidPipeline, form: Format = "full") -> int:
    """Tell all of them; the exit code.

    A step of GitHub Actions gets annotations as well.  They go to standard error, where its runner finds them too,
    since standard output may be a program's.
    """
    from workflow.diagnostics.formats import formatted

    workspace = os.environ.get("GITHUB_WORKSPACE") or None
    text = formatted(error.file, error.mistakes, form, workspace)
    if form in ("json", "github"):
        tell(text)
    else:
        _to_stderr(text)
    if os.environ.get("GITHUB_ACTIONS") == "true" and form != "github":
        _to_stderr(formatted(error.file, error.mistakes, "github", workspace))
    return ExitCode.USAGE


def _to_stderr(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it: the exit code says the same
        click.echo(text, err=True)
