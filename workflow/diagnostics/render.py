"""Mistakes as text: a line that says what and where, the line of the file, a caret under it.

Names and lines of a file come from whoever wrote it; control characters in them would move the cursor of the
terminal they are shown on, so they are shown as escapes.  The caret is placed after that, by the width a terminal
gives each character: two columns for East Asian wide ones, none for combining marks, tabs as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from workflow.diagnostics.mistake import Mistake, Place

_LONGEST_LINE = 160
_LONGEST_KEY = 80
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def render(file: str, mistakes: Iterable[Mistake]) -> str:
    """All mistakes, one after the other, without a newline at the end."""
    return "\n".join(render_one(file, mistake) for mistake in mistakes)


def render_one(file: str, mistake: Mistake) -> str:
    """``file:line:column: place: headline``, then the line and a caret, then the help."""
    parts = [headline(file, mistake)]
    if mistake.line is not None and mistake.source_line is not None:
        parts += _excerpt(mistake.source_line, mistake.column, mistake.end)
    if mistake.help:
        parts.append(f"  help: {visible(mistake.help)}")
    return "\n".join(parts)


def headline(file: str, mistake: Mistake) -> str:
    """The first line alone."""
    position = "" if mistake.line is None else f":{mistake.line}:{mistake.column}"
    place = f"{dotted(mistake.place)}: " if mistake.place else ""
    return f"{visible(mistake.file or file)}{position}: {place}{visible(mistake.headline)}"


def dotted(place: Place) -> str:
    """A path of keys as the file would write it: ``tasks.fetch.args[1]``, quotes where a key needs them."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if len(step) <= _LONGEST_KEY else step[:_LONGEST_KEY] + "…"
            quoted = visible(shown.replace("\\", "\\\\").replace('"', '\\"'))
            key = shown if _BARE_KEY.fullmatch(shown) else f'"{quoted}"'
            text += f".{key}" if text else key
    return text


def visible(text: str) -> str:
    """The text with control, format and unpaired characters as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    # Cc control, Cf format (right-to-left overrides), Cs surrogates, Zl and Zp: line breaks a terminal may obey.
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _excerpt(line: str, column: int, end: int) -> list[str]:
    start, stop = column - 1, max(end - 1, column)
    before, marked, after = line[:start], line[start:stop], line[stop:]
    if len(line) > _LONGEST_LINE:
        before = before if len(before) <= 80 else "…" + before[-60:]
        marked = marked[:60]
        after = after[:60] + ("…" if len(after) > 60 else "")
    shown_before, shown_marked = _visible_line(before), _visible_line(marked)
    # Tabs stay tabs in both lines, so the caret stands right whatever a terminal makes of a tab.
    indent = "".join("\t" if character == "\t" else " " * _width(character) for character in shown_before)
    carets = "^" * max(1, sum(_width(character) for character in shown_marked.rstrip()))
    return [f"  {shown_before}{shown_marked}{_visible_line(after)}", f"  {indent}{carets}"]


def _visible_line(text: str) -> str:
    return "\t".join(visible(part) for part in text.split("\t"))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
