"""``workflow init``: a folder with a pipeline that runs at once, to begin with.

All files or none: each is made only where nothing stands, and when one cannot be made those before it are taken away
again.  The pipeline file comes last, so that whoever is killed in between leaves no pipeline that is not whole.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from workflow.cli.arguments import DEFAULT_FILE, tell
from workflow.run.exit_code import ExitCode

_SCHEMA = ".schemas/pipeline.schema.json"

_STEPS = '''\
"""What the tasks of pipeline.toml do."""


def greet(name: str) -> str:
    """Return a greeting; what a task returns, other tasks can take."""
    return f"Hello, {name}!"


def letter(greetings: list[str]) -> str:
    """Put the greetings into one text."""
    return " ".join(greetings)
'''

_PIPELINE = f"""\
#:schema {_SCHEMA}
# workflow plan: what this does · workflow validate --import: is all of it right? · workflow run

[tasks.greet]
call = "steps:greet"                           # the function `greet` of steps.py, beside this file
args = ["${{matrix.name}}"]
matrix = {{ name = ["Ada", "Grace", "Edsger"] }} # three tasks: greet@Ada, greet@Grace, greet@Edsger
timeout = "10s"                                # then it is ended, with all it has started

[tasks.letter]
call = "steps:letter"
args = ["${{tasks.greet.results}}"]              # so it waits for the three

[tasks.post]
shell = "echo ${{tasks.letter.result}}"          # its output: .workflow/latest/logs/post.log
"""


@click.command(short_help="Write a small pipeline that runs at once.")
@click.argument("folder", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> int:
    """Write a small pipeline that runs into DIR (here): pipeline.toml, a module with its functions, its JSON Schema."""
    from workflow.cli.schema import schema_texts

    files = {_SCHEMA: schema_texts()["pipeline.schema.json"], "steps.py": _STEPS, DEFAULT_FILE: _PIPELINE}
    write_all_or_none(folder, files)
    for name in files:
        tell(folder / name)
    go = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    tell(f"now: {go}workflow run")
    return ExitCode.SUCCEEDED


def write_all_or_none(folder: Path, files: dict[str, str]) -> None:
    """Write new files, by name, in this order.  Raises UsageError, and then nothing was written."""
    for name in files:
        if (folder / name).exists() or (folder / name).is_symlink():
            raise click.UsageError(f"there is {str(folder / name)!r} already; nothing was written")
    made: list[Path] = []
    path = folder
    try:
        for name, text in files.items():
            path = folder / name
            _make_folder(path.parent, made)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        _take_away(made)
        raise click.UsageError(f"{str(path)!r} cannot be written: {error.strerror}; nothing was written") from error
    except BaseException:
        _take_away(made)
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def _take_away(made: list[Path]) -> None:
    for path in reversed(made):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
