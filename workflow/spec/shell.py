"""Where in a shell line a quoted value would not be safe.

Values are put into a ``shell`` line as ``shlex.quote`` writes them: one word, in single quotes.  That holds only
where the shell begins a fresh word.  Inside quotes of the line's own the single quotes are plain characters, or end
what was open; inside a here-document, backticks or a comment they protect from nothing.  Choices: quote differently
in each place (which needs a whole shell grammar, and is wrong silently when it is wrong), or refuse those places.
The price of refusing: a line with ``"$( … )"`` must take its value from ``env``, where it is safe everywhere.
"""

from __future__ import annotations

import re

_HEREDOC = re.compile(r"<<-?[ \t]*(\\?)(['\"]?)([A-Za-z0-9_.]+)\2")


def unsafe_spot(before: str) -> str | None:
    """Where one is after this beginning of a line, in words; None where a quoted word is safe."""
    return Spots(before).unsafe(len(before))


class Spots:
    """The places of one line, asked from left to right: what was read for one is not read again for the next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known = 0, ""
        """A position outside of here-documents, and the quote that is open there."""

    def unsafe(self, end: int) -> str | None:
        """Where one is at this position, in words; None where a quoted word is safe."""
        text = self._text
        at, quote = self._known
        heredocs: list[str] = []
        while at < end:
            character = text[at]
            # Between two words, and not on the way to the name of a here-document.
            between = character in " \n" and text[at - 1 : at] not in ("<", " ", "\t")
            if not heredocs and (quote or between):
                self._known = at, quote
            if character == "\\" and quote != "'":
                at += 2
                continue
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"`":
                quote = character
            elif character == "#" and (at == 0 or text[at - 1] in " \t\n;&|("):
                line_end = text.find("\n", at, end)
                if line_end == -1:
                    return "in a comment"
                at = line_end
                continue
            elif text.startswith("<<<", at, end):
                at += 3
                continue
            elif character == "<" and (found := _HEREDOC.match(text, at, end)):
                heredocs.append(found.group(3))
                at = found.end()
                continue
            elif character == "\n" and heredocs:
                end_of_bodies = _after_bodies(text, at, end, heredocs)
                if end_of_bodies is None:
                    return "in a here-document"
                at, heredocs = end_of_bodies, []
                continue
            at += 1
        if quote:
            return "inside backticks" if quote == "`" else "inside quotes"
        return None


def _after_bodies(text: str, at: int, stop: int, delimiters: list[str]) -> int | None:
    """Where the here-documents that begin at this line break end; None when one does not."""
    for delimiter in delimiters:
        end = re.compile(rf"\n\t*{re.escape(delimiter)}(?=\n)").search(text, at, stop)
        if end is None:
            return None
        at = end.end()
    return at


_FOR_THE_SHELL = re.compile(r"[|&;<>`*?~\n]|\$(?!\{)|(?<!\$)\$\$\{")


def as_command(line: str) -> str:
    """How a line in a text is written instead, where an array of a program and its arguments is wanted."""
    import json
    import shlex

    shown = json.dumps(line if len(line) <= 60 else line[:57] + "…", ensure_ascii=False)
    if found := _FOR_THE_SHELL.search(line):
        return f"{json.dumps(found.group())} is for the shell: write shell = {shown}"
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if not words or len(line) > 60:
        return f'write cmd = ["program", "argument"], or shell = {shown}'
    return f"write cmd = [{', '.join(json.dumps(word, ensure_ascii=False) for word in words)}], or shell = {shown}"
