"""``validate --import``: what a run would only find out hours later, and nothing is left of the looking."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/pipeline.toml"))
MODULES = {
    "feeds.py": (
        "import sys\nfrom workflow import Model\n"
        "print('importing', flush=True)\n"
        "def fetch(country, *, retries=3): pass\n"
        "LIMIT = 3\n"
        "async def later(): pass\n"
        "def values(): yield 1\n"
        "class Fetch(Model):\n    def runnable(self, a, b=2): pass\n"
        "class Empty(Model): pass\n"
        "class Greedy(Model):\n    def __init__(self, x): pass\n    def runnable(self): pass\n"
        "class Other: pass\n"
    ),
    "hangs.py": (
        "import subprocess, time\n"
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "print('now it hangs', flush=True)\n"
        "time.sleep(1000)\n"
    ),
    "dies.py": "import os, subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\nos._exit(7)\n",
    "crashes.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "leaves.py": "import sys\nsys.exit('no')\n",
    "misses.py": "import nosuchthing\n",
    "is_no_python.py": "x = = 3\n",
    "forks.py": "import os\nos.fork()\ndef f(): pass\n",
    "closes.py": "import os\nos.closerange(3, 100)\ndef f(): pass\n",
}
TASKS = """\
[pipeline]
preload = ["json", "jsonn"]
[tasks]
a01 = {call = "feeds:fetsh"}
a02 = {call = "feeds:fetch"}
a03 = {call = "feeds:fetch", args = ["de", 3]}
a04 = {call = "feeds:fetch", kwargs = {contry = "de"}}
a05 = {call = "feeds:LIMIT"}
a06 = {call = "feeds:later"}
a07 = {call = "feeds:values"}
a08 = {call = "feeds:Fetch"}
b01 = {module = "feeds.Fetch"}
b02 = {module = "feeds.Fetch", args = [1, 2]}
b03 = {module = "feeds.Empty"}
b04 = {module = "feeds.Greedy"}
b05 = {module = "feeds.Other"}
b06 = {module = "fedes.Fetch"}
c01 = {call = "hangs:f"}
c02 = {call = "hangs:g"}
c03 = {call = "dies:f"}
c04 = {call = "crashes:f"}
c05 = {call = "leaves:f"}
c06 = {call = "misses:f"}
c07 = {call = "is_no_python:f"}
c08 = {call = "forks:f"}
c09 = {call = "closes:f"}
d01 = {call = "math:gcd", args = [1, 2, 3]}
d02 = {call = "feeds:fetch", args = ["de"], on = {success = "feeds:fetch", failure = "feeds:nothing"}}
d03 = {call = "feeds:fetch", args = ["${matrix.x}"], kwargs = {retries = "${tasks.d01.result}"}, matrix = {x = [1, 2]}}
d04 = {call = "feeds:fetch", args = ["${matrix.x}"], kwargs = {country = 3}, matrix = {x = [1, 2]}}
d05 = {cmd = ["nosuchprogram"]}
"""
FOUND = [
    ("cannot-import", "pipeline.preload.1", "there is no module 'jsonn' on the path, did you mean 'json'?"),
    ("cannot-import", "tasks.a01.call", "has no 'fetsh'"),
    ("bad-signature", "tasks.a02.call", "missing a required argument: 'country'"),
    ("bad-signature", "tasks.a03.args", "too many positional arguments"),
    ("bad-signature", "tasks.a04.kwargs.contry", "it has no 'contry', did you mean 'country'?"),
    ("not-runnable", "tasks.a05.call", "cannot be called"),
    ("not-runnable", "tasks.a06.call", "feeds:later is a coroutine function, and nobody awaits it"),
    ("not-runnable", "tasks.a07.call", "feeds:values is a generator function, and its values cannot travel"),
    ("not-runnable", "tasks.a08.call", "is a Model, not a function: a task runs it as module = 'feeds.Fetch'"),
    ("bad-signature", "tasks.b01.module", "Fetch.runnable does not take these arguments: missing a required"),
    ("not-runnable", "tasks.b03.module", "the class Empty does not define runnable"),
    ("not-runnable", "tasks.b04.module", "Greedy cannot be made without arguments"),
    ("not-runnable", "tasks.b05.module", "not derived from workflow.Model"),
    ("cannot-import", "tasks.b06.module", "there is no module 'fedes' on the path, did you mean 'feeds'?"),
    ("import-hangs", "tasks.c01.call", "the import of 'hangs' has not ended after 2 s"),
    ("import-dies", "tasks.c03.call", "importing 'dies' ends the process: exit code 7"),
    ("import-dies", "tasks.c04.call", "importing 'crashes' ends the process: SIGSEGV"),
    ("import-dies", "tasks.c05.call", "importing 'leaves' ends the process: sys.exit('no')"),
    ("cannot-import", "tasks.c06.call", "importing 'misses' raises ModuleNotFoundError: No module named 'nosuchthing'"),
    ("cannot-import", "tasks.c07.call", "importing 'is_no_python' raises SyntaxError: invalid syntax"),
    ("import-dies", "tasks.c09.call", "importing 'closes' "),
    ("cannot-import", "tasks.d02.on.failure", "has no 'nothing'"),
    ("bad-signature", "tasks.d04.kwargs.country", "multiple values for argument 'country'"),
    ("no-program", "tasks.d05.cmd.0", "there is no program 'nosuchprogram' in PATH, which is /"),
]


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_everything_that_is_named_is_imported_and_compared_with_its_arguments(
    modules: Path, workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """What hangs, exits or crashes costs itself alone, each is told at its key, and what modules print is not shown."""
    pipeline(TASKS)
    ran = workflow("validate", "--import", "--import-timeout", "2s", "--output-format", "json")
    assert (ran.returncode, ran.stderr) == (2, "")
    found = [
        (each["code"], ".".join(map(str, each["place"])), each["message"], each["help"])
        for each in json.loads(ran.stdout)
    ]
    assert [each[:2] for each in found] == [each[:2] for each in FOUND]
    for (_, place, message, _), (_, _, expected) in zip(found, FOUND, strict=True):
        assert expected in message, place
    helps = {place: help_ for _, place, _, help_ in found}
    assert helps["tasks.a02.call"] == "its signature is fetch(country, *, retries=3)"
    assert helps["tasks.c01.call"] == "the last it said: now it hangs"
    assert helps["tasks.c06.call"] == f"at {modules / 'misses.py'}, line 1"


def test_without_the_option_nothing_is_imported(
    modules: Path, workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """A file is right when it is written right."""
    pipeline(TASKS)
    ran = workflow("validate")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_module_finds_the_path_the_folder_and_the_environment_of_its_task(
    tmp_path: Path, workflow: Callable[..., Any]
) -> None:
    """As the run would have them, and from wherever the command is started."""
    (tmp_path / "sub/lib").mkdir(parents=True)
    (tmp_path / "sub/work").mkdir()
    (tmp_path / "sub/lib/helper.py").write_text("")
    (tmp_path / "sub/looks.py").write_text(
        "import os, helper\nassert os.getcwd().endswith('sub/work')\nassert os.environ['LEVEL'] == '3'\ndef f(): pass\n"
    )
    (tmp_path / "sub/looks_again.py").write_text("import os\nassert 'LEVEL' not in os.environ\ndef f(): pass\n")
    (tmp_path / "sub/pipeline.toml").write_text(
        '[pipeline]\npath = ["lib"]\n'
        '[tasks.a]\ncall = "looks:f"\ncwd = "work"\nenv = {LEVEL = 3, LATER = "${tasks.b.result}"}\n'
        '[tasks.b]\ncall = "looks_again:f"\n'
    )
    ran = workflow("validate", "--import", "sub/pipeline.toml")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_limit_that_is_no_duration_is_a_usage_error(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """Before anything is imported."""
    pipeline(TASKS)
    ran = workflow("validate", "--import", "--import-timeout", "soon")
    assert ran.returncode == 2
    assert "is not a duration" in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_is_being_imported(
    modules: Path, environ: dict[str, str], pipeline: Callable[[str], Path], number: signal.Signals
) -> None:
    """With what that has started, though it has a session of its own."""
    pipeline('[tasks.a]\ncall = "hangs:f"\n')
    command = [sys.executable, "-m", "workflow", "validate", "--import"]
    with subprocess.Popen(command, cwd=modules, env=environ, stderr=subprocess.PIPE) as process:
        below = psutil.Process(process.pid)
        deadline = time.monotonic() + 20
        while not any(child.name() == "sleep" for child in below.children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        sleeper = next(child for child in below.children(recursive=True) if child.name() == "sleep")
        os.kill(process.pid, number)
        assert process.wait(20) == 128 + number
    assert not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE


def test_a_hook_that_cannot_be_given_the_outcome_is_told_at_the_hook(
    workflow: Callable[..., Any], modules: Path
) -> None:
    """Not at the arguments of its task, which are right."""
    (modules / "none.py").write_text("def f(): pass\ndef g(error, task): pass\n")
    (modules / "takes.toml").write_text('[tasks.a]\ncall = "math:sqrt"\nargs = [1]\non.failure = "none:g"\n')
    assert workflow("validate", "--import", "takes.toml", cwd=modules).returncode == 0
    (modules / "hook.toml").write_text('[tasks.a]\ncall = "math:sqrt"\nargs = [1]\non.failure = "none:f"\n')
    ran = workflow("validate", "--import", "hook.toml", cwd=modules)
    assert ran.returncode == 2
    assert "hook.toml:4:14: tasks.a.on.failure: " in ran.stderr


PROGRAMS = """\
[pipeline]
path = [".", "libs", "made/lib"]
[tasks]
a01 = {cmd = ["true"]}
a02 = {cmd = ["trueish"], env = {PATH = "${tasks.a01.result}"}}
a03 = {cmd = ["own"], env = {PATH = "bin"}}
a04 = {cmd = ["true"], env = {PATH = "bin"}}
a05 = {cmd = ["bin/own"]}
a06 = {cmd = ["./own"], cwd = "bin"}
a07 = {cmd = ["./onw"], cwd = "bin"}
a08 = {cmd = ["bin/text"]}
a09 = {cmd = ["bin"]}
a10 = {cmd = ["./bin"]}
a11 = {cmd = ["made/tool"], needs = "maker"}
a12 = {cmd = ["tool"], env = {PATH = "made"}, needs = "maker"}
a13 = {cmd = ["ls"], cwd = "made/deep", needs = "maker"}
a14 = {cmd = ["ls"], cwd = "nowhere"}
a15 = {call = "math:sqrt", args = [1], cwd = "bin/text"}
a16 = {cmd = ["${matrix.p}"], matrix = {p = ["true", "treu", "flase"]}}
a17 = {cmd = ["nothing"], if = "env.NO_SUCH_THING == 'x'"}
a18 = {cmd = ["ls -l"]}
a19 = {shell = "nosuchprogram"}
a20 = {cmd = ["nosuchprogram"], env = {PATH = false}}
maker = {cmd = ["true"], outputs = ["made/"]}
"""


def test_programs_and_folders_are_looked_up_as_the_run_would(
    tmp_path: Path, workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """In the PATH and the folder of the task; what another task makes, or only a result tells, is nobody's mistake."""
    (tmp_path / "bin").mkdir()
    for name, mode in (("own", 0o755), ("text", 0o644)):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(mode)
    pipeline(PROGRAMS)
    ran = workflow("validate", "--import", "--output-format", "json")
    told = {
        ".".join(map(str, each["place"])): (each["code"], each["message"], each["help"])
        for each in json.loads(ran.stdout)
    }
    assert told == {
        "pipeline.path.1": ("no-folder", f"there is no such folder: {tmp_path}/libs", None),
        "tasks.a04.cmd.0": ("no-program", f"there is no program 'true' in PATH, which is {tmp_path}/bin", None),
        "tasks.a07.cmd.0": ("no-program", f"there is no program {tmp_path}/bin/onw", "did you mean 'own'?"),
        "tasks.a08.cmd.0": ("no-program", f"{tmp_path}/bin/text may not be executed (chmod +x?)", None),
        "tasks.a09.cmd.0": ("no-program", told["tasks.a09.cmd.0"][1], told["tasks.a09.cmd.0"][2]),
        "tasks.a10.cmd.0": ("no-program", f"{tmp_path}/bin is a folder, not a program", None),
        "tasks.a14.cwd": ("no-folder", f"there is no such folder: {tmp_path}/nowhere", None),
        "tasks.a15.cwd": ("no-folder", f"is no folder: {tmp_path}/bin/text", None),
        "tasks.a16.cmd.0": ("no-program", told["tasks.a16.cmd.0"][1], "did you mean 'true'?"),
        "tasks.a20.cmd.0": ("no-program", told["tasks.a20.cmd.0"][1], None),
        "tasks.a18.cmd.0": (
            "no-program",
            told["tasks.a18.cmd.0"][1],
            "each argument is a text of its own in the array",
        ),
    }
    assert told["tasks.a16.cmd.0"][1].startswith("for a16@treu: there is no program 'treu' in PATH, which is /")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_names_nothing_that_is_not_there(example: Path, workflow: Callable[..., Any]) -> None:
    """Modules with their signatures, programs and folders."""
    ran = workflow("validate", "--import", str(example), env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert (ran.returncode, ran.stderr) == (0, "")
