"""What somebody may have meant where the text is not TOML: one line of help, from the line and what the parser says.

A parser stops where the text ceases to make sense, which is after the slip and not always near it.  So these are
guesses, tried in the order in which they are surest: what stands right before the place first, then habits of other
languages that the line shows.  No guess is better than a wrong one: each asks for exactly its slip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST = 1000
"""A longer line was written by a program, and slips of the hand are not to be looked for in it."""
_AFTER = r"\s*(?:[,}\]#].*)?$"
_START = r"(?:=|[\[,{])\s*"
_DURATION = re.compile(_START + r"((?:\d+(?:\.\d+)?(?:ms|[smhd]))+)(?=[\s,}\]#]|$)")
_CLOCK = re.compile(_START + r"(\d+):(\d\d)(?::(\d\d))?(?=[\s,}\]#]|$)")
_SIZE = re.compile(_START + r"(\d+(?:\.\d+)?\s*[kKMGT]i?B)(?=[\s,}\]#]|$)")
_PERCENT = re.compile(_START + r"(\d+%)(?=[\s,}\]#]|$)")
_REFERENCE = re.compile(_START + r"(\$\{[^}\s]*\})" + _AFTER)
_WORD = re.compile(r"=\s*([A-Za-z_][\w.:/-]*)" + _AFTER)
_SOME_WORDS = re.compile(r"=\s*([A-Za-z][\w.:/-]*(?: [\w.:/-]+)+)" + _AFTER)
_WORDS = {
    **dict.fromkeys(("True", "TRUE", "yes", "Yes", "on", "On"), "write true, in lower case and without quotes"),
    **dict.fromkeys(("False", "FALSE", "no", "No", "off", "Off"), "write false, in lower case and without quotes"),
    **dict.fromkeys(
        ("None", "null", "nil", "NULL"), 'TOML has no such value: leave the key out, or write "none" for no limit'
    ),
    **dict.fromkeys(("Infinity", "infinity"), 'for no limit write "none", in quotes'),
}
_KEY = r"""(?:[A-Za-z0-9_.-]+|"[^"]*"|'[^']*')"""
_COLON = re.compile(rf"^\s*({_KEY})\s*:\s*(\S.*)?$")
_COLON_INSIDE = re.compile(rf"[{{,]\s*({_KEY})\s*:\s*(?!=)")
_ASSIGNED = re.compile(rf"^\s*({_KEY})\s*(:=|==|=>)")
_COMMENT = re.compile(r"""^\s*(//|;|--|/\*)|^[^"']*\s(//|;)\s""")
_NO_COMMA = re.compile(r"""["'\]}\d]\s+["'\[{\w]""")
_SPACED_HEADER = re.compile(r"^\s*\[\s*([A-Za-z0-9_.-]+)\s+([A-Za-z0-9_. -]+?)\s*\]")
_ITEM = re.compile(r"^\s*-\s+\S")
_THOUSANDS = re.compile(r"=\s*(\d{1,3}(?:,\d{3})+)" + _AFTER)
_ZEROS = re.compile(r"=\s*0+(\d+)" + _AFTER)
_DOT = re.compile(r"=\s*(?:(\.\d+)|(\d+)\.)" + _AFTER)
_NOTHING = re.compile(rf"^\s*{_KEY}\s*=\s*(?:#.*)?$")
_ALONE = re.compile(rf"^\s*({_KEY})\s*(?:\"[^\"]*\"|'[^']*'|\d\w*)?\s*(?:#.*)?$")
_HEADER = re.compile(r"^\s*\[")


def hint(lines: Sequence[str], line: int, column: int, problem: str) -> str | None:
    """One line of help for a place, lines and columns counted from 1; ``problem`` is what the parser says."""
    text = lines[line - 1].rstrip("\r") if 0 < line <= len(lines) else ""
    if not text or len(text) > _LONGEST:
        return None
    if "overwrite a value" in problem:
        return _already(lines, line)
    if "hex value" in problem or "Unescaped" in problem or "unescaped" in problem:
        return r"for a backslash write \\, or put the text into single quotes, where nothing is escaped"
    return _unquoted(text) or _of_another_language(text) or _punctuation(text, column, problem)


def one_header(lines: Sequence[str], line: int, names: Sequence[str]) -> str:
    """What to do about the second header of a table, in this line."""
    keys = (rf"""["']?{re.escape(name)}["']?""" for name in names)
    dotted = r"[ \t]*\.[ \t]*".join(keys)
    header = re.compile(rf"[ \t]*\[[ \t]*{dotted}[ \t]*\]")
    first = next((number for number, text in enumerate(lines[: line - 1], 1) if header.match(text)), None)
    where = "one header" if first is None else f"the header in line {first}"
    return f"write all its keys below {where}"


def _already(lines: Sequence[str], line: int) -> str | None:
    """Where the key of this line, or of the last line that has one, stands first."""
    while line > 1 and "=" not in lines[line - 1]:
        line -= 1
    key = re.match(rf"\s*({_KEY})\s*=", lines[line - 1])
    if key is None:
        return None
    above, dot, _ = key[1].rpartition(".")
    for number in range(line - 1, 0, -1):
        if dot and re.match(rf"\s*{re.escape(above)}\s*=", lines[number - 1]):
            return f"{above} has a value already, in line {number}: write all of it there, as a table {{…}}"
        if _HEADER.match(lines[number - 1]):
            return None
        if re.match(rf"\s*{re.escape(key[1])}\s*=", lines[number - 1]):
            return f"{key[1]} stands in this table already, in line {number}: keep one of the two"
    return None


def _unquoted(text: str) -> str | None:
    """Something of ours that stands in quotes."""
    if match := _DURATION.search(text):
        return f'a duration is text: write "{match[1]}", in quotes'
    if match := _CLOCK.search(text):
        hours, minutes, seconds = match.groups()
        parts = [(hours, "h"), (minutes, "m"), (seconds, "s")] if seconds else [(hours, "m"), (minutes, "s")]
        written = "".join(f"{int(number)}{unit}" for number, unit in parts if int(number)) or "0s"
        return f'a duration is written "{written}"'
    for pattern, what in ((_SIZE, "a size"), (_PERCENT, "a percentage"), (_REFERENCE, "a reference")):
        if match := pattern.search(text):
            return f'{what} stands in quotes: "{match[1]}"'
    if match := _WORD.search(text):
        return _WORDS.get(match[1], f'text stands in quotes: "{match[1]}"')
    if match := _SOME_WORDS.search(text):
        return f'text stands in quotes: "{match[1]}"'
    return None


def _of_another_language(text: str) -> str | None:
    if any(quote in text for quote in "\u201c\u201d\u201e\u2018\u2019"):
        return "these are quotes of print: write \" or '"
    if match := _COMMENT.search(text):
        return f"a comment begins with #, not with {match[1] or match[2]}"
    if match := _ASSIGNED.match(text):
        return f"between a key and its value stands =, not {match[2]}"
    if match := _COLON.match(text):
        return f"between a key and its value stands =, not a colon: {match[1]} = {match[2] or '…'}"
    if match := _COLON_INSIDE.search(text):
        return f"between a key and its value stands =, not a colon: {{{match[1]} = …}}"
    if _ITEM.match(text):
        return 'an array is written with brackets: ["one", "two"]'
    if match := _SPACED_HEADER.match(text):
        return f"a dot stands between the names of a header, and no space in them: [{match[1]}.{match[2].split()[-1]}]"
    return None


def _punctuation(text: str, column: int, problem: str) -> str | None:
    if match := _THOUSANDS.search(text):
        return f"digits are grouped by '_': {match[1].replace(',', '_')}"
    if match := _ZEROS.search(text):
        return f"a number does not begin with 0: {match[1]}"
    if match := _DOT.search(text):
        return f"a number has digits on both sides of its dot: {'0' + match[1] if match[1] else match[2] + '.0'}"
    if (match := _ALONE.match(text)) and "after a key" in problem:
        return f"between a key and its value stands =: {match[1]} = …"
    if _NOTHING.match(text):
        return "a key has a value; for the default, leave the line out"
    if "Unclosed" in problem and _NO_COMMA.search(text[max(0, column - 3) :]):
        return "a comma stands between two elements"
    if "Unclosed array" in problem:
        return "a bracket [ has no ]"
    if "Unclosed inline table" in problem:
        return "a brace { has no } on its line"
    if "'" in text[:column] and text.count("'") > 2 and "after a statement" in problem:
        return "a text in single quotes holds no single quote: put it into double quotes"
    if "Unterminated string" in problem or ("Illegal character" in problem and "\\n" in problem):
        return 'a text has no quote at its end; one over several lines stands in three quotes: """'
    return None
