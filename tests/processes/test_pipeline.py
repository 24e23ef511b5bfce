"""``Pipeline`` and ``Report``: runs that a program makes, watches, ends and looks at."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from workflow import InvalidPipeline, Model, Outcome, Pipeline, Report, WorkflowError
from workflow.report.models import Report as Contract
from workflow.run.folder import RunFolder
from workflow.run.past import past_run
from workflow.spec.models import PipelineTable, TaskTable, keys_of

FEEDS = """
    import os, time

    def fetch(country):
        if country == "xx":
            raise ValueError(f"{country} is no country")
        print("fetched", country)
        return country

    def merge(parts):
        return "+".join(parts)

    def hang():
        time.sleep(100)

    def pid():
        return os.getpid()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with a module whose functions are tasks."""
    (tmp_path / "feeds.py").write_text(dedent(FEEDS))
    return tmp_path


@pytest.fixture
def feeds(folder: Path) -> Pipeline:
    """Three tasks of which one fails, and one after them."""
    pipeline = Pipeline("feeds", root=folder, pool=2)
    pipeline.task("fetch", call="feeds:fetch", matrix={"country": ["de", "fr", "xx"]}, args=["${matrix.country}"])
    return pipeline.task(
        "merge", call="feeds:merge", args=["${tasks.fetch.results}"], needs={"task": "fetch", "status": "any"}
    )


def test_a_file_is_run_and_its_report_is_what_stands_in_report_json(folder: Path, capfd: Any) -> None:
    """The tasks, the counts and the exit code; nothing is printed."""
    (folder / "pipeline.toml").write_text(
        '[vars]\ndays = [1]\n[tasks.day]\ncmd = ["echo", "day ${vars.days}"]\n'
        '[tasks.wrong]\ncmd = ["false"]\n[tasks.after]\nneeds = ["wrong"]\ncmd = ["true"]\n'
    )
    pipeline = Pipeline.load(folder / "pipeline.toml", variables={"days": [2, 3]}, sets=["tasks.wrong.timeout=9s"])
    report = pipeline.run(jobs=1, reports=[folder / "out.md"])
    assert pipeline.ids == ("day", "wrong", "after")
    assert {task.id: task.outcome.value for task in report} == {
        "day": "succeeded",
        "wrong": "failed",
        "after": "skipped",
    }
    assert (report.exit_code, report.run.pool, report.counts[Outcome.SKIPPED]) == (1, 1, 1)
    assert [task.id for task in report.failed] == ["wrong"]
    assert report["wrong"].attempts[0].exit_code == 1
    assert report.log("day") == "day [2, 3]\n"
    assert report.log("after") == ""
    assert (folder / "out.md").exists()
    contract = Contract.model_validate_json((report.folder / "report.json").read_bytes())
    assert (contract.run, contract.tasks, contract.counts) == (report.run, report.tasks, report.counts)
    assert Report.load(report.folder) == Report.load(report.folder / "report.json") == report
    assert capfd.readouterr() == ("", "")


def test_a_report_names_what_is_near_an_id_that_it_does_not_have(feeds: Pipeline) -> None:
    """Of a task that there is not, and of a folder without a report."""
    report = feeds.run()
    assert "fetch@de" in report
    assert "fetch@d" not in report
    assert (len(report), repr(report)) == (4, f"<Report of run {report.run.id}, failed: 3 succeeded, 1 failed>")
    with pytest.raises(KeyError, match="did you mean 'fetch@de'"):
        report.outcome("fetch@d")
    with pytest.raises(WorkflowError, match="is not the folder of a run"):
        Report.load(report.folder.parent)


def test_what_a_program_makes_is_what_a_file_says(feeds: Pipeline, folder: Path) -> None:
    """The same text, the same plan; and the text can be kept as a file."""
    (folder / "kept.toml").write_text(feeds.to_toml())
    assert Pipeline.load(folder / "kept.toml").ids == feeds.ids == ("fetch@de", "fetch@fr", "fetch@xx", "merge")
    tables = {
        "pipeline": {"name": "feeds", "pool": 2},
        "tasks": {
            "fetch": {
                "call": "feeds:fetch",
                "matrix": {"country": ["de", "fr", "xx"]},
                "args": ["${matrix.country}"],
            },
            "merge": {
                "call": "feeds:merge",
                "args": ["${tasks.fetch.results}"],
                "needs": {"task": "fetch", "status": "any"},
            },
        },
    }
    assert Pipeline.from_dict(tables, root=folder).to_toml() == feeds.to_toml()
    selected = feeds.run(select="fetch@*", tags=[])
    assert [task.id for task in selected] == ["fetch@de", "fetch@fr", "fetch@xx"]


def test_mistakes_of_a_program_are_shown_like_those_of_a_file(folder: Path) -> None:
    """All at once, each with its line and caret, those of keys and those between tasks."""
    pipeline = Pipeline("odd", root=folder, pool=0).task("a", cmd=["true"], needs="b")
    with pytest.raises(InvalidPipeline) as raised:
        pipeline.run()
    assert [mistake.code for mistake in raised.value.mistakes] == ["bad-value", "unknown-task"]
    assert "<odd>:3:8: pipeline.pool" in str(raised.value)
    with pytest.raises(InvalidPipeline, match="did you mean 'timeout'"):
        Pipeline.from_dict({"tasks": {"a": {"cmd": ["true"], "timeot": "9s"}}})
    with pytest.raises(InvalidPipeline, match="--var x: the file declares no such variable"):
        Pipeline.from_dict({"tasks": {"a": {"cmd": ["true"]}}}, variables={"x": 1})


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (lambda p: p.task("a", cmd=["true"]).task("a", cmd=["true"]), ValueError, "has a task 'a' already"),
        (lambda p: p.task("a", call=lambda: None), TypeError, "tasks.a.call: .* has no name"),
        (lambda p: p.task("a", args=[{1}]).run(), TypeError, r"tasks.a.args\[0\]: .* cannot stand in a pipeline"),
        (lambda p: p.task("a", env={"X": None}).run(), TypeError, "tasks.a.env.X: None cannot .* leave the key out"),
        (lambda p: p.task("a", cmd=["\ud800"]).run(), TypeError, "half a character"),
        (lambda p: p.task("a", cmd=["true"]).run(select="b"), ValueError, "nothing is selected by 'b'"),
        (lambda p: p.task("a", cmd=["true"]).run(reports=["x.doc"]), ValueError, "must end in .json"),
        (lambda p: p.task("a", cmd=["true"]).run(jobs=0), ValueError, "jobs"),
        (lambda p: p.task("a", cmd=["true"]).stream(select="b"), ValueError, "nothing is selected"),
    ],
)
def test_what_cannot_be_meant_is_told_at_once(
    act: Callable[[Pipeline], object], kind: type[Exception], said: str, tmp_path: Path
) -> None:
    """By an exception that says what, and nothing is run."""
    with pytest.raises(kind, match=said):
        act(Pipeline(root=tmp_path))
    assert not (tmp_path / ".workflow").exists()


def test_a_loaded_pipeline_takes_no_tasks_and_a_saved_plan_no_changes(folder: Path) -> None:
    """Whose tasks stand in a file."""
    (folder / "pipeline.toml").write_text('[tasks.a]\ncmd = ["true"]\n')
    with pytest.raises(WorkflowError, match="its tasks stand there"):
        Pipeline.load(folder / "pipeline.toml").task("b", cmd=["true"])
    with pytest.raises(ValueError, match="root is for a saved plan"):
        Pipeline.load(folder / "pipeline.toml", root=folder)
    plan = subprocess.run(
        [sys.executable, "-m", "workflow", "plan", "--json"], cwd=folder, capture_output=True, text=True, check=True
    )
    (folder / "plan.json").write_text(plan.stdout)
    assert Pipeline.load(folder / "plan.json").run().outcome("a") is Outcome.SUCCEEDED
    with pytest.raises(ValueError, match="is a saved plan"):
        Pipeline.load(folder / "plan.json", profile="ci")


class Lines(Model):
    """One that counts its lines."""

    def runnable(self, text: str) -> int:
        """Count."""
        return len(text.splitlines())


def test_functions_and_classes_stand_for_their_names(tmp_path: Path) -> None:
    """Of modules; the hooks too."""
    pipeline = Pipeline(root=tmp_path)
    pipeline.task("a", call=json.dumps, args=[[1]], on={"success": print}, if_="1 == 1")
    pipeline.task("b", module=Lines, args=["x"])
    text = pipeline.to_toml()
    assert 'call = "json:dumps"' in text
    assert 'on = { success = "builtins:print" }' in text
    assert 'if = "1 == 1"' in text
    assert f'module = "{__name__}.Lines"' in text


def test_a_run_completes_the_latest_or_the_one_it_names(folder: Path) -> None:
    """Nothing that succeeded there runs again, and its result is there for what takes it; by ``stream`` as well."""
    pipeline = Pipeline("resumed", root=folder, pool=1)
    pipeline.task("pid", call="feeds:pid")
    pipeline.task("mark", shell="test -e mark && echo ${tasks.pid.result}")
    with pytest.raises(WorkflowError, match="there is no run of .*resumed"):
        pipeline.run(resume=True)
    part = pipeline.run(select="pid")
    with pipeline.stream(resume=True) as events:
        second = events.report
    assert (second["pid"].carried_from, second.outcome("mark").value) == (part.run.id, "failed")
    (folder / "mark").touch()
    third = pipeline.run(resume=second.run.id)
    assert (third["pid"].carried_from, third.exit_code) == (part.run.id, 0)
    assert third.log("mark") == f"{part['pid'].attempts[0].pid}\n"
    assert pipeline.run()["pid"].carried_from is None
    with pytest.raises(WorkflowError, match="there is no run '0'"):
        pipeline.run(resume="0")


def test_events_come_in_order_and_are_what_the_file_of_events_holds(feeds: Pipeline) -> None:
    """By a function and by a stream; the last event comes before the report."""
    told: list[Any] = []
    report = feeds.run(on_event=told.append)
    kept = [json.loads(line)["event"] for line in (report.folder / "events.jsonl").read_text().splitlines()]
    assert [event.event for event in told] == kept
    assert (kept[0], kept[-1], kept.count("task_finished")) == ("run_started", "run_finished", 4)
    with feeds.stream(jobs=1) as events:
        finished = [event.task for event in events if event.event == "task_finished"]
    assert sorted(finished) == sorted(feeds.ids)
    assert events.report.run.pool == 1
    assert list(events) == []


def test_who_leaves_a_stream_ends_its_run(folder: Path) -> None:
    """By break, and by forgetting it; the report says that it was interrupted."""
    pipeline = Pipeline(root=folder).task("hang", call="feeds:hang")
    with pipeline.stream() as events:
        for event in events:
            if event.event == "task_started":
                break
    assert events.report.run.status == "interrupted"
    assert events.report.outcome("hang") is Outcome.CANCELLED
    forgotten = pipeline.stream()
    thread = forgotten._thread
    assert next(forgotten).event == "run_started"
    del forgotten
    thread.join(30)
    assert not thread.is_alive()


def test_each_thread_that_takes_events_hears_of_the_end(feeds: Pipeline) -> None:
    """And each event goes to one of them."""
    events = feeds.stream()
    taken: list[Any] = []
    threads = [threading.Thread(target=lambda: taken.extend(events)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len((events.report.folder / "events.jsonl").read_bytes().splitlines())


def test_a_forked_child_is_told_that_a_stream_is_not_its_own(folder: Path) -> None:
    """It would wait for ever: the thread that runs the pipeline is its parent's."""
    with Pipeline(root=folder).task("hang", call="feeds:hang").stream() as events:
        for event in events:
            if event.event == "task_started":
                break
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            texts = []
            for ask in (lambda: next(events), lambda: events.report):
                try:
                    ask()
                except RuntimeError as error:
                    texts.append(str(error)[:34])
            os.write(tell, json.dumps(texts).encode())
            os._exit(0)
        os.close(tell)
        with open(told) as file:
            assert json.load(file) == ["this stream belongs to the process"] * 2
        os.waitpid(child, 0)


def test_a_pipeline_and_its_report_can_be_pickled(feeds: Pipeline, folder: Path) -> None:
    """A file is read again, wherever that is done; and both say what they are."""
    (folder / "pipeline.toml").write_text('[vars]\nx = 1\n[tasks.a]\ncmd = ["echo", "${vars.x}"]\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        loaded = Pipeline.load(variables={"x": 2})
    report = loaded.run()
    again = pickle.loads(pickle.dumps(loaded))
    assert again.ids == loaded.ids
    assert again.run().log("a") == report.log("a") == "2\n"
    assert pickle.loads(pickle.dumps(feeds)).ids == feeds.ids
    assert repr(again) == f"<Pipeline of {folder / 'pipeline.toml'}>"
    assert repr(feeds) == "<Pipeline 'feeds': 2 tasks>"
    assert pickle.loads(pickle.dumps(report)) == report
    assert {report, Report.load(report.folder)} == {report}


def test_reports_may_come_one_by_one_or_alone(feeds: Pipeline, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator is read once, and where they go is settled when the run is asked for."""
    monkeypatch.chdir(folder)
    report = feeds.run(reports=(Path(name) for name in ("one.md", "two.html")))
    with feeds.stream(reports="three.json") as events:
        monkeypatch.chdir("/")
        list(events)
    assert {"one.md", "two.html", "three.json"} <= {path.name for path in folder.iterdir()}
    assert len(report) == 4
    assert Report.load(folder / "three.json").run.id == events.report.run.id


def test_where_there_is_no_report_it_is_said_why(feeds: Pipeline, folder: Path) -> None:
    """And where reports are."""
    report = feeds.run()
    (folder / "other.json").write_text("{}")
    (report.folder / "report.json").rename(folder / "kept.json")
    places: dict[str | Path, str] = {
        "nope": "there is no",
        ".": "is not the folder of a run",
        ".workflow": "holds the runs of a file",
        "feeds.py": "Invalid JSON",
        "other.json": "format: Field required",
        report.folder: "it goes on, or it was killed",
    }
    for path, said in places.items():
        with pytest.raises(WorkflowError, match=said):
            Report.load(folder / path)
    assert Report.load(folder / "kept.json").run == report.run


def test_what_on_event_raises_ends_the_run_and_is_raised(folder: Path) -> None:
    """Also by a stream's run that cannot be recorded."""
    pipeline = Pipeline(root=folder).task("hang", call="feeds:hang")

    def raise_at_start(event: Any) -> None:
        if event.event == "task_started":
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        pipeline.run(on_event=raise_at_start)
    (folder / "file").write_text("")
    with pytest.raises(WorkflowError, match="file"):
        list(pipeline.stream(state_dir=folder / "file"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_then_reaches_the_program(folder: Path, number: signal.Signals) -> None:
    """Whose handlers are its own again: it is called once, after the report was written."""
    heard: list[tuple[int, bool]] = []
    latest = folder / ".workflow" / "latest" / "report.json"
    before = signal.signal(number, lambda each, _frame: heard.append((each, latest.exists())))
    try:
        pipeline = Pipeline(root=folder).task("hang", call="feeds:hang")
        report = pipeline.run(
            on_event=lambda event: os.kill(os.getpid(), number) if event.event == "task_started" else None
        )
    finally:
        signal.signal(number, before)
    assert report.exit_code == 128 + number
    assert heard == [(number, True)]


def test_in_a_thread_a_run_leaves_signals_alone(feeds: Pipeline) -> None:
    """The handlers stay the program's, and the run runs."""
    reports: list[Report] = []
    during: list[Any] = []
    before = signal.getsignal(signal.SIGINT)

    def go() -> None:
        reports.append(feeds.run(on_event=lambda _event: during.append(signal.getsignal(signal.SIGINT))))

    thread = threading.Thread(target=go)
    thread.start()
    thread.join(45)
    assert len(reports[0]) == 4
    assert set(during) == {before}


SCRIPT = """
    from workflow import Pipeline

    def double(number):
        return 2 * number

    {guard}
    pipeline = Pipeline("mine").task("double", call=double, args=[21], timeout="20s")
    {indent}report = pipeline.run()
    {indent}print(report.outcome("double"), report.log("double"))
"""


@pytest.mark.parametrize("guarded", [True, False])
def test_functions_of_the_script_itself_are_tasks(tmp_path: Path, guarded: bool) -> None:
    """Below the usual guard, and without it: then they stand above the run, to where the workers import the script."""
    guard, indent = ('if __name__ == "__main__":', "    ") if guarded else ("", "")
    text = dedent(SCRIPT).replace("{guard}\npipeline", f"{guard}\n{indent}pipeline").format(guard=guard, indent=indent)
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["succeeded"], "")
    assert len(list((tmp_path / ".workflow" / "runs").iterdir())) == 1


def test_a_module_that_runs_a_pipeline_when_it_is_imported_for_a_task_is_refused(tmp_path: Path) -> None:
    """It would go on for ever: the task fails, and says why."""
    (tmp_path / "other.py").write_text(dedent(SCRIPT).format(guard="", indent=""))
    code = (
        "from workflow import Pipeline\n"
        "report = Pipeline('outer').task('double', call='other:double', args=[21], timeout='20s').run()\n"
        "print(report.outcome('double'), report['double'].attempts[-1].error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.startswith("failed a pool was started while 'other' was imported for a task"), done.stderr
    assert "put what runs the pipeline under `if __name__" in done.stdout
    assert len(list((tmp_path / ".workflow" / "runs").iterdir())) == 1


def test_the_keys_that_a_type_checker_knows_are_those_of_the_file() -> None:
    """None is missing from ``Pipeline(...)`` and ``task(...)``, none is made up."""
    source = Path(sys.modules[Pipeline.__module__].__file__ or "").read_text()

    def keys(name: str) -> set[str]:
        block = source.split(f"class {name}(TypedDict")[1].split("\n    class ")[0].split("\nclass ")[0]
        return {
            line.split(":")[0].strip() for line in block.splitlines() if line.startswith("        ") and ":" in line
        }

    assert keys("PipelineKeys") == set(keys_of(PipelineTable)) - {"name"}
    assert {key.rstrip("_") for key in keys("TaskKeys")} == set(keys_of(TaskTable))


def test_pandas_is_asked_for_only_where_a_table_is_wanted(feeds: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it: an ImportError that says what to install."""
    report = feeds.run()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="install pandas"):
        report.to_pandas()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"selct": "x"}, "run() takes no 'selct', did you mean 'select'?"),
        ({"profile": "ci"}, "run() takes no 'profile'"),
        ({"seed": "x"}, "seed is a number or None, not 'x'"),
        ({"seed": -1}, "seed is from 0 to "),
        ({"jobs": 0}, "jobs is from 1 to "),
        ({"force": True}, "force is a glob, or None, not True"),
        ({"force": ["a"]}, "force is a glob, or None, not ['a']"),
        ({"resume": 3}, "resume is True, the id of a run, or False, not 3"),
        ({"resume": ""}, "and not empty"),
        ({"select": 3}, "select is a text, or several, not 3"),
        ({"tags": [3]}, "tags is a text, or several, not [3]"),
        ({"state_dir": 3}, "expected str, bytes or os.PathLike object, not int"),
        ({"state_dir": ""}, "state_dir is a folder, or None, and not empty"),
        ({"reports": "x.foo"}, "'x.foo' must end in"),
        ({"console": "loud"}, "console is None, 'quiet', 'normal' or 'verbose', not 'loud'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(tmp_path: Path, how: Any, said: str) -> None:
    """A misspelt ``select`` would run everything."""
    pipeline = Pipeline(root=tmp_path).task("a", cmd=["touch", "ran"])
    for start in (pipeline.run, pipeline.stream, partial(pipeline.run, on_event=print)):
        with pytest.raises((TypeError, ValueError), match=re.escape(said)):
            start(**how)
    with pytest.raises(TypeError, match="on_event is a function"):
        pipeline.run(on_event=3)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_was_put_in_the_place_of_a_log_or_report_is_not_read(feeds: Pipeline, tmp_path: Path, kind: str) -> None:
    """At a pipe one would wait for ever, and a link may lead anywhere."""
    report = feeds.run()
    log, whole, events = (
        report.folder / name for name in (report["fetch@de"].log or "", "report.json", "events.jsonl")
    )
    assert report.log("fetch@de") == "fetched de\n"
    for path in (log, whole, events):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("/etc/passwd")
    assert report.log("fetch@de") == ""
    with pytest.raises(WorkflowError, match=r"has no report|it is not a|not a report|Is a directory"):
        Report.load(report.folder)
    assert past_run(RunFolder(report.run.id, report.folder), tmp_path / ".workflow").status == "failed"
