"""A run with secrets, as a user has it: nothing that it leaves or shows holds one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

SECRET = "tok-'4qj\"8\\\nsecond-line-ü"
PARTS = ("tok-", "4qj", "second-line")
"""What would be left of it in any form."""
REPORTS = ("out.json", "out.xml", "out.html", "out.md", "out.trace.json")
TASKS = """\
import os, signal, sys, time

def show(secret, how):
    half = len(secret) // 2
    if how == "whole":
        print("a", secret, "b")
    elif how == "split":
        sys.stdout.write(secret[:half])
        sys.stdout.flush()
        time.sleep(0.3)
        sys.stdout.write(secret[half:] + "\\n")
    elif how == "bytes":
        for byte in (secret + "\\n").encode():
            os.write(1, bytes([byte]))
            time.sleep(0.005)
    elif how == "raised":
        raise ValueError(f"no {secret} here", {"token": secret})
    elif how == "chained":
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise RuntimeError(secret) from error
    elif how == "hung":
        print(secret, flush=True)
        time.sleep(60)
    elif how == "crashed":
        print(secret, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "flood":
        for _ in range(4000):
            print(secret)
    elif how == "long":
        raise ValueError("x" * 99_990 + secret + "y" * 200_000)
    return secret

def done(result):
    print("done", result)
    raise ValueError(result)

def failed(error):
    print("failed", error)
"""
PIPELINE = """\
[pipeline]
pool = 2
preload = ["tasks_preloaded"]
max_log = "3000B"

[vars]
token = "none"

[secrets]
T = {env = "PRIVATE"}
F = {file = "private.txt"}
unused = {env = "NOT_SET_ANYWHERE"}

[tasks.call]
call = "tasks:show"
args = ["${secrets.T}", "${matrix.how}"]
matrix.how = ["whole", "split", "bytes", "raised", "chained", "hung", "crashed", "flood", "long"]
on = {success = "tasks:done", failure = "tasks:failed"}
timeout = "2s"
grace = "100ms"

[tasks.cmd]
cmd = ["sh", "-c", "echo $A; echo x$${A}y >&2; echo $A | base64; exit 3"]
env.A = "<${secrets.F}>"

[tasks.takes]
call = "tasks:show"
args = ["${tasks.call.items}", "raised"]
needs = [{task = "call", status = "any"}]
"""


@pytest.fixture
def private(tmp_path: Path, pipeline: Callable[[str], Path], environ: dict[str, str]) -> Path:
    """Answer a folder with a pipeline that has secrets, and tasks that tell them."""
    pipeline(PIPELINE)
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "tasks_preloaded.py").write_text('import os\nprint("loaded with", os.environ["PRIVATE"], flush=True)\n')
    (tmp_path / "private.txt").write_text(SECRET + "\n")
    environ["PRIVATE"] = SECRET
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return tmp_path


def told(folder: Path) -> Iterator[Path]:
    """Answer every file that a run has left, but the database."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return (path for path in files if path.name != "runs.db")  # see ``recorded``


def recorded(folder: Path) -> bytes:
    """Answer everything in the database but return values, which are kept as they are."""
    with contextlib.closing(sqlite3.connect(folder / "runs.db")) as db:
        db.execute("UPDATE ended SET result = NULL")  # of this look: it is not committed
        return "\n".join(db.iterdump()).encode()


def parts_in(data: bytes) -> list[str]:
    return [part for part in PARTS if part.encode() in data]


def test_nothing_that_a_run_leaves_or_shows_holds_a_secret(private: Path, workflow: Callable[..., Any]) -> None:
    """Whatever its tasks do with it, and however much is shown of them."""
    reports = [part for name in REPORTS for part in ("--report", name)]
    ran = workflow(
        "run", "-v", "--var", f"token={SECRET}", *reports, "--events", "events.jsonl", "--state-dir", "st",
        env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(private / "summary.md")},
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    report = json.loads((private / "out.json").read_text())
    outcomes = {task["id"].removeprefix("call@"): task["outcome"] for task in report["tasks"]}
    assert outcomes == {
        "whole": "succeeded", "split": "succeeded", "bytes": "succeeded", "flood": "succeeded", "raised": "failed",
        "chained": "failed", "long": "failed", "hung": "timed_out", "crashed": "crashed", "cmd": "failed",
        "takes": "failed",
    }  # fmt: skip
    files = [*told(private / "st"), *(private / name for name in (*REPORTS, "events.jsonl", "summary.md"))]
    assert len(files) > 12
    assert {path.name: found for path in files if (found := parts_in(path.read_bytes()))} == {}
    assert parts_in(recorded(private / "st")) == []
    assert parts_in(ran.stderr.encode() + ran.stdout.encode()) == []
    assert "loaded with ***" in ran.stderr
    assert "call@whole | a *** b" in ran.stderr
    assert "call@split | ***" in ran.stderr
    assert "call@bytes | ***" in ran.stderr
    assert "token=***" in report["run"]["argv"]
    logs = (private / "st/latest").resolve() / "logs"
    assert (logs / "call@whole.log").read_text().startswith("a *** b\n--- callback ---\ndone ***\n")
    assert "ValueError: ('no *** here', {'token': '***'})" in (logs / "call@raised.log").read_text()
    assert "bytes cut" in (logs / "call@flood.log").read_text()
    by_id = {task["id"]: task for task in report["tasks"]}
    assert by_id["call@whole"]["callback"]["error"]["message"] == "***"


def test_quietly_and_without_a_terminal_it_is_the_same(private: Path, workflow: Callable[..., Any]) -> None:
    """The last lines of what failed are shown then."""
    ran = workflow("run")
    assert ran.returncode == 1, ran.stderr
    assert parts_in(ran.stderr.encode()) == []
    assert "    | ***" in ran.stderr


def test_neither_the_line_of_an_error_nor_broken_off_output_tells_a_secret(
    tmp_path: Path, pipeline: Callable[[str], Path], workflow: Callable[..., Any]
) -> None:
    """It is quoted for a shell in the ``repr`` of the line; and its beginning is all that was written."""
    pipeline(
        """
        [secrets]
        s = {env = "PRIVATE"}

        [tasks.g]
        call = "os:getenv"
        args = ["S"]
        env = {S = "${secrets.s}"}

        [tasks.h]
        shell = "echo ${tasks.g.result}; exit 3"

        [tasks.dies]
        call = "broken:off"
        args = ["${secrets.s}"]
        """
    )
    (tmp_path / "broken.py").write_text(
        "import os\ndef off(secret):\n    os.write(1, secret[:10].encode())\n    os.kill(os.getpid(), 9)\n"
    )
    ran = workflow("run", "-v", "--report", "out.json", "--events", "events.jsonl", env={"PRIVATE": "it's-a-Secret99"})
    assert ran.returncode == 1, ran.stderr
    files = [*told(tmp_path / ".workflow"), tmp_path / "out.json", tmp_path / "events.jsonl"]
    assert {path.name for path in files} >= {"h.log", "dies.log", "report.json"}
    assert [path.name for path in files if b"s-a-S" in path.read_bytes()] == []
    assert b"s-a-S" not in recorded(tmp_path / ".workflow")
    assert "s-a-S" not in ran.stderr + ran.stdout
    logs = (tmp_path / ".workflow/latest").resolve() / "logs"
    assert (logs / "dies.log").read_text().startswith("***\n")
    assert "exit 3" in (logs / "h.log").read_text()


def test_a_run_that_is_killed_leaves_no_secret(private: Path, environ: dict[str, str]) -> None:
    """Not on the disk, because it never was there; and not in memory, which is given back."""
    before = set(Path("/dev/shm").iterdir())
    (private / "pipeline.toml").write_text(PIPELINE.replace('"2s"', '"60s"'))
    command = [sys.executable, "-m", "workflow", "run", "-v", "--select", "call@hung"]
    with (private / "console.txt").open("wb") as console:
        run = subprocess.Popen(command, cwd=private, env=environ, stdout=console, stderr=console)
    until = time.monotonic() + 20
    while b"call@hung | ***" not in (private / "console.txt").read_bytes():
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.05)
    made = set(Path("/dev/shm").iterdir()) - before
    ours = [path for path in made if f",{run.pid}," in path.name]
    assert len(ours) == 1
    assert any(parts_in(path.read_bytes()) for path in told(ours[0]))  # else this test shows nothing
    run.kill()
    run.wait()
    until = time.monotonic() + 10
    while ours[0].exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not ours[0].exists()
    left = [*told(private / ".workflow"), private / "console.txt"]
    assert len(left) > 1
    assert [path for path in left if parts_in(path.read_bytes())] == []


def test_a_command_for_a_secret_ends_with_a_run_that_is_killed(tmp_path: Path, environ: dict[str, str]) -> None:
    """With all it has started, also what left its session and lost its parent; what an ended one left stays."""
    (tmp_path / "stays.sh").write_text("echo x; setsid sleep 1001 >/dev/null 2>&1 & echo $! >pid\n")
    (tmp_path / "pipeline.toml").write_text("""\
[secrets]
A = {cmd = ["sh", "stays.sh"]}
B = {cmd = ["sh", "-c", "(setsid sleep 1002 &); touch begun; sleep 1003"]}
[tasks.t]
cmd = ["true"]
env = {A = "${secrets.A}", B = "${secrets.B}"}
""")
    run = subprocess.Popen(
        [sys.executable, "-m", "workflow", "run"], cwd=tmp_path, env={**environ, "OF_THIS_TEST": str(tmp_path)}
    )
    until = time.monotonic() + 20
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.01)

    def alive() -> set[str]:
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("OF_THIS_TEST") == str(tmp_path) and process.status() != psutil.STATUS_ZOMBIE:
                    found.update(process.cmdline()[-1:])  # of one that is ending it is empty
        return found

    until = time.monotonic() + 10
    while not {"1001", "1002", "1003"} <= alive():  # each is a shell's fork before it is a sleep
        assert time.monotonic() < until, alive()
        time.sleep(0.02)
    run.kill()
    run.wait()
    until = time.monotonic() + 10
    while alive() != {"1001"}:
        assert time.monotonic() < until, alive()
        time.sleep(0.02)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_secret_that_is_missing_keeps_everything_from_running(private: Path, workflow: Callable[..., Any]) -> None:
    """Exit code 2, and no folder."""
    (private / "private.txt").unlink()
    ran = workflow("run", env={"PRIVATE": ""})
    assert ran.returncode == 2
    assert "pipeline.toml:10:5: secrets.T: the variable PRIVATE of the environment is empty" in ran.stderr
    assert f"pipeline.toml:11:5: secrets.F: the file {private}/private.txt cannot be read" in ran.stderr
    assert not (private / ".workflow").exists()


def test_whoever_only_looks_reads_no_secret(private: Path, workflow: Callable[..., Any]) -> None:
    """``plan``, ``validate`` and ``--dry-run``, and a run of tasks that need none."""
    text = PIPELINE.replace('{file = "private.txt"}', '{cmd = ["touch", "read"]}').replace("preload", "# ")
    (private / "pipeline.toml").write_text(text + '[tasks.free]\ncmd = ["true"]\n')
    for arguments in (["plan"], ["plan", "--json"], ["validate"], ["run", "--dry-run"], ["run", "--select", "free"]):
        ran = workflow(*arguments)
        assert ran.returncode == 0, ran.stderr
        assert parts_in(ran.stdout.encode() + ran.stderr.encode()) == []
    assert not (private / "read").exists()
    assert workflow("run", "--select", "cmd").returncode == 2
    assert (private / "read").exists()


def test_without_memory_nothing_is_run(private: Path, environ: dict[str, str]) -> None:
    """Rather than that a secret gets on a disk."""
    code = (
        "from workflow.engine import memory; memory._places = lambda: iter(['/proc']); "
        "from workflow.cli.main import main; main(['run'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=private, env=environ, text=True, capture_output=True, timeout=30, check=False
    )
    assert ran.returncode == 4
    assert "no folder in memory (tmpfs) to be written to: /proc is proc" in ran.stderr
    assert not (private / ".workflow").exists()
