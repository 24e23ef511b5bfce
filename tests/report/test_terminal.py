"""Text on its way to a person."""

from __future__ import annotations

import io
from typing import Any

import pytest

from workflow.report.terminal import human_s, neutral, wants_colour


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "when", "environ", "wanted"),
    [
        (Screen(), "auto", {}, True),
        (io.StringIO(), "auto", {}, False),
        (Screen(), "never", {"FORCE_COLOR": "1"}, False),
        (io.StringIO(), "always", {"NO_COLOR": "1", "TERM": "dumb"}, True),
        (Screen(), "auto", {"NO_COLOR": "1"}, False),
        (Screen(), "auto", {"NO_COLOR": ""}, True),
        (io.StringIO(), "auto", {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), "auto", {"FORCE_COLOR": "0"}, False),
        (Screen(), "auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (Screen(), "auto", {"TERM": "dumb"}, False),
        (io.StringIO(), "auto", {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        (io.StringIO(), "auto", {"CI": "true"}, False),
    ],
)
def test_colour_is_used_where_it_is_wanted(stream: Any, when: Any, environ: dict[str, str], wanted: Any) -> None:
    """The command line, then NO_COLOR, then FORCE_COLOR, then what the stream is."""
    assert wants_colour(stream, when, environ) is wanted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("tab\tstays, ünïcödé too", "tab\tstays, ünïcödé too"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("50%\r100%\r\n", "50%\\x0d100%"),
        ("two\nlines", "two\\x0alines"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_foreign_text_cannot_steer_a_terminal(text: str, shown: Any) -> None:
    """Colours go, everything else that is not text is named; always one line."""
    assert neutral(text) == shown


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.004, "0.00s"),
        (9.994, "9.99s"),
        (9.999, "10.0s"),
        (59.9, "59.9s"),
        (59.97, "1m00s"),
        (3599.9, "1h00m"),
        (7384, "2h03m"),
    ],
)
def test_durations_are_said_as_a_person_says_them(duration_s: Any, text: str) -> None:
    """With the digits that matter."""
    assert human_s(duration_s) == text
