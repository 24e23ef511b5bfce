"""Mistakes on the command line: told in one place, with exit code 2, before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GOOD = '[tasks.a]\ncmd = ["true"]\n'


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "nowhere.toml"], "there is no file 'nowhere.toml'"),
        (["run", "--jobs", "0", "pipeline.toml"], "'0' is not a number of workers, from 1 to 4096"),
        (["run", "--report", "x.yaml"], "'x.yaml' must end in .json"),
        (["run", "--report", "nowhere/x.json"], "there is no folder 'nowhere'"),
        (["run", "--var", "x"], "'x' is not NAME=VALUE"),
        (["run", "-q", "-v"], "-q and -v exclude each other"),
        (["run", "--color", "blue"], "'blue' is not one of"),
        (["run", "--retries", "3"], "No such option"),
        (["runn"], "No such command"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_with_exit_code_2(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path, args: list[str], said: str
) -> None:
    """What is wrong, and no traceback; nothing is left behind."""
    pipeline(GOOD)
    ran = workflow(*args)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.toml"]


def test_without_a_file_the_one_here_is_meant(workflow: Callable[..., Any]) -> None:
    """And said so when it is not there."""
    ran = workflow("validate")
    assert ran.returncode == 2
    assert "there is no file 'pipeline.toml' here" in ran.stderr


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version_are_on_standard_output(workflow: Callable[..., Any], args: list[str]) -> None:
    """With exit code 0."""
    ran = workflow(*args)
    assert ran.returncode == 0
    assert "workflow" in ran.stdout
    assert ran.stderr == ""


def test_a_reader_that_leaves_early_is_no_reason_for_a_traceback(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """``workflow plan | head -0`` ends quietly."""
    pipeline(GOOD)
    read, write = os.pipe()
    os.close(read)
    try:
        ran = workflow("plan", "--json", stdout=write)
    finally:
        os.close(write)
    assert ran.stderr == ""


def test_a_mistake_of_ours_is_one_line_and_exit_code_4(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Where to report it, and the traceback only for who asks for it."""
    pipeline(GOOD)
    (tmp_path / "sitecustomize.py").write_text(
        "import workflow.plan, sys, types\n"
        "broken = types.ModuleType('workflow.plan.build')\n"
        "def load_plan(*_, **__): raise ZeroDivisionError('oh')\n"
        "broken.load_plan = load_plan\n"
        "sys.modules['workflow.plan.build'] = broken\n"
    )
    ran = workflow("validate", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert ran.returncode == 4
    assert ran.stderr.startswith("workflow: ZeroDivisionError: oh; this is a mistake in workflow itself")
    assert ran.stderr.count("\n") == 1
    loud = workflow("validate", env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "WORKFLOW_DEBUG": "1"})
    assert "Traceback" in loud.stderr


@pytest.mark.parametrize("args", [["plan"], ["validate"], ["schema"], ["run", "--dry-run"], ["run", "--events", "-"]])
def test_a_full_disk_under_standard_output_is_told_as_such(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], args: list[str]
) -> None:
    """One line and exit code 4: neither a mistake of ours nor a matter of --state-dir."""
    pipeline(GOOD)
    with open("/dev/full", "w") as full:
        ran = workflow(*args, stdout=full)
    assert ran.returncode == 4
    assert "cannot write to standard output: No space left on device" in ran.stderr
    assert "mistake in workflow" not in ran.stderr
    assert "--state-dir" not in ran.stderr


def test_no_command_at_all_shows_the_help(workflow: Callable[..., Any]) -> None:
    """Once, with exit code 2."""
    ran = workflow()
    assert ran.returncode == 2
    assert ran.stderr.startswith("Usage: workflow")
    assert ran.stderr.count("Usage:") == 1


def test_an_empty_selection_says_what_was_asked_for_and_what_is_near(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """For names and for tags, with exit code 3."""
    pipeline('[tasks.fetch]\ncmd = ["true"]\ntags = ["slow"]\n')
    for command in ("plan", "run"):
        ran = workflow(command, "--select", "fetsh")
        assert ran.returncode == 3
        assert ran.stderr == "nothing is selected by --select fetsh; did you mean 'fetch'?\n"
    assert workflow("plan", "--tag", "slwo").stderr == "nothing is selected by --tag slwo; did you mean 'slow'?\n"


def test_an_instance_that_is_named_by_its_values_as_the_file_has_them_is_told_by_its_id(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """Wherever a task is named."""
    pipeline('[tasks.p]\ncmd = ["echo", "${matrix.url}"]\nmatrix.url = ["http://a/b", "http://a/c"]\n')
    assert workflow("run", "-q").returncode == 0
    for words in (("show",), ("logs",), ("logs", "-f"), ("plan", "--select"), ("run", "--select"), ("run", "--force")):
        ran = workflow(*words, "p@http://a/b")
        assert ran.returncode in {2, 3}, words
        assert "did you mean 'p@http%3A%2F%2Fa%2Fb'?" in ran.stderr, words


def test_one_selection_of_several_that_matches_nothing_is_told_and_nothing_runs(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """A task that is left out because of a letter would not be missed."""
    pipeline('[tasks.fetch]\ncmd = ["true"]\ntags = ["slow"]\n[tasks.join]\ncmd = ["true"]\n')
    for command in ("plan", "run"):
        ran = workflow(command, "--select", "fetch", "--select", "jion", "--tag", "slow", "--tag", "fats")
        assert (ran.returncode, ran.stdout) == (3, "")
        assert ran.stderr == "nothing is selected by --select jion --tag fats; did you mean 'join'?\n"
    ran = workflow("plan", "--select", "join", "--tag", "slow")
    assert (ran.returncode, ran.stderr) == (3, "nothing is selected by --select join --tag slow\n")
    assert workflow("plan", "--select", "fetch", "--select", "j*").returncode == 0


@pytest.mark.parametrize("value", ["x", "0", "1.5", "-1", "5000", ""])
def test_a_number_of_workers_that_is_none_is_told_with_what_to_do(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], value: str
) -> None:
    """The value, the range, and what holds without it."""
    pipeline(GOOD)
    ran = workflow("run", "-j", value)
    assert ran.returncode == 2
    said = f"{value!r} is not a number of workers, from 1 to 4096; left out, it is what the file says, or one per CPU"
    assert said in ran.stderr


def test_a_table_that_stands_twice_is_named_as_it_is_written(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """In the words of the file, not of the parser."""
    pipeline(GOOD + GOOD)
    ran = workflow("validate")
    assert "[tasks.a] stands twice" in ran.stderr


@pytest.mark.parametrize("command", ["run", "plan", "validate", "chaos"])
def test_a_pipe_is_not_waited_for(workflow: Callable[..., Any], tmp_path: Path, command: str) -> None:
    """And it is said that it is one: to a shell, ``<(…)`` is the name of a file."""
    os.mkfifo(tmp_path / "ff")
    ran = workflow(command, "ff")
    assert ran.returncode == 2
    assert "a pipe, not a regular file" in ran.stderr
    ran = workflow(command, "/dev/stdin", stdin=None, input=GOOD)
    assert ran.returncode == 2
    assert "a pipe, not a regular file" in ran.stderr


def test_a_path_that_no_system_takes_is_a_mistake_on_the_command_line(workflow: Callable[..., Any]) -> None:
    """It is too long for a name."""
    for command in ("run", "validate", "plan"):
        ran = workflow(command, "x" * 5000)
        assert ran.returncode == 2
        assert "File name too long" in ran.stderr


def test_schemas_cannot_be_written_into_what_is_no_folder(workflow: Callable[..., Any]) -> None:
    """That is a mistake on the command line."""
    ran = workflow("schema", "--dir", "/dev/null")
    assert ran.returncode == 2
    assert "--dir: cannot write /dev/null/pipeline.schema.json" in ran.stderr


def test_a_command_imports_no_other(pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    """A run starts without what validate, chaos and the others are made of; it checks reports as ``report`` does."""
    pipeline(GOOD)
    show = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules), sep='\\n'))\n"
    end = "from workflow.__main__ import main; sys.argv[1:] = ['run']; main()"
    ran = subprocess.run([sys.executable, "-c", show + end], cwd=tmp_path, capture_output=True, text=True, check=True)
    modules = {name.removeprefix("workflow.cli.") for name in ran.stdout.split() if name.startswith("workflow.cli.")}
    assert "run" in modules
    others = {"chaos", "completion", "config", "doctor", "explain", "init", "inspect", "logs", "runs", "schema", "show"}
    assert not modules & others


@pytest.mark.parametrize(("args", "code"), [(["runs"], 0), (["runn"], 2)])
def test_what_others_registered_for_the_end_runs_once_and_is_written(
    tmp_path: Path, args: list[str], code: int
) -> None:
    """Before us or after us; the exit code is ours, and the interpreter is not taken apart."""
    program = f"""\
import atexit, sys
class Late:
    def __del__(self): print("taken apart")
late = Late()
atexit.register(print, "first")
sys.argv[1:] = {args!r}
from workflow.__main__ import main
atexit.register(print, "second")
main()
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert ran.stdout.split() == ["second", "first"]
