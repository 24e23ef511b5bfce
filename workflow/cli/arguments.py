"""Arguments that several commands take."""

from __future__ import annotations

import errno
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from workflow.cli import completing
from workflow.info_task import POOL_MAX

if TYPE_CHECKING:
    from workflow.plan.plan import Plan

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_FILE = "pipeline.toml"


class NoOutput(Exception):
    """Standard output takes nothing: the disk under it is full, say."""


def tell(text: object, end: str = "\n") -> None:
    """Write a line, or a piece of one, to standard output.

    Raises NoOutput; a reader that has left is click's to deal with.
    """
    try:
        click.echo(f"{text}{end}", nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NoOutput(f"cannot write to standard output: {error.strerror or error}") from error


class Count(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click
    """A whole number in a range, refused in words that say what it is for."""

    name = "count"

    def __init__(self, what: str, least: int, most: int, instead: str) -> None:
        self._what = f"{what}, from {least} to {most}"
        self._least, self._most = least, most
        self._instead = instead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Answer the number.  Raises BadParameter."""
        try:
            number = int(str(value))
        except ValueError:
            number = self._least - 1
        if not self._least <= number <= self._most:
            self.fail(f"{str(value)!r} is not {self._what}; {self._instead}", param, ctx)
        return number


WORKERS = Count("a number of workers", 1, POOL_MAX, "left out, it is what the file says, or one per CPU")


def selected(plan: Plan, globs: Sequence[str], tags: Sequence[str]) -> Plan | None:
    """What was asked for of a plan; None, which was told, where nothing is, or one of several asks for nothing.

    That one is likely to be misspelt, and a task that does not run because of it would not be missed.
    """
    from workflow.plan.select import matches, select

    if not globs and not tags:
        return plan
    idle = [glob for glob in globs if not matches(plan, glob)]
    unknown = [tag for tag in tags if not any(tag in task.tags for task in plan.tasks.differing("tags"))]
    chosen = None if idle or unknown else select(plan, globs=globs, tags=tags)
    if chosen is not None and chosen.tasks:
        return chosen
    nothing_selected(plan, *((globs, tags) if chosen is not None else (idle, unknown)))
    return None


def nothing_selected(plan: Plan, globs: Sequence[str], tags: Sequence[str]) -> None:
    """Say what was asked for, and what is near it."""
    from workflow.plan.ids import meant

    ids = {*plan.tasks.names, *plan.tasks.ids()}
    known_tags = {str(tag) for task in plan.tasks.differing("tags") for tag in task.tags}
    asked = [("--select", glob, ids) for glob in globs] + [("--tag", tag, known_tags) for tag in tags]
    given = " ".join(f"{option} {shlex.quote(text)}" for option, text, _ in asked)
    near = [found for _, text, known in asked if text not in known and (found := meant(text, known))]
    click.echo(f"nothing is selected by {given}" + (f"; {' '.join(near)}" if near else ""), err=True)


def file_argument(command: Command) -> Command:
    """The pipeline file."""
    path = click.Path(dir_okay=False, path_type=Path)
    return click.argument(
        "file", type=path, default=DEFAULT_FILE, required=False, shell_complete=completing.pipeline_files
    )(command)


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about what is in the file."""

    variables: Mapping[str, str]
    profile: str | None
    sets: tuple[str, ...]
    root: Path | None = None
    """Of a saved plan: what its relative paths are relative to."""

    def __bool__(self) -> bool:
        return bool(self.variables or self.profile or self.sets)

    def plan(self, file: Path, *, hashed: bool = True) -> Plan:
        """The plan of the file, or the one saved in it.  Raises InvalidPipeline, UsageError.

        Without ``hashed``, that of a file may have no hash.
        """
        from workflow.plan.saved import load_saved, looks_saved

        if looks_saved(file):
            if self:
                raise click.UsageError(
                    f"{file} is a saved plan: --profile, --var and --set are for the pipeline file it was made from"
                )
            return load_saved(file, self.root)
        if self.root is not None:
            raise click.UsageError(f"--root is for a saved plan; in {file} paths are relative to the file")
        from workflow.plan.build import load_plan

        return load_plan(file, self.variables, profile=self.profile, sets=self.sets, hashed=hashed)

    @property
    def words(self) -> tuple[str, ...]:
        """As it was said."""
        profile = () if self.profile is None else ("--profile", self.profile)
        variables = (part for name, value in self.variables.items() for part in ("--var", f"{name}={value}"))
        return (*profile, *variables, *(part for text in self.sets for part in ("--set", text)))


def file_options(command: Command) -> Command:
    """``--profile P``, and ``--var k=v`` and ``--set key=value`` as often as wanted; the command gets a ``Given``."""

    @wraps(command)
    def collected(
        *args: Any,
        variables: dict[str, str],
        profile: str | None,
        sets: tuple[str, ...],
        root: Path | None = None,
        **others: Any,
    ) -> Any:
        return command(*args, given=Given(variables, profile, sets, root), **others)

    return cast(Command, _file_options(collected))


def root_option(command: Command) -> Command:
    """``--root DIR``, beside ``file_options``."""
    return click.option(
        "--root",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="FILE is a saved plan: its paths are relative to DIR (the folder of FILE).",
    )(command)


def _file_options(command: Callable[..., Any]) -> Any:
    command = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Lay a value over the file: tasks.fetch.timeout=9s.",
    )(command)
    command = click.option(
        "--var",
        "variables",
        multiple=True,
        metavar="K=V",
        callback=_variables,
        shell_complete=completing.variables,
        help="Set a variable of [vars].",
    )(command)
    return click.option(
        "--profile", metavar="P", shell_complete=completing.profiles, help="Lay the keys of [profiles.P] over the file."
    )(command)


def selection_options(command: Command) -> Command:
    """``--select`` and ``--tag``."""
    command = click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="TAG",
        shell_complete=completing.tags,
        help="Only tasks with this tag, and what they need.",
    )(command)
    return click.option(
        "--select",
        "globs",
        multiple=True,
        metavar="GLOB",
        shell_complete=completing.task_names,
        help="Only tasks whose id or name matches, and what they need.",
    )(command)


def existing(file: Path) -> Path:
    """Answer the file, if there is one.  Raises UsageError."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise click.UsageError(f"{str(file)!r} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise click.UsageError(f"{str(file)!r}: a path cannot hold a NUL character") from None
    else:
        if stat.S_ISREG(mode):
            return file
        from workflow.spec.reading import kind

        raise click.UsageError(f"{str(file)!r} is {kind(mode)}, not a regular file")
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
