"""What reports are made of, as far as it is read from what a run left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.report.graph import read_graph
from workflow.report.material import Unreadable, read_material


@pytest.mark.parametrize(
    ("reason", "skipped"),
    [
        ("it needs bad@1, which failed", 1),
        ("it needs bad@1, which timed out", 1),
        ("it needs bad@1, which crashed", 1),
        ("it needs bad@1, which exceeded its memory", 1),
        ("it needs other, which was skipped because bad@1 failed", 1),
        ("it needs other, which was skipped because bad@1 exceeded its memory", 1),
        ("it needs bad@1, which was cancelled", 0),
        ("it needs bad@1, which was skipped because its 'if' is false", 0),
        ("it needs a failure of bad@1, and there was none", 0),
        (None, 0),
    ],
)
def test_what_a_skipped_task_was_skipped_for_is_read_from_its_reason(
    material: Callable[..., Any], record: Any, reason: str | None, skipped: int
) -> None:
    """The failure at the root of it, however far away."""
    made = material(record("bad@1", "failed"), record("after", "skipped", reason=reason))
    assert [failure.skipped for failure in made.failures] == [skipped]


def test_without_a_graph_a_run_that_succeeded_allowed_its_failures(material: Callable[..., Any], record: Any) -> None:
    """Of a run that failed, nothing is known to have been allowed."""
    from dataclasses import replace

    failed = [record("a", "failed", allow_failure=True), record("b", "failed")]
    assert [failure.allowed for failure in material(*failed).failures] == [False, True]
    assert [failure.allowed for failure in replace(material(*failed), graph=None).failures] == [False, False]
    assert [failure.allowed for failure in replace(material(failed[0]), graph=None).failures] == [True]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": 1}', '{"a": {"needs": 1, "allow_failure": false}}', '{"a": {"needs": []}}', "\udcff",
     '{"a": {"needs": [{"task": "b", "status": "odd"}], "allow_failure": false}}', "[" * 100_000],
)  # fmt: skip
def test_a_graph_that_was_hurt_is_none(tmp_path: Path, text: str) -> None:
    """The report is made without it."""
    (tmp_path / "graph.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_graph(tmp_path / "graph.json") is None
    assert read_graph(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"tasks": [{}]}, {"run": {}}, {"counts": {"odd": 1}}, {"counts": {"failed": "1"}}, {"more": 1}],
)
def test_a_report_that_is_none_is_refused(
    material: Callable[..., Any], record: Any, tmp_path: Path, change: Any
) -> None:
    """What makes reports can then rely on every field."""
    document = material(record("a", "failed")).document
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document))
    assert read_material(tmp_path).document == document
    path.write_text(json.dumps({**document, **change}))
    with pytest.raises(Unreadable, match="is not a report that this version of workflow reads"):
        read_material(tmp_path)
    path.write_text("[" * 100_000)
    with pytest.raises(Unreadable):
        read_material(tmp_path)
