"""``workflow report``: reports of a run that is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli import completing
from workflow.cli.looking import is_run, state_dir_option, the_run, the_state_dir
from workflow.report.formats import KNOWN, suffix_of, unknown_format
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.report.material import Material


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[RUN] OUT...", shell_complete=completing.run_and_files)
@state_dir_option
def report(words: tuple[str, ...], state_dir: Path | None) -> int:
    """Write reports of RUN, each OUT as its name ends: .json, .xml (JUnit), .html, .md or .trace.json.

    RUN is the id of a run, the beginning of one, or latest, which is also meant where none is given.  Of a run that
    was killed the reports have its tasks that had begun; those that had not ended are told as cancelled.
    """
    from workflow.report.material import Unreadable
    from workflow.run.past import material_of_past

    name, outs = _split(words)
    check_outs(outs, "OUT")
    past = the_run(the_state_dir(state_dir), name)
    try:
        material = material_of_past(past)
    except Unreadable as error:
        raise click.UsageError(str(error)) from error
    written = [_written(path, material) for path in outs]
    return ExitCode.SUCCEEDED if all(written) else ExitCode.BROKEN


def check_outs(paths: Sequence[Path], where: str) -> None:
    """Refuse names that ask for no report that there is, and folders that are missing.  Raises BadParameter."""
    for path in paths:
        if suffix_of(path) is None:
            raise click.BadParameter(unknown_format(path), param_hint=where)
        if not path.parent.is_dir():
            raise click.BadParameter(f"there is no folder {str(path.parent)!r}", param_hint=where)
        if path.is_dir():
            raise click.BadParameter(f"{str(path)!r} is a folder", param_hint=where)


def _split(words: Sequence[str]) -> tuple[str | None, list[Path]]:
    """RUN, if the first word is one, and the files."""
    first = words[0]
    named = suffix_of(Path(first)) is None and is_run(first)
    outs = [Path(word) for word in words[named:]]
    if not outs:
        raise click.UsageError(f"say where to write the report: a name that ends in {KNOWN}")
    return first if named else None, outs


def _written(path: Path, material: Material) -> bool:
    from workflow.report.formats import report_pieces
    from workflow.report.writing import write_whole

    try:
        write_whole(path, report_pieces(path, material))
    except OSError as error:
        problem = error.strerror or str(error)
    except Exception as error:  # noqa: BLE001  a mistake of ours in one report must not cost the others
        problem = f"{type(error).__name__}: {error}"
    else:
        return True
    click.echo(f"workflow: cannot write {path}: {problem}", err=True)
    return False
