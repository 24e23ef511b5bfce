"""Callbacks: in the dispatcher, once, and no harm to anybody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow import Handle, InfoTask, MultiProcess, Outcome

HARMS = {
    "raise": ("failed", "ValueError"),
    "sys_exit": ("failed", "SystemExit"),
    "keyboard": ("failed", "KeyboardInterrupt"),
    "hang": ("timed_out", "TaskTimeout"),
    "gil": ("timed_out", "TaskTimeout"),
    "exit": ("crashed", "TaskCrashed"),
    "segv": ("crashed", "TaskCrashed"),
}


def pushed(mp: MultiProcess, how: str, **options: Any) -> Handle:
    return mp.push(InfoTask("victims.Callback", 20, how, callback_timeout=0.5, **options))


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("how", HARMS)
def test_what_a_callback_does_wrong_is_recorded_and_stops_nothing(
    make_pool: Callable[..., MultiProcess], tmp_path: Path, how: str, fail: bool
) -> None:
    """The task's outcome is what it was; neighbours' callbacks, before and after, are called once each."""
    ended: list[Handle] = []
    mp = make_pool(2, on_callback=ended.append)
    note = tmp_path / "note"
    before = [pushed(mp, f"note {note}") for _ in range(5)]
    handle = pushed(mp, how, kwargs={"fail": fail})
    after = [pushed(mp, f"note {note}") for _ in range(5)]
    mp.stop()
    outcome, error = HARMS[how]
    assert handle.outcome is (Outcome.FAILED if fail else Outcome.SUCCEEDED)
    record = handle.callback
    assert record is not None
    assert (record.name, record.outcome.value) == ("error_callback" if fail else "callback", outcome)
    assert record.error is not None
    assert record.error.type == error
    if how == "hang":
        assert "time.sleep(1000)" in (record.error.stack or "")
    for neighbour in (*before, *after):
        assert neighbour.outcome is Outcome.SUCCEEDED
        assert neighbour.callback is not None
        assert neighbour.callback.outcome is Outcome.SUCCEEDED
    assert note.read_text() == "called\n" * 10
    assert sorted(one.number for one in ended) == list(range(1, 12))


def test_an_error_callback_gets_what_the_engine_made_of_the_ending(pool: MultiProcess, tmp_path: Path) -> None:
    handle = pool.push(InfoTask("victims.Callback", 0.2, "raise", grace=0.1, kwargs={"fail": True}))
    pool.stop()
    assert handle.callback is not None
    assert handle.callback.name == "error_callback"


def test_a_result_that_kills_whoever_unpickles_it_is_that_callbacks_outcome(pool: MultiProcess) -> None:
    """In the dispatcher, which is replaced; no neighbour notices."""
    bombs = {how: pool.push(InfoTask("victims.ReturnBombCalled", 10, how)) for how in ("raise", "exit", "segv")}
    others = [pool.push(InfoTask("victims.Echo", 10, number)) for number in range(50)]
    pool.stop()
    assert [other.result() for other in others] == list(range(50))
    outcomes = {how: bomb.callback.outcome.value if bomb.callback else None for how, bomb in bombs.items()}
    assert outcomes == {"raise": "failed", "exit": "failed", "segv": "crashed"}
    assert all(bomb.outcome is Outcome.SUCCEEDED for bomb in bombs.values())


def test_a_class_that_does_not_exist_has_its_callback_recorded_as_not_called(pool: MultiProcess) -> None:
    handle = pool.push(InfoTask("victims.Missing", 10))
    pool.stop()
    assert handle.outcome is Outcome.FAILED
    assert handle.callback is not None
    assert handle.callback.outcome is Outcome.FAILED


def test_a_task_without_callbacks_has_none_on_record(pool: MultiProcess) -> None:
    good, bad = pool.push(InfoTask("victims.Pid", 10)), pool.push(InfoTask("victims.Crash", 10, "segv"))
    pool.stop()
    assert (good.callback, bad.callback) == (None, None)


def test_a_task_that_never_began_has_no_callback(make_pool: Callable[..., MultiProcess], tmp_path: Path) -> None:
    mp = make_pool(1)
    mp.push(InfoTask("victims.Sleep", 60, grace=0.1))
    waiting = mp.push(InfoTask("victims.Callback", 60, f"note {tmp_path / 'note'}"))
    mp.cancel_all("enough", 0.0)
    mp.stop()
    assert (waiting.outcome, waiting.callback, waiting.attempts) == (Outcome.CANCELLED, None, ())
    assert waiting.reason == "enough"


def test_hooks_are_called_in_place_of_callbacks(pool: MultiProcess, tmp_path: Path) -> None:
    handle = pool.push(InfoTask("victims.Echo", 10, f"note {tmp_path / 'note'}", on_success="victims:harm"))
    pool.stop()
    assert handle.callback is not None
    assert (handle.callback.name, handle.callback.outcome.value) == ("victims:harm", "succeeded")
    assert (tmp_path / "note").read_text() == "called\n"


def test_a_hook_may_call_its_argument_task(pool: MultiProcess, tmp_path: Path) -> None:
    """The keyword of that name is for those who take it besides."""
    name = f"note {tmp_path / 'note'}"
    handle = pool.push(InfoTask("victims.Echo", 10, name, id="e", on_success="victims:harm_task"))
    pool.stop()
    assert handle.callback is not None
    assert handle.callback.error is None
    assert (tmp_path / "note").read_text() == "called\n"


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("victims:harn", "'victims' has no 'harn' (of 'victims:harn', in "),
        ("victmis:harm", "there is no module 'victmis' on sys.path (of 'victmis:harm'), did you mean 'victims'?"),
        ("victims:Echo", "'victims:Echo' is a Model, not a function"),
    ],
)
def test_a_hook_that_cannot_be_called_says_why(pool: MultiProcess, hook: str, message: str) -> None:
    """In the words that a function has for it which is a task."""
    handle = pool.push(InfoTask("victims.Echo", 10, on_success=hook))
    pool.stop()
    assert handle.outcome is Outcome.SUCCEEDED
    assert handle.callback is not None
    assert handle.callback.outcome is Outcome.FAILED
    assert handle.callback.error is not None
    assert message in handle.callback.error.message


SLOW = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "workflow.tasks": time.sleep(1000)
sys.meta_path.insert(0, Slow())
"""


@pytest.mark.parametrize(
    ("task", "named"),
    [
        (InfoTask("workflow.tasks.Command", 0.3, ["true"], grace=0.1), None),
        (InfoTask("workflow.tasks.Call", 0.3, "os:getpid", grace=0.1, on_failure="os:nothing"), "os:nothing"),
        (InfoTask("hangs_at_import.Thing", 0.3, grace=0.1), "error_callback"),
    ],
)
def test_of_a_task_that_ended_before_its_class_was_seen_a_callback_is_told_of_only_if_it_may_have_one(
    monkeypatch: pytest.MonkeyPatch,
    make_pool: Callable[..., MultiProcess],
    tmp_path: Path,
    task: InfoTask,
    named: str | None,
) -> None:
    """A command has none, and nobody is to hear that it was not called."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    mp = make_pool(1)
    handle = mp.push(task)
    mp.stop()
    assert "while its module was imported" in str(handle.exception())
    assert (handle.callback and handle.callback.name) == named


def test_a_task_that_came_to_run_after_its_end_was_ordered_has_its_callback(
    make_pool: Callable[..., MultiProcess],
) -> None:
    """It was told to end while its module was imported, did not mind, and ran."""
    mp = make_pool(1)
    handle = mp.push(InfoTask("shrugs_at_import.Thing", 0.3, grace=20, env={"SLOW": ""}))
    mp.stop()
    assert handle.outcome is Outcome.TIMED_OUT
    assert handle.callback is not None
    assert (handle.callback.name, handle.callback.outcome) == ("error_callback", Outcome.SUCCEEDED)
