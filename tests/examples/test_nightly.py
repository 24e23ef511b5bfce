from __future__ import annotations

import datetime
import itertools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Copy = Callable[[str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Outcomes = Callable[[Path], dict[str, str]]
TOKEN = "nightly-demo-token"
SOURCES = ("orders", "stock", "visits")
CACHED = {*(f"clean@{source}" for source in SOURCES), "join", "report"}


@pytest.fixture
def night(copy_of: Copy, python: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the pipeline, always in the same folder; what is given back has the folder, the exit code, the report."""
    monkeypatch.setenv("NIGHTLY_TOKEN", TOKEN)
    folder = copy_of("nightly")

    def run(*arguments: str) -> tuple[Path, subprocess.CompletedProcess[str], dict[str, Any]]:
        ran = python("-m", "workflow", "run", folder / "pipeline.toml", *arguments)
        report = json.loads((folder / ".workflow/latest/report.json").read_text("utf-8"))
        return folder, ran, {task["id"]: task for task in report["tasks"]}

    return run


def test_the_page_is_made_although_a_source_is_gone(night: Callable[..., Any]) -> None:
    """Every outcome of a night, the report it makes, and what the page says of the weather."""
    folder, ran, tasks = night()
    assert ran.returncode == 0, ran.stderr
    assert tasks.pop("weather")["outcome"] == "failed"
    assert {task["outcome"] for task in tasks.values()} == {"succeeded"}
    readme = (folder / "README.md").read_text("utf-8")
    page = (folder / "out/public/index.md").read_text("utf-8")
    assert page.strip() == readme.split("```markdown\n")[1].split("```")[0].strip()
    drawing = ET.parse(folder / "out/chart.svg")
    days = {str(title.text)[:10] for title in drawing.iter("{http://www.w3.org/2000/svg}title")}
    assert len(days) == 60


def test_an_overloaded_source_is_asked_again(night: Callable[..., Any]) -> None:
    """Its task is flaky: it succeeded, and not at once.  One that takes long is told to be slow, and goes on."""
    folder, ran, tasks = night()
    assert [attempt["outcome"] for attempt in tasks["fetch@stock"]["attempts"]] == ["failed", "succeeded"]
    assert {task for task, told in tasks.items() if told["flaky"]} == {"fetch@stock"}
    assert len(tasks["weather"]["attempts"]) == 1
    events = [json.loads(line) for line in (folder / ".workflow/latest/events.jsonl").read_text("utf-8").splitlines()]
    assert "fetch@visits" in {event["task"] for event in events if event["event"] == "task_slow"}
    assert "SLOW" in ran.stderr.upper()


def test_the_alarm_rings_for_what_failed_and_only_for_that(night: Callable[..., Any]) -> None:
    """The hook runs once, after the last attempt; what it prints is in the log of the task."""
    folder, _, tasks = night()
    assert {task for task, told in tasks.items() if told["callback"]} == {"weather"}
    assert tasks["weather"]["callback"]["outcome"] == "succeeded"
    log = (folder / ".workflow/latest/logs/weather.log").read_text("utf-8")
    assert "ALARM: weather: weather: 410 Gone: there is no weather any more" in log


def test_the_token_is_nowhere(night: Callable[..., Any]) -> None:
    """The tasks print it, and it is masked in whatever is kept and shown."""
    folder, ran, _ = night("-v")
    assert TOKEN not in ran.stdout + ran.stderr
    assert "with the token ***, attempt 2" in (folder / ".workflow/latest/logs/fetch@stock.log").read_text("utf-8")
    found = [file for file in folder.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert [file.name for file in found] == ["README.md"]


def test_a_wrong_token_opens_nothing(night: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the service that says no; what needs its answer is skipped, and nothing of the token is shown."""
    monkeypatch.setenv("NIGHTLY_TOKEN", "some-other-token")
    _, ran, tasks = night()
    assert ran.returncode == 1
    assert "401 Unauthorized" in tasks["fetch@orders"]["attempts"][-1]["error"]["message"]
    assert Counter(task["outcome"] for task in tasks.values()) == {"failed": 4, "skipped": 9}
    assert "some-other-token" not in ran.stderr


def test_the_next_night_does_only_what_is_new(night: Callable[..., Any]) -> None:
    """What is fetched is the same, so all that is made of it is cached."""
    folder, first, _ = night()
    assert first.returncode == 0, first.stderr
    before = (folder / "out/public/index.md").read_bytes()
    _, ran, tasks = night()
    assert ran.returncode == 0, ran.stderr
    assert {task for task, told in tasks.items() if told["outcome"] == "cached"} == CACHED
    assert {task for task, told in tasks.items() if told["outcome"] == "succeeded"} == {
        *(f"{task}@{source}" for task in ("fetch", "load") for source in SOURCES),
        "publish",
    }
    assert (folder / "out/public/index.md").read_bytes() == before


def test_in_ci_it_is_smaller_and_nothing_is_published(night: Callable[..., Any]) -> None:
    """Seven days, and the task whose `if` is false is skipped."""
    folder, ran, tasks = night("--profile", "ci")
    assert ran.returncode == 0, ran.stderr
    assert tasks["publish"]["outcome"] == "skipped"
    assert tasks["report"]["outcome"] == "succeeded"
    assert "# 7 days in the shop, 2026-01-01 to 2026-01-07" in (folder / "out/report.md").read_text("utf-8")
    assert not (folder / "out/public").exists()


def test_a_service_that_hangs_costs_its_time_and_leaves_nothing(night: Callable[..., Any]) -> None:
    """The task is ended at its limit with the process it has started, which the guard of all tests looks for."""
    _, ran, tasks = night("--profile", "ci", "--var", "hangs=visits")
    assert ran.returncode == 1
    assert tasks["fetch@visits"]["outcome"] == "timed_out"
    assert tasks["clean@visits"]["outcome"] == tasks["join"]["outcome"] == "skipped"
    assert tasks["load@orders"]["outcome"] == "succeeded"


def test_one_task_at_a_time_writes_to_the_database(night: Callable[..., Any]) -> None:
    """`uses = "db"`: their attempts do not overlap, with two workers free for them."""
    _, _, tasks = night("-j", "4")
    spans = sorted(
        (attempt["started_at"], attempt["duration_s"])
        for task, told in tasks.items()
        if re.match(r"load@|join$", task)
        for attempt in told["attempts"]
    )
    assert len(spans) == 4
    for (start, duration), (after, _) in itertools.pairwise(spans):
        assert _seconds(after) >= _seconds(start) + duration - 0.005


def _seconds(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
