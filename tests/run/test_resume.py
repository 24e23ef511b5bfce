"""A run that completes another: what is carried over, what runs again and why.  With an engine that pretends."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.outcome import CallbackRecord, Outcome
from workflow.plan.build import load_plan
from workflow.report.console import Console
from workflow.run.database import Unusable
from workflow.run.folder import is_alive
from workflow.run.ledger import Ledger
from workflow.run.logs import OWN_LOG_MAX, Logs
from workflow.run.resume import CannotResume, Resume, bring_log
from workflow.run.why import explain_resume

LATEST = Resume(None)
THREE = """
[tasks.a]
call = "m:a"
args = [1]
[tasks.b]
call = "m:b"
needs = "a"
[tasks.c]
call = "m:c"
needs = "b"
"""


class Failing:
    """Fails the tasks whose ids are in ``bad``; counts what runs."""

    bad: frozenset[str] = frozenset()

    def acts(self, handle: Any) -> None:
        log = self.print(f"this is {handle.id}\n")  # type: ignore[attr-defined]
        if handle.id in self.bad:
            self.end(handle, Outcome.FAILED, error="no", log=log)  # type: ignore[attr-defined]
        else:
            self.end(handle, Outcome.SUCCEEDED, result=handle.id, log=log)  # type: ignore[attr-defined]


def failing(*bad: str) -> type:
    return type("Failing", (Failing,), {"bad": frozenset(bad)})


@pytest.fixture
def night(tmp_path: Path, go: Callable[..., Any]) -> Callable[..., Any]:
    """Answer ``night(TOML, *bad, ...)``: run it, and answer what came of it, with ``ran``: the ids that were run."""

    def run(text: str = THREE, *bad: str, variables: dict[str, str] | None = None, **options: Any) -> Any:
        path = tmp_path / "pipeline.toml"
        path.write_text(text)
        ran = go(load_plan(path, variables), failing(*bad), **options)
        ran.ran = sorted(handle.id for handle in ran.engine.handles)
        ran.report = json.loads((ran.folder / "report.json").read_text())
        ran.by_id = {task["id"]: task for task in ran.report["tasks"]}
        return ran

    return run


def test_what_succeeded_is_carried_over_and_the_rest_runs_again(night: Any) -> None:
    """With its attempts and its log, in a report of all tasks, and one event."""
    first = night(THREE, "b")
    assert first.outcomes == {"a": "succeeded", "b": "failed", "c": "skipped"}
    second = night(THREE, resume=LATEST)
    assert second.ran == ["b", "c"]
    assert second.outcomes == {"a": "succeeded", "b": "succeeded", "c": "succeeded"}
    assert second.result.exit_code == 0
    a = second.by_id["a"]
    assert a == {**first.by_id["a"], "carried_from": first.folder.name}
    assert [second.by_id[id_]["carried_from"] for id_ in "bc"] == [None, None]
    events = [json.loads(line) for line in (second.folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if event["task"] == "a"] == ["task_finished"]
    assert f"resuming run {first.folder.name}, in which of 3 had ended: 1 failed, 1 skipped, 1 succeeded" in second.text
    assert "1; run again: 2 (it failed there: 1, it was skipped there: 1)" in second.text
    shutil.rmtree(first.folder)
    assert (second.folder / a["log"]).read_text() == "this is a\n"


def test_a_carried_task_names_the_run_that_ran_it_however_often_it_is_carried(night: Any) -> None:
    """And when everything succeeded, everything is carried, and that is a success."""
    first = night(THREE, "b")
    night(THREE, "c", resume=LATEST)
    third = night(THREE, resume=LATEST)
    assert third.ran == ["c"]
    fourth = night(THREE, resume=LATEST)
    assert fourth.ran == []
    assert fourth.result.exit_code == 0
    assert fourth.by_id["a"]["carried_from"] == first.folder.name
    assert len({fourth.by_id[id_]["carried_from"] for id_ in "abc"}) == 3
    assert (fourth.folder / fourth.by_id["a"]["log"]).read_text() == "this is a\n"


def test_what_a_run_was_killed_before_it_carried_is_carried_from_the_run_before(night: Any, tmp_path: Path) -> None:
    """An announced success does not run again, however many of the runs that complete it are killed."""
    first = night(THREE, "c")
    night(THREE, "c", resume=LATEST)
    with sqlite3.connect(tmp_path / ".workflow/runs.db") as db:  # as if it had been killed after the first task
        db.execute("DELETE FROM ended WHERE at > ? AND task != 'a'", (2 << 32,))
        db.execute("UPDATE run SET finished_at = NULL WHERE number = 2")
    db.close()
    third = night(THREE, resume=LATEST)
    assert third.ran == ["c"]
    assert third.by_id["b"]["carried_from"] == first.folder.name


def test_how_a_task_ended_in_the_newest_run_in_which_it_began_counts(night: Any) -> None:
    """A success of an older run does not make up for a later failure."""
    night(THREE, "c")
    night(THREE, "a", resume=LATEST, force="a")
    third = night(THREE, resume=LATEST)
    assert third.ran == ["a", "c"]
    assert third.by_id["b"]["carried_from"] is not None


@pytest.mark.parametrize(
    ("change", "again", "why"),
    [
        (lambda text: text.replace("[1]", "[2]"), ["a"], "args changed"),
        (lambda text: text.replace("m:a", "m:other"), ["a"], "call changed"),
        (lambda text: text.replace("args", 'env.X = "1"\nargs'), ["a"], "env changed"),
        (lambda text: text.replace("args", "timeout = 9\nargs"), [], ""),
    ],
)
def test_a_task_with_another_key_runs_again_and_says_what_changed(
    night: Any, change: Callable[[str], str], again: list[str], why: str
) -> None:
    """What only says how it runs is not in the key."""
    night(THREE)
    second = night(change(THREE), resume=LATEST, verbosity="verbose")
    assert second.ran == again
    assert (f"a runs again: {why}" in second.text) == bool(again)


TAKES = """
[tasks.a]
call = "m:a"
[tasks.b]
call = "m:b"
args = ["${tasks.a.result}"]
"""


@pytest.mark.parametrize("large", [False, True])
def test_the_results_of_carried_tasks_are_there_for_those_that_run(
    night: Any, monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    """Small ones and large ones, also when the run that made them is gone."""
    if large:
        monkeypatch.setattr("workflow.run.results.LARGE_BYTES", 1)
    first = night(TAKES, "b")
    second = night(TAKES, "b", resume=LATEST)
    shutil.rmtree(first.folder)
    third = night(TAKES, resume=LATEST)
    assert (second.ran, third.ran) == (["b"], ["b"])
    (given,) = third.engine.tasks["b"].args
    if not large:
        assert given == "a"
        return
    stored = given.whole()
    assert stored.path.startswith(str(third.folder))
    assert pickle.loads(stored.pickled()) == "a"
    assert os.stat(stored.path).st_mode & 0o777 == 0o600


def test_a_result_that_is_gone_makes_its_task_run_again(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who takes it gets the new one."""
    monkeypatch.setattr("workflow.run.results.LARGE_BYTES", 1)
    first = night(TAKES, "b")
    shutil.rmtree(first.folder / "results")
    second = night(TAKES, resume=LATEST)
    assert second.ran == ["a", "b"]
    assert "its result, which others take, is gone or damaged: 1" in second.text


def test_a_result_that_was_damaged_makes_its_task_run_again(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever takes it would fail in every run that completes another."""
    monkeypatch.setattr("workflow.run.results.LARGE_BYTES", 1)
    first = night(TAKES, "b")
    (stored,) = (first.folder / "results").iterdir()
    stored.write_bytes(bytes(stored.stat().st_size))
    second = night(TAKES, resume=LATEST)
    assert second.ran == ["a", "b"]
    assert "its result, which others take, is gone or damaged: 1" in second.text
    assert pickle.loads(second.engine.tasks["b"].args[0].whole().pickled()) == "a"


def test_runs_that_are_said_to_complete_each_other_are_no_circle(night: Any) -> None:
    """The database was spoiled."""
    first = night(THREE, "c")
    with sqlite3.connect(first.folder.parent.parent / "runs.db") as database:
        database.execute("UPDATE run SET resumed = number")
    assert night(THREE, resume=LATEST).ran == ["c"]


def test_a_log_that_is_said_to_lie_elsewhere_is_not_brought(night: Any, tmp_path: Path) -> None:
    """No run has written that."""
    (tmp_path / "mine").write_text("of somebody else\n")
    first = night(THREE, "c")
    with sqlite3.connect(first.folder.parent.parent / "runs.db") as database:
        database.execute("UPDATE ended SET log = ?", (str(tmp_path / "mine"),))
    second = night(THREE, resume=LATEST)
    assert second.ran == ["c"]
    assert (second.by_id["a"]["log"], (tmp_path / "mine").stat().st_nlink) == (None, 1)


def test_a_result_that_only_a_skipped_task_takes_is_kept(night: Any) -> None:
    """It is taken when that task runs at last."""
    text = TAKES.replace("args", 'needs = ["x"]\nargs') + '[tasks.x]\ncall = "m:x"\n'
    assert night(text, "x").outcomes == {"a": "succeeded", "x": "failed", "b": "skipped"}
    second = night(text, resume=LATEST)
    assert second.ran == ["b", "x"]
    assert second.engine.tasks["b"].args == ("a",)


def test_force_beats_carrying(night: Any) -> None:
    """By id or name."""
    night(THREE)
    assert night(THREE, resume=LATEST, force="b").ran == ["b"]


OUTPUTS = '[tasks.a]\ncall = "m:a"\noutputs = "out"\n'


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize(
    ("change", "ran", "why"),
    [
        (lambda _path: None, [], ""),
        (lambda path: path.unlink(), ["a"], "output out is missing: 1"),
        (lambda path: path.write_text("other"), ["a"], "changed since: 1"),
    ],
)
def test_a_task_whose_outputs_are_not_as_it_left_them_runs_again(
    night: Any, tmp_path: Path, change: Callable[[Path], object], ran: list[str], why: str, *, noted: bool
) -> None:
    """Also where the run was killed before their content was noted."""
    (tmp_path / "out").write_text("made")
    night(OUTPUTS)
    if not noted:
        with sqlite3.connect(tmp_path / ".workflow/runs.db") as db:
            db.execute("DELETE FROM made")
        db.close()
    change(tmp_path / "out")

    second = night(OUTPUTS, resume=LATEST)
    assert second.ran == ran
    assert why in second.text


def test_the_seed_is_that_of_the_run_that_is_completed(night: Any) -> None:
    """A drawn one, and one from the command line; another one now makes other keys."""
    drawn = night(THREE, "b")
    again = night(THREE, resume=LATEST)
    assert again.result.run.seed == drawn.result.run.seed
    assert again.ran == ["b", "c"]
    chosen = night(THREE, "b", seed=5)
    again = night(THREE, resume=LATEST)
    assert (again.result.run.seed, again.ran) == (5, ["b", "c"])
    assert night(THREE, resume=LATEST, seed=6).ran == ["a", "b", "c"]
    assert night(THREE, resume=Resume(chosen.folder.name)).result.run.seed == 5


def test_a_callback_is_not_begun_again(night: Any, go: Callable[..., Any], tmp_path: Path) -> None:
    """What became of it is carried over with its task."""

    class Calling:
        def acts(self, handle: Any) -> None:
            callback = CallbackRecord("callback", Outcome.SUCCEEDED)
            self.end(handle, Outcome.SUCCEEDED, callback=callback)  # type: ignore[attr-defined]

    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncall = "m:a"\n')
    go(load_plan(path), Calling)
    second = night('[tasks.a]\ncall = "m:a"\n', resume=LATEST)
    assert second.ran == []
    assert second.by_id["a"]["callback"] == {"name": "callback", "outcome": "succeeded", "error": None}


def test_what_cannot_be_resumed_is_told(night: Any, go: Callable[..., Any], tmp_path: Path) -> None:
    """Nothing runs, and no folder is made."""
    with pytest.raises(CannotResume, match="there is no run of .*pipeline.toml .* to resume"):
        night(THREE, resume=LATEST)
    first = night(THREE)
    night(THREE)
    with pytest.raises(CannotResume, match="is the beginning of 2 runs"):
        night(THREE, resume=Resume("20"))
    with pytest.raises(CannotResume, match="there is no run 'x'"):
        night(THREE, resume=Resume("x"))
    (tmp_path / "other").mkdir()
    other = tmp_path / "other/pipeline.toml"
    other.write_text(THREE)
    with pytest.raises(CannotResume, match="is of .*pipeline.toml, and not of .*other/pipeline.toml"):
        go(load_plan(other), resume=Resume(first.folder.name))
    assert len(list((tmp_path / ".workflow/runs").iterdir())) == 2
    assert night(THREE, resume=Resume("latest")).ran == []


def test_a_run_that_goes_on_is_not_resumed(night: Any, tmp_path: Path) -> None:
    """Its tasks would run twice.  One that was killed has let go of its lock."""
    first = night(THREE, "b")
    with sqlite3.connect(tmp_path / ".workflow/runs.db") as db:
        db.execute("UPDATE run SET finished_at = NULL")
    db.close()
    held = os.open(first.folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(CannotResume, match="still goes on"):
        night(THREE, resume=LATEST)
    os.close(held)
    assert night(THREE, resume=LATEST).ran == ["b", "c"]


def test_a_look_at_what_would_become_of_each_task(night: Any, tmp_path: Path) -> None:
    """It agrees with the run, and leaves nothing."""
    first = night(TAKES + '[tasks.c]\ncall = "m:c"\n', "b")
    plan = load_plan(tmp_path / "pipeline.toml")
    run, told = explain_resume(plan, tmp_path / ".workflow", LATEST, force=None, seed=None)
    assert run.run.id == first.folder.name
    assert {each.id: (each.action, each.reasons) for each in told} == {
        "a": ("carry", ("it succeeded there",)),
        "b": ("run", ("it failed there",)),
        "c": ("carry", ("it succeeded there",)),
    }
    _, forced = explain_resume(plan, tmp_path / ".workflow", LATEST, force="a", seed=None)
    assert [each.action for each in forced] == ["run", "run", "carry"]
    assert not is_alive(first.folder)
    assert len(list((tmp_path / ".workflow/runs").iterdir())) == 1


def test_a_look_at_what_would_be_carried_over_names_the_secrets_it_hangs_on(
    night: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads none; a task hangs on its own, and on those of what it takes results from, as the run then shows."""
    text = '[secrets]\ns = {env = "S"}\n' + TAKES.replace('"m:a"', '"m:a"\nenv.X = "${secrets.s}"')
    text += '[tasks.c]\ncall = "m:c"\nneeds = "b"\n'
    monkeypatch.setenv("S", "hunter2-one")
    night(text)
    monkeypatch.setenv("S", "hunter2-two")
    plan = load_plan(tmp_path / "pipeline.toml")
    _, told = explain_resume(plan, tmp_path / ".workflow", LATEST, force=None, seed=None)
    assert {each.id: (each.action, each.reasons) for each in told} == {
        "a": ("carry", ("it succeeded there", "if ${secrets.s} is what it was then")),
        "b": ("carry", ("it succeeded there", "if ${secrets.s} is what it was then")),
        "c": ("carry", ("it succeeded there",)),
    }
    assert night(text, resume=LATEST).ran == ["a", "b"]


@pytest.mark.parametrize("when", ["ended", "finish"])
def test_a_ledger_that_cannot_be_written_any_more_ends_the_run(
    night: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """What could not be written down is not followed up, and what was is carried over."""
    real = Ledger.record_ended

    def full(self: Ledger, run: int, ended: Any, settled: Any = ()) -> None:
        if any(row.task == "b" for row in ended):
            raise Unusable("the disk is full")
        real(self, run, ended, settled)

    def full_at_last(*_: object) -> None:
        raise Unusable("the disk is full")

    with monkeypatch.context() as patch:
        if when == "ended":
            patch.setattr(Ledger, "record_ended", full)
        else:
            patch.setattr(Ledger, "finish_run", full_at_last)
        first = night(THREE)
    assert first.result.exit_code == 4
    assert "the disk is full" in first.result.problem
    assert first.report["run"]["status"] == "broken"
    assert first.ran == (["a", "b"] if when == "ended" else ["a", "b", "c"])
    told = [json.loads(line) for line in (first.folder / "events.jsonl").read_text().splitlines()]
    finished = [event["task"] for event in told if event["event"] == "task_finished"]
    assert finished == (["a"] if when == "ended" else ["a", "b", "c"])
    second = night(THREE, resume=LATEST)
    assert second.ran == (["b", "c"] if when == "ended" else [])


def test_an_outcome_is_in_the_ledger_before_anybody_hears_of_it(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the console nor a task that waited for it."""
    heard: list[tuple[str, ...]] = []
    recorded: list[str] = []
    real = Ledger.record_ended

    def record(self: Ledger, run: int, ended: Any, settled: Any = ()) -> None:
        real(self, run, ended, settled)
        recorded.extend(row.task for row in ended)

    def tasks_ended(_self: Console, records: Any, _now: float) -> None:
        heard.extend((record.id, *recorded) for record in records)

    monkeypatch.setattr(Ledger, "record_ended", record)
    monkeypatch.setattr(Console, "tasks_ended", tasks_ended)
    night(THREE)
    assert heard == [("a", "a"), ("b", "a", "b"), ("c", "a", "b", "c")]


@pytest.mark.parametrize("name", ["failures", "output", "other"])
def test_a_carried_log_is_none_that_the_new_run_writes_to(tmp_path: Path, name: str) -> None:
    """A task may be called as a file is that many tasks share: the old log would grow with every failure."""
    old, new = tmp_path / "20260101-1", tmp_path / "20260102-2"
    for folder in (old, new):
        (folder / "logs").mkdir(parents=True)
    (old / "logs" / f"{name}.log").write_text("before")
    log = bring_log(f"logs/{name}.log", old, new)
    assert log is not None
    Logs(new / "logs", tasks=OWN_LOG_MAX + 1, max_bytes=None).keep_reason("x", "it is wrong")
    assert (new / log).read_text() == (old / "logs" / f"{name}.log").read_text() == "before"
    again = tmp_path / "20260103-3"
    (again / "logs").mkdir(parents=True)
    assert bring_log(log, new, again) == log
