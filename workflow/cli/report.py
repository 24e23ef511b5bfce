"""``workflow report``: reports of a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workflow.cli.arguments import DEFAULT_FILE
from workflow.report.formats import KNOWN, suffix_of, unknown_format
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.report.material import Material


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[RUN] OUT...")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs are recorded (.workflow in this folder).",
)
def report(words: tuple[str, ...], state_dir: Path | None) -> int:
    """Write reports of RUN, each OUT as its name ends: .json, .xml (JUnit), .html, .md or .trace.json.

    RUN is the id of a run, the beginning of one, or latest, which is also meant where none is given.
    """
    from workflow.cli.settings import settings
    from workflow.report.material import Unreadable, read_material
    from workflow.run.folder import STATE_DIR
    from workflow.run.lookup import LATEST, NoSuchRun, find_run

    name, outs = _split(words)
    check_outs(outs, "OUT")
    how = settings({"state_dir": state_dir}, Path(DEFAULT_FILE))
    try:
        run = find_run(how.state_dir or Path(STATE_DIR), LATEST if name is None else name)
        material = read_material(run.path.resolve())
    except (NoSuchRun, Unreadable) as error:
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
    is_run = suffix_of(Path(first)) is None and (first == "latest" or first[:1].isdigit())
    outs = [Path(word) for word in words[is_run:]]
    if not outs:
        raise click.UsageError(f"say where to write the report: a name that ends in {KNOWN}")
    return first if is_run else None, outs


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
