"""The live view: below the lines of a run, on a terminal, how it stands.

rich draws it.  What is ours is when: not before the run has lasted half a second, so that short runs pay nothing for
it; at most ten times a second, with the lines that came meanwhile; and never in a way that a killed run leaves a broken
terminal behind.  The cursor is not hidden, no alternative screen is opened and no mode of the terminal is changed: what
a SIGKILL leaves is one line too many.  Lines are printed above the view, and once the run is over only they remain.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from workflow.report.standing import COLOURS
from workflow.report.terminal import Stream, Terminal, When, human_s, neutral

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

    from workflow.report.standing import RunningTask, Standing

BEFORE_S = 0.5
"""A run that is over by then is never shown."""
EVERY_S = 0.1
"""The least time between two looks of it."""
RUNNING_MAX = 8
"""Running tasks that are named."""
_BAR = 24


class LiveTerminal(Terminal):
    """A terminal with a view below its lines."""

    live = True

    def __init__(
        self,
        stream: Stream,
        when: When = "auto",
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream, when, environ)
        self._clock = clock
        self._from_s = clock() + BEFORE_S
        self._shown_at = 0.0
        self._environ = environ
        self._live: Live | None = None
        self._held: list[str] = []
        """Lines that wait for the next look, for printing them draws the view again."""

    def lines(self, lines: list[str]) -> None:
        """Write whole lines, above the view."""
        if self._live is None or self.broken or not lines:
            super().lines(lines)
            return
        self._held += lines
        now = self._clock()
        if now - self._shown_at >= EVERY_S:
            self._shown_at = now
            self._print_held()

    def stands(self, standing: Standing) -> None:
        """Show how things stand, if it is time to."""
        now = self._clock()
        if self.broken or now < self._from_s or now - self._shown_at < EVERY_S:
            return
        self._shown_at = now
        if self._live is None:
            self._live = self._begin()
        held = bool(self._held)
        self._do(lambda live: live.update(_view(standing, live.console.width, live.console.height), refresh=not held))
        self._print_held()

    def rest(self) -> None:
        """Take the view away."""
        self._print_held()
        self._do(lambda live: live.stop())
        self._live = None

    def _print_held(self) -> None:
        if not self._held:
            return
        from rich.text import Text

        text, self._held = Text.from_ansi("\n".join(self._held)), []
        self._do(lambda live: live.console.print(text, soft_wrap=True, highlight=False))

    def _begin(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        class Quiet(Console):
            """One that leaves the cursor as it is: nobody would bring it back after a SIGKILL."""

            def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002  # its name is part of the call
                return False

        console = Quiet(
            file=self._stream,  # type: ignore[arg-type]  # it has what is used
            force_terminal=True,
            no_color=not self._colour,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={**self._environ, "TERM": self._environ.get("TERM", "xterm")},
        )
        live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._live = live
        self._do(lambda live: live.start())
        return live

    def _do(self, act: Callable[[Live], Any]) -> None:
        if self._live is None or self.broken:
            return
        try:
            act(self._live)
        except (OSError, ValueError):  # the terminal is gone
            self.broken = True


def _view(standing: Standing, width: int, height: int) -> RenderableType:
    from rich.console import Group

    room = max(0, min(RUNNING_MAX, height - 4))
    rows: list[Text] = [_running(task, standing.epoch_s) for task in standing.running[:room]]
    hidden = len(standing.running) - len(rows)
    if hidden > 0 and room:
        rows.append(_text(f"    and {hidden} more", "dim"))
    rows.append(_progress(standing, width))
    return Group(*rows)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _running(task: RunningTask, epoch_s: float) -> Text:
    since = human_s(max(0.0, epoch_s - task.started_at))
    text = _text(f"  {since:>6} ", "dim")
    text.append(f" {neutral(task.id)}", "yellow" if task.slow else "")
    if task.attempt > 1:
        text.append(f" (attempt {task.attempt})", "dim")
    if task.slow:
        text.append(" SLOW", "bold yellow")
    return text


def _progress(standing: Standing, width: int) -> Text:
    done, total = standing.done, standing.total
    text = _text("")
    if width >= 60:
        full = _BAR if not total else _BAR * done // total
        text.append("━" * full, "green")
        text.append("━" * (_BAR - full), "bright_black")
        text.append(" ")
    text.append(f"{done}/{total}", "bold")
    separator = "  "
    for outcome, number in standing.counts.items():
        if number:
            text.append(separator)
            text.append(f"{number} {outcome}", COLOURS.get(outcome, "red"))
            separator = ", "
    if standing.ending is not None:
        text.append("  ending", "yellow")
    elif standing.left_s is not None and done < total:
        text.append(f"  about {_about(standing.left_s)} left", "dim")
    return text


def _about(left_s: float) -> str:
    """A guess is not told to the hundredth."""
    if left_s < 9.5:
        return f"{max(1, round(left_s))}s"
    return human_s(5 * round(left_s / 5)).replace(".0s", "s") if left_s < 60 else human_s(left_s)
