"""What a person sees of a run, word for word."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.report.console import Console
from workflow.report.records import RunRecord, TaskRecord, Verdict
from workflow.report.standing import RunningTask
from workflow.report.terminal import Terminal


def run_of(tasks: int) -> RunRecord:
    return RunRecord(
        id="20261124-021222-000-abcdef",
        name="audit",
        file="/here/pipeline.toml",
        plan_hash="sha256:0",
        started_at=0.0,
        engine="local",
        pool=2,
        host="h",
        pid=1,
        python="3.11",
        version="0",
        git=None,
        argv=(),
        tasks=tasks,
        seed=1,
        folder="/here/.workflow/runs/1",
    )


def ended(task: str, outcome: Outcome = Outcome.SUCCEEDED, error: str | None = None, **more: Any) -> TaskRecord:
    attempts = more.pop("attempts", None)
    if attempts is None:
        record = None if error is None else ErrorRecord("ValueError", error)
        attempts = (
            ()
            if outcome in {Outcome.SKIPPED, Outcome.CANCELLED}
            else (Attempt(1, outcome, 100.0, 0.25, 7, error=record),)
        )
    return TaskRecord(task, task, None, outcome, attempts=attempts, **more)


class Seen:
    def __init__(self, verbosity: Any = "normal", when: Any = "never") -> None:
        self.stream = io.StringIO()
        self.console = Console(Terminal(self.stream, when, {}), verbosity)

    def text(self) -> str:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text


def test_a_small_run_has_a_line_a_change() -> None:
    """Every ending with its outcome, how long it took and where the run stands; a failure with its last lines."""
    seen = Seen()
    seen.console.run_started(run_of(12), 0.0)
    seen.console.tasks_ended([ended("fetch@a")], 1.0)
    seen.console.tasks_ended(
        [
            ended(
                "parse",
                Outcome.FAILED,
                "invalid\nliteral",
                tail=("reading", "line \x1b[31m2\x1b[0m\x07"),
                log="logs/parse.log",
            ),
            ended("report", Outcome.SKIPPED, reason="it needs parse, which failed", cause="parse"),
        ],
        2.0,
    )
    seen.console.tasks_ended([ended("odd", Outcome.CRASHED, "SIGSEGV", allow_failure=True)], 3.0)
    assert (
        seen.text()
        == """\
run 20261124-021222-000-abcdef: audit, 12 tasks, pool of 2
[ 1/12] succeeded        0.25s  fetch@a
[ 2/12] failed           0.25s  parse: ValueError: invalid
    | reading
    | line 2\\x07
    log: /here/.workflow/runs/1/logs/parse.log
[ 3/12] skipped                 report: it needs parse, which failed
[ 4/12] crashed          0.25s  odd: ValueError: SIGSEGV (allowed)
"""
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_all_outcomes_have_a_column_of_one_width(outcome: Outcome) -> None:
    """What stands behind is found at the same place in every line."""
    seen = Seen("verbose")
    seen.console.run_started(run_of(2), 0.0)
    seen.text()
    seen.console.slow("the-task", 1, 60.0, 0.5)
    seen.console.tasks_ended([ended("the-task", outcome)], 1.0)
    assert [line.index("the-task") for line in seen.text().splitlines()] == [30, 30]


def test_the_end_names_root_causes_first_and_where_to_look() -> None:
    """What hindered most comes first, then other failures, then what was allowed; then counts and the report."""
    seen = Seen()
    flaky = (Attempt(1, Outcome.CRASHED, 100.0, 0.25, 7), Attempt(2, Outcome.SUCCEEDED, 101.0, 0.25, 7))
    failed_callback = CallbackRecord("callback", Outcome.TIMED_OUT, None)
    records = [
        ended("may", Outcome.FAILED, "never mind", allow_failure=True),
        ended("good", attempts=flaky, callback=failed_callback),
        ended("lone", Outcome.TIMED_OUT, "took too long"),
        ended("root", Outcome.FAILED, "no", log="logs/root.log"),
        ended("x", Outcome.SKIPPED, reason="r", cause="root"),
        ended("y", Outcome.SKIPPED, reason="r", cause="root"),
    ]
    verdict = Verdict(1, "failed", None, 10.0, 65.0)
    seen.console.run_started(run_of(6), 0.0)
    seen.text()
    seen.console.run_ended(records, verdict, "/here/.workflow/runs/1/report.json")
    assert (
        seen.text()
        == """\

what went wrong:
  root failed: ValueError: no (2 skipped because of it)  /here/.workflow/runs/1/logs/root.log
  lone timed_out: ValueError: took too long
  may failed: ValueError: never mind (allowed)
1 callback did not succeed; the tasks' outcomes stand
1 succeeded, 2 failed, 1 timed_out, 2 skipped, 1 flaky in 1m05s
report: /here/.workflow/runs/1/report.json
"""
    )


@pytest.mark.parametrize("verbosity", ["quiet", "normal", "verbose"])
@pytest.mark.parametrize("lines", [0, 100])
def test_the_end_says_once_more_what_went_wrong_where_that_has_gone_by(
    tmp_path: Path, verbosity: Any, lines: int
) -> None:
    """Of the first failures, where they were and what they printed last; be the run of two tasks or of thousands."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "root.log").write_text("one\n" * 9 + "last \x1b[2J words\n--- error ---\nValueError: no\n")
    traceback = 'Traceback (most recent call last):\n  File "/here/job.py", line 7, in load\nValueError: no\n'
    error = ErrorRecord("ValueError", "no", traceback)
    attempt = Attempt(1, Outcome.FAILED, 100.0, 0.25, 7, error=error)
    root = ended("root", Outcome.FAILED, attempts=(attempt,), log="logs/root.log", tail=("last words",))
    seen = Seen(verbosity)
    seen.console.run_started(replace(run_of(2), folder=str(tmp_path)), 0.0)
    seen.console.tasks_ended([root], 1.0)
    seen.console.engine_said(["a line"] * lines, 1.0)
    seen.text()
    seen.console.run_ended([root, ended("good")], Verdict(1, "failed", None, 10.0, 65.0), None)
    retold = "    at job.py:7 in load\n" + "    | one\n" * 4 + "    | last \\x1b[2J words\n"
    assert (retold in seen.text()) == (lines == 100)


def test_the_end_says_once_more_what_was_not_told_in_full(tmp_path: Path) -> None:
    """And of not more than three failures, or of what they stand for."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").write_text("why\n")
    seen = Seen("quiet")
    seen.console.run_started(replace(run_of(1000), folder=str(tmp_path)), 0.0)
    records = [ended(f"t{n}", Outcome.FAILED, "x" * n, log="logs/x.log") for n in range(1000)]
    seen.console.tasks_ended(records, 1.0)
    seen.text()
    seen.console.run_ended(records, Verdict(1, "failed", None, 10.0, 65.0), None)
    assert seen.text().count("    | why\n") == 3


def test_instances_that_went_wrong_alike_do_not_hide_what_else_there_is() -> None:
    """Where there are more failures than are named one by one."""
    same = [
        TaskRecord(f"same@{n}", "same", {"n": n}, Outcome.FAILED, attempts=ended("", Outcome.FAILED, "no").attempts)
        for n in range(30)
    ]
    lone = ended("lone", Outcome.CRASHED, "died")
    skipped = [ended(f"x{n}", Outcome.SKIPPED, reason="r", cause=f"same@{n}") for n in range(2)]
    seen = Seen("quiet")
    seen.console.run_ended([*same, lone, *skipped], Verdict(1, "failed", None, 10.0, 65.0), None)
    assert seen.text().splitlines()[1:4] == [
        "what went wrong:",
        "  same@0 failed: ValueError: no (and 29 more like it: same@1, same@2, …) (2 skipped because of them)",
        "  lone crashed: ValueError: died",
    ]
    seen.console.run_ended([*same[:19], lone], Verdict(1, "failed", None, 10.0, 65.0), None)
    assert len(seen.text().splitlines()) == 2 + 20 + 1  # each is named while they are few
    odd = [ended(f"odd{'x' * n}", Outcome.FAILED, f"{'x' * n} is odd") for n in range(30)]
    seen.console.run_ended([*odd, lone, *same], Verdict(1, "failed", None, 10.0, 65.0), None)
    lines = seen.text().splitlines()
    assert "  lone crashed: ValueError: died" in lines
    assert (
        lines[-2] == "  … and 12 more, in the report"
    )  # of 61 there are 18 odd ones, the lone one, and 30 that are alike


def test_an_ended_run_says_why_it_did_not_end_by_itself() -> None:
    """Once when it happens, once at the end."""
    seen = Seen("quiet")
    seen.console.run_started(run_of(1), 0.0)
    seen.console.stopping("the run was ended by SIGINT", 1.0)
    verdict = Verdict(130, "interrupted", "the run was ended by SIGINT", 1.0, 1.0)
    seen.console.run_ended([ended("a", Outcome.CANCELLED, reason="the run was ended by SIGINT")], verdict, None)
    assert (
        seen.text()
        == """\
ending: the run was ended by SIGINT
the run did not end by itself: the run was ended by SIGINT
1 cancelled in 1.00s
"""
    )


def test_a_large_run_counts_successes_and_still_names_failures() -> None:
    """A line for ten thousand successes would bury the one that matters."""
    seen = Seen()
    seen.console.run_started(run_of(1000), 0.0)
    seen.text()
    for number in range(997):
        seen.console.tasks_ended([ended(f"t{number}")], number * 0.003)
    seen.console.tasks_ended([ended("bad", Outcome.FAILED, "no")], 3.0)
    seen.console.tasks_ended([ended("c", Outcome.SKIPPED, reason="r"), ended("d")], 3.1)
    assert (
        seen.text()
        == """\
[ 668/1000] 668 succeeded
[ 998/1000] failed           0.25s  bad: ValueError: no
[1000/1000] 998 succeeded, 1 failed, 1 skipped
"""
    )


def test_quiet_says_failures_and_the_end() -> None:
    """And nothing else, however long it takes."""
    seen = Seen("quiet")
    seen.console.run_started(run_of(2), 0.0)
    seen.console.tasks_ended([ended("a")], 1.0)
    seen.console.still([], 100.0, 100.0)
    assert seen.text() == ""
    seen.console.tasks_ended([ended("b", Outcome.FAILED, "no")], 1.0)
    assert seen.text() == "[2/2] failed           0.25s  b: ValueError: no\n"


def test_a_sign_of_life_comes_when_nothing_was_said_for_ten_seconds() -> None:
    """What runs, longest first, and for how long."""
    seen = Seen()
    seen.console.run_started(run_of(9), 0.0)
    seen.text()
    running = [
        RunningTask(name, 1, began)
        for name, began in (("b", 1005.0), ("a", 900.0), ("c", 1001), ("d", 1002), ("e", 1003))
    ]
    seen.console.still(running, 9.9, 1010.0)
    assert seen.text() == ""
    seen.console.still(running, 10.0, 1010.0)
    assert seen.text() == "[0/9] running: a (1m50s), c (9.00s), d (8.00s), e (7.00s) and 1 more\n"
    seen.console.still(running, 19.0, 1019.0)
    assert seen.text() == ""


def alike(number: int, said: str = "no", **more: Any) -> list[TaskRecord]:
    return [replace(ended(f"t@{n}", Outcome.FAILED, said, tail=("why",), **more), name="t") for n in range(number)]


def test_only_the_first_failures_that_are_alike_show_their_output() -> None:
    """A hundred times the same traceback helps nobody."""
    seen = Seen()
    seen.console.run_started(run_of(100), 0.0)
    seen.console.tasks_ended(alike(100), 1.0)
    assert seen.text().count("    | why\n") == 20


@pytest.mark.parametrize("before", [20, 1000])
def test_the_first_failure_of_a_kind_shows_its_output_whenever_it_comes(before: int) -> None:
    """The one that crashed is not hidden by those before it; nor is another word, or another task."""
    seen = Seen("quiet")
    seen.console.run_started(run_of(before + 40), 0.0)
    seen.console.tasks_ended(alike(before), 1.0)
    seen.text()
    log = {"log": "logs/x.log"}
    seen.console.tasks_ended([ended("lone", Outcome.CRASHED, "died", tail=("last words",), **log)], 2.0)
    width = len(str(before + 40))
    assert (
        seen.text()
        == f"""\
[{before + 1:>{width}}/{before + 40}] crashed          0.25s  lone: ValueError: died
    | last words
    log: /here/.workflow/runs/1/logs/x.log
"""
    )
    seen.console.tasks_ended([*alike(1, "no disk"), *alike(1, "no disk")], 3.0)
    assert seen.text().count("    | why\n") == 1
    seen.console.tasks_ended([ended("other", Outcome.FAILED, "no", tail=("why",))], 3.0)
    assert "    | why\n" in seen.text()


def test_kinds_of_failures_too_many_to_read_do_not_each_show_their_output() -> None:
    """When everything goes wrong in a way of its own, that is no news after a while."""
    seen = Seen("quiet")
    seen.console.run_started(run_of(1000), 0.0)
    records = [ended(f"t{n}", Outcome.FAILED, "x" * n, tail=("why",), log="logs/x.log") for n in range(1000)]
    seen.console.tasks_ended(records, 1.0)
    text = seen.text()
    assert text.count("    | why\n") == 20
    assert text.count("    log: ") == 200
    assert not any(record.tail for record in records)  # nobody will show them


def test_failures_too_many_to_read_are_counted() -> None:
    """The first two hundred get their line, a line says that no more follow, and then they are numbers."""
    seen = Seen()
    seen.console.run_started(run_of(1000), 0.0)
    seen.text()
    seen.console.tasks_ended(alike(1000, log="logs/x.log"), 1.0)
    lines = seen.text().splitlines()
    assert len(lines) == 200 + 20 + 200 + 2
    assert lines[-3:] == [
        "    log: /here/.workflow/runs/1/logs/x.log",
        "of further failures those of a new kind are told; all are counted, and named in the report",
        "[1000/1000] 1000 failed",
    ]


def test_a_failed_callback_is_told_at_once() -> None:
    """It changes no outcome, but somebody should know."""
    seen = Seen()
    seen.console.callback_failed(
        "a", CallbackRecord("pkg.mod:hook", Outcome.FAILED, ErrorRecord("KeyError", "'x'")), 1.0
    )
    seen.console.callback_failed("b", CallbackRecord("callback", Outcome.TIMED_OUT, None), 1.0)
    assert seen.text() == "pkg.mod:hook of a failed: KeyError: 'x'\ncallback of b reached its time limit\n"


def test_output_has_its_task_before_each_line() -> None:
    """Only when it was asked for."""
    seen = Seen("verbose")
    seen.console.output("a", ["one", "two\r"], 1.0)
    assert seen.text() == "a | one\na | two\n"
    seen = Seen()
    seen.console.output("a", ["one"], 1.0)
    assert seen.text() == ""


def test_colour_stands_around_outcomes() -> None:
    """And the text is the same without it."""
    seen = Seen(when="always")
    seen.console.run_started(run_of(1), 0.0)
    seen.text()
    seen.console.tasks_ended([ended("a")], 1.0)
    assert seen.text() == "[1/1] \x1b[32msucceeded      \x1b[0m  0.25s  a\n"


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed file")]
)
def test_a_reader_that_leaves_does_not_disturb_the_run(error: Any) -> None:
    """Nothing is raised, and nothing more is written."""

    class Gone(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            Gone.writes += 1
            raise error

    terminal = Terminal(Gone(), "never", {})
    terminal.lines(["a"])
    terminal.lines(["b"])
    assert terminal.broken
    assert Gone.writes == 1


FAILED = """\
Traceback (most recent call last):
  File "/here/feeds.py", line 3, in inner
    raise KeyError('inner')
KeyError: 'inner'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/here/feeds.py", line 12, in fetch
    raise ValueError("\x1b[2Jouter") from error
ValueError: \x1b[2Jouter
"""


def failed_with(error: ErrorRecord, outcome: Outcome = Outcome.FAILED, left: int = 0) -> TaskRecord:
    return ended(
        "a", outcome, attempts=(Attempt(1, outcome, 100.0, 0.25, 7, error=error, left=left),), log="logs/a.log"
    )


def test_a_failure_says_where_it_was_and_what_it_came_from() -> None:
    """Under its headline, with the log to look into; what it left behind is said in words."""
    seen = Seen()
    seen.console.run_started(run_of(1), 0.0)
    seen.text()
    seen.console.tasks_ended([failed_with(ErrorRecord("ValueError", "outer", FAILED), left=1)], 1.0)
    assert (
        seen.text()
        == """\
[1/1] failed           0.25s  a: ValueError: outer (left 1 process behind, killed)
    at feeds.py:12 in fetch
    caused by KeyError: 'inner' at feeds.py:3 in inner
    log: /here/.workflow/runs/1/logs/a.log
"""
    )


def test_verbose_shows_the_whole_traceback_and_nothing_that_steers_a_terminal() -> None:
    """Indented, and control characters by their names."""
    seen = Seen("verbose")
    seen.console.run_started(run_of(1), 0.0)
    seen.text()
    seen.console.tasks_ended([failed_with(ErrorRecord("ValueError", "outer", FAILED))], 1.0)
    text = seen.text()
    assert '    ! Traceback (most recent call last):\n    !   File "/here/feeds.py", line 3, in inner\n' in text
    assert "    ! ValueError: \\x1b[2Jouter\n" in text
    assert "\x1b" not in text


def test_slow_attempts_have_a_line_each_up_to_a_number_of_them() -> None:
    """Then a word about the others; quiet says nothing of them."""
    stream = io.StringIO()
    console = Console(Terminal(stream, "never"))
    console.run_started(run_of(500), 0.0)
    for number in range(300):
        console.slow(f"t{number}", 1 + number % 2, 75.0, 1.0)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "[  0/500] SLOW             1m15s  t0"
    assert lines[2] == "[  0/500] SLOW             1m15s  t1 (attempt 2)"
    assert lines[-1] == "further slow tasks are named in the events"
    assert len(lines) == 202
    quiet = io.StringIO()
    Console(Terminal(quiet, "never"), "quiet").slow("t", 1, 75.0, 1.0)
    assert quiet.getvalue() == ""
