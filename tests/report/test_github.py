"""What GitHub Actions is told, as its runner reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow.report.github import annotation_lines, append_summary

COMMAND = re.compile(r"::(?P<name>error|warning) (?P<properties>[^:]*)::(?P<data>.*)")


def parsed(line: str) -> dict[str, str]:
    """As the runner does it: it splits at the commas, and then unescapes."""
    match = COMMAND.fullmatch(line)
    assert match is not None, line
    properties = dict(part.split("=", 1) for part in match["properties"].split(","))
    unescaped = {key: unescape(value) for key, value in properties.items()}
    return {"name": match["name"], "message": unescape(match["data"]), **unescaped}


def unescape(text: str) -> str:
    for code, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_a_failure_is_shown_where_it_happened(material: Callable[..., Any], record: Any) -> None:
    """Relative to the workspace, with the end of the log."""
    made = material(record("a", "failed"), log={"a": "one\ntwo 100%\n"})
    (line,) = annotation_lines(made, {"GITHUB_WORKSPACE": "/here"})
    assert parsed(line) == {
        "name": "error",
        "file": "feeds.py",
        "line": "14",
        "title": "a failed",
        "message": "ValueError: bad\none\ntwo 100%",
    }


def test_what_is_not_in_the_workspace_is_shown_where_the_file_declares_it(
    material: Callable[..., Any], record: Any, tmp_path: Path
) -> None:
    """The runner can only show what is checked out."""
    file = tmp_path / "pipeline.toml"
    file.write_text("[tasks.b]\ncmd = []\n\n[tasks.a]\ncmd = []\n")
    (line,) = annotation_lines(material(record("a", "failed"), file=str(file)), {"GITHUB_WORKSPACE": str(tmp_path)})
    assert (parsed(line)["file"], parsed(line)["line"]) == ("pipeline.toml", "4")


def test_ten_of_each_the_worst_first(material: Callable[..., Any], record: Any) -> None:
    """GitHub drops the others."""
    records = [record(f"t{n}", "failed") for n in range(30)]
    records += [record(f"s{n}", "skipped", reason="it needs t20, which failed") for n in range(2)]
    records += [record(f"o{n}", "failed", allow_failure=True) for n in range(30)]
    found = [parsed(line) for line in annotation_lines(material(*records), {})]
    assert [each["name"] for each in found] == ["error"] * 10 + ["warning"] * 10
    assert found[0]["title"] == "t20 failed"
    assert "2 skipped because of it" in found[0]["message"]


def test_failures_that_are_alike_have_one_annotation(material: Callable[..., Any], record: Any) -> None:
    """Else the one that crashed would be dropped."""
    records = [record(f"t@{n}", "failed") for n in range(30)]
    found = [parsed(line) for line in annotation_lines(material(*records, record("u", "crashed")), {})]
    assert [each["title"] for each in found] == ["t@0 failed", "u crashed"]
    assert found[0]["message"] == "ValueError: bad\nand 29 more like it: t@1, t@2, …"


def test_no_message_ends_its_command(material: Callable[..., Any], record: Any, hostile: tuple[str, ...]) -> None:
    """One line each, and the runner finds the parts again."""
    records = [record(f"t{n},:%0A{text}", "failed", message=f"{text}\n::error::x") for n, text in enumerate(hostile)]
    made = material(
        *records, log={each.id: f"::stop-commands::x\n{text}" for each, text in zip(records, hostile, strict=True)}
    )
    lines = list(annotation_lines(made, {"GITHUB_WORKSPACE": "/here"}))
    assert len(lines) == 10
    for line, task in zip(lines, records, strict=False):
        assert "\n" not in line
        assert parsed(line)["line"] == "14"
        assert parsed(line)["title"].startswith(task.id[:6])


def test_the_summary_stays_below_what_github_takes(material: Callable[..., Any], record: Any, tmp_path: Path) -> None:
    """Together with what is there already; and is cut at a line when nothing else helps."""
    path = tmp_path / "summary"
    log = "x" * 100 + "\n"
    records = [record(f"t{n}", "failed") for n in range(2000)]
    made = material(*records, log={each.id: log * 200 for each in records[:60]})
    path.write_text("before\n" * 140_000)
    append_summary(made, path)
    assert path.stat().st_size <= 1024 * 1024
    assert "# ❌ `audit`: failed" in path.read_text()
    path.write_text("x" * (1024 * 1024 - 300))
    append_summary(made, path)
    assert 1024 * 1024 - 300 < path.stat().st_size <= 1024 * 1024
    assert path.read_text().endswith("has no room here: GitHub shows at most 1 MiB.*\n")
    path.write_text("x" * 1024 * 1024)
    append_summary(made, path)
    assert path.stat().st_size == 1024 * 1024


def test_a_run_that_did_not_end_by_itself_says_why_first(material: Callable[..., Any], record: Any) -> None:
    """No task is to blame for it."""
    reason = "the run reached its time limit of 9 s"
    made = material(
        record("a", "failed"), record("b", "cancelled", reason=reason), code=124, status="timed_out"
    )  # fmt: skip
    first, second = (parsed(line) for line in annotation_lines(made, {"GITHUB_WORKSPACE": "/here"}))
    assert first == {"name": "error", "file": "pipeline.toml", "title": "the run timed out", "message": reason}
    assert second["title"] == "a failed"
