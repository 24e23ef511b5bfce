"""Mistakes as text."""

from __future__ import annotations

import pickle
import subprocess
import sys

from workflow.diagnostics.mistake import InvalidPipeline, Mistake
from workflow.diagnostics.render import dotted, render_one, visible


def test_a_mistake_is_a_headline_a_line_and_a_caret() -> None:
    """The form that is promised."""
    mistake = Mistake(
        "unknown-key", ("tasks", "fetch", "timeot"), "unknown key, did you mean 'timeout'?", at_key=True,
        line=14, column=11, end=17, source_line="fetch = { timeot = 3 }",
    )  # fmt: skip
    assert render_one("pipeline.toml", mistake).splitlines() == [
        "pipeline.toml:14:11: tasks.fetch.timeot: unknown key, did you mean 'timeout'?",
        "  fetch = { timeot = 3 }",
        "            ^^^^^^",
    ]


def test_the_caret_stands_right_after_tabs_and_wide_characters() -> None:
    """A tab stays a tab, a wide character takes two columns, a combining mark none."""
    line = "\tk = ['日本', 'e\u0301', bad]"
    column = line.index("bad") + 1
    _, shown, caret = render_one(
        "f", Mistake("c", (), "h", line=1, column=column, end=column + 3, source_line=line)
    ).split("\n")
    assert shown == "  " + line
    assert caret == "  \t" + " " * len("k = ['1234', 'e', ") + "^^^"


def test_control_characters_are_shown_as_escapes() -> None:
    """In names, lines and headlines: a file cannot write to the terminal."""
    text = render_one(
        "a\x1bb", Mistake("c", ("tasks", "\x1b[2J\u202e"), "h\n\x07", line=1, column=3, source_line="x\x1b\x00y")
    )
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    assert "\\x1b[2J\\u202e" in text


def test_a_very_long_line_is_cut_around_the_mistake() -> None:
    """Nobody wants ten thousand characters."""
    text = render_one(
        "f", Mistake("c", (), "h", line=1, column=5000, end=5004, source_line="a" * 4999 + "here" + "b" * 5000)
    )
    _, shown, caret = text.split("\n")
    assert len(shown) < 200
    assert shown[caret.index("^") : caret.rindex("^") + 1] == "here"


def test_keys_are_quoted_where_toml_would() -> None:
    """And positions in arrays are in brackets."""
    assert dotted(("tasks", "a b", "args", 1, "x")) == 'tasks."a b".args[1].x'
    assert visible("plain") == "plain"


def test_the_exception_travels_with_its_mistakes() -> None:
    """It pickles, and says the same afterwards."""
    error = InvalidPipeline("f", [Mistake("c", ("a",), "wrong", "do this", line=1, source_line="a = 1")])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "f:1:1: a: wrong\n  a = 1\n  ^\n  help: do this"
    assert again.mistakes == error.mistakes


def test_tree_sitter_is_imported_only_when_there_is_a_mistake_to_show() -> None:
    """A good file does not pay for it."""
    program = (
        "import sys, pathlib, tempfile\n"
        "from workflow.plan.build import load_plan\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'p.toml'\n"
        "path.write_text('[tasks.a]\\ncmd = [\"true\"]\\n')\n"
        "load_plan(path)\n"
        "path.unlink(); path.parent.rmdir()\n"
        "assert not {'tree_sitter', 'difflib', 'workflow.diagnostics.locate'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
