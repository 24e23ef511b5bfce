"""Keys of the file that the engine carries out, each from the file to the report, so that an ignored one is seen."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.info_task import RetryPolicy
from workflow.plan.compile import derived_seed
from workflow.scheduler.pauses import retry_delay_s

Run = Callable[..., dict[str, Any]]

FUNCTIONS = """
import os, random, subprocess, sys, time

def fail(): raise ValueError("no")
def crash(): os.abort()
def draw(): return random.random()
def say(*values, **named): print(*values, *named.items())
def sleep(seconds): time.sleep(seconds)
def hold(): sum(range(10**13))

def take(mib):
    held = bytearray(mib << 20)
    held[::4096] = b"1" * len(held[::4096])
    return held

def hoard(path):
    held = [take(110)]
    try:
        open(path, "w").write(str(time.monotonic()))
        held.append(take(60))
        time.sleep(20)
    finally:
        open(path, "a").write(f" {time.monotonic()}")

def hoard_below(mib):
    line = f"x = bytearray({mib} << 20); x[::4096] = b'1' * len(x[::4096]); import time; time.sleep(20)"
    subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" -c "{line}"; true'], start_new_session=True)

def share(mib, children):
    held = take(mib)
    for _ in range(children):
        if os.fork() == 0:
            time.sleep(0.6)
            os._exit(len(held) and 0)
    for _ in range(children): os.wait()
"""


@pytest.fixture
def run(workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path) -> Run:
    """Run a file; its report, with the tasks by their ids."""

    def call(text: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        (tmp_path / "functions.py").write_text(FUNCTIONS)
        pipeline(text)
        ran = workflow("run", *arguments)
        assert ran.returncode == code, ran.stderr
        report: dict[str, Any] = json.loads((tmp_path / ".workflow/latest/report.json").read_text())
        return {**report, "tasks": {task["id"]: task for task in report["tasks"]}}

    return call


def outcomes(task: dict[str, Any]) -> list[str]:
    return [attempt["outcome"] for attempt in task["attempts"]]


def gaps(task: dict[str, Any]) -> list[float]:
    """The waits between attempts."""
    from datetime import datetime

    attempts = task["attempts"]
    begins = [datetime.fromisoformat(attempt["started_at"]).timestamp() for attempt in attempts]
    ends = [begin + attempt["duration_s"] for begin, attempt in zip(begins, attempts, strict=True)]
    return [begin - end for begin, end in zip(begins[1:], ends, strict=False)]


def printed(folder: Path, task: str) -> str:
    return (folder / ".workflow/latest/logs" / f"{task}.log").read_text().strip()


RETRIES = """
[pipeline]
pool = 8
[defaults]
call = "functions:fail"
[tasks.number]
retries = 2
[tasks.delay]
retries = { max = 1, delay = "200ms", jitter = false }
[tasks.backoff]
retries = { max = 2, delay = "100ms", backoff = 4, jitter = false }
[tasks.max_delay]
retries = { max = 2, delay = "100ms", backoff = 1000, max_delay = "300ms", jitter = false }
[tasks.on_crashed]
retries = { max = 2, on = ["crashed"] }
[tasks.on_failed]
call = "functions:crash"
retries = { max = 2, on = ["failed"] }
[tasks.crashes]
call = "functions:crash"
retries = { max = 1, on = ["crashed"] }
[tasks.jitter]
retries = { max = 2, delay = "1s" }
"""


def test_each_part_of_retries_is_heeded(run: Run) -> None:
    """How often, after how long, growing to what, on which outcomes."""
    tasks = run(RETRIES, "--seed", "30", code=1)["tasks"]
    expected = {
        "number": ["failed"] * 3, "delay": ["failed"] * 2, "backoff": ["failed"] * 3, "max_delay": ["failed"] * 3,
        "on_crashed": ["failed"], "on_failed": ["crashed"], "crashes": ["crashed"] * 2, "jitter": ["failed"] * 3,
    }  # fmt: skip
    assert {name: outcomes(task) for name, task in tasks.items()} == expected
    policy = RetryPolicy(max=2, delay_s=1.0, seed=derived_seed(30, "jitter:retries"))
    jitter = [retry_delay_s(policy, 0, attempt) for attempt in (1, 2)]
    assert min(jitter) > 0.97, "longer than what would be drawn without the seed"
    expected_waits: dict[str, list[float]] = {
        "number": [0, 0], "delay": [0.2], "backoff": [0.1, 0.4], "max_delay": [0.1, 0.3], "jitter": jitter,
    }  # fmt: skip
    for name, waits in expected_waits.items():
        for measured, wanted in zip(gaps(tasks[name]), waits, strict=True):
            assert wanted - 0.001 <= measured <= wanted + 1.0, (name, gaps(tasks[name]))


def test_a_success_after_a_retry_is_flaky_and_the_attempt_has_its_number(run: Run, tmp_path: Path) -> None:
    """In every place in which it may stand: alone it is a number, in a text it is text."""
    tasks = run(
        """
        [defaults]
        retries = 1
        [tasks.cmd]
        cmd = ["test", "${task.attempt}", "=", "2"]
        [tasks.shell]
        shell = "echo ${task.attempt} of ${task.id}; test ${task.attempt} = 2"
        [tasks.env]
        shell = "test \\"$N $M\\" = '2 number 2'"
        env = { N = "${task.attempt}", M = "number ${task.attempt}" }
        [tasks.args]
        call = "functions:say"
        args = ["${task.attempt}", "<${task.attempt}>", ["${task.attempt}"], { a = "${task.id}.${task.attempt}" }]
        kwargs = { n = "${task.attempt}" }
        """
    )["tasks"]
    assert {name: (outcomes(task), task["flaky"]) for name, task in tasks.items()} == {
        "cmd": (["failed", "succeeded"], True),
        "shell": (["failed", "succeeded"], True),
        "env": (["failed", "succeeded"], True),
        "args": (["succeeded"], False),
    }
    assert printed(tmp_path, "args") == "1 <1> [1] {'a': 'args.1'} ('n', 1)"
    assert "1 of shell" in printed(tmp_path, "shell")
    assert "2 of shell" in printed(tmp_path, "shell")


def test_the_run_has_an_id_and_a_folder(run: Run, tmp_path: Path) -> None:
    """In arguments, in a command, in a line and in the environment."""
    report = run(
        """
        [tasks.call]
        call = "functions:say"
        args = ["${run.id}", "in ${run.dir}"]
        [tasks.cmd]
        cmd = ["sh", "-c", 'echo "$1 $HERE"', "x", "${run.id}"]
        env = { HERE = "${run.dir}" }
        [tasks.shell]
        shell = "echo ${run.id} ${run.dir}"
        """
    )
    run_id, folder = report["run"]["id"], (tmp_path / ".workflow" / "runs" / report["run"]["id"]).resolve()
    assert printed(tmp_path, "call") == f"{run_id} in {folder}"
    assert printed(tmp_path, "cmd") == f"{run_id} {folder}"
    assert printed(tmp_path, "shell") == f"{run_id} {folder}"


DEADLINE = """
[pipeline]
pool = 3
[defaults]
grace = "200ms"
[tasks.holds]
call = "functions:hold"
deadline = "500ms"
[tasks.waits]
call = "functions:fail"
deadline = "1m"
retries = { max = 3, delay = "2m", jitter = false }
[tasks.tries]
shell = "test ${task.attempt} = 1 && exit 3; sleep 30"
deadline = "700ms"
retries = { max = 9, delay = "100ms", jitter = false }
"""


def test_a_deadline_ends_a_task_as_timed_out_and_says_that_it_was_the_deadline(run: Run) -> None:
    """While it hangs, at once when it would only wait, and in a later attempt below its own limit."""
    report = run(DEADLINE, code=1)
    assert {name: task["outcome"] for name, task in report["tasks"].items()} == dict.fromkeys(
        ("holds", "waits", "tries"), "timed_out"
    )
    holds, waits, tries = (report["tasks"][name] for name in ("holds", "waits", "tries"))
    assert outcomes(holds) == ["timed_out"]
    assert "killed at its deadline of 0.5 s" in holds["attempts"][0]["error"]["message"]
    assert outcomes(waits) == ["failed"]
    assert waits["reason"] == "its deadline of 60 s for all attempts left no time for another"
    assert outcomes(tries) == ["failed", "timed_out"]
    assert 0.7 <= tries["duration_s"] <= 0.7 + 0.2 + 0.5


def test_a_worker_is_renewed_after_so_many_attempts(run: Run) -> None:
    """No process appears in the report more often."""
    report = run(
        """
        [pipeline]
        pool = 2
        max_tasks_per_child = 2
        [tasks.t]
        call = "functions:draw"
        matrix = { n = { range = [0, 12] } }
        """
    )
    pids = Counter(task["attempts"][0]["pid"] for task in report["tasks"].values())
    assert len(report["tasks"]) == 12
    assert max(pids.values()) == 2


SEEDS = """
[pipeline]
{seed}
[tasks.drawn]
call = "functions:draw"
[tasks.own]
call = "functions:draw"
seed = 7
[tasks.say]
call = "functions:say"
args = ["${{tasks.drawn.result}}", "${{tasks.own.result}}"]
[tasks.cmd]
cmd = ["sh", "-c", "echo $WORKFLOW_SEED"]
"""


def test_the_seed_of_the_run_is_where_random_numbers_come_from(run: Run, tmp_path: Path) -> None:
    """That of the command line, of the file, or one that is drawn and recorded; a task's own is its own."""

    def drawn(text: str, *arguments: str) -> tuple[int, str]:
        report = run(text, *arguments)
        seed: int = report["run"]["seed"]
        event = json.loads((tmp_path / ".workflow/latest/events.jsonl").read_text().splitlines()[0])
        assert event["seed"] == seed
        derived = derived_seed(seed, "drawn")
        expected = f"{random.Random(derived).random()} {random.Random(7).random()}"
        assert printed(tmp_path, "say") == expected
        assert printed(tmp_path, "cmd") == str(derived_seed(seed, "cmd"))
        return seed, expected

    of_file = SEEDS.format(seed="seed = 11")
    assert drawn(of_file)[0] == 11
    assert drawn(of_file, "--seed", "12")[0] == 12
    first, second = drawn(SEEDS.format(seed="")), drawn(SEEDS.format(seed=""))
    assert first[0] != second[0]
    assert drawn(SEEDS.format(seed=""), "--seed", str(first[0])) == first


def test_the_seed_of_a_task_is_the_same_everywhere() -> None:
    """It is in reports, and whoever has one must get the same numbers from it for ever."""
    assert derived_seed(0, "fetch@de") == 2233830683
    assert derived_seed(1, "fetch@de") == 930645589


def test_a_seed_that_numpy_would_not_take_is_refused(workflow: Callable[..., Any], pipeline: Any) -> None:
    """As a mistake in the command line."""
    pipeline('[tasks.a]\ncmd = ["true"]')
    ran = workflow("run", "--seed", str(2**32))
    assert ran.returncode == 2
    assert "--seed" in ran.stderr


def test_outputs_that_are_not_there_fail_the_task(run: Run) -> None:
    """Relative to the file, also for a task that has another folder."""
    tasks = run(
        """
        [tasks.made]
        shell = "mkdir -p out && echo x > out/a.txt"
        outputs = ["out/a.txt", "out/*.txt"]
        [tasks.folder]
        cmd = ["mkdir", "elsewhere"]
        [tasks.elsewhere]
        shell = "echo x > b.txt"
        cwd = "elsewhere"
        needs = ["folder"]
        outputs = ["b.txt"]
        allow_failure = true
        [tasks.retried]
        shell = "test ${task.attempt} = 1 || echo x > c.txt"
        outputs = "c.txt"
        retries = 1
        [tasks.stale]
        shell = "test ${task.attempt} = 2 || { echo x > d.txt; exit 3; }"
        outputs = ["d.txt"]
        retries = 1
        allow_failure = true
        """
    )["tasks"]
    assert tasks["made"]["outcome"] == "succeeded"
    error = tasks["elsewhere"]["attempts"][0]["error"]
    assert (tasks["elsewhere"]["outcome"], error["type"]) == ("failed", "workflow.OutputMissing")
    assert "b.txt is not there" in error["message"]
    assert outcomes(tasks["retried"]) == ["failed", "succeeded"]
    assert tasks["retried"]["flaky"] is True
    assert outcomes(tasks["stale"]) == ["failed", "failed"]
    assert "was left by an earlier attempt" in tasks["stale"]["attempts"][1]["error"]["message"]


MEMORY = """
[pipeline]
pool = 4
[defaults]
memory = "160MiB"
grace = "300ms"
[tasks.itself]
call = "functions:hoard"
args = ["itself.txt"]
[tasks.grandchild]
call = "functions:hoard_below"
args = [250]
[tasks.command]
shell = '(python3 -c "x = b\\"1\\" * (250 << 20); import time; time.sleep(20)"); true'
[tasks.shared]
call = "functions:share"
args = [100, 4]
"""


def test_the_memory_of_a_task_is_that_of_its_whole_tree_with_shared_pages_once(run: Run, tmp_path: Path) -> None:
    """A grandchild counts; five processes that share 100 MiB do not use 500."""
    tasks = run(MEMORY, code=1)["tasks"]
    killed = {name: tasks[name] for name in ("itself", "grandchild", "command")}
    for name, task in killed.items():
        assert task["outcome"] == "memory_exceeded", name
        (attempt,) = task["attempts"]
        assert attempt["error"]["type"] == "MemoryLimitExceeded"
        assert "killed at its memory limit of 160 MiB, with " in attempt["error"]["message"]
        assert attempt["peak_rss_bytes"] > 160 << 20
    assert tasks["shared"]["outcome"] == "succeeded"
    assert tasks["shared"]["attempts"][0]["peak_rss_bytes"] >= 100 << 20
    full, told = map(float, (tmp_path / "itself.txt").read_text().split())
    assert told - full <= 0.1 + 0.5, "looked at every 100 ms, and asked to end when its stack was written"


def test_a_higher_priority_is_started_first(run: Run) -> None:
    """Whatever the order in the file is; with one worker, behind a task that keeps it busy."""
    report = run(
        """
        [pipeline]
        pool = 1
        [tasks.first]
        call = "functions:sleep"
        args = [0.5]
        priority = 9
        [tasks.low]
        cmd = ["true"]
        matrix = { n = { range = [0, 6] } }
        priority = -1
        [tasks.middle]
        cmd = ["true"]
        [tasks.high]
        cmd = ["true"]
        priority = 5
        """
    )
    begun = sorted(report["tasks"].values(), key=lambda task: task["attempts"][0]["started_at"])
    assert [task["name"] for task in begun] == ["first", "high", "middle", *["low"] * 6]


SETTINGS = """
[pipeline]
pool = 2
path = ["lib"]
preload = ["loaded"]
max_result = 1000
max_log = 4000
[defaults]
timeout = "20s"
[tasks.large]
call = "functions:take"
args = [1]
[tasks.talkative]
call = "functions:say"
args = ["${vars.text}"]
[tasks.beside]
call = "beside:pid"
on.success = "beside:slow"
callback_timeout = "200ms"
[tasks.marks]
call = "loaded:mark"
isolate = true
[tasks.unmarked]
call = "loaded:marked"
needs = "marks"
matrix.x = [1, 2, 3]
[tasks.folder]
cmd = ["pwd"]
cwd = "lib"
"""


def test_the_settings_of_a_file_reach_the_engine(run: Run, tmp_path: Path) -> None:
    """Each is seen in what became of a task: path and preload, bounds of results and logs, hooks and isolation."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/beside.py").write_text("import os, time\npid = os.getpid\ndef slow(result): time.sleep(100)\n")
    (tmp_path / "lib/loaded.py").write_text(
        "import os\nloaded_by = os.getpid()\nseen = []\n"
        "def mark():\n    seen.append(1)\n    return loaded_by != os.getpid()\n"
        "def marked():\n    assert not seen\n    return loaded_by != os.getpid()\n"
        "open(os.path.join(os.path.dirname(__file__), 'loads'), 'a').write('x')\n"
    )
    text = "z" * 20_000
    tasks = run(f'vars = {{text = "{text}"}}\n' + SETTINGS, code=1)["tasks"]
    failed = [name for name, task in tasks.items() if task["outcome"] != "succeeded"]
    assert failed == ["large"]
    assert "1,000" in tasks["large"]["attempts"][0]["error"]["message"].replace("1000", "1,000")
    assert len((tmp_path / ".workflow/latest/logs/talkative.log").read_bytes()) < 6000
    assert tasks["beside"]["callback"]["outcome"] == "timed_out"
    assert (tmp_path / "lib/loads").read_text() == "x", "it was loaded once, before there were workers"
    assert printed(tmp_path, "folder").endswith("/lib")
