"""Mistakes for programs: JSON, GitHub's annotations, one line each."""

from __future__ import annotations

import json
from pathlib import Path

from workflow.diagnostics.formats import explanation, formatted
from workflow.diagnostics.mistake import Mistake

UNKNOWN = Mistake(
    "unknown-key", ("tasks", "a,b", "args", 1), "50% of it: is\nwrong", "do this,\r\nor: that",
    line=3, column=5, end=9, source_line="    what = 1",
)  # fmt: skip
WITHOUT_LINE = Mistake("unreadable-file", (), "there is no such file")


def test_concise_is_the_promised_line_and_the_code() -> None:
    """One line each, whatever stands in the file."""
    assert formatted("p.toml", [UNKNOWN, WITHOUT_LINE], "concise").splitlines() == [
        'p.toml:3:5: tasks."a,b".args[1]: 50% of it: is\\nwrong [unknown-key]',
        "p.toml: there is no such file [unreadable-file]",
    ]


def test_json_is_an_array_of_objects() -> None:
    """Positions are null where there is none."""
    assert json.loads(formatted("p\udcff.toml", [UNKNOWN, WITHOUT_LINE], "json")) == [
        {
            "code": "unknown-key",
            "file": "p\ufffd.toml",
            "line": 3,
            "column": 5,
            "end_column": 9,
            "place": ["tasks", "a,b", "args", 1],
            "message": "50% of it: is\nwrong",
            "help": "do this,\r\nor: that",
        },
        {
            "code": "unreadable-file",
            "file": "p\ufffd.toml",
            "line": None,
            "column": None,
            "end_column": None,
            "place": [],
            "message": "there is no such file",
            "help": None,
        },
    ]
    assert formatted("p.toml", [], "json") == "[]"


def test_github_is_one_workflow_command_each_with_its_escapes() -> None:
    """A percent sign, a line break, and in a property also a colon and a comma."""
    assert formatted("a,b:c%.toml", [UNKNOWN, WITHOUT_LINE], "github").splitlines() == [
        (
            "::error file=a%2Cb%3Ac%25.toml,line=3,col=5,endColumn=9,title=unknown-key::"
            'tasks."a,b".args[1]: 50%25 of it: is\\nwrong%0Ahelp: do this,\\r\\nor: that'
        ),
        "::error file=a%2Cb%3Ac%25.toml,title=unreadable-file::there is no such file",
    ]


def test_an_annotation_names_the_file_from_the_workspace(tmp_path: Path) -> None:
    """GitHub looks for it there, and not in the folder of the step; what is elsewhere has its whole path."""
    inside, outside = tmp_path / "work/sub/p.toml", tmp_path / "p.toml"
    inside.parent.mkdir(parents=True)
    workspace = str(tmp_path / "work")
    assert formatted(str(inside), [WITHOUT_LINE], "github", workspace).startswith("::error file=sub/p.toml,")
    assert formatted(str(outside), [WITHOUT_LINE], "github", workspace).startswith(f"::error file={outside},")


def test_a_mistake_of_an_included_file_or_of_the_command_line_says_so(tmp_path: Path) -> None:
    """An annotation for the command line stands at the file that was run: it is in no file."""
    included = Mistake("unknown-key", ("tasks", "a", "x"), "unknown key", line=2, column=1, end=2, file="parts/a.toml")
    given = Mistake("bad-set", (), "there is no such key", file="--set taks.a.x=1")
    told = [included, given]
    assert [each["file"] for each in json.loads(formatted("p.toml", told, "json"))] == ["parts/a.toml", given.file]
    assert formatted("p.toml", told, "github").splitlines() == [
        "::error file=parts/a.toml,line=2,col=1,endColumn=2,title=unknown-key::tasks.a.x: unknown key",
        "::error file=p.toml,title=bad-set::--set taks.a.x=1: there is no such key",
    ]
    assert formatted("p.toml", told, "concise").splitlines() == [
        "parts/a.toml:2:1: tasks.a.x: unknown key [unknown-key]",
        "--set taks.a.x=1: there is no such key [bad-set]",
    ]


def test_full_ends_with_one_line_that_says_how_to_read_more() -> None:
    """Each code once, those only that can be explained."""
    text = formatted("p.toml", [UNKNOWN, WITHOUT_LINE, UNKNOWN, Mistake("c", (), "h")], "full")
    assert text.splitlines()[-1] == "explain: workflow explain unknown-key unreadable-file"
    assert text.count("explain:") == 1
    assert explanation([Mistake("c", (), "h")]) == ""
    assert formatted("p.toml", [Mistake("c", (), "h")], "full") == "p.toml: h"
