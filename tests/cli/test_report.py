"""``run --report`` and ``workflow report``, and what a step of GitHub Actions gets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

MIXED = """\
[pipeline]
name = "mixed"

[tasks.good]
cmd = ["echo", "hello"]

[tasks.bad]
cmd = ["sh", "-c", "echo why; exit 3"]

[tasks.odd]
cmd = ["false"]
allow_failure = true

[tasks.after]
cmd = ["true"]
needs = ["bad"]
"""
ALL = ("x.json", "x.xml", "x.html", "x.md", "x.trace.json")


def test_reports_of_a_run_and_those_made_later_are_the_same(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every format; what was allowed to fail is known later too."""
    pipeline(MIXED)
    ran = workflow("run", *(part for name in ALL for part in ("--report", name)))
    assert ran.returncode == 1, ran.stderr
    made = {name: (tmp_path / name).read_bytes() for name in ALL}
    assert made["x.json"] == (tmp_path / ".workflow/latest/report.json").read_bytes()
    (suite,) = JUnitXml.fromstring(made["x.xml"])
    assert (suite.tests, suite.failures, suite.skipped) == (4, 1, 2)
    for name in ALL:
        (tmp_path / name).unlink()
    later = workflow("report", *ALL)
    assert (later.returncode, later.stdout, later.stderr) == (0, "", "")
    assert {name: (tmp_path / name).read_bytes() for name in ALL} == made


def test_a_run_is_named_by_its_id_the_beginning_of_it_or_as_the_latest(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """In the state folder here, or the one that is named."""
    pipeline(MIXED)
    workflow("run", "-q", "--select", "good")
    workflow("run", "-q", "--select", "odd")
    first, second = sorted(path.name for path in (tmp_path / ".workflow/runs").iterdir())

    def run_of(*words: str, **more: Any) -> str:
        ran = workflow("report", *words, "x.json", **more)
        assert ran.returncode == 0, ran.stderr
        return str(json.loads((tmp_path / "x.json").read_text())["run"]["id"])

    assert run_of(first) == first
    assert run_of("latest") == run_of() == second
    assert run_of(second[:-3]) == second
    shutil.move(tmp_path / ".workflow", tmp_path / "elsewhere")
    assert run_of(first, "--state-dir", "elsewhere") == first
    assert run_of(first, env={"WORKFLOW_STATE_DIR": "elsewhere"}) == first


def test_a_report_may_be_called_like_a_run(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """A known ending makes it a file."""
    pipeline(MIXED)
    workflow("run", "-q")
    assert workflow("report", "2026.md").returncode == 0
    assert (tmp_path / "2026.md").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x.yaml"], "'x.yaml' must end in .json, .xml (JUnit), .html, .md (Markdown) or .trace.json (Perfetto)"),
        (["x.htm"], "did you mean '.html'?"),
        (["x.trace"], "did you mean '.trace.json'?"),
        (["x.xlm"], "did you mean '.xml'?"),
        ([".html"], "must end in"),
        (["latest"], "say where to write the report"),
        (["nowhere/x.md"], "there is no folder 'nowhere'"),
        (["folder.md"], "'folder.md' is a folder"),
        (["1999", "x.md"], "there is no run '1999' in .workflow; the latest is 20"),
        (["2", "x.md"], "2 runs begin with '2'"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_said_and_nothing_is_written(
    workflow: Callable[..., Any], tmp_path: Path, words: list[str], said: str
) -> None:
    """With exit code 2."""
    (tmp_path / "folder.md").mkdir()
    for name in ("20260101-000000-000-aaaaaa", "20260101-000000-000-bbbbbb"):
        (tmp_path / ".workflow/runs" / name).mkdir(parents=True)
    ran = workflow("report", *words)
    assert ran.returncode == 2, ran.stderr
    assert said in ran.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".workflow", "folder.md"]


def test_a_run_that_left_no_report_or_a_broken_one_is_told(workflow: Callable[..., Any], tmp_path: Path) -> None:
    """It may have been killed at once."""
    ran = workflow("report", "x.md")
    assert ran.returncode == 2
    assert "/.workflow: runs are kept beside" in ran.stderr
    folder = tmp_path / ".workflow/runs/20260101-000000-000-aaaaaa"
    folder.mkdir(parents=True)
    ran = workflow("report", "x.md")
    assert ran.returncode == 2
    assert "the run 20260101-000000-000-aaaaaa was killed before it left anything that could be told" in ran.stderr
    for text in ("{", "[]", '{"format": 2}', "\udcff"):
        (folder / "report.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        ran = workflow("report", "x.md")
        assert ran.returncode == 2
        assert "is not a report that this version of workflow reads" in ran.stderr


def test_a_report_that_cannot_be_written_hinders_no_other(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """The run is broken, the others are there; and so for reports that are made later."""
    pipeline('[tasks.a]\ncmd = ["true"]\n')
    long = "x" * 245 + ".html"  # its temporary name is too long for the file system
    ran = workflow("run", "--report", long, "--report", "x.xml")
    assert ran.returncode == 4
    assert "cannot write" in ran.stderr
    assert (tmp_path / "x.xml").exists()
    assert json.loads((tmp_path / ".workflow/latest/report.json").read_text())["run"]["status"] == "broken"
    ran = workflow("report", long, "y.md")
    assert ran.returncode == 4
    assert ran.stderr.count("\n") == 1
    assert (tmp_path / "y.md").exists()


def test_a_step_of_github_gets_annotations_and_a_summary(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """On standard error, where the runner reads them too; standard output is for programs."""
    pipeline(MIXED)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_WORKSPACE": str(tmp_path)}
    ran = workflow("run", env=env)
    assert ran.returncode == 1
    assert ran.stdout == ""
    said = "'sh' ended with exit code 3%0A1 skipped because of it%0Awhy"
    assert [line for line in ran.stderr.split("\n") if line.startswith("::")] == [
        f"::error file=pipeline.toml,line=7,title=bad failed::{said}",
        "::warning file=pipeline.toml,line=10,title=odd failed::'false' ended with exit code 1",
    ]
    assert summary.read_text().startswith("before\n# ❌ `mixed`: failed\n")


def test_a_summary_that_cannot_be_written_changes_no_run(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """It is said, and that is all."""
    pipeline('[tasks.a]\ncmd = ["true"]\n')
    ran = workflow("run", env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "no/summary")})
    assert ran.returncode == 0
    assert "the summary of this step cannot be written" in ran.stderr


def test_no_report_holds_a_secret(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Made at the end of the run or later, nor what GitHub is told; the log keeps what else was printed."""
    (tmp_path / "mine.py").write_text("def spill(token):\n    print('token', token)\n    raise ValueError(token)\n")
    pipeline(
        '[secrets]\nT = { env = "PRIVATE" }\n[tasks.spill]\ncall = "mine:spill"\nargs = ["${secrets.T}"]\n'
        '[tasks.after]\ncmd = ["true"]\nneeds = ["spill"]\n'
    )
    summary = tmp_path / "summary.md"
    env = {
        "PRIVATE": "tok-4f8ae1-9c", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_WORKSPACE": str(tmp_path),
    }  # fmt: skip
    ran = workflow("run", *(part for name in ALL for part in ("--report", name)), env=env)
    assert ran.returncode == 1, ran.stderr
    later = workflow("report", *(f"later-{name}" for name in ALL))
    assert later.returncode == 0, later.stderr
    made = [tmp_path / f"{when}{name}" for name in ALL for when in ("", "later-")]
    for path in (*made, summary):
        text = path.read_text()
        assert "4f8ae1" not in text, path
        assert "***" in text, path
    assert "4f8ae1" not in ran.stderr
    assert "::error file=mine.py,line=3,title=spill failed::ValueError: ***%0A1 skipped because of it%0Atoken ***" in (
        ran.stderr
    )


def test_a_task_that_fails_before_it_succeeds_is_flaky_everywhere(
    workflow: Callable[..., Any], pipeline: Callable[[str], Path], tmp_path: Path
) -> None:
    """Build servers that know the word show it; the others see a success."""
    pipeline("[tasks.shaky]\nshell = 'test $WORKFLOW_ATTEMPT = 2'\nretries = 1\n")
    ran = workflow("run", "--report", "x.xml", "--report", "x.md")
    assert ran.returncode == 0, ran.stderr
    xml = (tmp_path / "x.xml").read_text()
    assert xml.count("<flakyFailure ") == 1
    assert 'failures="0" errors="0"' in xml
    assert "- `shaky` succeeded at attempt 2" in (tmp_path / "x.md").read_text()
