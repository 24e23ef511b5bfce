"""``workflow runs``, ``show``, ``logs`` and ``report``: of runs that have ended, go on, or were killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from workflow.report.models import Manifest, Report

MIXED = """\
[pipeline]
name = "mixed"
[tasks.good]
shell = "echo hello; printf '\\\\033[31mred\\\\033[0m\\\\001'"
[tasks.bad]
call = "mine:outer"
[tasks.shaky]
shell = "echo try $WORKFLOW_ATTEMPT; test $WORKFLOW_ATTEMPT = 2"
retries = 1
[tasks.many]
cmd = ["echo", "${matrix.n}"]
matrix.n = [1, 2]
[tasks.after]
cmd = ["true"]
needs = ["bad"]
"""
MINE = """\
import json
def outer():
    print("about to")
    json.loads("{")
"""
GATED = """\
[pipeline]
name = "gated"
pool = 2
[tasks.first]
cmd = ["echo", "one"]
[tasks.talk]
shell = "echo begun; until test -e gate; do sleep 0.02; done; echo more; printf end"
needs = ["first"]
[tasks.talks]
shell = "echo ${matrix.n}; until test -e gate; do sleep 0.02; done; echo end"
needs = ["first"]
matrix.n = [1]
[tasks.later]
cmd = ["echo", "later"]
needs = ["talk"]
"""
Workflow = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a folder with a run that has ended in many ways; nobody is to change anything in it."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "pipeline.toml").write_text(MIXED)
    (folder / "mine.py").write_text(MINE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WORKFLOW_", "GITHUB_"))}
    command = [sys.executable, "-m", "workflow", "run", "-q"]
    ran = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=50, check=False)
    assert ran.returncode == 1, ran.stderr
    return folder


@pytest.fixture
def mixed(mixed_folder: Path) -> str:
    """Answer the id of that run."""
    return (mixed_folder / ".workflow/latest").resolve().name


@pytest.fixture
def look(workflow: Workflow, mixed_folder: Path) -> Workflow:
    """Answer what calls the command in its folder."""
    return partial(workflow, cwd=mixed_folder)


@pytest.fixture
def start(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Answer what starts the command beside the test; it is ended with it."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*args: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "workflow", *args], cwd=tmp_path, env=environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=20)


@pytest.fixture
def going_on(
    start: Callable[..., subprocess.Popen[bytes]], pipeline: Callable[[str], Path], tmp_path: Path
) -> Callable[..., subprocess.Popen[bytes]]:
    """Answer what starts a run that goes on until there is a file ``gate``, and waits until both tasks were seen."""

    def begin(text: str = GATED) -> subprocess.Popen[bytes]:
        pipeline(text)
        run = start("run", "-q")
        until(lambda: {task["id"] for task in told(tmp_path)} == {"talk", "talks@1"})
        return run

    return begin


def until(happens: Callable[[], object]) -> None:
    limit = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < limit
        time.sleep(0.02)


def told(folder: Path) -> list[dict[str, Any]]:
    """What the run said last of what runs, once all have printed, as far as that can be seen."""
    try:
        tasks: list[dict[str, Any]] = json.loads((folder / ".workflow/latest/running.json").read_bytes())
    except FileNotFoundError:
        return []
    return tasks if all(task["log"] is None or task["log"][2] for task in tasks) else []


def test_runs_are_listed_the_newest_first_in_80_columns(
    workflow: Workflow, mixed_folder: Path, mixed: str, tmp_path: Path
) -> None:
    """With how each ended; the same as JSON."""
    shutil.copytree(mixed_folder, tmp_path, dirs_exist_ok=True, symlinks=True)
    workflow("run", "-q", "--select", "good")
    listed = workflow("runs")
    assert listed.returncode == 0
    head, first, second = listed.stdout.splitlines()
    assert head.split() == ["RUN", "BEGAN", "STATUS", "TOOK", "DONE", "WHAT"]
    assert second.startswith(mixed)
    assert re.search(r" +\d+s ago  failed     +[\d.]+s +4/6  mixed$", second), second
    assert re.search(r" succeeded +[\d.]+s +1/1  mixed$", first), first
    assert max(map(len, listed.stdout.splitlines())) <= 80
    as_json = json.loads(workflow("runs", "--json").stdout)
    assert [(run["id"], run["status"], run["exit_code"]) for run in as_json["runs"]] == [
        (first.split()[0], "succeeded", 0),
        (mixed, "failed", 1),
    ]
    assert as_json["runs"][1]["counts"] == {"succeeded": 4, "failed": 1, "skipped": 1}
    assert as_json["runs"][1]["folder"] == str(tmp_path / ".workflow/runs" / mixed)


def test_old_runs_are_deleted_and_what_belongs_to_none(
    workflow: Workflow, mixed_folder: Path, mixed: str, tmp_path: Path
) -> None:
    """Said on standard output; mistakes are exit code 2."""
    shutil.copytree(mixed_folder, tmp_path, dirs_exist_ok=True, symlinks=True)
    workflow("run", "-q", "--select", "good")
    assert workflow("runs", "--prune").stdout.startswith("deleted 0 things that belonged to no run")
    done = workflow("runs", "--keep", "1")
    assert (done.returncode, done.stdout.split(",")[0]) == (0, "deleted 1 run")
    assert not (tmp_path / ".workflow/runs" / mixed).exists()
    assert len(workflow("runs").stdout.splitlines()) == 2
    assert workflow("show", mixed).returncode == 2
    assert workflow("show").returncode == 0
    for words in (["--keep", "1", "--prune"], ["--keep", "-1"], ["--keep", "x"], ["--json", "--prune"]):
        assert workflow("runs", *words).returncode == 2
    nothing = workflow("runs", "--state-dir", "elsewhere")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "/elsewhere: runs are kept beside" in nothing.stderr


def test_a_run_is_shown_with_what_went_wrong_and_where_to_read_on(look: Workflow, mixed: str) -> None:
    """And what was flaky, what took longest, and how it was started."""
    shown = look("show").stdout
    assert shown.startswith(f"run {mixed}: mixed, failed after ")
    assert "exit code 1" in shown
    assert re.search(r"\n  command  \S+ run -q\n  file     pipeline.toml\n", shown)
    bad = re.search(
        r"what went wrong:\n  bad failed: .*JSONDecodeError.* \(1 skipped because of it\)\n    log: (.*)\n", shown
    )
    assert bad, shown
    assert bad[1].endswith("logs/bad.log")
    assert "flaky:\n  shaky succeeded at attempt 2\n" in shown
    assert "slowest:\n" in shown
    assert shown.endswith("4 succeeded, 1 failed, 1 skipped\n")
    assert look("show", mixed[:-2]).stdout == look("show", "latest").stdout == shown


def test_a_task_is_shown_with_its_attempts_and_the_users_frames(look: Workflow, mixed: str, mixed_folder: Path) -> None:
    """By its id, or all instances by their name."""
    shown = look("show", "latest", "bad").stdout
    assert re.match(
        r"bad failed after [\d.]+s\n  attempt 1 failed: began [\d :+-]+, took [\d.]+s, process \d+\n", shown
    )
    assert f'    !   File "{mixed_folder}/mine.py", line 4, in outer\n    !     json.loads("{{")\n' in shown
    assert "json/decoder.py" not in shown
    assert "workflow/tasks.py" not in shown
    assert shown.endswith("logs/bad.log\n    | about to\n")
    shaky = look("show", "shaky").stdout
    assert "attempt 1 failed" in shaky
    assert "attempt 2 succeeded" in shaky
    assert "(flaky)" in shaky
    many = look("show", mixed, "many").stdout
    assert "many@1 succeeded" in many
    assert "  matrix   n = 2\n" in many
    assert look("show", "many@2").stdout.count("many@") == 2
    assert "reason   it needs bad, which failed" in look("show", "after").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "god"], "there is no task 'god' in the run {run}, did you mean 'good'?"),
        (["show", "latest", "many@3"], "did you mean 'many@"),
        (["show", "19990101"], "there is no run '19990101' in .workflow"),
        (["show", "lates", "good"], "a run stands before the task"),
        (["show", "latest", "a", "b"], "[RUN] [TASK]"),
        (["show", "good", "--set", "x=1"], "--profile, --var and --set are for show TASK --resolved"),
        (["show", "--resolved"], "say which task"),
        (["show", "good", "--resolved", "--state-dir", "x"], "--state-dir is for runs"),
        (["logs", "god"], "did you mean 'good'?"),
        (["logs", "latest"], "say which task of the run 'latest'"),
        (["logs"], "Missing argument"),
        (["logs", "a", "b"], "a run stands before the task"),
        (["logs", "latest", "good", "bad"], "one task at a time"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near_it(
    look: Workflow, mixed: str, words: list[str], said: str
) -> None:
    """With exit code 2."""
    done = look(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said.format(run=mixed) in done.stderr


def test_a_log_is_printed_as_it_is_to_a_pipe(look: Workflow, mixed: str) -> None:
    """All attempts in order; several instances each under a line with its id."""
    raw: subprocess.CompletedProcess[Any] = look("logs", "good", text=False)
    assert raw.stdout == b"hello\n\x1b[31mred\x1b[0m\x01"
    assert look("logs", mixed, "shaky").stdout.startswith("--- attempt 1 ---\ntry 1\n--- error ---\n")
    assert look("logs", "latest", "shaky").stdout.endswith("--- attempt 2 ---\ntry 2\n")
    assert look("logs", "many").stdout == "==> many@1 <==\n1\n==> many@2 <==\n2\n"
    assert look("logs", "-f", "many@2").stdout == "2\n"
    assert look("logs", "after").stdout == ""


def test_on_a_terminal_a_log_steers_nothing(mixed: str, mixed_folder: Path, environ: dict[str, str]) -> None:
    """As on the console of the run."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "workflow", "logs", "good"], cwd=mixed_folder, env=environ, stdin=slave, stdout=slave
    )
    os.close(slave)
    said = b""
    try:
        while data := os.read(master, 4096):
            said += data
    except OSError:  # it has ended
        pass
    os.close(master)
    assert process.wait(timeout=20) == 0
    assert said == b"hello\r\nred\\x01\r\n"


def test_a_run_that_goes_on_is_seen(
    workflow: Workflow, going_on: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """What has ended, what runs, what has not begun; no report is made, and nothing of it is deleted."""
    run = going_on()
    (line,) = workflow("runs").stdout.splitlines()[1:]
    assert re.search(r" running +\S+ +1/4  gated$", line), line
    shown = workflow("show").stdout
    assert re.search(r"running:\n  talks?(@1)? \(for [\d.]+s\)\n  talks?(@1)? \(for [\d.]+s\)\n", shown), shown
    assert shown.endswith("1 succeeded, 3 still to end\n")
    assert re.match(r"talk running for [\d.]+s, process \d+\n    \| begun\n$", workflow("show", "talk").stdout)
    assert workflow("show", "first").stdout.startswith("first succeeded")
    assert workflow("show", "later").stdout == "later has not begun, or a moment ago\n"
    assert workflow("show", "latr").returncode == 2
    assert workflow("logs", "talk").stdout == "begun\n"
    early = workflow("report", "x.md")
    assert early.returncode == 2
    assert "goes on: its reports are made when it ends" in early.stderr
    assert workflow("runs", "--keep", "0").stdout.startswith("deleted 0 runs")
    (tmp_path / "gate").touch()
    assert run.wait(timeout=20) == 0
    assert not (tmp_path / ".workflow/latest/running.json").exists()
    assert workflow("logs", "talk").stdout == "begun\nmore\nend"


@pytest.mark.parametrize(
    ("name", "whole"),
    [("talk", b"begun\nmore\nend"), ("talks", b"talks@1 | 1\ntalks@1 | end\n"), ("later", b"later\n")],
)
def test_a_log_is_followed_to_its_end(
    start: Callable[..., subprocess.Popen[bytes]],
    going_on: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    name: str,
    whole: bytes,
) -> None:
    """Every byte once, whoever prints it when; of a name, each line with its instance."""
    run = going_on()
    follower = start("logs", "-f", name)
    assert follower.stdout is not None
    said = b"" if name == "later" else follower.stdout.readline()
    (tmp_path / "gate").touch()
    said += follower.communicate(timeout=20)[0]
    assert said == whole
    assert follower.returncode == 0
    assert run.wait(timeout=20) == 0


def test_of_a_task_that_is_tried_again_every_attempt_is_followed(
    start: Callable[..., subprocess.Popen[bytes]], going_on: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Nothing of the first is lost, and nothing is told twice."""
    text = GATED.replace('printf end"', 'printf end; test $WORKFLOW_ATTEMPT = 2"\nretries = 1')
    run = going_on(text)
    follower = start("logs", "-f", "talk")
    assert follower.stdout is not None
    said = follower.stdout.readline()
    (tmp_path / "gate").touch()
    said += follower.communicate(timeout=20)[0]
    assert run.wait(timeout=20) == 0
    assert said.count(b"begun\n") == said.count(b"more\nend") == 2
    assert said.count(b"--- error ---\n") == 1
    assert said.index(b"--- attempt 2 ---\n") > said.index(b"more\nend")


def test_what_may_hold_a_secret_is_not_shown_before_it_is_masked(
    workflow: Workflow, going_on: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, environ: dict[str, str]
) -> None:
    """It is in the log once its task has ended."""
    environ["PRIVATE"] = "tok-4f8ae1-9c"
    text = GATED.replace("echo begun", "echo $TOKEN").replace(
        "[tasks.talk]", '[secrets]\nT = { env = "PRIVATE" }\n[tasks.talk]\nenv = { TOKEN = "${secrets.T}" }'
    )
    run = going_on(text)
    early = workflow("logs", "talk")
    assert early.stdout == ""
    assert "its output is there when it has ended: until then it may hold secrets" in early.stderr
    assert "4f8ae1" not in workflow("show", "talk").stdout
    for path in (tmp_path / ".workflow/latest/").rglob("*"):
        assert not path.is_file() or b"4f8ae1" not in path.read_bytes(), path
    (tmp_path / "gate").touch()
    assert run.wait(timeout=20) == 0
    assert workflow("logs", "talk").stdout == "***\nmore\nend"


def test_a_run_that_was_killed_is_seen_and_has_reports(
    workflow: Workflow, going_on: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """With all that had ended, and what ran; its manifest says what it was."""
    run = going_on()
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=20)
    (line,) = workflow("runs").stdout.splitlines()[1:]
    assert re.search(r" killed +\S+ +1/4  gated$", line), line
    shown = workflow("show").stdout
    assert re.search(r": gated, killed after [\d.]+s\n", shown), shown
    assert "when it was killed, there ran:\n" in shown
    assert "there had not begun, or at that moment:\n  later\n" in shown
    assert shown.endswith("1 succeeded, 3 without an end\n")
    assert workflow("show", "talk").stdout == "talk was running when the run was killed\n    | begun\n"
    assert workflow("show", "first").stdout.startswith("first succeeded")
    assert workflow("show", "later").stdout == "later had not begun when the run was killed, or at that moment\n"
    assert "did you mean 'later'?" in workflow("show", "latre").stderr
    assert workflow("logs", "talk").stdout == "begun\n"
    logs = workflow("logs", "later")
    assert (logs.stdout, logs.stderr) == ("", "later had not begun when the run was killed, or at that moment\n")
    assert workflow("logs", "-f", "first").stdout == "one\n"
    made = workflow("report", "x.json", "x.html", "x.xml", "x.md", "x.trace.json")
    assert (made.returncode, made.stderr) == (0, "")
    report = Report.model_validate_json((tmp_path / "x.json").read_bytes())
    assert report.run.status == "killed"
    assert {task.id: task.outcome.value for task in report.tasks} == {
        "first": "succeeded", "talk": "cancelled", "talks@1": "cancelled", "later": "cancelled",
    }  # fmt: skip
    assert [task.reason for task in report.tasks if task.id in ("talk", "later")] == [
        "the run was killed before it ended", "the run was killed before it began, or at that moment",
    ]  # fmt: skip
    assert [task.id for task in report.tasks] == ["first", "talk", "talks@1", "later"]
    graph = json.loads((tmp_path / ".workflow/latest/graph.json").read_bytes())
    assert graph["later"]["needs"] == [{"task": "talk", "status": "success"}]
    manifest = Manifest.model_validate_json((tmp_path / ".workflow/latest/manifest.json").read_bytes())
    assert manifest.tasks == 4
    assert manifest.resolved is not None
    assert set(manifest.resolved["tasks"]) == {"first", "talk", "talks", "later"}
    assert manifest.plan_hash == report.run.plan_hash
    assert workflow("runs", "--keep", "0").stdout.startswith("deleted 1 run")


def test_what_is_followed_when_the_run_is_killed_is_shown_to_its_end(
    workflow: Workflow,
    start: Callable[..., subprocess.Popen[bytes]],
    going_on: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    """The run has said of only so much of its output that it is there."""
    run = going_on()
    follower = start("logs", "-f", "talk")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"begun\n"
    file, offset, _ = next(task["log"] for task in told(tmp_path) if task["id"] == "talk")
    run.send_signal(signal.SIGSTOP)
    (tmp_path / "gate").touch()
    until(lambda: Path(file).read_bytes()[offset:] == b"begun\nmore\nend")
    assert workflow("logs", "talk").stdout == "begun\n"
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=20)
    assert follower.communicate(timeout=20)[0] == b"more\nend"
    assert follower.returncode == 0


def test_a_log_with_something_else_in_its_place_is_told_and_not_read(
    workflow: Workflow, pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """A link may lead anywhere, and a pipe would be waited for without end."""
    pipeline('[tasks.a]\ncmd = ["echo", "a"]\n[tasks.b]\ncmd = ["echo", "b"]\n[tasks.c]\ncmd = ["echo", "c"]\n')
    assert workflow("run", "-q").returncode == 0
    logs = tmp_path / ".workflow/latest/logs"
    for name in ("a", "b", "c"):
        (logs / f"{name}.log").unlink()
    (logs / "a.log").symlink_to("/etc/hostname")
    os.mkfifo(logs / "b.log")
    for name in ("a", "b", "c"):
        done = workflow("logs", name)
        assert done.stdout == ""
        assert done.stderr.startswith(f"{name}: its log is gone, or something else is in its place: ")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["show", ""], ["{run}", "latest", "good", "bad", "shaky", "many", "after"]),
        (["show", "2"], ["{run}"]),
        (["show", "latest", "g"], ["good"]),
        (["show", "many@"], ["many@1", "many@2"]),
        (["logs", "{run}", "s"], ["shaky"]),
        (["logs", "b"], ["bad"]),
        (["report", "l"], ["latest"]),
        (["show", "--resolved", "g"], ["good"]),
        (["runs", "--k"], ["--keep"]),
        (["run", "--resume-from", "2"], ["{run}"]),
    ],
)
def test_runs_and_their_tasks_are_completed(look: Workflow, mixed: str, words: list[str], offered: list[str]) -> None:
    """By the shell, when somebody presses Tab."""
    line = " ".join(["workflow", *words]).format(run=mixed)
    environ = {"_WORKFLOW_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    done = look(env=environ)
    assert [each.partition(",")[2] for each in done.stdout.splitlines()] == [each.format(run=mixed) for each in offered]


def test_without_runs_nothing_is_completed_and_nothing_is_said(workflow: Workflow) -> None:
    """No traceback into somebody's command line."""
    environ = {"_WORKFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "workflow show ", "COMP_CWORD": "2"}
    done = workflow(env=environ)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_where_there_are_no_runs_it_is_told_where_they_are_looked_for(
    workflow: Callable[..., Any], tmp_path: Path
) -> None:
    """They are kept beside the pipeline, and not where a command was started."""
    for command in (["runs"], ["show"], ["logs", "x"]):
        ran = workflow(*command)
        assert f"there are no runs in {tmp_path}/.workflow: runs are kept beside their pipeline file" in ran.stderr
