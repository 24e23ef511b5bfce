"""Conditions, pairs, tokens, priorities and slow tasks, from the file to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

MODULE = """\
import json, time

def double(n):
    return 2 * n

def fail_at_2(n):
    if n == 2:
        raise ValueError(n)
    return n

def write(path, **values):
    with open(path, "w") as file:
        json.dump(values, file)

def sleep(seconds):
    time.sleep(seconds)
"""


def tasks_of(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / ".workflow/latest/report.json").read_text())
    return {task["id"]: task for task in report["tasks"]}


def events_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ".workflow/latest/events.jsonl").read_text().splitlines()]


def test_an_if_skips_instances_and_items_lists_them(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """A run in which nothing but that was skipped succeeds; --var and --select change what it is about."""
    (tmp_path / "work.py").write_text(MODULE)
    pipeline("""\
[vars]
upto = 2
[tasks.double]
call = "work:double"
args = ["${matrix.n}"]
matrix.n = [1, 2, 3]
if = "matrix.n != 3 or vars.upto == 3"
[tasks.all]
call = "work:write"
args = ["all.json"]
kwargs = {items = "${tasks.double.items}", results = "${tasks.double.results}"}
[tasks.never]
cmd = ["false"]
if = "env.WORKFLOW_TEST_NEVER == 'yes'"
[tasks.after]
cmd = ["true"]
needs = ["never"]
[tasks.cleanup]
cmd = ["true"]
needs = [{task = "never", status = "any"}]
""")
    ran = workflow("run")
    tasks = tasks_of(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {id_: task["outcome"] for id_, task in tasks.items()} == {
        "double@1": "succeeded", "double@2": "succeeded", "double@3": "skipped", "all": "succeeded",
        "never": "skipped", "after": "skipped", "cleanup": "succeeded",
    }  # fmt: skip
    assert tasks["double@3"]["reason"] == "its 'if' is false: matrix.n != 3 or vars.upto == 3"
    assert tasks["after"]["reason"] == "it needs never, which was skipped because its 'if' is false"
    written = json.loads((tmp_path / "all.json").read_text())
    assert written["results"] == [2, 4]
    assert written["items"][2] == {"id": "double@3", "matrix": {"n": 3}, "outcome": "skipped", "result": None}
    assert sum(event["event"] == "task_finished" for event in events_of(tmp_path)) == 7

    assert workflow("run", "--var", "upto=3", "--select", "all").returncode == 0
    assert {id_: task["outcome"] for id_, task in tasks_of(tmp_path).items()} == {
        "double@1": "succeeded", "double@2": "succeeded", "double@3": "succeeded", "all": "succeeded",
    }  # fmt: skip


def test_pairs_run_by_themselves_and_take_their_partners_result(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """One that failed skips its own pair alone; with status any the pair is told what it got."""
    (tmp_path / "work.py").write_text(MODULE)
    (tmp_path / "numbers.txt").write_text("a\nb\n")
    pipeline("""\
[tasks.first]
call = "work:fail_at_2"
args = ["${matrix.n}"]
matrix.n = {range = [1, 4]}
allow_failure = true
[tasks.second]
call = "work:double"
args = ["${tasks.first.result}"]
matrix.n = {like = "first"}
needs = {task = "first", match = "n"}
[tasks.third]
call = "work:write"
args = ["third.${matrix.n}.${matrix.word}"]
kwargs = {one = "${tasks.first.items}", outcome = "${tasks.second.items.0.outcome}"}
matrix = {n = {like = "first"}, word = {lines = "numbers.txt"}}
needs = [{task = "first", match = "n", status = "any"}, {task = "second", match = ["n"], status = "any"}]
[tasks.total]
cmd = ["echo", "${tasks.second.results}"]
needs = {task = "second", status = "any"}
""")
    ran = workflow("run")
    tasks = tasks_of(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {id_: task["outcome"] for id_, task in tasks.items() if task["outcome"] != "succeeded"} == {
        "first@2": "failed", "second@2": "skipped",
    }  # fmt: skip
    assert len(tasks) == 3 + 3 + 6 + 1
    assert json.loads((tmp_path / "third.2.b").read_text()) == {
        "one": [{"id": "first@2", "matrix": {"n": 2}, "outcome": "failed", "result": None}], "outcome": "skipped",
    }  # fmt: skip
    assert (tmp_path / ".workflow/latest" / tasks["total"]["log"]).read_text() == "[2, 6]\n"


def test_tasks_that_use_a_token_run_one_at_a_time_and_the_urgent_first(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """While others run beside them; who is slow is told."""
    pipeline("""\
[pipeline]
pool = 4
[limits]
db = 1
[tasks.query]
cmd = ["sleep", "0.3"]
matrix.n = [1, 2, 3]
uses = "db"
warn_after = "100ms"
[tasks.urgent]
cmd = ["sleep", "0.05"]
uses = {db = 1}
priority = 7
[tasks.beside]
cmd = ["true"]
""")
    ran = workflow("run")
    assert ran.returncode == 0, ran.stderr
    tasks = tasks_of(tmp_path)
    spans = sorted(
        (attempt["started_at"], attempt["duration_s"], task["id"])
        for task in tasks.values()
        for attempt in task["attempts"]
        if task["name"] != "beside"
    )
    assert [id_ for _, _, id_ in spans] == ["urgent", "query@1", "query@2", "query@3"]
    running = 0
    for event in events_of(tmp_path):
        if event["task"] not in (None, "beside"):
            running += {"task_started": 1, "attempt_finished": -1}.get(event["event"], 0)
            assert running <= 1
    assert sum(event["event"] == "task_slow" for event in events_of(tmp_path)) == 3
    assert ran.stderr.count("SLOW") == 3


def test_a_rate_holds_for_what_has_begun(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """In any window of its length, as the report has the beginnings."""
    from datetime import datetime

    pipeline("""\
[pipeline]
pool = 4
[limits]
web = {tokens = 3, per = "500ms"}
[tasks.get]
cmd = ["true"]
matrix.n = {range = [0, 9]}
uses = "web"
[tasks.other]
cmd = ["sleep", "0.2"]
matrix.n = {range = [0, 9]}
""")
    ran = workflow("run")
    assert ran.returncode == 0, ran.stderr
    begun = sorted(
        datetime.fromisoformat(task["attempts"][0]["started_at"]).timestamp()
        for task in tasks_of(tmp_path).values()
        if task["name"] == "get"
    )
    assert all(later - earlier >= 0.495 for earlier, later in zip(begun, begun[3:], strict=False))
    assert begun[-1] - begun[0] < 5


def test_a_rate_holds_for_attempts_that_are_tried_again(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """And what uses a plain limit keeps it between its attempts, also while it waits for a token of a rate."""
    from datetime import datetime

    pipeline("""\
[pipeline]
pool = 3
[limits]
web = {tokens = 2, per = "400ms"}
db = 1
[tasks.get]
shell = "test $WORKFLOW_ATTEMPT = 3"
matrix.n = [1, 2, 3]
uses = ["web", "db"]
retries = {max = 2, delay = "10ms"}
[tasks.post]
cmd = ["true"]
matrix.n = [1, 2]
uses = "web"
[tasks.query]
shell = "test $WORKFLOW_ATTEMPT = 2"
uses = "db"
retries = 1
""")
    ran = workflow("run")
    assert ran.returncode == 0, ran.stderr

    def attempts_of(*names: str) -> list[tuple[float, str]]:
        return sorted(
            (datetime.fromisoformat(attempt["started_at"]).timestamp(), task["id"])
            for task in tasks_of(tmp_path).values()
            for attempt in task["attempts"]
            if task["name"] in names
        )

    begun = [at for at, _ in attempts_of("get", "post")]
    assert len(begun) == 11
    assert all(later - earlier >= 0.395 for earlier, later in zip(begun, begun[2:], strict=False))
    of_db = [id_ for _, id_ in attempts_of("get", "query")]
    assert len(of_db) == 11
    assert sum(earlier != later for earlier, later in pairwise(of_db)) == 3


def test_a_percentage_of_failures_halts_the_run(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Allowed ones are not counted; what had not begun is cancelled, and says why."""
    pipeline("""\
[pipeline]
pool = 1
max_failures = "25%"
[tasks.allowed]
cmd = ["false"]
allow_failure = true
[tasks.bad]
shell = "sleep 0.2; false"
matrix.n = {range = [0, 7]}
""")
    assert workflow("run").returncode == 1
    tasks = tasks_of(tmp_path)
    failed = [id_ for id_, task in tasks.items() if task["outcome"] == "failed"]
    assert failed[:3] == ["allowed", "bad@0", "bad@1"]
    assert len(failed) <= 4  # the next may have begun before anybody heard of it
    cancelled = [task for task in tasks.values() if task["outcome"] == "cancelled"]
    assert len(failed) + len(cancelled) == 8
    assert {task["reason"] for task in cancelled} == {"the run was halted after 2 failures"}
