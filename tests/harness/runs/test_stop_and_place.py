"""Scenarios of the way out and of the world around a run, and what they are made with."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflow.failpoints import FOLDER_VARIABLE
from workflow.harness import program, surroundings
from workflow.harness.blows import Blow, Striker, When
from workflow.harness.catalogue import by_id
from workflow.harness.census import Census
from workflow.harness.children import WAYS
from workflow.harness.evidence import Evidence, Expected, ExpectedTask
from workflow.harness.experiment import Run
from workflow.harness.injection import write_injection
from workflow.harness.mutations import VALID, mutated
from workflow.harness.neighbours import value_of
from workflow.harness.oracle import Finding, judge
from workflow.harness.scenario import CannotBeMade, Scenario, Trial, check
from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome


@pytest.mark.parametrize(
    "id_",
    [
        "stop.int", "stop.term.start", "stop.hup.callback", "stop.twice", "stop.thrice", "stop.pipe", "stop.pipe.full",
        "stop.exit", "stop.exit.os_exit", "place.fds", "place.readonly.file", "place.cwd", "place.two_runs",
        "place.file",
    ],
)  # fmt: skip
def test_a_scenario_holds(id_: str) -> None:
    result = check(by_id()[id_], 1)
    assert result.passed, result.explain()


def test_every_signal_is_sent_at_every_moment() -> None:
    moments = {"", ".group", ".start", ".push", ".callback", ".stop", ".exit"}
    assert {f"stop.{name}{moment}" for name in ("int", "term", "hup") for moment in moments} <= by_id().keys()


def test_what_cannot_be_made_is_an_error_and_says_so() -> None:
    def prepare(_folder: Path, _draw: random.Random) -> Trial:
        raise CannotBeMade("this machine has no disk")

    result = check(Scenario("x", "", "", prepare), 1)
    assert not result.passed
    assert result.error == "cannot be made here: this machine has no disk"


def test_a_trial_beside_another_is_judged_as_well() -> None:
    """What is broken in either is broken."""

    def prepare(_folder: Path, _draw: random.Random) -> Trial:
        run, expected = Run(("-c", ""), program=True), Expected({})
        return Trial(run, expected, beside=Trial(Run(("-c", "raise SystemExit(3)"), program=True), expected))

    result = check(Scenario("x", "", "", prepare), 1)
    assert [verdict.promise for verdict in result.verdicts if verdict.finding is Finding.BROKEN] == [5]
    assert "exit code 3" in result.verdicts[4].reasons[0]
    assert "what it said last" in result.details


def _of_program(report: dict[str, Any], **facts: Any) -> Evidence:
    known: dict[str, Any] = {
        "exit_code": 0, "began_s": 0.0, "ended_s": 1.0, "stdout": "", "stderr": "", "report": report, "events": None,
        "journal": (), "sightings": (), "left": (), "program": True,
    }  # fmt: skip
    return Evidence(**{**known, **facts})


def test_a_program_is_judged_by_its_own_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is written for each task when nothing more will happen to it."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert program.read_account(tmp_path) == {"tasks": []}
    error = ErrorRecord("ValueError", "no", "Traceback", None)
    attempt = Attempt(1, Outcome.FAILED, 0.0, 0.1, 7, error=error)
    handle: Any = SimpleNamespace(
        id="a", outcome=Outcome.FAILED, reason=None, attempts=(attempt,),
        callback=CallbackRecord("error_callback", Outcome.SUCCEEDED),
    )  # fmt: skip
    program.keep(handle)
    account = program.read_account(tmp_path)
    expected = Expected({"a": ExpectedTask(frozenset({"failed"}), error="ValueError", attempts=1)})
    findings = [verdict.finding for verdict in judge(_of_program(account), expected)[:2]]
    assert findings == [Finding.HELD, Finding.HELD]
    program.keep(handle)
    twice = judge(_of_program(program.read_account(tmp_path)), expected)[0]
    assert twice.reasons == ("a is 2 times in report.json",)
    assert judge(_of_program({"tasks": []}), expected)[0].finding is Finding.BROKEN


def test_a_program_that_was_cut_off_has_an_account_of_what_it_was_told() -> None:
    expected = Expected({"a": ExpectedTask()}, report=False)
    assert judge(_of_program({"tasks": []}), expected)[0].finding is Finding.HELD


def test_the_traceback_of_a_program_is_its_own() -> None:
    """One, where one is expected; a second is ours."""
    one = "Traceback (most recent call last):\n  here\nValueError\n"
    expected = Expected({}, tracebacks=1)
    assert judge(_of_program({"tasks": []}, stderr=one), expected)[4].finding is Finding.HELD
    assert judge(_of_program({"tasks": []}, stderr=one * 2), expected)[4].finding is Finding.BROKEN


def test_the_engine_of_a_program_is_told_what_to_inject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    write_injection(tmp_path, {})
    assert program.make_engine(3).pool == 3


def test_a_blow_may_wait_for_the_folder_and_the_report_of_a_run(tmp_path: Path) -> None:
    report = tmp_path / "latest" / "report.json"
    census = Census("X=1", os.getpid())
    for what, path in (("made", report.parent), ("reported", report)):
        striker = Striker([Blow("SIGCONT", "parent", When(what))], census, os.getpid(), report)
        striker.act([])
        assert not striker.struck
        path.mkdir() if what == "made" else path.touch()
        striker.act([])  # the moment is known
        striker.act([])
        assert [blow.signal for blow in striker.struck] == ["SIGCONT"]


def test_a_blow_may_wait_for_the_handlers_of_a_process() -> None:
    census = Census("X=1", os.getpid())
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert not census.catches(os.getpid(), signal.SIGHUP)
        signal.signal(signal.SIGHUP, lambda *_: None)
        assert census.catches(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_mutations_are_those_of_the_seed_and_not_all_mistakes(tmp_path: Path) -> None:
    """The files they are made from have none."""
    for number, text in enumerate(VALID):
        (tmp_path / f"{number}.toml").write_text(text, encoding="utf-8")
    (tmp_path / "wrong.toml").write_text("[tasks.a]\ncmdd = 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "workflow.cli.many", str(tmp_path), "30"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    answers = {(answer["file"], answer["command"]): answer["code"] for answer in map(json.loads, lines)}
    for number in range(len(VALID)):
        assert answers[f"{number}.toml", "validate"] == answers[f"{number}.toml", "run"] == 0
    assert answers["wrong.toml", "validate"] == 2
    assert ("wrong.toml", "run") not in answers
    assert mutated(random.Random(1)) == mutated(random.Random(1)) != mutated(random.Random(2))


def test_surroundings_that_need_a_tool_say_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(CannotBeMade, match="unshare"):
        surroundings.mounting("true")
    with pytest.raises(CannotBeMade, match="setpriv"):
        surroundings.with_processes(3, tmp_path, random.Random(1))


def test_a_user_who_is_not_root_has_so_many_processes_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    launcher = surroundings.with_processes(5, tmp_path, random.Random(1))
    assert int(launcher[-1]) >= 6  # this process, and five more


def test_a_limit_is_that_of_the_command() -> None:
    show = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    command = [*surroundings.limited("RLIMIT_NOFILE", 50), sys.executable, "-c", show]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "(50, 50)\n"


@pytest.mark.parametrize("way", ["threads", "asyncio", "subprocess", "alarm"])
def test_every_way_finds_what_a_neighbour_answers(way: str) -> None:
    """The others are for processes that may fork: in a worker."""
    assert WAYS[way](7) == value_of(7)
