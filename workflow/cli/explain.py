"""``workflow explain``: what a kind of mistake means, with a file that has it and one that does not."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import tell
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from workflow.diagnostics.codes import Code, Example

_WIDTH_MAX = 100


def _completed(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from workflow.diagnostics.codes import CODES

    return [CompletionItem(code, help=each.title) for code, each in CODES.items() if code.startswith(incomplete)]


@click.command(short_help="Say what a kind of mistake means, with an example.")
@click.argument("codes", nargs=-1, metavar="[CODE]...", shell_complete=_completed)
def explain(codes: tuple[str, ...]) -> int:
    """Say what a CODE of `workflow validate` means, with an example; without one, list them all."""
    from workflow.diagnostics.codes import CODES
    from workflow.diagnostics.suggest import did_you_mean

    for code in codes:
        if code not in CODES:
            near = did_you_mean(code, CODES)
            hint = f", {near}" if near else "; `workflow explain` lists them"
            raise click.UsageError(f"there is no code {code!r}{hint}")
    if codes:
        width = max(40, min(_WIDTH_MAX, shutil.get_terminal_size((_WIDTH_MAX, 24)).columns))
        tell("\n\n".join(explained(CODES[code], width) for code in dict.fromkeys(codes)))
    else:
        longest = max(map(len, CODES))
        tell("\n".join(f"{code:{longest}}  {each.title}" for code, each in CODES.items()))
    return ExitCode.SUCCEEDED


def explained(code: Code, width: int = _WIDTH_MAX) -> str:
    """Everything about a code, as text."""
    parts = [f"{code.code}: {code.title}", "", textwrap.fill(code.meaning, width, break_on_hyphens=False)]
    parts += _example("This is a mistake", code.bad)
    parts += _example("This is right", code.good)
    return "\n".join(parts)


def _example(what: str, example: Example) -> list[str]:
    from workflow.diagnostics.render import visible

    command = ("workflow", example.command, *example.options)
    if example.command == "chaos":
        command = (*command, "pipeline.toml", "--faults", "faults.toml")
    asked = "" if command == ("workflow", "validate") else f", for {' '.join(command)}"
    files = {**example.beside, example.file: example.text} if example.text else {}
    parts = ["", f"{what}{asked}:"]
    for name, text in files.items():
        title = [] if len(files) == 1 and name == "pipeline.toml" else ["", f"    # {name}"]
        parts += [*(title or [""]), *(f"    {visible(line)}" if line else "" for line in text.splitlines())]
    return parts
