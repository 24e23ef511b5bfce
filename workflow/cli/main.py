"""The command line: its commands, and the one place where errors become text and exit codes.

Each command lives in a file of its own, which is imported when that command is asked for, and imports what it needs
when it runs: a command costs no more than click and itself, and a mistake in its arguments not even all of that.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from workflow import __version__, failpoints
from workflow.cli.arguments import NoOutput
from workflow.cli.leaving import ignore_signals, leave_on_signals
from workflow.engine.system import fill_standard_descriptors
from workflow.errors import WorkflowError
from workflow.run.exit_code import ExitCode

if TYPE_CHECKING:
    from workflow.run.engine import EngineFactory

OUR_MISTAKE = (
    "this is a mistake in workflow itself; please report it at the project's issue tracker, "
    "with what WORKFLOW_DEBUG=1 shows"
)


_HOMES = {
    "chaos": "workflow.cli.chaos",
    "completion": "workflow.cli.completion",
    "config": "workflow.cli.config",
    "doctor": "workflow.cli.doctor",
    "explain": "workflow.cli.explain",
    "init": "workflow.cli.init",
    "logs": "workflow.cli.logs",
    "plan": "workflow.cli.inspect",
    "report": "workflow.cli.report",
    "run": "workflow.cli.run",
    "runs": "workflow.cli.runs",
    "schema": "workflow.cli.schema",
    "show": "workflow.cli.show",
    "validate": "workflow.cli.inspect",
}
"""By the name of a command, the module that has it, under the same name."""


class _Commands(Mapping[str, click.Command]):
    """All commands, each imported when it is looked up."""

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(_HOMES[name]), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)

    def __contains__(self, name: object) -> bool:
        return name in _HOMES  # that of Mapping would import it


@click.group(
    commands=_Commands(),  # none is ever added
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="workflow")
def cli() -> None:
    """Run a batch of Python functions and commands, declared in one TOML file.

    Every task ends, and every task gets exactly one outcome.
    """


def main(args: list[str] | None = None, engine: EngineFactory | None = None) -> NoReturn:
    """Run the command line, and leave with its exit code.  ``engine`` stands in for the engine of ``run``."""
    _have_streams()
    leave_on_signals()
    if engine is None:
        failpoints.drop()  # faults are for the harness, whose runs have an engine of its own
    code = _run(sys.argv[1:] if args is None else args, engine)
    _let_go()
    ignore_signals()
    sys.exit(code)


def _have_streams() -> None:
    """Stand nothing in for standard streams that were closed when we were started."""
    fill_standard_descriptors()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115


def _run(args: list[str], engine: EngineFactory | None) -> int:
    if not args and "_WORKFLOW_COMPLETE" not in os.environ:  # each click has its own idea of what that is
        _say(cli.get_help(click.Context(cli, info_name="workflow", **cli.context_settings)))
        return ExitCode.USAGE
    try:
        code: object = cli.main(args, prog_name="workflow", standalone_mode=False, obj=engine)
    except click.exceptions.Exit as end:  # --help and --version
        return end.exit_code
    except click.ClickException as error:
        return _usage(error)
    except NoOutput as error:
        _say(f"workflow: {error}")
        return ExitCode.BROKEN
    except SystemExit:  # click, when whoever read standard output has seen enough
        return ExitCode.SUCCEEDED
    except Exception as error:  # noqa: BLE001  the one place
        return _mistake(error)
    return code if isinstance(code, int) else ExitCode.SUCCEEDED


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if context is not None:
        _say(context.get_usage())
    _say(f"workflow: {error.format_message()}")
    return ExitCode.USAGE


def _mistake(error: Exception) -> int:
    from workflow.diagnostics.mistake import InvalidPipeline
    from workflow.run.folder import StateError

    if isinstance(error, InvalidPipeline):
        from workflow.cli.mistakes import tell_mistakes

        return tell_mistakes(error)
    if os.environ.get("WORKFLOW_DEBUG") == "1":
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, (StateError, WorkflowError)):
        _say(f"workflow: {error}")
    else:
        _say(f"workflow: {type(error).__name__}: {error}; {OUR_MISTAKE}")
    return ExitCode.BROKEN


def _say(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def _let_go() -> None:
    """Flush what can be flushed; a reader that has left is no reason for the interpreter to complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())


def cut_short(code: int) -> NoReturn:
    """Registered for the end of a process that is ours alone: to take every module apart takes a tenth of a run.

    All that others have registered runs before.
    """
    atexit.unregister(cut_short)
    atexit._run_exitfuncs()  # noqa: SLF001  which end with us
    _let_go()
    os._exit(code)
