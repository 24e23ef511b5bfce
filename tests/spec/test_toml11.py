"""TOML 1.1 is told from TOML 1.0, whichever parser is installed."""

from __future__ import annotations

import time

import pytest

from workflow.spec.toml11 import find_newer_syntax


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("a = {b = 1,\n c = 2}", 11),
        ("a = {\n}", 5),
        ("a = {b = {c = 1},\n d = 2}", 17),
        ("a = [{b = 1,}]", 12),
        ("a = {b = 1, }", 12),
        ('a = "\\e"', 5),
        ('a = "\\\\ \\x41"', 8),
        ('a = """\n\\x41"""', 8),
        ("a = 07:32", 4),
        ("a = 1979-05-27T07:32", 4),
        ("a = {b = [\n1\n], # c\n}", 19),
    ],
)
def test_newer_syntax_is_found_where_it_is(text: str, offset: int) -> None:
    """Line breaks and last commas in inline tables, new escapes, short times."""
    found = find_newer_syntax(text)
    assert found is not None
    assert found.offset == offset


@pytest.mark.parametrize(
    "text",
    [
        "a = [\n1,\n2,\n]",
        "a = {b = [\n1,\n2,\n], c = 3}",
        "a = '\\e \\x41 {'",
        'a = "\\\\e {"',
        'a = """\n{ b = 1,\n}"""',
        "a = '''\n{ b = 1, }'''",
        "# {\na = 1 # 07:32 , }",
        "a = 07:32:00",
        "a = 1979-05-27 07:32:00",
        'a = "= 07:32"',
        "[a]\n[[b]]\n'{' = 1",
    ],
)
def test_what_toml_1_0_has_is_left_alone(text: str) -> None:
    """Strings and comments may hold anything."""
    assert find_newer_syntax(text) is None


@pytest.mark.parametrize("piece", ["{", '"', "'", '"""', "\\", ",", "[", ", }", "{\n"])
def test_no_text_takes_long(piece: str) -> None:
    """The time grows with the length and not with its square."""
    start = time.monotonic()
    find_newer_syntax(piece * 60_000 + "\\e")
    assert time.monotonic() - start < 5
