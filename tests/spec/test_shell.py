"""Where a quoted value is safe in a shell line, compared with what a real shell makes of it."""

from __future__ import annotations

import subprocess
import time

import pytest

from workflow.spec.reference import Template, parse, resolve

HOSTILE = "a b'c\"d`echo x`$(echo y)\n\\; echo z # $HOME"


@pytest.mark.parametrize(
    ("before", "spot"),
    [
        ("echo 'a ", "inside quotes"),
        ('echo "a ', "inside quotes"),
        ('echo "$(cat ', "inside quotes"),
        ("echo `cat ", "inside backticks"),
        ("true # ", "in a comment"),
        ("cat <<EOF\n", "in a here-document"),
        ("cat <<-'E' | tr a b\n\tx\n", "in a here-document"),
        ("cat <<A <<B\nA\n", "in a here-document"),
    ],
)
def test_a_reference_where_quoting_does_not_help_is_refused(before: str, spot: str) -> None:
    """With the place in words, and env as the way that always works."""
    _, (wrong,) = parse(before + "${vars.x}", "shell")
    assert wrong.headline.startswith(f"${{vars.x}} stands {spot}, ")
    assert "put the value into env" in (wrong.help or "")


@pytest.mark.parametrize(
    "line",
    [
        "printf %s ${vars.x}",
        'printf %s "it\'s" >/dev/null; printf %s ${vars.x}',
        "true # it's fine\nprintf %s ${vars.x}",
        "cat >/dev/null <<EOF\nit's\nEOF\nprintf %s ${vars.x}",
        'x=${vars.x}; printf %s "$x"',
        "printf %s $(printf %s ${vars.x} >&2) ${vars.x}",
        "printf \\'%s ${vars.x} | cut -c2-",
        "if [ a#b = 'a#b' ]; then printf %s ${vars.x}; fi",
    ],
)
def test_where_it_is_accepted_a_real_shell_sees_the_value(line: str) -> None:
    """Whatever is in it."""
    template, wrong = parse(line, "shell")
    assert not wrong
    assert isinstance(template, Template)
    command = str(resolve(template, lambda _: HOSTILE))
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True, timeout=20)
    expected = "\n".join(part[1:] if "cut" in line and n else part for n, part in enumerate(HOSTILE.split("\n")))
    assert done.stdout.rstrip("\n") == expected.rstrip("\n")


@pytest.mark.parametrize("first", ["", "'", '"', "cat <<E\n"])
@pytest.mark.parametrize("piece", ["${matrix.x} ", "' ${matrix.x} ", "cat <<E\n${matrix.x}\nE\n", "# ${matrix.x}\n"])
def test_a_line_with_very_many_references_takes_no_time_worth_mention(first: str, piece: str) -> None:
    """It is read once, and not once for each."""
    began = time.process_time()
    parse(first + piece * 5000, "shell")
    assert time.process_time() - began < 2
