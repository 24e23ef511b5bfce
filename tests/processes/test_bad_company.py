"""One task of each bad kind beside a hundred good ones, through the whole of ``workflow run``."""

from __future__ import annotations

import collections
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

from workflow.engine import processes

VICTIMS = Path(__file__).parent / "victims"
Wait = Callable[[Callable[[], bool]], None]

PIPELINE = """
[pipeline]
pool = 2
path = [{victims}]

[defaults]
timeout = "2s"
grace = "500ms"
callback_timeout = "1s"

[tasks.good]
call = "victims:twice"
args = ["${{matrix.n}}"]
matrix = {{ n = {{ range = [0, 100] }} }}
timeout = "30s"

[tasks.sleeps]
module = "victims.Sleep"

[tasks.holds_the_interpreter]
module = "victims.HoldTheInterpreter"

[tasks.ignores_signals]
module = "victims.IgnoreSignals"

[tasks.leaves_a_session]
module = "victims.Grandchildren"
args = [{pids}]
kwargs = {{ stay = true }}

[tasks.segfaults]
module = "victims.Crash"
args = ["segv"]

[tasks.exits]
module = "victims.Crash"
args = ["exit"]

[tasks.raises_what_does_not_unpickle]
module = "victims.Raise"
args = ["keyword"]

[tasks.callback_raises]
module = "victims.Callback"
args = ["raise"]

[tasks.callback_hangs]
module = "victims.Callback"
args = ["hang"]

[tasks.no_such_class]
module = "victims.Missing"
"""

OUTCOMES = {
    "sleeps": "timed_out",
    "holds_the_interpreter": "timed_out",
    "ignores_signals": "timed_out",
    "leaves_a_session": "timed_out",
    "segfaults": "crashed",
    "exits": "crashed",
    "raises_what_does_not_unpickle": "failed",
    "callback_raises": "succeeded",
    "callback_hangs": "succeeded",
    "no_such_class": "failed",
}


def written(folder: Path) -> Path:
    file = folder / "pipeline.toml"
    file.write_text(PIPELINE.format(victims=json.dumps(str(VICTIMS)), pids=json.dumps(str(folder / "pids"))))
    return file


def test_every_task_of_a_bad_batch_has_its_right_outcome(tmp_path: Path, pids_in: Callable[[Path], list[int]]) -> None:
    """The run ends within the sum of the limits, exits 1, agrees with itself, and leaves nothing."""
    started = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "workflow", "run", str(written(tmp_path))],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert time.monotonic() - started < 4 * 2.5 + 2 * 1 + 20
    report = json.loads((tmp_path / ".workflow" / "latest" / "report.json").read_text())
    tasks: dict[str, Any] = {task["id"]: task for task in report["tasks"]}
    assert len(tasks) == 110
    assert {name: tasks[name]["outcome"] for name in OUTCOMES} == OUTCOMES
    assert all(task["outcome"] == "succeeded" for task in tasks.values() if task["name"] == "good")
    assert report["counts"]["succeeded"] == 102
    assert report["run"]["exit_code"] == 1

    assert tasks["segfaults"]["attempts"][0]["signal"] == "SIGSEGV"
    assert tasks["exits"]["attempts"][0]["exit_code"] == 0
    assert tasks["raises_what_does_not_unpickle"]["attempts"][0]["error"]["type"] == "victims.NeedsKeyword"
    for name in ("sleeps", "holds_the_interpreter", "ignores_signals", "leaves_a_session"):
        assert "in runnable" in tasks[name]["attempts"][0]["error"]["stack"]
    assert tasks["callback_raises"]["callback"]["outcome"] == "failed"
    assert tasks["callback_hangs"]["callback"]["outcome"] == "timed_out"
    assert "no 'Missing'" in tasks["no_such_class"]["attempts"][0]["error"]["message"]

    lines = (tmp_path / ".workflow" / "latest" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    finished = collections.Counter(event["task"] for event in events if event["event"] == "task_finished")
    assert finished == dict.fromkeys(tasks, 1)
    assert [event["event"] for event in (events[0], events[-1])] == ["run_started", "run_finished"]
    pids = pids_in(tmp_path / "pids")
    assert len(pids) == 3
    assert not any(processes.is_alive(pid) for pid in pids)


def test_nothing_of_a_run_survives_kill_9_of_its_parent(tmp_path: Path, wait_until: Wait) -> None:
    """In the middle of it all, two seconds are enough."""
    file = written(tmp_path)
    file.write_text(file.read_text().replace('timeout = "2s"', 'timeout = "100s"', 1))
    run = subprocess.Popen(
        [sys.executable, "-m", "workflow", "run", "-j", "8", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MARK_OF_THIS_RUN": str(tmp_path)},
    )
    wait_until((tmp_path / "pids").exists)

    def marked() -> list[int]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if str(tmp_path).encode() in Path(f"/proc/{name}/environ").read_bytes():
                        found.append(int(name))
                except OSError:
                    continue
        return [pid for pid in found if processes.is_alive(pid)]

    before = marked()
    assert len(before) >= 13, "the run, guardian, warden, dispatcher, eight workers, and what the task started"
    run.kill()
    killed = time.monotonic()
    run.wait()
    wait_until(lambda: not marked())
    assert time.monotonic() - killed < 2.0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_ends_the_run_cleanly(tmp_path: Path, wait_until: Wait, number: signal.Signals, code: int) -> None:
    """Reports are written, tasks are cancelled, the exit code says which signal it was."""
    file = written(tmp_path)
    file.write_text(file.read_text().replace('timeout = "2s"', 'timeout = "100s"', 1))
    run = subprocess.Popen(
        # As with `&` in a script, or nohup: that it was ignored at the start must not matter.
        ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", sys.executable, "-m", "workflow", "run", "-j", "8", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((tmp_path / "pids").exists)
    run.send_signal(number)
    _, err = run.communicate(timeout=40)
    assert run.returncode == code, err
    assert "Traceback" not in err
    report = json.loads((tmp_path / ".workflow" / "latest" / "report.json").read_text())
    assert report["run"]["exit_code"] == code
    assert report["counts"]["cancelled"] > 0
    assert len(report["tasks"]) == 110


def test_an_interrupted_run_does_not_wait_for_a_callback_for_ever(tmp_path: Path, wait_until: Wait) -> None:
    """It is recorded as abandoned, and the run ends in seconds."""
    file = tmp_path / "pipeline.toml"
    file.write_text(
        f"""
[pipeline]
path = [{json.dumps(str(VICTIMS))}]

[tasks.callback_hangs]
module = "victims.Callback"
args = ["hang"]
callback_timeout = "none"

[tasks.sleeps]
module = "victims.Sleep"
needs = ["callback_hangs"]
"""
    )
    run = subprocess.Popen([sys.executable, "-m", "workflow", "run", str(file)], stderr=subprocess.PIPE, text=True)
    events = tmp_path / ".workflow" / "latest" / "events.jsonl"
    wait_until(lambda: events.exists() and "task_started" in events.read_text().rpartition("callback_hangs")[2])
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 143, err
    report = json.loads((tmp_path / ".workflow" / "latest" / "report.json").read_text())
    tasks = {task["id"]: task for task in report["tasks"]}
    assert tasks["callback_hangs"]["outcome"] == "succeeded"
    assert tasks["callback_hangs"]["callback"]["outcome"] == "timed_out"
    assert tasks["sleeps"]["outcome"] == "cancelled"
