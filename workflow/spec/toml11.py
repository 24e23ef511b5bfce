r"""Whether a text uses syntax that is newer than TOML 1.0.

Some installed parsers read TOML 1.1, others do not; the same file must be good or bad everywhere, so the newer
syntax is refused whichever parser is there: line breaks and a comma at the end inside ``{ }``, the escapes ``\\e``
and ``\\xHH``, and times without seconds.  One pass over the text with a regular expression that knows strings and
comments, and that only for files a cheaper look finds suspicious.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SUSPICIOUS = re.compile(r"\\[ex]|,\s*\}|[0-9]{2}:[0-9]{2}")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[{}\[\],\n]"
    r"|[^\s{}\[\],\"'#]+",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:[ex]|.)", re.DOTALL)
_SHORT_TIME = re.compile(r"(?:\d{4}-\d\d-\d\d[Tt])?\d\d:\d\d(?:[Zz]|[+-]\d\d:\d\d)?")


class Newer(NamedTuple):
    """A piece of newer syntax: where it is, what it is, what TOML 1.0 has instead."""

    offset: int
    what: str
    instead: str


def find_newer_syntax(text: str) -> Newer | None:
    """The first piece of TOML 1.1 in a text, or None."""
    if not _SUSPICIOUS.search(text) and not _braces_over_lines(text):
        return None
    open_brackets: list[str] = []
    last = ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in ("{", "["):
            open_brackets.append(token)
        elif token in ("}", "]"):
            if token == "}" and last == ",":
                return Newer(match.start(), "a comma before '}' is TOML 1.1", "leave the comma out")
            if open_brackets:
                open_brackets.pop()
        elif token == "\n":
            if open_brackets and open_brackets[-1] == "{":
                what = "a line break inside { } is TOML 1.1"
                return Newer(match.start(), what, "write the table on one line, or as a [table] of its own")
            continue  # a line break between a comma and a bracket does not part them
        elif token[0] == '"':
            escape = next((each for each in _ESCAPE.finditer(token) if each.group() in ("\\e", "\\x")), None)
            if escape is not None:
                what = f"the escape {escape.group()} is TOML 1.1"
                return Newer(match.start() + escape.start(), what, "write \\u and four hex digits")
        elif _SHORT_TIME.fullmatch(token) and last == "=":
            return Newer(match.start(), "a time without seconds is TOML 1.1", 'a duration is written "1h30m"')
        last = token[-1] if token[0] not in "\"'#" else '"'
    return None


def _braces_over_lines(text: str) -> bool:
    """Whether some line opens more braces than it closes, or fewer; braces in strings count, this is a first look."""
    if "{" not in text:
        return False
    return any(line.count("{") != line.count("}") for line in text.split("\n"))
