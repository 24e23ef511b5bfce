"""The live view as a terminal shows it: pyte plays the terminal."""

from __future__ import annotations

import re

import pyte
import pytest

from workflow.outcome import Outcome
from workflow.report.live import LiveTerminal
from workflow.report.standing import RunningTask, Standing


class Screen:
    """A terminal of so many columns and 24 rows, and a clock."""

    def __init__(self, columns: int, **environ: str) -> None:
        self.screen = pyte.Screen(columns, 24)
        self._stream = pyte.Stream(self.screen)
        self.written = ""
        self.now = 100.0
        self.gone = False
        size = {"COLUMNS": str(columns), "LINES": "24", "TERM": "xterm-256color"}
        self.terminal = LiveTerminal(self, "auto", {**size, **environ}, clock=lambda: self.now)

    def write(self, text: str) -> None:
        """As a pseudo-terminal does it, a newline returns the carriage."""
        if self.gone:
            raise OSError
        self.written += text
        self._stream.feed(text.replace("\n", "\r\n"))

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    @property
    def text(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


def standing(done: int = 3, *running: RunningTask, left_s: float | None = 12.0, ending: str | None = None) -> Standing:
    counts = dict.fromkeys(Outcome, 0) | {Outcome.SUCCEEDED: done - 1, Outcome.FAILED: 1}
    return Standing(done, 10, counts, running, 1000.0, left_s, ending)


RUNNING = (RunningTask("fetch@de", 1, 990.0), RunningTask("merge", 2, 999.5, slow=True))


def test_a_short_run_is_never_shown() -> None:
    """And does not load what draws it."""
    screen = Screen(80)
    screen.now += 0.4
    screen.terminal.stands(standing(3, *RUNNING))
    screen.terminal.rest()
    assert screen.written == ""


@pytest.mark.parametrize("columns", [80, 200])
def test_it_says_what_runs_since_when_and_how_far_it_is(columns: int) -> None:
    """The slow ones are marked."""
    screen = Screen(columns)
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING))
    assert screen.text == [
        "   10.0s  fetch@de",
        "   0.50s  merge (attempt 2) SLOW",
        "━" * 24 + " 3/10  2 succeeded, 1 failed  about 10s left",
    ]


def test_lines_stay_above_it_and_it_leaves_none_behind() -> None:
    """Only what was said remains."""
    screen = Screen(80)
    screen.terminal.lines(["first"])
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING))
    screen.now += 1
    screen.terminal.lines(["second " + "x" * 100, "\x1b[31mthird\x1b[0m"])
    assert screen.text[:4] == ["first", "second " + "x" * 73, "x" * 27, "third"]
    assert screen.text[-1].startswith("━")
    screen.now += 1
    screen.terminal.stands(standing(4))
    screen.terminal.rest()
    screen.terminal.lines(["end"])
    assert screen.text == ["first", "second " + "x" * 73, "x" * 27, "third", "end"]


def test_a_narrow_terminal_has_no_bar_and_no_line_too_long() -> None:
    """What does not fit is cut."""
    screen = Screen(30)
    screen.now += 1
    screen.terminal.stands(standing(3, RunningTask("a" * 60, 1, 990.0)))
    assert screen.text == ["   10.0s  " + "a" * 19 + "…", "3/10  2 succeeded, 1 failed  …"]


def test_many_running_tasks_are_counted() -> None:
    """The longest are named."""
    screen = Screen(80)
    screen.now += 1
    screen.terminal.stands(standing(3, *(RunningTask(f"t{n}", 1, 900.0 + n) for n in range(20))))
    assert screen.text[7:9] == ["   1m33s  t7", "    and 12 more"]


def test_it_is_drawn_ten_times_a_second_at_most() -> None:
    """However often it is told."""
    screen = Screen(80)
    screen.now += 1
    drawn = 0
    for _ in range(1000):
        before = len(screen.written)
        screen.now += 0.001
        screen.terminal.stands(standing(3, *RUNNING))
        drawn += len(screen.written) > before
    assert drawn <= 11


def test_lines_do_not_draw_it_more_often() -> None:
    """They wait for the next look, keep their order, and none is lost at the end."""
    screen = Screen(80)
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING))
    drawn = 0
    for number in range(1000):
        before = len(screen.written)
        screen.now += 0.001
        screen.terminal.lines([f"line {number}"])
        screen.terminal.stands(standing(3, *RUNNING))
        drawn += len(screen.written) > before
    assert drawn <= 11
    screen.terminal.rest()
    assert re.findall(r"line (\d+)", screen.written) == [str(number) for number in range(1000)]


def test_it_hides_no_cursor_and_changes_no_mode() -> None:
    """What a SIGKILL leaves is a terminal that works."""
    screen = Screen(80)
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING))
    assert "\x1b[?" not in screen.written


def test_without_colour_it_has_none() -> None:
    """NO_COLOR holds here too."""
    screen = Screen(80, NO_COLOR="1")
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING))
    assert "\x1b[3" not in screen.written
    assert "\x1b[9" not in screen.written


def test_a_terminal_that_is_gone_is_no_trouble() -> None:
    """The run goes on."""
    screen = Screen(80)
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING))
    screen.gone = True
    screen.now += 1
    screen.terminal.lines(["lost"])
    assert screen.terminal.broken
    screen.terminal.rest()


def test_names_cannot_steer_the_terminal() -> None:
    """They are shown, escapes and all."""
    screen = Screen(80)
    screen.now += 1
    screen.terminal.stands(standing(3, RunningTask("a\x1b[2Jb", 1, 990.0)))
    assert screen.text[0] == "   10.0s  a\\x1b[2Jb"


def test_when_it_ends_it_says_so() -> None:
    """And no longer guesses."""
    screen = Screen(80)
    screen.now += 1
    screen.terminal.stands(standing(3, *RUNNING, ending="SIGINT"))
    assert screen.text[-1].endswith("1 failed  ending")
