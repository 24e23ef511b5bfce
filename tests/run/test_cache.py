"""A task that need not run does not: with an engine that pretends, and real files."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.outcome import Outcome
from workflow.plan.build import load_plan
from workflow.run.content import Contents, Stopped
from workflow.run.folder import StateError
from workflow.run.ledger import Ledger
from workflow.run.why import explain

TWO = """
[vars]
x = 1
[tasks.fetch]
call = "m:fetch"
args = ["${vars.x}"]
inputs = ["src/", "more/*.txt"]
outputs = "out/raw"
[tasks.use]
call = "m:use"
args = ["${tasks.fetch.result}"]
inputs = "out/raw"
outputs = "out/used"
[tasks.always]
call = "m:always"
"""


@pytest.fixture
def again(tmp_path: Path, go: Callable[..., Any]) -> Callable[..., dict[str, str]]:
    """Answer ``again(TOML, ...)``: run it with tasks that write their outputs, and answer the outcomes."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a").write_text("a")

    class Writing:
        def acts(self, handle: Any) -> None:
            for name, text in {"fetch": {"raw": "raw"}, "use": {"used": "used"}}.get(handle.id, {}).items():
                (tmp_path / "out").mkdir(exist_ok=True)
                (tmp_path / "out" / name).write_text(text)
            self.succeed(handle)  # type: ignore[attr-defined]

    def run(text: str = TWO, variables: dict[str, str] | None = None, **options: Any) -> dict[str, str]:
        path = tmp_path / "pipeline.toml"
        path.write_text(text)
        plan = load_plan(path, variables)
        told, _ = explain(plan, tmp_path / ".workflow")
        run.why = {each.id: (each.action, *each.reasons) for each in told}  # type: ignore[attr-defined]
        run.last = go(plan, Writing, **options)  # type: ignore[attr-defined]
        assert run.last.result.warning is None  # type: ignore[attr-defined]
        return dict(run.last.outcomes)  # type: ignore[attr-defined]

    return run


BOTH_CACHED = {"fetch": "cached", "use": "cached", "always": "succeeded"}
BOTH_RUN = {"fetch": "succeeded", "use": "succeeded", "always": "succeeded"}


def test_the_second_run_has_only_to_run_what_has_no_outputs(again: Any, tmp_path: Path) -> None:
    """A cached task has no attempt and no callback, its result is served, and everything it is told in agrees."""
    assert again() == BOTH_RUN
    assert again() == BOTH_CACHED
    ran = again.last
    assert [task.id for task in ran.engine.handles] == ["always"]
    assert ran.result.exit_code == 0
    record = ran.records["fetch"]
    assert (record.attempts, record.callback) == ((), None)
    assert record.reason.startswith("run ")
    assert '"outcome": "cached"' in (ran.folder / "events.jsonl").read_text()
    assert json.loads((ran.folder / "report.json").read_text())["counts"]["cached"] == 2
    assert "2 cached" in ran.text
    kept = list((tmp_path / ".workflow/results").iterdir())
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]
    assert pickle.loads(kept[0].read_bytes()) == "fetch"


def change_content(folder: Path) -> None:
    (folder / "src/a").write_text("b")


def add_file(folder: Path) -> None:
    (folder / "src/deep").mkdir()


def add_match(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more/x.txt").write_text("")


def remove_input(folder: Path) -> None:
    (folder / "src/a").unlink()


def remove_output(folder: Path) -> None:
    (folder / "out/raw").unlink()


def change_output(folder: Path) -> None:
    (folder / "out/raw").write_text("row")


def change_output_and_hide_it(folder: Path) -> None:
    path = folder / "out/raw"
    before = path.stat()
    path.write_text("row")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def lose_result(folder: Path) -> None:
    for path in (folder / ".workflow/results").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_content, "inputs: src/a changed"),
        (add_file, "inputs: src/deep/ is new"),
        (add_match, "inputs: more/x.txt is new; inputs: more/*.txt is no input any more"),
        (remove_input, "inputs: src/a is no input any more"),
        (remove_output, "output out/raw is missing"),
        (change_output, "output out/raw was changed since"),
        (change_output_and_hide_it, "output out/raw was changed since"),
        (lose_result, "its result is taken by others, and was not kept"),
    ],
)
def test_a_change_makes_a_task_run_and_why_says_which(
    again: Any, tmp_path: Path, change: Callable[[Path], None], why: str
) -> None:
    """What the file system says of times does not hide it."""
    again()
    assert again() == BOTH_CACHED
    change(tmp_path)
    assert again()["fetch"] == "succeeded"
    assert again.why["fetch"] == ("run", *why.split("; "))
    assert again.why["use"][:2] == ("run", "fetch will run, and it takes its result; cached if that is what it was")


def test_touching_changes_nothing(again: Any, tmp_path: Path) -> None:
    """Content decides."""
    again()
    for path in ("src/a", "out/raw", "out/used"):
        os.utime(tmp_path / path, (1, 1))
    assert again() == BOTH_CACHED
    assert again() == BOTH_CACHED


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"m:fetch"', '"m:fetch2"', "call changed"),
        ('args = ["${vars.x}"]', 'args = ["${vars.x}", 1]', "args changed"),
        ('args = ["${vars.x}"]', 'args = ["${vars.x}"]\nkwargs = {a = 1}', "kwargs changed"),
        ('args = ["${vars.x}"]', 'args = ["${vars.x}"]\nenv.A = "1"', "env changed"),
        ('args = ["${vars.x}"]', 'args = ["${vars.x}"]\ncwd = "out"', "cwd changed"),
        ('args = ["${vars.x}"]', 'args = ["${vars.x}"]\nseed = 1', "seed changed"),
        ("x = 1", "x = 1.0", "args changed"),
        ("x = 1", "x = true", "args changed"),
    ],
)
def test_each_part_of_the_key_counts(again: Any, old: str, new: str, why: str) -> None:
    """And is named."""
    again()
    assert again(TWO.replace(old, new, 1))["fetch"] == "succeeded"
    assert again.why["fetch"] == ("run", why)


@pytest.mark.parametrize(
    "new", ['timeout = "9s"', "retries = 3", 'tags = ["x"]', 'doc = "d"', "priority = 3", "isolate = true"]
)
def test_how_a_task_runs_is_not_in_its_key(again: Any, new: str) -> None:
    """Nothing of this changes what it makes."""
    again()
    assert again(TWO.replace('"m:fetch"', '"m:fetch"\n' + new)) == BOTH_CACHED


def test_going_back_to_an_earlier_setting_finds_what_it_made(again: Any) -> None:
    """As long as that is still there."""
    again()
    assert again(variables={"x": "2"})["fetch"] == "succeeded"
    assert again() == BOTH_CACHED  # both made the same content


def test_force_and_a_seed_run_what_they_concern(again: Any) -> None:
    """And keeps what it makes."""
    again()
    assert again(force="f*") == {"fetch": "succeeded", "use": "cached", "always": "succeeded"}
    assert again(force="*") == BOTH_RUN
    assert again(seed=5) == BOTH_RUN  # one that somebody chose; what is drawn is no reason
    assert again() == BOTH_CACHED


def test_what_fails_is_not_cached(tmp_path: Path, go: Callable[..., Any]) -> None:
    """Outputs of an attempt that did not succeed never count."""
    (tmp_path / "out").write_text("x")
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncall = "m:f"\noutputs = "out"\n')

    class Failing:
        def acts(self, handle: Any) -> None:
            self.end(handle, Outcome.FAILED, error="no")  # type: ignore[attr-defined]

    for _ in range(2):
        assert go(load_plan(path), Failing).outcomes == {"a": "failed"}


def test_a_run_that_is_stopped_while_files_are_read_ends_at_once(
    tmp_path: Path, go: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked about is cancelled like what is queued."""
    reading = threading.Event()

    def slow(self: Any, _root: str, _entries: Any, _without: Any = frozenset()) -> dict[str, str]:
        reading.set()
        for _ in range(1000):
            if self._stopped():
                break
            threading.Event().wait(0.01)
        raise Stopped

    monkeypatch.setattr("workflow.run.content.Contents.snapshot", slow)
    path = tmp_path / "pipeline.toml"
    path.write_text('[pipeline]\nhalt = "now"\n[tasks.a]\ncall = "m:f"\noutputs = "out"\n[tasks.b]\ncall = "m:g"\n')

    class Failing:
        def acts(self, handle: Any) -> None:
            reading.wait(10)
            self.end(handle, Outcome.FAILED, error="no")  # type: ignore[attr-defined]

    ran = go(load_plan(path), Failing)
    assert ran.outcomes == {"a": "cancelled", "b": "failed"}


def broken(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_pipe_beside(path: Path) -> None:
    Ledger(path.parent).close()
    os.mkfifo(path.with_name("runs.db-wal"))


def negative(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = -1")
    db.close()


def no_salt(path: Path) -> None:
    Ledger(path.parent).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 'text'")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (broken, "is broken (file is not a database): move it away"),
        (newer, "was made by a newer version of workflow (schema 99, this one knows up to 2)"),
        (a_folder, "cannot be opened: it is a folder, and no file"),
        (a_pipe, "runs.db cannot be opened: it is a pipe, and no file"),
        (a_pipe_beside, "runs.db-wal cannot be opened: it is a pipe, and no file"),
        (negative, "is broken (schema -1): move it away, and what it knew is made again"),
        (no_salt, "is broken (its salt is no salt): move it away, and what it knew is made again"),
    ],
)
def test_with_a_database_that_cannot_be_used_nothing_runs(
    tmp_path: Path, go: Callable[..., Any], spoil: Callable[[Path], None], said: str
) -> None:
    """What ends would be lost for ``--resume``.  The reason is told, and the database is left as it is."""
    state = tmp_path / ".workflow"
    state.mkdir()
    spoil(state / "runs.db")
    before = (state / "runs.db").read_bytes() if (state / "runs.db").is_file() else None
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncall = "m:f"\n')
    with pytest.raises(StateError) as caught:
        go(load_plan(path))
    assert said in str(caught.value)
    assert "--state-dir" in str(caught.value)
    assert not (state / "runs").exists()
    assert before is None or (state / "runs.db").read_bytes() == before
    assert said in str(explain(load_plan(path), state)[1])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("outputs", "[]"),
        ("outputs", "null"),
        ("outputs", '{"out": 1}'),
        ("stamps", '{"x": [1]}'),
        ("stamps", '{"out": [1, 2]}'),
        ("stamps", '{"elsewhere": [1, 2, 3, 4, 5]}'),
        ("stamps", "[" * 5000),
        ("parts", "[]"),
        ("result", "../x"),
        ("run", b"x"),
    ],
)
def test_a_row_of_another_form_is_a_broken_database(
    tmp_path: Path, go: Callable[..., Any], column: str, value: object
) -> None:
    """It is told as one, by a look as by a run, and everything runs."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncall = "m:f"\noutputs = "out"\n')
    (tmp_path / "out").write_text("x")
    assert go(load_plan(path)).outcomes == {"a": "succeeded"}
    with sqlite3.connect(tmp_path / ".workflow/runs.db") as db:
        db.execute(f"UPDATE made SET {column} = ?", (value,))
    db.close()
    told, problem = explain(load_plan(path), tmp_path / ".workflow")
    assert [each.action for each in told] == ["run"]
    assert "is broken" in str(problem)
    ran = go(load_plan(path))
    assert ran.outcomes == {"a": "succeeded"}
    assert "is broken" in ran.result.warning


def test_a_database_that_another_holds_for_long_ends_the_run(
    tmp_path: Path, go: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything has run; the database is as good as before."""
    monkeypatch.setattr("workflow.run.database.BUSY_S", 0.05)
    state = tmp_path / ".workflow"
    state.mkdir()
    Ledger(state).close()
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncall = "m:f"\noutputs = "out"\n')
    (tmp_path / "out").write_text("x")
    other = sqlite3.connect(state / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        ran = go(load_plan(path))
    finally:
        other.close()
    assert ran.outcomes == {"a": "cancelled"}
    assert ran.engine.handles == []
    assert ran.result.exit_code == 4
    assert "is locked by another process" in ran.result.problem
    assert go(load_plan(path)).outcomes == {"a": "succeeded"}
    assert go(load_plan(path)).outcomes == {"a": "cached"}


def test_a_kept_result_that_was_replaced_is_not_unpickled(again: Any, tmp_path: Path) -> None:
    """Its name is its digest."""
    again()
    (kept,) = (tmp_path / ".workflow/results").iterdir()
    kept.write_bytes(pickle.dumps("something else"))
    assert again()["fetch"] == "succeeded"


def test_a_secret_is_in_the_key_by_a_digest_only(
    tmp_path: Path, go: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another value is another key, and neither is in the database."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[secrets]\nt = {env = "T"}\n[tasks.a]\ncall = "m:f"\noutputs = "out"\nenv.TOKEN = "Bearer ${secrets.t}"\n'
    )
    (tmp_path / "out").write_text("x")
    for value, outcome in (("hunter2-one", "succeeded"), ("hunter2-one", "cached"), ("hunter2-two", "succeeded")):
        monkeypatch.setenv("T", value)
        assert go(load_plan(path)).outcomes == {"a": outcome}
    told, _ = explain(load_plan(path), tmp_path / ".workflow")
    assert told[0].action == "cached"
    assert told[0].reasons[1:] == ("if ${secrets.t} is what it was then",)
    for file in (tmp_path / ".workflow").glob("runs.db*"):
        assert b"hunter2" not in file.read_bytes()


def test_a_large_result_is_in_the_key_by_its_content_too(again: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the file that it lies in, which is another in each run; a look at the plan agrees."""
    monkeypatch.setattr("workflow.run.results.LARGE_BYTES", 1)
    monkeypatch.setattr("workflow.run.why.LARGE_BYTES", 1)
    assert again() == BOTH_RUN
    assert again() == BOTH_CACHED
    assert [again.why[id_][0] for id_ in ("fetch", "use", "always")] == ["cached", "cached", "run"]


def test_what_was_made_while_an_input_changed_is_not_recorded(tmp_path: Path, go: Callable[..., Any]) -> None:
    """The key is of the content before the start, and the task has read another."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\ncall = "m:f"\ninputs = "in"\noutputs = "out"\n')
    (tmp_path / "in").write_text("v1")

    class Late:
        def acts(self, handle: Any) -> None:
            (tmp_path / "in").write_text("v2")
            (tmp_path / "out").write_text("of v2")
            self.succeed(handle)  # type: ignore[attr-defined]

    assert go(load_plan(path), Late).outcomes == {"a": "succeeded"}
    (tmp_path / "in").write_text("v1")
    ran = go(load_plan(path), Late)
    assert ran.outcomes == {"a": "succeeded"}
    assert ran.result.warning is None
    assert go(load_plan(path), Late).outcomes == {"a": "succeeded"}  # v2 is there, and nothing was recorded for it
    assert go(load_plan(path), Late).outcomes == {"a": "cached"}


APPENDED = """
[tasks.a]
call = "m:f"
outputs = "OUT"
[tasks.b]
call = "m:g"
needs = "a"
"""


@pytest.mark.parametrize(("out", "written"), [("out", "out"), ("out/", "out/x"), ("out/", "out/new"), ("*.z", "x.z")])
def test_an_output_that_a_later_task_writes_to_is_not_recorded(
    tmp_path: Path, go: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, out: str, written: str
) -> None:
    """However late it is read: as it was when its task ended is how it counts, and nobody knows that any more."""
    path = tmp_path / "pipeline.toml"
    path.write_text(APPENDED.replace("OUT", out))
    later = threading.Event()
    snapshot = Contents.snapshot

    def late(self: Any, root: str, entries: Any, without: Any = frozenset()) -> dict[str, str]:
        if entries == (out,) and not without and (tmp_path / "made").exists():
            later.wait(5)
        return snapshot(self, root, entries, without)

    class Appending:
        def acts(self, handle: Any) -> None:
            if handle.id == "a":
                (tmp_path / "made").write_text("")
                if out == "out/":
                    (tmp_path / "out").mkdir(exist_ok=True)
                (tmp_path / {"out": "out", "out/": "out/x"}.get(out, "x.z")).write_text("made")
            else:
                with (tmp_path / written).open("a") as file:
                    file.write("more")
                later.set()
            self.succeed(handle)  # type: ignore[attr-defined]

    monkeypatch.setattr(Contents, "snapshot", late)
    ran = go(load_plan(path), Appending)
    assert ran.outcomes == {"a": "succeeded", "b": "succeeded"}
    assert later.is_set()
    assert ran.result.warning is None
    assert explain(load_plan(path), tmp_path / ".workflow")[0][0].reasons == ("it has not succeeded yet",)


def test_many_outputs_are_looked_at_later_and_recorded(again: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing waits for that."""
    monkeypatch.setattr("workflow.run.cache.LOOK_MAX", 0)
    assert again() == BOTH_RUN
    assert again() == BOTH_CACHED


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (None, "its input 'data/in' is not there, did you mean 'data/inn'?"),
        (os.mkfifo, "its input 'data/in' is a pipe: only files and folders have a content to compare"),
        (lambda path: path.symlink_to("/dev/null"), "its input 'data/in' is a device: only files and folders"),
    ],
)
@pytest.mark.parametrize("outputs", ["", 'outputs = "out"'])
def test_an_input_that_is_no_file_and_no_folder_fails_its_task(
    tmp_path: Path, go: Callable[..., Any], spoil: Callable[[Path], None] | None, said: str, outputs: str
) -> None:
    """It is not pushed, and what needs it is skipped."""
    path = tmp_path / "pipeline.toml"
    path.write_text(f'[tasks.a]\ncall = "m:f"\ninputs = "data/in"\n{outputs}\n[tasks.b]\ncall = "m:g"\nneeds = "a"\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data/inn").write_text("")
    if spoil is not None:
        spoil(tmp_path / "data/in")
    ran = go(load_plan(path))
    assert ran.outcomes == {"a": "failed", "b": "skipped"}
    assert ran.records["a"].reason.startswith(said)
    assert ran.records["a"].attempts == ()
    assert ran.engine.handles == []


def test_an_input_that_a_task_of_the_plan_makes_is_that_tasks_affair(tmp_path: Path, go: Callable[..., Any]) -> None:
    """Who runs although its maker failed does not need it."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.a]\ncall = "m:f"\noutputs = "data/"\n'
        '[tasks.b]\ncall = "m:g"\ninputs = "data/x"\nneeds = {task = "a", status = "any"}\n'
    )

    class Failing:
        def acts(self, handle: Any) -> None:
            self.end(handle, Outcome.FAILED if handle.id == "a" else Outcome.SUCCEEDED, error="no")  # type: ignore[attr-defined]

    assert go(load_plan(path), Failing).outcomes == {"a": "failed", "b": "succeeded"}
