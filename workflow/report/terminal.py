"""Text on its way to a person: colour where it is wanted, nothing that steers a terminal, no complaint at the end."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from workflow.report.standing import Standing

When = Literal["auto", "always", "never"]
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# C0 but tab, DEL, C1, and the marks that change the direction of what follows or end a line for some readers.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Stream(Protocol):
    """What is needed of standard error."""

    def write(self, text: str, /) -> object:
        """Take text."""

    def flush(self) -> object:
        """Pass on what was taken."""

    def isatty(self) -> bool:
        """Whether a person looks at it."""


class Terminal:
    """Lines to a stream that may be a terminal, a file, or a pipe that nobody reads any more."""

    live = False
    """Whether it shows how things stand, beside the lines: see ``live``."""

    def __init__(self, stream: Stream, when: When = "auto", environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._colour = wants_colour(stream, when, environ)
        self.broken = False
        """Whether whoever read this has left; nothing is written any more."""

    def lines(self, lines: list[str]) -> None:
        """Write whole lines, in one piece."""
        if self.broken or not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk behind it, a closed file: not the run's concern
            self.broken = True

    def stands(self, standing: Standing) -> None:
        """Show how things stand, where that is shown at all."""

    def rest(self) -> None:
        """Take away what shows how things stand; the lines stay."""

    def style(self, text: str, *names: str) -> str:
        """Answer the text in colour, if colour is wanted."""
        if not self._colour or not text:
            return text
        return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[0m"


def wants_colour(stream: Stream, when: When, environ: Mapping[str, str]) -> bool:
    """Answer whether to colour: what the user says here and now, then NO_COLOR, FORCE_COLOR, and what it is."""
    if when != "auto":
        return when == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


def neutral(text: str) -> str:
    """Answer one line of foreign text in which nothing steers a terminal: colours go, control characters are named."""
    text = text.rstrip("\r\n")
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_named, _COLOUR.sub("", text))


def _named(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def human_s(duration_s: float) -> str:
    """Answer a duration as a person says it: ``0.21s``, ``12.3s``, ``4m05s``, ``2h03m``."""
    if duration_s < 9.995:
        return f"{duration_s:.2f}s"
    if duration_s < 59.95:
        return f"{duration_s:.1f}s"
    whole = round(duration_s)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
