"""Mistakes as the commands tell them, and what ``workflow explain`` says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.diagnostics.codes import CODES

BAD = '[tasks.a]\ncmd = ["true"]\ntimeot = 3\ntimeout = "soon"\n'
ANNOTATIONS = [
    (
        "::error file=pipeline.toml,line=3,col=1,endColumn=7,title=unknown-key::"
        "tasks.a.timeot: unknown key, did you mean 'timeout'?"
    ),
    (
        "::error file=pipeline.toml,line=4,col=11,endColumn=17,title=bad-duration::tasks.a.timeout: the text "
        '"soon" is not a duration%0Ahelp: a duration is written "250ms", "90s", "1h30m" or as a number of seconds'
    ),
]


def test_the_full_form_says_at_its_end_how_to_read_more(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """On standard error; the exit code is 2 for run, validate and plan alike."""
    pipeline(BAD)
    for command in ("run", "validate", "plan"):
        ran = workflow(command)
        assert ran.returncode == 2
        assert ran.stdout == ""
        assert ran.stderr.splitlines() == [
            "pipeline.toml:3:1: tasks.a.timeot: unknown key, did you mean 'timeout'?",
            "  timeot = 3",
            "  ^^^^^^",
            'pipeline.toml:4:11: tasks.a.timeout: the text "soon" is not a duration',
            '  timeout = "soon"',
            "            ^^^^^^",
            '  help: a duration is written "250ms", "90s", "1h30m" or as a number of seconds',
            "explain: workflow explain unknown-key bad-duration",
        ]


def test_programs_read_json_on_standard_output(workflow: Callable[..., Any], pipeline: Callable[[str], Path]) -> None:
    """Also of a file that is good, or not there."""
    path = pipeline(BAD)
    ran = workflow("validate", "--output-format", "json")
    assert (ran.returncode, ran.stderr) == (2, "")
    assert [(each["code"], each["line"], each["column"]) for each in json.loads(ran.stdout)] == [
        ("unknown-key", 3, 1),
        ("bad-duration", 4, 11),
    ]
    path.write_text('[tasks.a]\ncmd = ["true"]\n')
    ran = workflow("validate", "--output-format", "json")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    path.unlink()
    ran = workflow("validate", "--output-format", "json")
    assert ran.returncode == 2
    assert [each["code"] for each in json.loads(ran.stdout)] == ["unreadable-file"]


def test_a_line_each_is_for_editors(workflow: Callable[..., Any], pipeline: Callable[[str], Path]) -> None:
    """With the code in brackets, as compilers and linters have it."""
    pipeline(BAD)
    ran = workflow("validate", "--output-format", "concise")
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "pipeline.toml:3:1: tasks.a.timeot: unknown key, did you mean 'timeout'? [unknown-key]",
        'pipeline.toml:4:11: tasks.a.timeout: the text "soon" is not a duration [bad-duration]',
    ]


def test_github_actions_gets_annotations_beside_the_text(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path]
) -> None:
    """Of run and of validate, once; where they were asked for they go to standard output, and stand alone."""
    pipeline(BAD)
    for command in ("run", "validate"):
        ran = workflow(command, env={"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": ""})
        assert ran.stderr.splitlines()[-2:] == ANNOTATIONS
        assert ran.stderr.count("explain:") == 1
    ran = workflow("validate", "--output-format", "github", env={"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": ""})
    assert ran.stdout.splitlines() == ANNOTATIONS
    assert ran.stderr == ""


def test_explain_lists_all_codes(workflow: Callable[..., Any]) -> None:
    """With a title each."""
    ran = workflow("explain")
    assert ran.returncode == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()] == list(CODES)


def test_explain_tells_a_code_with_a_bad_and_a_good_file(workflow: Callable[..., Any]) -> None:
    """As many codes as are asked for."""
    ran = workflow("explain", "unknown-key", "cycle")
    assert ran.returncode == 0
    for code in ("unknown-key", "cycle"):
        assert f"{code}: {CODES[code].title}\n" in ran.stdout
        for example in (CODES[code].bad, CODES[code].good):
            assert "".join(f"    {line}\n" for line in example.text.splitlines()) in ran.stdout


@pytest.mark.parametrize(("code", "said"), [("unknown-kye", "did you mean 'unknown-key'?"), ("zzz", "lists them")])
def test_an_unknown_code_is_a_usage_error(workflow: Callable[..., Any], code: str, said: str) -> None:
    """With the nearest that there is."""
    ran = workflow("explain", code)
    assert ran.returncode == 2
    assert f"there is no code {code!r}" in ran.stderr
    assert said in ran.stderr
