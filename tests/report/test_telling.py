"""A run and its tasks in words, from what they left."""

from __future__ import annotations

import io
import json
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.report.json_report import task_text
from workflow.report.material import RunPart, TaskPart
from workflow.report.records import TaskRecord
from workflow.report.telling import digest, run_lines, task_lines
from workflow.report.terminal import Terminal
from workflow.report.texts import callback_text, task_head
from workflow.report.whereabouts import _OURS, of_the_user

LIBRARY = sysconfig.get_path("stdlib") + "/json/decoder.py"
ATTEMPT = Attempt(1, Outcome.SUCCEEDED, 5.0, 1.0, 7)
GOOD = TaskRecord("good", "good", {"n": 'a"}, "outcome": "x'}, Outcome.SUCCEEDED, attempts=(ATTEMPT,), log="logs/x")
BAD_CALLBACK = CallbackRecord("callback", Outcome.FAILED, ErrorRecord("ValueError", '"callback": null, "log": '))
RECORDS = [
    GOOD,
    replace(GOOD, id="long", attempts=(ATTEMPT._replace(duration_s=9.0),)),
    replace(GOOD, id='odd"\\', attempts=(ATTEMPT._replace(duration_s=3.0),)),
    replace(GOOD, id="flaky", attempts=(ATTEMPT._replace(outcome=Outcome.FAILED), ATTEMPT._replace(number=2))),
    replace(GOOD, id="called", callback=CallbackRecord("callback", Outcome.SUCCEEDED)),
    replace(GOOD, id="miscalled", callback=BAD_CALLBACK),
    replace(GOOD, id="failed", outcome=Outcome.FAILED, reason='"outcome": "succeeded", "reason": null'),
    replace(GOOD, id="cached", outcome=Outcome.CACHED, attempts=(), reason="run 1 has made it"),
    replace(GOOD, id="skipped", outcome=Outcome.SKIPPED, attempts=(), reason="it needs failed, which failed"),
    replace(GOOD, id="cancelled", outcome=Outcome.CANCELLED, attempts=(), reason="SIGINT"),
    replace(GOOD, id="never", attempts=()),
]


def written(record: TaskRecord) -> str:
    """Answer a task as reports and the ledger hold it."""
    return task_text(task_head(record), None if record.callback is None else callback_text(record.callback), record.log)


def tasks(records: list[TaskRecord], *, asked: bool) -> Callable[[Callable[[bytes], bool]], Iterator[TaskPart]]:
    """Answer what gives tasks, and asks about the text of each before, or does not."""

    def each(wanted: Callable[[bytes], bool]) -> Iterator[TaskPart]:
        for record in records:
            text = written(record)
            if not asked or wanted(text.encode("ascii")):
                yield json.loads(text)

    return each


def test_what_is_read_off_a_text_is_what_is_in_it() -> None:
    """The short way for most tasks of a large run, and the long one, come to the same."""
    short, long = digest(tasks(RECORDS, asked=True)), digest(tasks(RECORDS, asked=False))
    assert short == replace(long, slowest=short.slowest)
    assert sorted(short.slowest) == sorted(long.slowest)
    assert short.counts == {"succeeded": 7, "failed": 1, "cached": 1, "skipped": 1, "cancelled": 1}
    assert [task["id"] for task in short.failures] == ["failed"]
    assert short.roots == {"failed": 1}
    assert short.ending == "SIGINT"
    assert short.bad_callbacks == ["callback of miscalled failed"]
    assert sorted(short.slowest)[-2:] == [(3.0, -3, 'odd"\\'), (9.0, -2, "long")]
    plain = [record.id for record in RECORDS if digest(lambda wanted: []).plain(written(record).encode())]
    assert plain == ["good", "long", 'odd"\\', "never"]


def test_of_a_run_what_went_wrong_alike_is_told_once(tmp_path: Path) -> None:
    """So that the one that crashed is seen behind ten thousand; what has no room is counted."""
    bad = ATTEMPT._replace(outcome=Outcome.FAILED, error=ErrorRecord("ValueError", "no host"))
    same = [replace(GOOD, id=f"t@{n}", name="t", outcome=Outcome.FAILED, attempts=(bad,)) for n in range(10_000)]
    lone = replace(GOOD, id="lone", name="lone", outcome=Outcome.CRASHED, attempts=(bad,), log=None)
    after = replace(GOOD, id="after", outcome=Outcome.SKIPPED, attempts=(), reason="it needs t@7, which failed")
    log = f"    log: {tmp_path}/logs/x"
    assert what_went_wrong([*same, lone, after], tmp_path) == [
        "  t@0 failed: ValueError: no host (and 9999 more like it: t@1, t@2, …) (1 skipped because of them)",
        log,
        "  lone crashed: ValueError: no host",
    ]
    odd = [replace(GOOD, id=f"o{n}", name=f"o{n}", outcome=Outcome.FAILED, attempts=(bad,)) for n in range(30)]
    lines = what_went_wrong([*odd, *same, lone], tmp_path)
    assert lines[-2:] == ["  lone crashed: ValueError: no host", "  … and 12 more"]
    assert len(lines) == 20 + 19 + 1


def what_went_wrong(records: list[TaskRecord], folder: Path) -> list[str]:
    run = cast("RunPart", {"id": "1", "name": "x", "file": "/here/x", "status": "failed", "exit_code": 1, "git": None,
                           "started_at": "2026-01-01T00:00:00+00:00", "duration_s": 1.0, "argv": [], "host": "h",
                           "seed": 1, "pool": 1, "version": "0", "python": "3"})  # fmt: skip
    terminal = Terminal(io.StringIO(), environ={})
    lines = list(run_lines(terminal, run, len(records), digest(tasks(records, asked=True)), folder, None, ()))
    return lines[lines.index("what went wrong:") + 1 : lines.index("slowest:")]


CHAINED = f"""Traceback (most recent call last):
  File "/home/me/mine.py", line 7, in helper
    json.loads("{{")
  File "{LIBRARY}", line 337, in decode
    obj, end = self.raw_decode(s)
               ^^^^^^^^^^^^^^^^^^
ValueError: Expecting
  File "nothing", line 1

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "{_OURS}tasks.py", line 51, in runnable
    return function(*args, **(kwargs or {{}}))
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/me/mine.py", line 4, in bad
    return helper(x)
           ^^^^^^^^^
RuntimeError: no good
"""


def test_of_a_traceback_the_users_frames_are_left() -> None:
    """With their lines of source, and every exception of the chain."""
    assert (
        of_the_user(CHAINED)
        == """Traceback (most recent call last):
  File "/home/me/mine.py", line 7, in helper
    json.loads("{")
ValueError: Expecting
  File "nothing", line 1

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/home/me/mine.py", line 4, in bad
    return helper(x)
           ^^^^^^^^^
RuntimeError: no good"""
    )


def test_where_nothing_is_the_users_what_is_not_the_engines_stays() -> None:
    """A task may be a function of a library; and whatever is no traceback is left as it is."""
    ours, library = f'  File "{_OURS}tasks.py", line 1, in x\n', f'  File "{LIBRARY}", line 2, in y\n'
    text = f"Traceback (most recent call last):\n{ours}{library}E: 1"
    assert of_the_user(text) == f"Traceback (most recent call last):\n{library}E: 1"
    for text in ("", "no traceback", "  | + Exception Group Traceback\n  |   File x"):
        assert of_the_user(text) == text


@pytest.mark.parametrize("escape", ["\x1b[2J", "\x07", "\u202e"])
def test_nothing_that_a_task_says_steers_a_terminal(tmp_path: Path, escape: str) -> None:
    """Wherever it says it."""
    error = ErrorRecord(
        f"a{escape}", f"b{escape}", f"Traceback\nc{escape}", f"Thread 0x1 (most recent call first):\nd{escape}"
    )
    attempt = ATTEMPT._replace(outcome=Outcome.FAILED, error=error)
    record = replace(
        GOOD, id=f"i{escape}", matrix={f"m{escape}": escape}, reason=f"r{escape}", outcome=Outcome.FAILED,
        attempts=(attempt,), callback=CallbackRecord(f"k{escape}", Outcome.FAILED, error), log="log",
    )  # fmt: skip
    (tmp_path / "log").write_text(f"o{escape}")
    said = list(
        task_lines(Terminal(io.StringIO(), environ={}), cast("TaskPart", json.loads(written(record))), tmp_path)
    )
    assert not [line for line in said if escape in line or "\n" in line]
