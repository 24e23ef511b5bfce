"""A mistake in the user's file, as data.

Whoever finds a mistake knows which key or value is wrong, by its path of keys, and says so without a position:
``Mistake(code, place, headline)``.  ``locate`` adds line and column when there is something to show, ``render``
makes text of it.  Nothing here prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from workflow.errors import WorkflowError

Place = tuple[Union[str, int], ...]
"""Keys and list positions from the top of the file, such as ``("tasks", "fetch", "args", 1)``."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a file, why, and what to do about it."""

    code: str
    """A short name that does not change, such as ``unknown-key``."""
    place: Place
    """Empty where the mistake is about the file as a whole."""
    headline: str
    """One sentence without a full stop."""
    help: str | None = None
    """What to do instead, where that is not said already."""
    at_key: bool = False
    """Whether the key is wrong, and not its value: where the caret stands."""
    needle: str | None = None
    """A part of the value the caret should stand under."""
    line: int | None = None
    """Counts from 1; None where there is no line to point at (an unreadable file)."""
    column: int = 1
    """In characters, from 1."""
    end: int = 2
    """The column after the last one meant, on the same line."""
    source_line: str | None = None
    """The text of that line."""
    file: str | None = None
    """What it is in, as messages name it, where that is not the file that was run: an included one, a ``--set``."""


class InvalidPipeline(WorkflowError):
    """A pipeline file cannot be used.  Says everything that is wrong with it, in the order of the file.

    Raised by loading, planning and selecting, before anything runs; the fault is the file's (or its path's, or that
    of a ``--var``).  ``mistakes`` is never empty.
    """

    def __init__(self, file: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__(file, tuple(mistakes))
        self.file = file
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        from workflow.diagnostics.render import render

        return render(self.file, self.mistakes)
