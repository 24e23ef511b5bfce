"""The command that does the work, as a process, with real tasks."""

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

import pytest

ROOT = Path(__file__).parents[2]
MIXED = """\
[pipeline]
name = "mixed"
pool = 2

[tasks.good]
shell = "echo hello; echo from good >&2"

[tasks.bad]
cmd = ["sh", "-c", "echo why; exit 3"]

[tasks.after]
cmd = ["true"]
needs = ["bad"]

[tasks.many]
cmd = ["echo", "${matrix.n}"]
matrix = {n = [1, 2]}
tags = ["fast"]
"""


def latest(folder: Path) -> Any:
    return json.loads((folder / ".workflow/latest/report.json").read_text())


def test_a_run_tells_the_same_story_everywhere(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Exit code, console, report, events, logs and the copies that were asked for."""
    pipeline(MIXED)
    ran = workflow("run", "--report", "out.json", "--events", "-")
    assert ran.returncode == 1, ran.stderr
    report = latest(tmp_path)
    outcomes = {task["id"]: task["outcome"] for task in report["tasks"]}
    assert outcomes == {
        "good": "succeeded", "bad": "failed", "after": "skipped", "many@1": "succeeded", "many@2": "succeeded",
    }  # fmt: skip
    assert report["run"]["exit_code"] == 1
    assert report["counts"]["succeeded"] == 3
    bad = next(task for task in report["tasks"] if task["id"] == "bad")
    assert bad["attempts"][0]["exit_code"] == 3
    folder = (tmp_path / ".workflow/latest").resolve()
    assert sorted((folder / "logs/good.log").read_text().splitlines()) == ["from good", "hello"]
    assert (tmp_path / "out.json").read_text() == (folder / "report.json").read_text()
    assert ran.stdout == (folder / "events.jsonl").read_text()
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    finished = {event["task"]: event["outcome"] for event in events if event["event"] == "task_finished"}
    assert finished == outcomes
    assert "    | why\n" in ran.stderr
    assert "bad failed" in ran.stderr
    assert "(1 skipped because of it)" in ran.stderr
    assert ran.stderr.endswith("report: .workflow/latest/report.json\n") or "/report.json\n" in ran.stderr


def test_a_run_without_failures_exits_with_0(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """And quietly, when asked to."""
    pipeline('[tasks.a]\ncmd = ["true"]\n[tasks.b]\ncmd = ["false"]\nallow_failure = true\n')
    ran = workflow("run", "-q")
    assert ran.returncode == 0, ran.stderr
    assert latest(tmp_path)["run"]["status"] == "succeeded"


def test_only_what_is_selected_runs_with_what_it_needs(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """By id, by name or by tag; with nothing selected the exit code is 3."""
    pipeline(MIXED)
    assert workflow("run", "--tag", "fast").returncode == 0
    assert [task["id"] for task in latest(tmp_path)["tasks"]] == ["many@1", "many@2"]
    assert workflow("run", "--select", "many@2").returncode == 0
    assert [task["id"] for task in latest(tmp_path)["tasks"]] == ["many@2"]
    runs = sorted((tmp_path / ".workflow/runs").iterdir())
    nothing = workflow("run", "--tag", "nobody has it")
    assert nothing.returncode == 3
    assert "nothing is selected" in nothing.stderr
    assert workflow("run", "--dry-run", "--tag", "nobody has it").returncode == 3
    assert sorted((tmp_path / ".workflow/runs").iterdir()) == runs


def test_a_dry_run_shows_the_order_and_starts_nothing(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Not even the folder of a run."""
    pipeline(MIXED)
    ran = workflow("run", "--dry-run")
    assert ran.returncode == 0
    assert ran.stdout.index("bad") < ran.stdout.index("after")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.toml"]


def test_a_file_with_mistakes_is_exit_2_and_runs_nothing(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """All mistakes at once, each with its place."""
    pipeline('[tasks.a]\ncmd = ["true"]\ntimeot = 3\n[tasks.b]\ncmd = ["true"]\nneeds = ["c"]\n')
    for command in ("run", "validate", "plan"):
        ran = workflow(command)
        assert ran.returncode == 2
        assert "pipeline.toml:3:1: tasks.a.timeot: unknown key, did you mean 'timeout'?" in ran.stderr
        assert "pipeline.toml:6:" in ran.stderr
        assert ran.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.toml"]


def test_a_good_file_is_said_to_be_good(workflow: Callable[..., Any], pipeline: Callable[[str], Path]) -> None:
    """With how many tasks it makes."""
    pipeline(MIXED)
    ran = workflow("validate")
    assert (ran.returncode, ran.stdout) == (0, "pipeline.toml: 5 tasks, no mistakes\n")


def test_the_plan_is_the_same_bytes_each_time(workflow: Callable[..., Any], pipeline: Callable[[str], Path]) -> None:
    """As JSON, with its hash."""
    pipeline(MIXED)
    first = workflow("plan", "--json", env={"PYTHONHASHSEED": "1"})
    second = workflow("plan", "--json", env={"PYTHONHASHSEED": "2"})
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["plan_hash"].startswith("sha256:")


def test_results_go_from_task_to_task(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """The output of a command is its result."""
    pipeline('[tasks.a]\ncmd = ["echo", "from a"]\n[tasks.b]\ncmd = ["echo", "got ${tasks.a.result}"]\n')
    ran = workflow("run", "-v")
    assert ran.returncode == 0, ran.stderr
    assert "b | got from a\n" in ran.stderr
    assert (tmp_path / ".workflow/latest/logs/b.log").read_text() == "got from a\n"


def test_a_run_has_a_time_limit(workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    """Exit code 124, and what was cancelled says why."""
    pipeline(
        '[pipeline]\ntimeout = "300ms"\n[tasks.a]\ncmd = ["sleep", "60"]\n[tasks.b]\ncmd = ["true"]\nneeds = ["a"]\n'
    )
    ran = workflow("run")
    assert ran.returncode == 124, ran.stderr
    assert {(task["outcome"], task["reason"]) for task in latest(tmp_path)["tasks"]} == {
        ("cancelled", "the run reached its time limit of 0.3 s")
    }


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_its_tasks_and_its_processes(
    pipeline: Callable[[str], Path], tmp_path: Path, environ: dict[str, str], number: signal.Signals, code: int
) -> None:
    """Started as a shell starts what is in the background: with SIGINT ignored."""
    pipeline('[tasks.a]\nshell = "echo $$ > pid; sleep 60"\n[tasks.b]\ncmd = ["true"]\nneeds = ["a"]\n')
    line = "trap '' INT; exec \"$0\" -m workflow run"
    process = subprocess.Popen(
        ["sh", "-c", line, sys.executable], cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True
    )
    pid = int(wait_for((tmp_path / "pid").read_text))
    process.send_signal(number)
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == code, stderr
    assert f"the run was ended by {number.name}" in stderr
    assert {task["outcome"] for task in latest(tmp_path)["tasks"]} == {"cancelled"}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_is_started_by_cron_as_by_anybody(pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    """In a session of its own, without a terminal, with next to no environment, from another folder."""
    file = pipeline('[tasks.a]\ncall = "mine:told"\n')
    (tmp_path / "mine.py").write_text("def told():\n    print('\\u00fc')\n")
    line = f'cd / && exec "$0" -m workflow run {file}'
    environ = {"HOME": str(tmp_path), "LOGNAME": "somebody", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        ["sh", "-c", line, sys.executable], env={**environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, timeout=30, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert b"\x1b" not in ran.stdout
    assert b"1 succeeded in " in ran.stdout
    assert (tmp_path / ".workflow/latest/logs/a.log").read_text(encoding="utf-8") == "\u00fc\n"


def test_nohup_lets_a_run_go_on_and_a_signal_ends_it_all_the_same(
    pipeline: Callable[[str], Path], tmp_path: Path, environ: dict[str, str]
) -> None:
    """Its shell ends at once; whoever then sends it SIGHUP means it."""
    pipeline('[tasks.a]\nshell = "echo $$ > pid; sleep 60"\n')
    line = 'nohup "$0" -m workflow run >out 2>&1 & echo $!'
    shell = subprocess.run(
        ["sh", "-c", line, sys.executable], cwd=tmp_path, env=environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True, timeout=30, check=True,
    )  # fmt: skip
    run = int(shell.stdout)
    task = int(wait_for((tmp_path / "pid").read_text))
    assert alive(run)
    os.kill(run, signal.SIGHUP)
    wait_for(lambda: not alive(run))
    assert latest(tmp_path)["run"]["exit_code"] == 129
    assert not alive(task)


def test_a_third_signal_does_not_wait_for_anything(
    pipeline: Callable[[str], Path], tmp_path: Path, environ: dict[str, str]
) -> None:
    """A task that ignores SIGTERM for its long grace is left to the engine."""
    pipeline("[tasks.a]\ngrace = 60\nshell = \"trap '' TERM; echo $$ > pid; while :; do sleep 1; done\"\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "workflow", "run"], cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL
    )
    pid = int(wait_for((tmp_path / "pid").read_text))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # two of the same that pend at once are one
        process.send_signal(number)
    assert process.wait(timeout=10) in {129, 130, 143}  # which of them comes third is the kernel's choice
    wait_for(lambda: not alive(pid))


def test_a_place_that_cannot_be_written_is_one_line_and_exit_code_4(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Which file, why, and what to do."""
    pipeline('[tasks.a]\ncmd = ["true"]\n')
    (tmp_path / "taken").write_text("")
    ran = workflow("run", "--state-dir", "taken/state")
    assert ran.returncode == 4
    assert ran.stderr.startswith("workflow: cannot write ")
    assert "taken" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_reader_of_events_that_leaves_does_not_disturb_the_run(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """``workflow run --events - | head -1``, and standard error gone too."""
    pipeline(MIXED)
    read, write = os.pipe()
    os.close(read)
    try:
        ran = workflow("run", "--events", "-", stdout=write, stderr=write)
    finally:
        os.close(write)
    assert ran.returncode == 1
    assert latest(tmp_path)["counts"]["succeeded"] == 3


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(ready: Any, timeout_s: float = 15.0) -> Any:
    end = time.monotonic() + timeout_s
    while True:
        try:
            value = ready()
        except OSError:
            value = None
        if value:
            return value
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def _block_and_ignore() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def test_who_started_it_may_have_blocked_signals_and_ignore_the_ends_of_children(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], environ: dict[str, str], tmp_path: Path
) -> None:
    """A run is interrupted all the same, and a command for a secret has the exit code that it has."""
    pipeline('[tasks.a]\nshell = "touch begun; exec sleep 1000"\n')
    command = [sys.executable, "-m", "workflow", "run"]
    run = subprocess.Popen(command, cwd=tmp_path, env=environ, preexec_fn=_block_and_ignore)  # noqa: PLW1509
    until = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == 143
    pipeline("""\
[secrets]
T = {cmd = ["sh", "-c", "echo half; exit 3"]}
[tasks.a]
cmd = ["true"]
env = {T = "${secrets.T}"}
""")
    ran = workflow("run", preexec_fn=_block_and_ignore)
    assert ran.returncode == 2
    assert "the command 'sh' failed with exit code 3" in ran.stderr


def test_a_part_of_a_large_plan_has_the_hash_of_the_part(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """The same as ``plan`` tells, though nobody has hashed all of it."""
    pipeline('[tasks.a]\ncmd = ["true"]\nmatrix = {x = {range = [0, 20001]}}\n')
    ran = workflow("run", "--select", "a@5")
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / ".workflow/latest/report.json").read_text())
    planned = json.loads(workflow("plan", "--json", "--select", "a@5").stdout)
    assert [task["id"] for task in report["tasks"]] == ["a@5"]
    assert report["run"]["plan_hash"] == planned["plan_hash"] != ""
