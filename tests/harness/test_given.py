"""What a callback was given is its own task's outcome: what is noted, and what is told of what was noted."""

from __future__ import annotations

import json
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from workflow.errors import TaskError, TaskFailed, TaskTimeout
from workflow.failpoints import FOLDER_VARIABLE
from workflow.harness.given import given_errors, note_given, strange_errors, strange_results
from workflow.harness.journal import ENDED, GIVEN, Entry, Reader


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("it has no text")


def told(type_name: str, message: str = "") -> dict[str, Any]:
    return {"a": {"attempts": [{"number": 1, "error": {"type": type_name, "message": message}}]}}


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answer what is noted of an error that the callback of task a is given."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))

    def note(error: BaseException) -> list[Entry]:
        note_given("a", "error_callback", error, "")
        return Reader(str(tmp_path)).news()

    return note


@pytest.mark.parametrize(
    ("error", "type_name", "message"),
    [
        (ValueError("oh"), "ValueError", "oh"),
        (ValueError("oh"), "ValueError", "while its arguments were unpickled: oh"),
        (ValueError({"a", "bc"}, object()), "ValueError", "({'bc', 'a'}, <object object at 0x7f1>)"),
        (SystemExit(3), "SystemExit", "the task called for the exit of its process"),
        (Mute(), f"{__name__}.Mute", "<its __str__ raised ValueError>"),
        (CancelledError(), "concurrent.futures._base.CancelledError", ""),
        (TaskTimeout("task a: killed at its limit", task_id="a"), "TaskTimeout", "killed at its limit of 1 s"),
        (TaskFailed("lib.Odd: oh", type_name="lib.Odd", task_id="a"), "lib.Odd", "oh"),
        (TaskFailed("lib.Odd: oh", type_name="lib.Odd", task_id="7"), "workflow.errors.TaskFailed", "lib.Odd: oh"),
        (TaskTimeout("task 7: killed", task_id="7"), "workflow.errors.TaskTimeout", "task 7: killed"),
        (TaskError("oh"), "TaskError", "oh"),
    ],
)
def test_the_error_that_is_told_of_a_task_is_what_its_callback_may_be_given(
    noted: Any, error: BaseException, type_name: str, message: str
) -> None:
    """However it travelled, and also when the task itself raised one of the engine's, about a task of its own pool."""
    assert list(strange_errors(noted(error), told(type_name, message))) == []


@pytest.mark.parametrize(
    ("error", "type_name", "how"),
    [
        (ValueError("oh"), "KeyError", "ValueError, not KeyError"),
        (ValueError("of another"), "ValueError", "ValueError: 'of another', not 'of this'"),
        (TaskTimeout("", task_id="b"), "TaskTimeout", "TaskTimeout of b"),
        (TaskFailed("", type_name="lib.Odd", task_id="a"), "lib.Even", "lib.Odd, not lib.Even"),
    ],
)
def test_the_error_of_another_task_is_found(noted: Any, error: BaseException, type_name: str, how: str) -> None:
    """By its type, its text, or the task that it names."""
    assert list(strange_errors(noted(error), told(type_name, "of this"))) == [("a", how)]


def test_what_cannot_be_told_is_not_found(noted: Any) -> None:
    """A task without an attempt, or of which the report knows nothing."""
    entries = noted(ValueError("oh"))
    assert given_errors(entries)["a"].of == "builtins.ValueError"
    unknown: list[dict[str, Any]] = [{}, {"a": {"attempts": []}}, {"a": {"attempts": [{"number": 1, "error": None}]}}]
    for tasks in unknown:
        assert list(strange_errors(entries, tasks)) == []
    spoilt = [entry._replace(detail="x" + entry.detail) for entry in entries]
    assert list(strange_errors(spoilt, told("ValueError", "oh")))


def test_a_result_is_held_against_that_of_the_last_attempt() -> None:
    """Only where both are known."""
    entries = [
        Entry(1.0, 5, ENDED, "a", 1, "first"),
        Entry(2.0, 5, ENDED, "a", 2, "second"),
        Entry(3.0, 4, GIVEN, "a", 0, "second"),
    ]
    twice = {"a": {"attempts": [{"number": 1}, {"number": 2}]}}
    assert list(strange_results(entries, twice)) == []
    assert list(strange_results(entries, {"a": {"attempts": [{"number": 1}]}})) == ["a"]
    assert list(strange_results([*entries[:2], Entry(3.0, 4, GIVEN, "a", 0, "")], twice)) == []
    assert list(strange_results(entries[2:], twice)) == []
    assert list(strange_results(entries, {})) == []


def test_what_is_noted_is_one_line_of_json(noted: Any) -> None:
    """Whatever stands in the text."""
    (entry,) = noted(ValueError("a\nb\ud800" + "x" * 1000))
    assert json.loads(entry.detail)[3].startswith("a\nb\ud800x")
    assert len(entry.detail) < 700
