"""The loop around a run, with an engine that pretends."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from workflow.outcome import CallbackRecord, ErrorRecord, Outcome
from workflow.plan.plan import Plan, PlannedTask, TokenLimit
from workflow.report.events import EventLog
from workflow.report.json_report import record_text
from workflow.report.models import Event, Report
from workflow.run.database import Unusable
from workflow.run.exit_code import ExitCode
from workflow.run.folder import StateError, new_run_folder
from workflow.run.ledger import Ledger


def events_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_report_and_events_that_keep_to_their_models(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Everything written validates against the published forms, and the two agree."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            if handle.id == "b":
                self.end(handle, Outcome.FAILED, error="no\nsecond line", log=self.print("one\ntwo\n"), exit_code=3)
            elif handle.id == "d":
                first = self.attempt(Outcome.CRASHED, 1, signal="SIGSEGV", log=self.print("boom"))
                second = self.attempt(Outcome.SUCCEEDED, 2, started_at=1_700_000_001.0, log=self.print("well\n"))
                callback = CallbackRecord("callback", Outcome.FAILED, ErrorRecord("KeyError", "'x'"))
                self.end(handle, Outcome.SUCCEEDED, attempts=(first, second), callback=callback)
            else:
                self.succeed(handle)

    plan = make_plan(make_task("a"), make_task("b"), make_task("c", ["b"]), make_task("d", matrix={"x": float("inf")}))
    ran = go(plan, Trouble, argv=("workflow", "run"))

    report = Report.model_validate_json((ran.folder / "report.json").read_text())
    lines = (ran.folder / "events.jsonl").read_text().splitlines()
    events = [TypeAdapter(Event).validate_json(line) for line in lines]
    assert ran.outcomes == {"a": "succeeded", "b": "failed", "c": "skipped", "d": "succeeded"}
    assert [task.id for task in report.tasks] == ["a", "b", "c", "d"]
    assert report.run.exit_code == 1
    assert report.run.status == "failed"
    assert report.counts[Outcome.SKIPPED] == 1
    assert [task.flaky for task in report.tasks] == [False, False, False, True]
    assert report.tasks[2].reason == "it needs b, which failed"
    assert report.tasks[3].duration_s == 1.25
    assert events[0].event == "run_started"
    assert events[-1].event == "run_finished"
    finished = sorted(event.task for event in events if event.event == "task_finished")
    assert finished == ["a", "b", "c", "d"]
    assert sum(event.event == "task_started" for event in events) == 4
    assert [event.task for event in events if event.event == "callback_finished"] == ["d"]
    assert report.tasks[1].log == "logs/b.log"
    assert (ran.folder / "logs/b.log").read_text() == "one\ntwo\n--- error ---\nValueError: no\nsecond line\n"
    assert (ran.folder / "logs/d.log").read_text() == "--- attempt 1 ---\nboom\n--- attempt 2 ---\nwell\n"
    assert sorted(path.name for path in (ran.folder / "logs").iterdir()) == ["b.log", "d.log"]
    assert (ran.folder.parent.parent / "latest").resolve() == ran.folder.resolve()


def test_results_reach_the_tasks_that_refer_to_them(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """A task is compiled with the results of those it refers to, once they are there."""
    ran = go(make_plan(make_task("a"), make_task("b", ["a"], uses=["a"])))
    assert ran.engine.tasks["b"].args == ("a",)
    assert ran.result.exit_code is ExitCode.SUCCEEDED


def test_a_missing_result_fails_the_task_that_wants_it_without_an_attempt(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """It is that task's failure, told in its reason, and what needs it is skipped because of it."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            self.end(handle, Outcome.SUCCEEDED, result=None)

    plan = make_plan(make_task("a"), make_task("b", ["a"], uses=["a"]), make_task("c", ["b"]))
    ran = go(plan, Trouble)
    assert ran.outcomes == {"a": "succeeded", "b": "failed", "c": "skipped"}
    assert ran.records["b"].attempts == ()
    assert ran.records["b"].reason == "b cannot start: ${tasks.a.result}: there is none"
    assert ran.records["c"].cause == "b"


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGHUP, ExitCode.HUNG_UP)],
)
def test_a_signal_ends_the_run_and_the_report_is_written(
    go: Callable[..., Any],
    make_plan: Callable[..., Plan],
    make_task: Callable[..., PlannedTask],
    number: signal.Signals,
    code: ExitCode,
) -> None:
    """What runs and what waits is cancelled with the reason; the exit code names the signal."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), Trouble)
    assert signal.getsignal(number) is before
    assert ran.outcomes == {"a": "cancelled", "b": "cancelled"}
    assert ran.result.exit_code is code
    assert json.loads((ran.folder / "report.json").read_text())["run"]["status"] == "interrupted"
    assert {record.reason for record in ran.result.records} == {f"the run was ended by {number.name}"}


def test_a_signal_while_the_folder_is_made_leaves_a_report_in_it(
    go: Callable[..., Any],
    make_plan: Callable[..., Plan],
    make_task: Callable[..., PlannedTask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder without one would be the newest run, and say nothing."""

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return new_run_folder(*arguments)

    monkeypatch.setattr("workflow.run.conductor.new_run_folder", interrupted)
    ran = go(make_plan(make_task("a"), make_task("b", ["a"])))
    assert ran.result.exit_code is ExitCode.TERMINATED
    assert json.loads((ran.folder / "report.json").read_text())["run"]["exit_code"] == 143


def test_the_exit_code_is_told_while_signals_are_still_the_runs(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """So that none can come in between and have another."""
    before = signal.getsignal(signal.SIGTERM)
    ((code, handler),) = go(make_plan(make_task("a"))).concluded
    assert code is ExitCode.SUCCEEDED
    assert handler is not before


def test_a_second_signal_kills_now(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """The first leaves each task its grace; the second does not."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)

        def cancel_all(self: Any, reason: Any, grace: Any = None) -> Any:
            if grace is None:
                self.calls.append(("cancel_all", reason, grace))
                os.kill(os.getpid(), signal.SIGINT)
            else:
                super().cancel_all(reason, grace)  # type: ignore[misc]

    ran = go(make_plan(make_task("a")), Trouble)
    assert [call[2] for call in ran.engine.calls if call[0] == "cancel_all"] == [None, 0.0]
    assert ran.result.exit_code is ExitCode.INTERRUPTED


def test_a_signal_is_heard_while_tasks_are_pushed(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """A thousand tasks may start, and the signal comes with the third: no other begins, and those three are ended."""

    class Trouble:
        def push(self: Any, task: Any) -> Any:
            handle = super().push(task)  # type: ignore[misc]
            self.calls.append(("push", task.id))
            if len(self.handles) == 3:
                signal.raise_signal(signal.SIGHUP)
            return handle

        def acts(self: Any, handle: Any) -> Any:
            pass

    ran = go(make_plan(*(make_task(f"t{n}") for n in range(1000))), Trouble)
    done = [call[0] for call in ran.engine.calls if call[0] in {"push", "cancel_all"}]
    assert done == ["push", "push", "push", "cancel_all"]
    assert set(ran.outcomes.values()) == {"cancelled"}
    assert ran.result.exit_code is ExitCode.HUNG_UP


def test_a_build_server_gets_its_machine_back_in_time(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """With a bound on the grace, tasks that want more are given the bound, and others keep their own."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)

    long = go(make_plan(make_task("a", grace_s=60.0)), Trouble, grace_max_s=5.0)
    short = go(make_plan(make_task("a", grace_s=1.0)), Trouble, grace_max_s=5.0)
    assert [call[2] for call in long.engine.calls if call[0] == "cancel_all"] == [5.0]
    assert [call[2] for call in short.engine.calls if call[0] == "cancel_all"] == [None]


def test_the_run_has_a_time_limit_of_its_own(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """At the limit everything is cancelled, and the exit code is 124."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            pass

    ran = go(make_plan(make_task("a"), make_task("b", ["a"]), timeout_s=0.05), Trouble)
    assert ran.result.exit_code is ExitCode.TIMED_OUT
    assert ran.outcomes == {"a": "cancelled", "b": "cancelled"}
    assert ran.records["a"].reason == "the run reached its time limit of 0.05 s"


def test_an_engine_that_fails_ends_the_run_with_its_reason(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Every task has an outcome, the report is there, and the exit code says whose fault it was."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            self.failure = "workers die at their start"
            for each in self.handles:
                self.end(each, Outcome.CANCELLED, reason=self.failure)

    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), Trouble)
    assert ran.result.exit_code is ExitCode.BROKEN
    assert ran.result.problem == "workers die at their start"
    assert ran.outcomes == {"a": "cancelled", "b": "cancelled"}
    assert json.loads((ran.folder / "report.json").read_text())["run"]["exit_code"] == 4


def test_the_reason_is_of_what_the_exit_code_is_of(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """An engine that breaks after a signal is told, and is not why the run ended."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)

        def cancel_all(self: Any, reason: Any, grace: Any = None) -> Any:
            self.failure = "the dispatcher is gone"
            super().cancel_all(reason, grace)  # type: ignore[misc]

    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), Trouble)
    assert (ran.result.exit_code, ran.result.verdict.reason) == (
        ExitCode.INTERRUPTED,
        "the run was ended by SIGINT",
    )
    assert ran.result.problem == "the dispatcher is gone"


def test_a_report_that_cannot_be_written_is_the_reason_of_a_run_that_was_halted_too(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask], tmp_path: Path
) -> None:
    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            self.end(handle, Outcome.FAILED)

    plan = make_plan(make_task("bad"), make_task("after"), halt="soon", max_failures=1)
    ran = go(plan, Trouble, reports=(tmp_path / "nowhere" / "x.json",))
    assert ran.result.exit_code is ExitCode.BROKEN
    assert ran.result.verdict.reason == ran.result.problem
    assert "x.json" in ran.result.problem


def test_an_engine_that_does_not_start_is_told_in_the_report(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """No task is left without an outcome."""

    class Trouble:
        def start(self: Any) -> Any:
            raise OSError("no more processes")

    ran = go(make_plan(make_task("a")), Trouble)
    assert ran.result.exit_code is ExitCode.BROKEN
    assert ran.records["a"].reason == "the engine could not start: no more processes"


def test_halt_soon_lets_what_runs_end_and_drops_the_rest(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """A task that runs ends as it ends; one that only waits in the engine is cancelled with the reason."""

    class Trouble:
        def push(self: Any, task: Any) -> Any:
            if task.id == "runs":
                self.now_running.append(
                    SimpleNamespace(number=1, id="runs", attempt=1, pid=7, started_at=1.0, log=None)
                )
            return super().push(task)  # type: ignore[misc]

        def acts(self: Any, handle: Any) -> Any:
            if handle.id == "bad":
                self.end(handle, Outcome.FAILED, error="no")
            elif handle.id == "runs":
                self.waited = threading.Event()
                self.waited.wait(5)
                self.succeed(handle)

        def end(self: Any, handle: Any, outcome: Any, **more: Any) -> Any:
            super().end(handle, outcome, **more)  # type: ignore[misc]
            if handle.id == "waits":
                self.waited.set()

    plan = make_plan(make_task("runs"), make_task("waits"), make_task("bad"), halt="soon", max_failures=1)
    ran = go(plan, Trouble)
    assert ran.outcomes == {"runs": "succeeded", "waits": "cancelled", "bad": "failed"}
    assert ran.records["waits"].reason == "the run was halted after 1 failure"
    assert ran.result.exit_code is ExitCode.FAILED
    assert [event["task"] for event in events_of(ran.folder) if event["event"] == "task_started"].count("runs") == 1


def test_a_long_task_is_said_to_have_started_before_it_ends(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Whoever follows the events sees it while it runs, once."""
    seen = threading.Event()

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            self.now_running.append(SimpleNamespace(number=1, id="a", attempt=1, pid=7, started_at=5.0, log=None))
            seen.wait(5)
            self.succeed(handle)

        def running(self: Any) -> Any:
            if len(self.looks) == 1:
                seen.set()
            self.looks.append(1)
            return super().running()  # type: ignore[misc]

        def start(self: Any) -> Any:
            self.looks: list[int] = []

    ran = go(make_plan(make_task("a")), Trouble)
    started = [event for event in events_of(ran.folder) if event["event"] == "task_started"]
    assert len(started) == 1
    assert started[0]["time"] == "1970-01-01T00:00:05.000000+00:00"


def test_attempts_are_told_in_order_also_when_a_later_one_is_seen_first(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Nobody looked during the first one; the second, which is seen to run, is told behind its end, and each once."""

    class Trouble:
        looks = 0

        def acts(self: Any, handle: Any) -> Any:
            first = self.attempt(Outcome.FAILED, 1, error="no", started_at=10.0, duration_s=1.0)
            second = self.attempt(Outcome.FAILED, 2, error="no", started_at=20.0, duration_s=1.0)
            third = self.attempt(Outcome.SUCCEEDED, 3, started_at=30.0, duration_s=1.0)
            seen = SimpleNamespace(number=handle.number, id="a", attempt=2, pid=4321, started_at=20.0, log=None)
            for known in ((), (first,)):  # it is seen to run before the end of the one before is heard of
                handle.attempts = known
                self.now_running = [seen]
                self.seen.wait(5)
                self.seen.clear()
            self.now_running = []
            self.end(handle, Outcome.SUCCEEDED, attempts=(first, second, third))

        def running(self: Any) -> Any:
            running = super().running()  # type: ignore[misc]
            self.looks += bool(running)
            if self.looks in {2, 4}:
                self.looks += 1
                self.seen.set()
            return running

        def start(self: Any) -> Any:
            self.seen = threading.Event()

    ran = go(make_plan(make_task("a")), Trouble)
    told = [(event["event"], event.get("attempt"), event["time"][17:19]) for event in events_of(ran.folder)][1:-2]
    assert told == [
        ("task_started", 1, "10"),
        ("attempt_finished", 1, "11"),
        ("task_started", 2, "20"),
        ("attempt_finished", 2, "21"),
        ("task_started", 3, "30"),
        ("attempt_finished", 3, "31"),
    ]


def test_every_attempt_of_a_retried_task_began_before_it_ended(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """With the times at which it did, although all of them are told at the task's end."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            first = self.attempt(Outcome.FAILED, 1, error="no", started_at=10.0, duration_s=1.0)
            second = self.attempt(Outcome.SUCCEEDED, 2, started_at=20.0, duration_s=1.0)
            self.end(handle, Outcome.SUCCEEDED, attempts=(first, second))

    ran = go(make_plan(make_task("a")), Trouble)
    told = [(event["event"], event.get("attempt"), event["time"][17:19]) for event in events_of(ran.folder)][1:-2]
    assert told == [
        ("task_started", 1, "10"),
        ("attempt_finished", 1, "11"),
        ("task_started", 2, "20"),
        ("attempt_finished", 2, "21"),
    ]


def test_a_read_only_place_is_one_clear_error(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask], tmp_path: Path
) -> None:
    """A file where the state folder should be: nothing is run, and the message names it."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StateError, match=r"taken.*--state-dir"):
        go(make_plan(make_task("a")), state_dir=tmp_path / "taken" / "state")


def test_a_folder_where_the_link_to_the_newest_run_should_be_is_refused(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask], tmp_path: Path
) -> None:
    """Nothing is run, and no folder is left of it."""
    (tmp_path / "state" / "latest").mkdir(parents=True)
    with pytest.raises(StateError, match=r"latest is a folder.*: rename it"):
        go(make_plan(make_task("a")), state_dir=tmp_path / "state")
    assert not (tmp_path / "state" / "runs").exists()


def test_a_disk_that_fills_up_ends_the_run_as_broken(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Events that cannot be written are a failure of ours, told once, and no outcome is invented."""
    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), events=Path("/dev/full"))
    assert ran.result.exit_code is ExitCode.BROKEN
    assert (
        ran.result.problem
        == "cannot write /dev/full: No space left on device; --state-dir puts what a run leaves elsewhere"
    )
    assert json.loads((ran.folder / "report.json").read_text())["run"]["status"] == "broken"


def test_what_the_disk_does_not_take_is_told_after_the_reason(
    go: Callable[..., Any],
    make_plan: Callable[..., Plan],
    make_task: Callable[..., PlannedTask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An outcome that was announced before it is in the events."""

    def full(self: EventLog) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "events.jsonl")

    monkeypatch.setattr(EventLog, "flush", full)
    for tasks in ([make_task("a"), make_task("b", ["a"])], [make_task("a")]):  # in the middle, and at the very end
        ran = go(make_plan(*tasks))
        assert ran.result.exit_code is ExitCode.BROKEN
        lines = ran.text.splitlines()
        (reason,) = (
            number for number, line in enumerate(lines) if line.startswith("ending: cannot write events.jsonl")
        )
        told = [number for number, line in enumerate(lines) if line.startswith("[")]
        assert len(told) == len(tasks)
        assert min(told) > reason


def test_what_could_not_be_recorded_is_told_with_what_becomes_of_it(
    go: Callable[..., Any],
    make_plan: Callable[..., Plan],
    make_task: Callable[..., PlannedTask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tasks did end as the result says; whoever takes the run up again must know that it will not know that."""

    def full(*_: object) -> None:
        raise Unusable("cannot write runs.db: database or disk is full")

    monkeypatch.setattr(Ledger, "record_ended", full)
    for tasks, lost in (([make_task("a")], "1 task"), ([make_task("a"), make_task("b", ["a"])], "2 tasks")):
        ran = go(make_plan(*tasks))
        told = f"cannot write runs.db: database or disk is full; how {lost} ended is not recorded, and --resume runs "
        assert ran.result.problem == f"{told}them again"
        assert ran.result.verdict.reason in (ran.result.problem, None)
        assert ran.result.exit_code is ExitCode.BROKEN
        assert ran.result.problem in ran.text


def test_a_copy_of_the_report_is_the_report(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask], tmp_path: Path
) -> None:
    """And one that cannot be written does not hinder the run's own."""
    good = go(make_plan(make_task("a")), reports=(tmp_path / "x.json",))
    assert (tmp_path / "x.json").read_text() == (good.folder / "report.json").read_text()
    bad = go(make_plan(make_task("a")), reports=(tmp_path / "nowhere" / "x.json",))
    assert bad.result.exit_code is ExitCode.BROKEN
    assert json.loads((bad.folder / "report.json").read_text())["run"]["exit_code"] == 4


@pytest.mark.parametrize("told", ["all", "nothing", "one and no more", "one and then another's"])
def test_the_report_tells_of_every_task_whatever_becomes_of_the_ledger_it_is_made_from(
    go: Callable[..., Any],
    make_plan: Callable[..., Plan],
    make_task: Callable[..., PlannedTask],
    monkeypatch: pytest.MonkeyPatch,
    told: str,
) -> None:
    """The texts of its tasks are those that were written there, as far as they can be read again."""
    read = Ledger.texts

    def texts(self: Ledger, run: int) -> Iterator[tuple[int, str]]:
        for place, text in read(self, run):
            if told == "nothing" or (told == "one and no more" and place):
                raise Unusable("it is gone")
            yield place + (told == "one and then another's" and place > 0), text

    monkeypatch.setattr(Ledger, "texts", texts)
    ran = go(make_plan(make_task("a"), make_task("b", needs=["a"]), make_task("c")))
    assert [json.loads(record_text(record)) for record in ran.result.records] == json.loads(
        (ran.folder / "report.json").read_text()
    )["tasks"]
    assert [record.id for record in ran.result.records] == ["a", "b", "c"]


def test_a_mistake_of_ours_leaves_a_report_and_nothing_running(
    go: Callable[..., Any],
    make_plan: Callable[..., Plan],
    make_task: Callable[..., PlannedTask],
    tmp_path: Path,
) -> None:
    """It is raised to whoever prints it, after everything has been put away."""

    class Trouble:
        def running(self: Any) -> Any:
            raise ZeroDivisionError

        def acts(self: Any, handle: Any) -> Any:
            pass

    with pytest.raises(ZeroDivisionError):
        go(make_plan(make_task("a")), Trouble)
    report = json.loads((tmp_path / ".workflow/latest/report.json").read_text())
    assert report["run"]["exit_code"] == 4
    assert report["tasks"][0]["outcome"] == "cancelled"


def test_output_is_streamed_when_verbose(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Line by line with the id before it, the unfinished last line too, and nothing that steers a terminal."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            self.end(handle, Outcome.SUCCEEDED, log=self.print("one\n\x1b[2Jtwo"))

    ran = go(make_plan(make_task("a")), Trouble, verbosity="verbose")
    assert "a | one\na | \\x1b[2Jtwo\n" in ran.text


def test_the_state_folder_is_private_and_ignored_by_git(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask], tmp_path: Path
) -> None:
    """Nobody else reads it, and nobody commits it."""
    go(make_plan(make_task("a")))
    state = tmp_path / ".workflow"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / ".gitignore").read_text() == "*\n"
    assert [path for path in state.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077] == []
    assert sorted(path.name for path in state.iterdir()) == [".gitignore", "latest", "runs", "runs.db"]


def test_the_run_tells_tasks_its_id(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Through their environment."""
    ran = go(make_plan(make_task("a")))
    assert ran.engine.options["env"]["WORKFLOW_RUN_ID"] == ran.result.run.id
    assert ran.result.run.id[0].isdigit()


def test_a_slow_attempt_is_told_once_while_it_runs_or_at_its_end(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """Each attempt of its own; nothing is done about it, and what keeps its time is not told."""

    class Trouble:
        looks = 0

        def acts(self: Any, handle: Any) -> Any:
            if handle.id != "long":
                attempts = [self.attempt(Outcome.FAILED, 1), self.attempt(Outcome.SUCCEEDED, 2, duration_s=9.0)]
                self.end(handle, Outcome.SUCCEEDED, attempts=attempts)
                return
            self.now_running.append(
                SimpleNamespace(number=handle.number, id="long", attempt=1, pid=7, started_at=5.0, log=None)
            )
            self.seen.wait(5)
            self.succeed(handle)

        def running(self: Any) -> Any:
            self.looks += bool(self.now_running)
            if self.looks == 3:
                self.seen.set()
            return super().running()  # type: ignore[misc]

        def start(self: Any) -> Any:
            self.seen = threading.Event()

    tasks = [make_task("long", warn_after_s=0.2), make_task("twice", warn_after_s=1.0), make_task("none")]
    ran = go(make_plan(*tasks), Trouble)
    slow = [event for event in events_of(ran.folder) if event["event"] == "task_slow"]
    for event in slow:
        TypeAdapter(Event).validate_python(event)
    assert sorted((event["task"], event["attempt"], event["warn_after_s"]) for event in slow) == [
        ("long", 1, 0.2),
        ("twice", 2, 1.0),
    ]
    assert ran.outcomes == {"long": "succeeded", "twice": "succeeded", "none": "succeeded"}
    assert ran.text.count("SLOW") == 2
    assert "  twice (attempt 2)" in ran.text
    order = [event["event"] for event in events_of(ran.folder) if event["task"] == "twice"]
    assert order == [
        "task_started", "attempt_finished", "task_started", "task_slow", "attempt_finished", "task_finished",
    ]  # fmt: skip


def test_a_token_of_a_rate_comes_back_without_anything_that_happens(
    go: Callable[..., Any], make_plan: Callable[..., Plan], make_task: Callable[..., PlannedTask]
) -> None:
    """The loop wakes up for it."""

    class Trouble:
        def acts(self: Any, handle: Any) -> Any:
            self.end(handle, Outcome.SUCCEEDED, attempts=(self.attempt(Outcome.SUCCEEDED, started_at=time.time()),))

    tasks = [make_task(str(number), tokens={"web": 1}) for number in range(5)]
    ran = go(make_plan(*tasks, limits={"web": TokenLimit(2, 0.3)}), Trouble)
    started = sorted(record.attempts[0].started_at for record in ran.result.records)
    assert all(later - earlier >= 0.3 for earlier, later in zip(started, started[2:], strict=False))
    assert ran.took_s < 5
