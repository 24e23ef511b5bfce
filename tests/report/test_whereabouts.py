"""Where a task failed, from the text that arrives."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import workflow.tasks
from workflow.outcome import ErrorRecord
from workflow.report.whereabouts import account, of_the_task, whereabouts

HERE = __file__.rpartition("/")[0]


def raised(function: Callable[[], object]) -> ErrorRecord:
    try:
        function()
    except BaseException as error:  # noqa: BLE001
        return ErrorRecord(type(error).__name__, str(error), traceback.format_exc())
    raise AssertionError("it did not raise")


def bare() -> None:
    assert not HERE


def through_a_library() -> None:
    json.loads("{")


def looks_like_a_frame() -> None:
    raise ValueError('no\n  File "/elsewhere.py", line 99, in nowhere\nKeyError: 1')


def while_handling() -> None:
    try:
        bare()
    except AssertionError:
        raise KeyError("second")  # noqa: B904


@pytest.mark.parametrize("function", [bare, through_a_library, looks_like_a_frame])
def test_the_place_is_the_last_frame_of_the_user(function: Callable[[], object]) -> None:
    """Not the library's below it, and not what the message looks like."""
    line = function.__code__.co_firstlineno + 1
    assert whereabouts(raised(function), HERE) == [f"at test_whereabouts.py:{line} in {function.__name__}"]


def test_what_was_being_handled_is_no_cause() -> None:
    """It is named for what it is."""
    place, second = whereabouts(raised(while_handling), HERE)
    assert place.endswith(" in while_handling")
    assert second.startswith("while handling AssertionError")
    assert second.endswith(" in bare")


def test_a_path_elsewhere_is_whole() -> None:
    """Only what lies below the pipeline's folder is shortened."""
    assert whereabouts(raised(bare), "/other")[0].startswith(f"at {__file__}:")


def test_a_syntax_error_is_at_its_line() -> None:
    """Python prints no function there."""
    error = raised(lambda: compile("a b", "/here/bad.py", "exec"))
    assert whereabouts(error, "/here") == ["at bad.py:1"]


def test_a_killed_task_was_where_its_current_thread_was() -> None:
    """Or, when that runs nothing of the user, where the first thread was that does."""
    ours = workflow.tasks.__file__
    other = 'Thread 0x1 (most recent call first):\n  File "/here/b.py", line 2 in pump\n'
    current = f'Current thread 0x2 (most recent call first):\n{{}}  File "{ours}", line 44 in runnable\n'
    busy = other + current.format('  File "/here/a.py", line 1 in f\n  File "/here/a.py", line 9 in g\n')
    assert whereabouts(ErrorRecord("TaskTimeout", "t", None, busy), "/here") == ["at a.py:1 in f"]
    idle = ErrorRecord("TaskTimeout", "t", None, other + current.format(""))
    assert whereabouts(idle, "/here") == ["at b.py:2 in pump"]
    assert account(idle).startswith("TaskTimeout: t\nThread 0x1")


def test_a_command_is_nowhere_in_python() -> None:
    """Frames of the engine alone help nobody: not on the console, not in the log."""
    text = (
        f'Traceback (most recent call last):\n  File "{workflow.tasks.__file__}", line 60, in runnable\n    x\nE: no\n'
    )
    error = ErrorRecord("workflow.tasks.CommandFailed", "the command ended with exit code 3", text)
    assert whereabouts(error, "/here") == []
    assert account(error) == "CommandFailed: the command ended with exit code 3\n"


def test_the_engine_is_left_out_of_what_is_shown() -> None:
    """Frames of it, and of Python's importing, with their lines; libraries stay, and what looks like a frame."""
    ours, importlib = workflow.tasks.__file__, importlib_file()
    text = (
        f'Traceback (most recent call last):\n  File "{ours}", line 51, in runnable\n    return f()\n           ^^^\n'
        f'  File "{importlib}", line 126, in import_module\n    return _gcd_import(name)\n'
        '  File "<frozen importlib._bootstrap>", line 690, in _load\n'
        '  File "/here/a.py", line 3, in f\n    g()\n  [Previous line repeated 9 more times]\n'
        f'  File "{json.__file__}", line 4, in loads\n    x\nValueError: no\n  File "{ours}", line 9, in said\n'
    )
    assert account(ErrorRecord("ValueError", "no", text)) == (
        'Traceback (most recent call last):\n  File "/here/a.py", line 3, in f\n    g()\n'
        f'  [Previous line repeated 9 more times]\n  File "{json.__file__}", line 4, in loads\n    x\n'
        f'ValueError: no\n  File "{ours}", line 9, in said\n'
    )


def test_of_a_group_the_engine_is_left_out_too() -> None:
    """Inside the frame that Python draws around it."""
    ours = workflow.tasks.__file__
    text = (
        f'  + Exception Group Traceback (most recent call last):\n  |   File "{ours}", line 5, in runnable\n'
        '  |     f()\n  |   File "/here/a.py", line 3, in f\n  |     g()\n  | ExceptionGroup: two (1 sub-exception)\n'
        "  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n"
        f'    |   File "{ours}", line 8, in call\n    |     x\n    |   File "/here/a.py", line 9, in h\n    |     y\n'
        "    | ValueError: 1\n    +------------------------------------\n"
    )
    shown = account(ErrorRecord("ExceptionGroup", "two", text))
    assert ours not in shown
    assert shown.count("/here/a.py") == 2
    assert shown.endswith("    | ValueError: 1\n    +------------------------------------\n")


def test_where_a_killed_task_hung_is_shown_once() -> None:
    """What it was told to end by is raised at the same place; what it raised on its way out is something else."""
    ours = workflow.tasks.__file__
    stack = (
        "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n"
        f'  File "/here/a.py", line 1 in f\n  File "{ours}", line 51 in runnable\n'
        '  File "<string>", line 9 in <module>\n'
    )
    told = (
        'Traceback (most recent call last):\n  File "/here/a.py", line 1, in f\n    sleep()\n'
        f'  File "{ours}", line 375, in _terminate\n    raise Terminated\nworkflow.engine.attempt_notes.Terminated\n'
    )
    shown = (
        "TaskTimeout: t\nFatal Python error: Aborted\n"
        'Current thread 0x1 (most recent call first):\n  File "/here/a.py", line 1 in f\n'
    )
    assert account(ErrorRecord("TaskTimeout", "t", told, stack)) == shown
    own = (
        told
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + told.replace("workflow.engine.attempt_notes.Terminated", "KeyError: 1")
    )
    assert account(ErrorRecord("TaskTimeout", "t", own, stack)).endswith("KeyError: 1\n")


def importlib_file() -> str:
    import importlib

    return importlib.__file__


def test_of_the_stacks_of_a_process_the_task_s_own_are_shown() -> None:
    """Without the engine's frames; a thread that has no others is left out."""
    engine = str(Path(workflow.__file__).parent / "engine/worker.py")
    text = (
        f'Thread 0x1 (most recent call first):\n  File "{engine}", line 3 in _watch\n\n'
        f'Current thread 0x2 (most recent call first):\n  File "/home/mine.py", line 7 in waits\n'
        f'  File "{engine}", line 9 in run\n  File "<string>", line 9 in <module>\n'
    )
    assert of_the_task(text) == (
        'Current thread 0x2 (most recent call first):\n  File "/home/mine.py", line 7 in waits'
    )
    assert of_the_task(f'Thread 0x1 (most recent call first):\n  File "{engine}", line 3 in _watch\n') == ""


def test_a_killed_command_has_no_place() -> None:
    """In its worker no code but the engine's was at work, down to the line that the process began with."""
    ours = workflow.tasks.__file__
    stack = (
        f'Current thread 0x1 (most recent call first):\n  File "{ours}", line 127 in _run\n'
        '  File "<string>", line 9 in <module>'
    )
    assert whereabouts(ErrorRecord("TaskTimeout", "t", None, stack), HERE) == []
