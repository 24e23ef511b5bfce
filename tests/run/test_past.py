"""Runs as others see them: from the report, the ledger, or the events; and which of them are kept."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from workflow.outcome import Attempt, ErrorRecord, LogRange, Outcome
from workflow.report.events import EventLog
from workflow.report.json_report import record_text, write_report
from workflow.report.material import Unreadable
from workflow.report.models import Report
from workflow.report.records import RunRecord, TaskRecord, Verdict, count
from workflow.report.standing import RunningTask
from workflow.report.texts import task_head
from workflow.report.trace import trace_pieces
from workflow.run import retention
from workflow.run.folder import RunFolder, StateError, hold, new_run_folder
from workflow.run.ledger import EndedRow, Ledger, Made
from workflow.run.past import KILLED, RUNNING, PastRun, material_of_past, past_run, past_runs
from workflow.run.planned import read_planned, write_planned
from workflow.run.running import EVERY_S, RunningFile, read_running

GOOD = TaskRecord(
    "a", "a", None, Outcome.SUCCEEDED, attempts=(Attempt(1, Outcome.SUCCEEDED, 5.0, 1.0, 7),), log="logs/a.log"
)
BAD = TaskRecord(
    "b@1", "b", {"n": 1}, Outcome.FAILED, "no luck",
    attempts=(Attempt(1, Outcome.FAILED, 6.0, 1.0, 7, error=ErrorRecord("ValueError", "no")),),
)  # fmt: skip
NOTHING = EndedRow(*cast("tuple[Any, ...]", (None,) * len(EndedRow._fields)))
LONG_AGO = 1_700_000_000.0


class State:
    """A state folder, and runs in it as they leave them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: list[int] = []

    def run(
        self,
        *tasks: TaskRecord,
        began: float = LONG_AGO,
        report: bool = True,
        row: bool = True,
        alive: bool = False,
        resumed: int | None = None,
    ) -> RunFolder:
        """Make one, which has ended if it has a report."""
        folder = new_run_folder(self.path, began)
        run = RunRecord(
            folder.id, "name", "/f/pipeline.toml", "sha256:1", began, "local", 2, "host", 7, "3.11", "1", None,
            ("workflow", "run"), 3, 9, str(folder.path),
        )  # fmt: skip
        records = dict(enumerate(tasks))
        verdict = Verdict(1, "failed", None, began + 9.0, 9.0)
        events = EventLog(folder.id, folder.events)
        events.run_started(run)
        for record in tasks:
            for attempt in record.attempts:
                events.attempt_finished(record.id, attempt)
            events.task_finished(record, began)
        events.flush()
        events.close()
        if report:
            write_report(folder.report, run, verdict, count(records), map(record_text, tasks))
        if row:
            ledger = Ledger(self.path)
            number = ledger.begin_run(run, "/f", resumed=resumed)
            rows = [
                NOTHING._replace(
                    place=place, task=record.id, outcome=record.outcome, head=task_head(record), log=record.log
                )
                for place, record in records.items()
            ]
            ledger.record_ended(number, rows)
            if report:
                counts = {outcome.value: each for outcome, each in count(records).items()}
                ledger.finish_run(number, verdict, counts)
            ledger.close()
        descriptor = hold(folder)
        self.held.append(descriptor) if alive else os.close(descriptor)
        return folder

    def end(self) -> None:
        """Of all that go on."""
        for descriptor in self.held:
            os.close(descriptor)
        self.held = []

    def seen(self) -> dict[str, PastRun]:
        """All runs by their ids."""
        return {run.folder.id: run for run in past_runs(self.path)}


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Answer a state folder."""
    made = State(tmp_path / "state")
    yield made
    made.end()


def ended(run: PastRun) -> list[tuple[str, str, int]]:
    return [(task["id"], task["outcome"], len(task["attempts"])) for task in run.tasks()]


@pytest.mark.parametrize("row", [True, False])
@pytest.mark.parametrize(
    ("report", "alive", "status"), [(True, False, "failed"), (False, True, RUNNING), (False, False, KILLED)]
)
def test_a_run_is_seen_the_same_from_report_ledger_and_events(
    state: State,
    report: bool,
    alive: bool,
    status: str,
    row: bool,
) -> None:
    """Whether it has ended, goes on or was killed; without a report its end is when it was last heard of."""
    folder = state.run(GOOD, BAD, report=report, row=row, alive=alive)
    run = past_run(folder, state.path)
    assert run.status == status
    assert ended(run) == [("a", "succeeded", 1), ("b@1", "failed", 1)]
    assert {outcome: number for outcome, number in run.counts.items() if number} == {"succeeded": 1, "failed": 1}
    assert state.seen()[folder.id].status == status
    if report or row:
        assert run.head["file"] == "/f/pipeline.toml"
        assert [task["matrix"] for task in run.tasks()] == [None, {"n": 1}]


def test_a_report_is_made_of_a_killed_run_and_not_of_one_that_goes_on(state: State) -> None:
    """It lists what had begun; it is as the schema has it."""
    folder = state.run(GOOD, report=False)
    events = EventLog(folder.id, folder.events)
    events.task_started("c", 1, LONG_AGO, 8)
    events.flush()
    events.close()
    (folder.logs / "c.part").write_bytes(b"before\nbegun\nmore")
    shared = str((folder.logs / "c.part").resolve())
    running = RunningFile(folder.path, 0.0)
    running.say([(RunningTask("c", 1, LONG_AGO), 8, part_of(shared, 7, 6))], EVERY_S)
    material = material_of_past(past_run(folder, state.path))
    made = Report.model_validate_json(json.dumps(material.document))
    assert (made.run.status, made.run.exit_code) == ("killed", 137)
    assert [(task.id, task.outcome.value, task.log) for task in made.tasks] == [
        ("a", "succeeded", "logs/a.log"),
        ("c", "cancelled", "logs/c.part#7+10"),
    ]
    assert made.counts[Outcome.CANCELLED] == 1
    assert "".join(trace_pieces(material))
    write_planned(folder.path, ["x@2", "a", "c", "d"])
    planned = material_of_past(past_run(folder, state.path)).document["tasks"]
    assert [(task["id"], task["name"], task["outcome"], task["reason"]) for task in planned] == [
        ("x@2", "x", "cancelled", "the run was killed before it began"),
        ("a", "a", "succeeded", None),
        ("c", "c", "cancelled", "the run was killed before it ended"),
        ("d", "d", "cancelled", "the run was killed before it began"),
    ]
    alive = state.run(GOOD, report=False, alive=True)
    with pytest.raises(Unreadable, match="goes on"):
        material_of_past(past_run(alive, state.path))


def test_of_a_run_that_could_not_write_its_report_all_planned_tasks_are_told(state: State) -> None:
    """It ended by itself, and the ledger has room for that, but not for how all tasks ended."""
    folder = state.run(GOOD)
    folder.report.unlink()
    write_planned(folder.path, ["a", "b@1"])
    material = material_of_past(past_run(folder, state.path))
    assert [(task["id"], task["reason"]) for task in material.document["tasks"]] == [
        ("a", None), ("b@1", "how it ended could not be written down"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, b"\xff\n", b"", b"no end of line"])
def test_a_list_of_planned_tasks_that_is_none_is_left_aside(tmp_path: Path, content: bytes | None) -> None:
    """Nothing is known then of what never began."""
    if content is not None:
        (tmp_path / "planned.txt").write_bytes(content)
    assert read_planned(tmp_path) == []


def part_of(file: str, offset: int, size: int) -> LogRange:
    return LogRange(file, offset, size)


def test_what_runs_is_said_now_and_then_and_forgotten_at_the_end(tmp_path: Path) -> None:
    """A short run says nothing, and a disk that takes nothing hinders nobody."""
    task = RunningTask("a", 2, 5.0)
    said = RunningFile(tmp_path, 0.0)
    said.say([(task, 7, None)], EVERY_S / 2)
    assert list(tmp_path.iterdir()) == []
    said.say([(task, 7, part_of("/x", 1, 2))], EVERY_S)
    (now,) = read_running(tmp_path)
    assert (now.id, now.attempt, now.pid, now.file, now.offset, now.size) == ("a", 2, 7, "/x", 1, 2)
    said.say([], EVERY_S * 1.5)
    assert len(read_running(tmp_path)) == 1
    said.say([(task, 7, None)], EVERY_S * 2)
    assert read_running(tmp_path)[0].file is None
    said.remove()
    assert list(tmp_path.iterdir()) == []
    RunningFile(tmp_path / "no", 0.0).say([(task, 7, None)], EVERY_S)
    for text in ("{", "[1]", '[{"id": 1}]', "\udcff"):
        (tmp_path / "running.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert read_running(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]\n[]\n[]\n", '{"format": 1,\n "run": {},\n "counts": {},\n "tasks": [', "\udcff\n" * 9]
)
def test_a_spoiled_report_is_no_end_of_the_list(state: State, text: str) -> None:
    """The run is told by its row, or by what its id says."""
    with_row, without = state.run(GOOD), state.run(GOOD, row=False)
    for folder in (with_row, without):
        folder.report.write_bytes(text.encode("utf-8", "surrogateescape"))
    seen = state.seen()
    assert seen[with_row.id].status == "failed"
    assert seen[without.id].status == KILLED
    assert seen[without.id].head["started_at"].startswith("2023-11-14T22:13:20")
    assert ended(seen[with_row.id]) == [("a", "succeeded", 1)]
    with pytest.raises(Unreadable):
        material_of_past(seen[with_row.id])


def test_a_task_in_a_report_that_is_none_is_told(state: State) -> None:
    """And no traceback of ours."""
    folder = state.run(GOOD)
    folder.report.write_text(folder.report.read_text().replace('"outcome": "succeeded"', '"outcome": 3'))
    with pytest.raises(Unreadable, match="is not a report that this version of workflow reads"):
        list(past_run(folder, state.path).tasks())


# What is kept


def left(state: State) -> tuple[list[str], list[str]]:
    """Answer the ids of folders, and of rows."""
    ledger = Ledger(state.path)
    rows = sorted(known.run.id for known in ledger.runs())
    ledger.close()
    return sorted(path.name for path in (state.path / "runs").iterdir()), rows


def test_the_newest_runs_are_kept_and_those_that_go_on(state: State) -> None:
    """Folders and rows; ``latest`` leads to the newest that is left."""
    old = [state.run(GOOD, began=LONG_AGO + number) for number in range(3)]
    alive = state.run(GOOD, began=LONG_AGO - 9, report=False, alive=True)
    newest = state.run(GOOD, began=LONG_AGO + 3)
    removed = retention.keep(state.path, 2)
    assert removed.runs == [old[0].id, old[1].id]
    assert removed.size > 0
    kept = sorted([alive.id, old[2].id, newest.id])
    assert left(state) == (kept, kept)
    assert (state.path / "latest").resolve() == newest.path.resolve()
    state.end()
    assert retention.keep(state.path, 0).runs == kept
    assert left(state) == ([], [])
    assert not os.path.lexists(state.path / "latest")


def test_what_a_run_that_goes_on_completes_is_kept(state: State) -> None:
    """It may still take results from there; and what that one has completed, likewise."""
    first, second = state.run(GOOD), state.run(GOOD, began=LONG_AGO + 1, resumed=1)
    other = state.run(GOOD, began=LONG_AGO + 2)
    alive = state.run(GOOD, began=LONG_AGO + 3, report=False, alive=True, resumed=2)
    assert retention.keep(state.path, 0).runs == [other.id]
    kept = sorted([first.id, second.id, alive.id])
    assert left(state) == (kept, kept)


def test_the_link_to_the_newest_is_mended(state: State) -> None:
    """When the run it leads to is deleted, while an older one goes on."""
    alive = state.run(GOOD, began=LONG_AGO - 9, report=False, alive=True)
    state.run(GOOD)
    retention.keep(state.path, 0)
    assert (state.path / "latest").resolve() == alive.path.resolve()


def test_nothing_outside_is_ever_deleted(state: State, tmp_path: Path) -> None:
    """A link in a run's folder, in its place, or in the place of them all is not followed."""
    outside = tmp_path / "outside"
    (outside / "20240101-000000-000-aaaaaa").mkdir(parents=True)
    (outside / "precious").write_text("x")
    folder = state.run(GOOD)
    (folder.logs / "link").symlink_to(outside)
    (state.path / "runs/20240101-000000-000-bbbbbb").symlink_to(outside)
    (state.path / "runs/20240101-mine").mkdir()
    retention.keep(state.path, 0)
    assert (outside / "precious").exists()
    assert sorted(path.name for path in (state.path / "runs").iterdir()) == [
        "20240101-000000-000-bbbbbb",
        "20240101-mine",
    ]
    (state.path / "runs/20240101-mine").rmdir()
    (state.path / "runs/20240101-000000-000-bbbbbb").unlink()
    (state.path / "runs").rmdir()
    (state.path / "runs").symlink_to(outside)
    with pytest.raises(StateError, match="is a link: nothing is deleted through it"):
        retention.keep(state.path, 0)
    assert (outside / "20240101-000000-000-aaaaaa").exists()


def test_a_run_that_begins_at_this_moment_is_left_alone(state: State) -> None:
    """It has a folder, and no lock yet."""
    folder = new_run_folder(state.path, LONG_AGO)
    assert retention.keep(state.path, 0).runs == []
    assert retention.prune(state.path).runs == []
    assert folder.path.is_dir()


@pytest.mark.parametrize("moment", ["forgotten", "moved", "half deleted"])
def test_to_be_killed_in_the_middle_does_no_harm(state: State, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The next one finishes it."""
    folder = state.run(GOOD)

    class Killed(BaseException):
        pass

    def die(*_args: object) -> None:
        raise Killed

    def half(moved: Path) -> None:
        (moved / "report.json").unlink()
        die()

    with monkeypatch.context() as patch:
        if moment == "forgotten":
            patch.setattr(Path, "replace", die)
        elif moment == "moved":
            patch.setattr(retention, "_delete", die)
        else:
            patch.setattr(shutil, "rmtree", half)
        with pytest.raises(Killed):
            retention.keep(state.path, 0)
    assert left(state)[1] == []
    assert len(past_runs(state.path)) == (moment == "forgotten")
    assert retention.keep(state.path, 0).problems == []
    assert left(state) == ([], [])
    assert not folder.path.exists()


def _aged(path: Path) -> Path:
    os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    return path


def test_what_belongs_to_no_run_is_deleted_and_nothing_else(state: State, tmp_path: Path) -> None:
    """Rows without folder, folders without anything, unfinished files, results and plans to which nothing leads."""
    whole = state.run(GOOD)
    no_row = state.run(GOOD, row=False)
    killed = state.run(GOOD, report=False)
    gone = state.run(GOOD)
    retention._delete(gone.path, retention.Removed())
    never = new_run_folder(state.path, LONG_AGO)
    _aged(never.path)
    half = whole.path / ".report.json.77.tmp"
    half.write_text("")
    results, plans = state.path / "results", state.path / "cache"
    results.mkdir()
    plans.mkdir()
    ledger = Ledger(state.path)
    wanted, unwanted, fresh, of_gone = (f"{number:064x}" for number in range(4))
    ledger.record(str(tmp_path), Made("a", "k", {}, "r", {}, {}, wanted))
    ledger.record(str(tmp_path / "gone"), Made("a", "k", {}, "r", {}, {}, of_gone))
    ledger.close()
    for name in (wanted, unwanted, of_gone, "mine.txt"):
        (results / name).write_text("")
        _aged(results / name)
    (results / fresh).write_text("")
    there = tmp_path / "pipeline.toml"
    there.write_text("")
    for number, file in enumerate((there, tmp_path / "not.toml")):
        path = plans / f"{number:064x}.json"
        path.write_text(json.dumps({"facts": {"files": {str(file): []}}}))
        _aged(path)
    (state.path / ".latest-x").symlink_to("runs/x")
    _aged(state.path / ".latest-x")
    removed = retention.prune(state.path)
    assert removed.problems == []
    assert removed.runs == [never.id]
    assert left(state) == (sorted([whole.id, no_row.id, killed.id]), sorted([whole.id, killed.id]))
    assert not half.exists()
    assert sorted(path.name for path in results.iterdir()) == sorted([wanted, fresh, "mine.txt"])
    assert [path.name for path in plans.iterdir()] == [f"{0:064x}.json"]
    assert not os.path.lexists(state.path / ".latest-x")
    assert retention.prune(state.path).files == 0


def test_what_is_still_written_is_no_leftover(state: State) -> None:
    """Of a run that goes on."""
    alive = state.run(GOOD, report=False, alive=True)
    half = alive.path / ".report.json.77.tmp"
    half.write_text("")
    retention.prune(state.path)
    assert half.exists()


def test_a_folder_that_cannot_be_deleted_is_told_and_the_others_go(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its name."""
    first, second = state.run(GOOD), state.run(GOOD, began=LONG_AGO + 1)
    real = retention._delete

    def refuse(folder: Path, removed: retention.Removed) -> None:
        if first.id in folder.name:
            raise OSError(5, "Input/output error")
        real(folder, removed)

    monkeypatch.setattr(retention, "_delete", refuse)
    removed = retention.keep(state.path, 0)
    assert removed.runs == [second.id]
    assert [first.id in problem for problem in removed.problems] == [True, True]


def test_a_lock_is_held_while_a_folder_is_deleted(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants to take the run up waits, and finds it gone."""
    folder = state.run(GOOD)
    seen: list[str] = []

    def look(path: Path, _removed: retention.Removed) -> None:
        with (path / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                seen.append("held")

    monkeypatch.setattr(retention, "_delete", look)
    retention.keep(state.path, 0)
    assert seen == ["held"]
    assert not folder.path.exists()
