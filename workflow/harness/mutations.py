"""Pipeline files as nobody should write them: a valid one, changed in a few places, as the seed draws it."""

from __future__ import annotations

import random
from collections.abc import Callable

VALID = (
    """\
[pipeline]
format = 1
name = "every key"
pool = 4
timeout = "2h"
path = ["src", "../lib"]
preload = ["json", "xml.dom"]
halt = "now"
max_failures = "12.5%"
max_log = "1.5MiB"
max_result = "none"

[vars]
who = "world"
sizes = [1, 2]
db = {host = "localhost", ports = [5432, 5433]}

[defaults]
timeout = "10m"
grace = 2.5
env = {LANG = "C", PAGER = false}
tags = ["all"]

[tasks.model]
module = "package.module.Model"
args = [1, "two", 3.0, true, [4], {five = 5}]
kwargs = {name = "${vars.who}"}
callback_timeout = "none"

[tasks.function]
call = "package.module:function"
needs = ["model"]
args = ["${tasks.model.result.lr}"]
on = {success = "package.hooks:done", failure = "package.hooks:failed"}
allow_failure = true

[tasks.command]
cmd = ["echo", "hello ${vars.who}", "$${HOME}", "${vars.db.ports.1}"]
cwd = ".."
timeout = "none"

[tasks.line]
shell = "echo ${vars.who} ${tasks.command.result} | tee $HOME/$${X:-out}"
needs = "command"
env.LANG = "C.UTF-8"
env.LEVEL = 3
""",
    """\
[vars]
colours = ["red", "green"]

[tasks.product]
cmd = ["draw", "${matrix.colour}", "${matrix.size}"]
timeout = "${matrix.size}"
matrix = {colour = "${vars.colours}", size = [1, 2.5], exclude = [{colour = "red", size = 1}]}

[tasks.range]
call = "m:f"
args = ["${matrix.n}"]
matrix.n = {range = [0, 10]}

[tasks.downwards]
call = "m:f"
matrix.n = {range = [10, 0, -3]}

[tasks.rows]
cmd = ["train", "${matrix.lr}", "${matrix.seed}"]

[[tasks.rows.matrix.include]]
lr = 0.1
seed = 1

[[tasks.rows.matrix.include]]
lr = 0.2
seed = 2

[tasks.last]
cmd = ["true"]
needs = ["product", {task = "range", status = "any"}, "rows"]
""",
    """\
# A comment, an umlaut: ü
[tasks.a]
cmd = ['literal', '''
several
lines''', "\\u00e9 \\t \\"quoted\\""]

[tasks.b]
shell = '''
for x in 1 2; do
  echo "$x"
done
'''
needs = ["a"]
env = { A = "1", B = "$${HOME:-nowhere}" }
""",
)
"""Files without a mistake, which between them have most of what the language has."""

_PIECES = (
    "=", "[", "]", "{", "}", "[[", '"', "'", '"""', "#", "\n", "\r\n", "\0", "\x1b[31m", "\ufeff", "\u202e", "é", "😀",
    "${", "}", "${vars.who}", "${tasks.x.result}", "${matrix.n}", "${env.HOME}", "$${", "-1", "0", "1e999", "nan",
    "9" * 400, "0x1F", "07:30:00", "1979-05-27", "90s", "true", "a.b.c", "../../etc/passwd", "/", "<script>",
    "tasks", "[tasks.x]", "[pipeline]", "needs = ['last']", "matrix = {}", "include = ['x.toml']", "extends = ['t']",
)  # fmt: skip
"""What is put in where it does not belong."""
_VALUES = ("1", "-1", '"x"', "[]", "{}", "true", "1.5", '[["x"]]', "1979-05-27", '""', "inf", "{a = {}}")


def mutated(draw: random.Random) -> bytes:
    """One valid file with a few changes."""
    text = draw.choice(VALID)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        text = draw.choice(_CHANGES)(text, draw)
    data = text.encode("utf-8", "surrogatepass")
    return _broken_bytes(data, draw) if draw.random() < 0.1 else data


def _drop_line(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        del lines[draw.randrange(len(lines))]
    return "".join(lines)


def _repeat_line(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return "".join(lines)


def _drop_character(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + text[at + 1 :]


def _misspell(text: str, draw: random.Random) -> str:
    """Two letters of a word change places, which is how people write."""
    places = [at for at in range(len(text) - 1) if text[at : at + 2].isalpha()]
    if not places:
        return text
    at = draw.choice(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _insert(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice(_PIECES) + text[at:]


def _other_value(text: str, draw: random.Random) -> str:
    """A value becomes one of another kind."""
    lines = text.splitlines(keepends=True)
    keyed = [number for number, line in enumerate(lines) if " = " in line]
    if keyed:
        number = draw.choice(keyed)
        lines[number] = f"{lines[number].partition(' = ')[0]} = {draw.choice(_VALUES)}\n"
    return "".join(lines)


def _swap_lines(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _cut_off(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text) + 1)]


def _deepen(text: str, draw: random.Random) -> str:
    depth = draw.choice((10, 100, 2000))
    return f"{text}\n[deep]\nx = {'[' * depth}{']' * depth}\n"


def _broken_bytes(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + bytes(draw.randrange(256) for _ in range(3)) + data[at:]


_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _drop_line, _repeat_line, _drop_character, _misspell, _misspell, _insert, _insert, _insert, _other_value,
    _other_value, _swap_lines, _cut_off, _deepen,
)  # fmt: skip
