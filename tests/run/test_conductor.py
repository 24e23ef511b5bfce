"""The loop around a run, with an engine that pretends."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from workflow.outcome import CallbackRecord, ErrorRecord, Outcome
from workflow.report.models import Event, Report
from workflow.plan.plan import Need
from workflow.run.exit_code import ExitCode
from workflow.run.folder import StateError


def events_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_report_and_events_that_keep_to_their_models(go, make_plan, make_task, pretend) -> None:
    """Everything written validates against the published forms, and the two agree."""

    class Engine(pretend):
        def acts(self, handle):
            if handle.id == "b":
                self.end(handle, Outcome.FAILED, error="no\nsecond line", log=self.print("one\ntwo\n"), exit_code=3)
            elif handle.id == "d":
                first = self.attempt(Outcome.CRASHED, 1, signal="SIGSEGV", log=self.print("boom"))
                second = self.attempt(Outcome.SUCCEEDED, 2, started_at=1_700_000_001.0, log=self.print("well\n"))
                callback = CallbackRecord("callback", Outcome.FAILED, ErrorRecord("KeyError", "'x'"))
                self.end(handle, Outcome.SUCCEEDED, attempts=(first, second), callback=callback)
            else:
                super().acts(handle)

    plan = make_plan(make_task("a"), make_task("b"), make_task("c", ["b"]), make_task("d", matrix={"x": float("inf")}))
    ran = go(plan, Engine, argv=("workflow", "run"))

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
    assert [event.event for event in events][0] == "run_started"
    assert [event.event for event in events][-1] == "run_finished"
    finished = sorted(event.task for event in events if event.event == "task_finished")
    assert finished == ["a", "b", "c", "d"]
    assert sum(event.event == "task_started" for event in events) == 4
    assert [event.task for event in events if event.event == "callback_finished"] == ["d"]
    assert report.tasks[1].log == "logs/b.log"
    assert (ran.folder / "logs/b.log").read_text() == "one\ntwo\n"
    assert (ran.folder / "logs/d.log").read_text() == "--- attempt 1 ---\nboom\n--- attempt 2 ---\nwell\n"
    assert sorted(path.name for path in (ran.folder / "logs").iterdir()) == ["b.log", "d.log"]
    assert (ran.folder.parent.parent / "latest").resolve() == ran.folder.resolve()


def test_results_reach_the_tasks_that_refer_to_them(go, make_plan, make_task) -> None:
    """A task is compiled with the results of those it refers to, once they are there."""
    ran = go(make_plan(make_task("a"), make_task("b", ["a"], uses=["a"])))
    assert ran.engine.tasks["b"].args == ("a",)
    assert ran.result.exit_code is ExitCode.SUCCEEDED


def test_a_missing_result_fails_the_task_that_wants_it_without_an_attempt(go, make_plan, make_task, pretend) -> None:
    """It is that task's failure, told in its reason, and what needs it is skipped because of it."""

    class Engine(pretend):
        def acts(self, handle):
            self.end(handle, Outcome.FAILED, error="no")

    plan = make_plan(make_task("a"), make_task("b", [Need("a", ("a",), "any")], uses=["a"]), make_task("c", ["b"]))
    ran = go(plan, Engine)
    assert ran.outcomes == {"a": "failed", "b": "failed", "c": "skipped"}
    assert ran.records["b"].attempts == ()
    assert ran.records["b"].reason == "b cannot start: ${tasks.a.result}: there is none"
    assert ran.records["c"].cause == "b"


def test_a_result_that_cannot_be_read_fails_only_who_refers_to_it(go, make_plan, make_task, pretend) -> None:
    """The task that returned it succeeded; SystemExit while unpickling does not end the run."""

    class Engine(pretend):
        def push(self, task):
            handle = super().push(task)

            def result(timeout=None):
                raise SystemExit(3)

            handle.result = result
            return handle

    ran = go(make_plan(make_task("a"), make_task("b", ["a"], uses=["a"]), make_task("c", ["a"])), Engine)
    assert ran.outcomes == {"a": "succeeded", "b": "failed", "c": "succeeded"}
    assert ran.records["b"].reason == "the result of a cannot be read: SystemExit: 3"


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGHUP, ExitCode.HUNG_UP)],
)
def test_a_signal_ends_the_run_and_the_report_is_written(go, make_plan, make_task, pretend, number, code) -> None:
    """What runs and what waits is cancelled with the reason; the exit code names the signal."""

    class Engine(pretend):
        def acts(self, handle):
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), Engine)
    assert signal.getsignal(number) is before
    assert ran.outcomes == {"a": "cancelled", "b": "cancelled"}
    assert ran.result.exit_code is code
    assert json.loads((ran.folder / "report.json").read_text())["run"]["status"] == "interrupted"
    assert {record.reason for record in ran.result.records} == {f"the run was ended by {number.name}"}


def test_a_second_signal_kills_now(go, make_plan, make_task, pretend) -> None:
    """The first leaves each task its grace; the second does not."""

    class Engine(pretend):
        def acts(self, handle):
            os.kill(os.getpid(), signal.SIGINT)

        def cancel_all(self, reason, grace=None):
            if grace is None:
                self.calls.append(("cancel_all", reason, grace))
                os.kill(os.getpid(), signal.SIGINT)
            else:
                super().cancel_all(reason, grace)

    ran = go(make_plan(make_task("a")), Engine)
    assert [call[2] for call in ran.engine.calls if call[0] == "cancel_all"] == [None, 0.0]
    assert ran.result.exit_code is ExitCode.INTERRUPTED


def test_a_build_server_gets_its_machine_back_in_time(go, make_plan, make_task, pretend) -> None:
    """With a bound on the grace, tasks that want more are given the bound, and others keep their own."""

    class Engine(pretend):
        def acts(self, handle):
            os.kill(os.getpid(), signal.SIGTERM)

    long = go(make_plan(make_task("a", grace_s=60.0)), Engine, grace_max_s=5.0)
    short = go(make_plan(make_task("a", grace_s=1.0)), Engine, grace_max_s=5.0)
    assert [call[2] for call in long.engine.calls if call[0] == "cancel_all"] == [5.0]
    assert [call[2] for call in short.engine.calls if call[0] == "cancel_all"] == [None]


def test_the_run_has_a_time_limit_of_its_own(go, make_plan, make_task, pretend) -> None:
    """At the limit everything is cancelled, and the exit code is 124."""

    class Engine(pretend):
        def acts(self, handle):
            pass

    ran = go(make_plan(make_task("a"), make_task("b", ["a"]), timeout_s=0.05), Engine)
    assert ran.result.exit_code is ExitCode.TIMED_OUT
    assert ran.outcomes == {"a": "cancelled", "b": "cancelled"}
    assert ran.records["a"].reason == "the run reached its time limit of 0.05 s"


def test_an_engine_that_fails_ends_the_run_with_its_reason(go, make_plan, make_task, pretend) -> None:
    """Every task has an outcome, the report is there, and the exit code says whose fault it was."""

    class Engine(pretend):
        def acts(self, handle):
            self.failure = "workers die at their start"
            for each in self.handles:
                self.end(each, Outcome.CANCELLED, reason=self.failure)

    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), Engine)
    assert ran.result.exit_code is ExitCode.BROKEN
    assert ran.result.problem == "workers die at their start"
    assert ran.outcomes == {"a": "cancelled", "b": "cancelled"}
    assert json.loads((ran.folder / "report.json").read_text())["run"]["exit_code"] == 4


def test_an_engine_that_does_not_start_is_told_in_the_report(go, make_plan, make_task, pretend) -> None:
    """No task is left without an outcome."""

    class Engine(pretend):
        def start(self):
            raise OSError("no more processes")

    ran = go(make_plan(make_task("a")), Engine)
    assert ran.result.exit_code is ExitCode.BROKEN
    assert ran.records["a"].reason == "the engine could not start: no more processes"


def test_halt_soon_lets_what_runs_end_and_drops_the_rest(go, make_plan, make_task, pretend) -> None:
    """A task that runs ends as it ends; one that only waits in the engine is cancelled with the reason."""

    class Engine(pretend):
        def push(self, task):
            if task.id == "runs":
                self.now_running.append(
                    SimpleNamespace(number=1, id="runs", attempt=1, pid=7, started_at=1.0, log=None)
                )
            return super().push(task)

        def acts(self, handle):
            if handle.id == "bad":
                self.end(handle, Outcome.FAILED, error="no")
            elif handle.id == "runs":
                self.waited = threading.Event()
                self.waited.wait(5)
                super().acts(handle)

        def end(self, handle, outcome, **more):
            super().end(handle, outcome, **more)
            if handle.id == "waits":
                self.waited.set()

    plan = make_plan(make_task("runs"), make_task("waits"), make_task("bad"), halt="soon", max_failures=1)
    ran = go(plan, Engine)
    assert ran.outcomes == {"runs": "succeeded", "waits": "cancelled", "bad": "failed"}
    assert ran.records["waits"].reason == "the run was halted after 1 failure"
    assert ran.result.exit_code is ExitCode.FAILED
    assert [event["task"] for event in events_of(ran.folder) if event["event"] == "task_started"].count("runs") == 1


def test_a_long_task_is_said_to_have_started_before_it_ends(go, make_plan, make_task, pretend) -> None:
    """Whoever follows the events sees it while it runs, once."""
    seen = threading.Event()

    class Engine(pretend):
        def acts(self, handle):
            self.now_running.append(SimpleNamespace(number=1, id="a", attempt=1, pid=7, started_at=5.0, log=None))
            seen.wait(5)
            super().acts(handle)

        def running(self):
            if len(self.looks) == 1:
                seen.set()
            self.looks.append(1)
            return super().running()

        def start(self):
            self.looks = []

    ran = go(make_plan(make_task("a")), Engine)
    started = [event for event in events_of(ran.folder) if event["event"] == "task_started"]
    assert len(started) == 1
    assert started[0]["time"] == "1970-01-01T00:00:05.000000+00:00"


def test_a_read_only_place_is_one_clear_error(go, make_plan, make_task, tmp_path) -> None:
    """A file where the state folder should be: nothing is run, and the message names it."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StateError, match=r"taken.*--state-dir"):
        go(make_plan(make_task("a")), state_dir=tmp_path / "taken" / "state")


def test_a_disk_that_fills_up_ends_the_run_as_broken(go, make_plan, make_task) -> None:
    """Events that cannot be written are a failure of ours, told once, and no outcome is invented."""
    ran = go(make_plan(make_task("a"), make_task("b", ["a"])), events=Path("/dev/full"))
    assert ran.result.exit_code is ExitCode.BROKEN
    assert ran.result.problem == "cannot write /dev/full: No space left on device; --state-dir puts what a run leaves elsewhere"
    assert json.loads((ran.folder / "report.json").read_text())["run"]["status"] == "broken"


def test_a_copy_of_the_report_is_the_report(go, make_plan, make_task, tmp_path) -> None:
    """And one that cannot be written does not hinder the run's own."""
    good = go(make_plan(make_task("a")), reports=(tmp_path / "x.json",))
    assert (tmp_path / "x.json").read_text() == (good.folder / "report.json").read_text()
    bad = go(make_plan(make_task("a")), reports=(tmp_path / "nowhere" / "x.json",))
    assert bad.result.exit_code is ExitCode.BROKEN
    assert json.loads((bad.folder / "report.json").read_text())["run"]["exit_code"] == 4


def test_a_mistake_of_ours_leaves_a_report_and_nothing_running(go, make_plan, make_task, pretend, tmp_path) -> None:
    """It is raised to whoever prints it, after everything has been put away."""

    class Engine(pretend):
        def running(self):
            raise ZeroDivisionError

        def acts(self, handle):
            pass

    with pytest.raises(ZeroDivisionError):
        go(make_plan(make_task("a")), Engine)
    report = json.loads((tmp_path / ".workflow/latest/report.json").read_text())
    assert report["run"]["exit_code"] == 4
    assert report["tasks"][0]["outcome"] == "cancelled"


def test_output_is_streamed_when_verbose(go, make_plan, make_task, pretend) -> None:
    """Line by line with the id before it, the unfinished last line too, and nothing that steers a terminal."""

    class Engine(pretend):
        def acts(self, handle):
            self.end(handle, Outcome.SUCCEEDED, log=self.print("one\n\x1b[2Jtwo"))

    ran = go(make_plan(make_task("a")), Engine, verbosity="verbose")
    assert "a | one\na | \\x1b[2Jtwo\n" in ran.text


def test_the_state_folder_is_private_and_ignored_by_git(go, make_plan, make_task, tmp_path) -> None:
    """Nobody else reads it, and nobody commits it."""
    go(make_plan(make_task("a")))
    state = tmp_path / ".workflow"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / ".gitignore").read_text() == "*\n"
    assert sorted(path.name for path in state.iterdir()) == [".gitignore", "latest", "runs"]


def test_the_run_tells_tasks_its_id(go, make_plan, make_task) -> None:
    """Through their environment."""
    ran = go(make_plan(make_task("a")))
    assert ran.engine.options["env"]["WORKFLOW_RUN_ID"] == ran.result.run.id
    assert ran.result.run.id[0].isdigit()
