"""Runs that never were, as reports are made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.outcome import Attempt, CallbackRecord, ErrorRecord, Outcome
from workflow.report.material import Graph, Material, material_of
from workflow.report.records import RunRecord, TaskRecord, Verdict

STARTED = 1_700_000_000.0
TRACEBACK = """\
Traceback (most recent call last):
  File "/here/feeds.py", line 14, in fetch
    raise ValueError("bad")
ValueError: bad
"""
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>&amp;<![CDATA[",
    "``` \n````\n~~~",
    "a|b\\|c `x` ``y`` @somebody #1 [l](http://x) **b**",
    "nul \x00 bell \x07 escape \x1b[31mred\x1b[0m del \x7f",
    "line \u2028 paragraph \u2029 rtl \u202e bom \ufeff nonchar \uffff",
    "surrogate \ud800 and \udfff emoji \U0001f600",
    "::error::x %0A ##[error]y",
    "{{ 7*7 }} {% raw %} ${x}",
    "tab\tcr\rlf\nvt\x0b",
)
"""What names, messages and output may be made of."""


@pytest.fixture
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture
def record() -> Callable[..., TaskRecord]:
    """Answer a maker of tasks that have ended: ``record("a", "failed", message="bad")``."""

    def make(task: str, outcome: str = "succeeded", *earlier: str, message: str = "bad", **more: Any) -> TaskRecord:
        def attempt(number: int, how: str) -> Attempt:
            error = None if how == "succeeded" else ErrorRecord("ValueError", message, TRACEBACK)
            started_at = more.get("at", STARTED) + number - 1
            return Attempt(number, Outcome(how), started_at, 0.25, 7, error=error, peak_rss_bytes=1 << 20, cpu_s=0.5)

        began = outcome not in {"skipped", "cached"}
        attempts = tuple(attempt(number, how) for number, how in enumerate((*earlier, outcome), 1)) if began else ()
        given = {key: value for key, value in more.items() if key != "at"}
        return TaskRecord(**{"id": task, "name": task.partition("@")[0], "matrix": None, "outcome": Outcome(outcome),
                             "attempts": attempts, **given})  # fmt: skip

    return make


@pytest.fixture
def material(tmp_path: Path) -> Callable[..., Material]:
    """Answer a maker of runs: ``material(record("a"), log={"a": "text"}, needs={"b": ["a"]})``."""

    def make(*records: TaskRecord, log: Any = (), needs: Any = (), code: int | None = None, **run: Any) -> Material:
        (tmp_path / "logs").mkdir(exist_ok=True)
        for number, (task, text) in enumerate(dict(log).items()):
            path = tmp_path / "logs" / f"{number}.log"
            path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
            next(each for each in records if each.id == task).log = f"logs/{path.name}"
        failed = any(each.outcome.is_failure and not each.allow_failure for each in records)
        code = int(failed) if code is None else code
        names: Graph = {
            each.name: {
                "needs": [{"task": name, "status": "success"} for name in dict(needs).get(each.name, ())],
                "allow_failure": each.allow_failure,
            }
            for each in records
        }
        fields: dict[str, Any] = {
            "id": "20231114-221320-000-abcdef", "name": "audit", "file": "/here/pipeline.toml",
            "plan_hash": "sha256:0", "started_at": STARTED, "engine": "local", "pool": 2, "host": "h", "pid": 1,
            "python": "3.11", "version": "0", "git": None, "argv": ("workflow", "run"), "tasks": len(records),
            "seed": 5,
            "folder": str(tmp_path),
        }  # fmt: skip
        verdict = Verdict(code, "failed" if code else "succeeded", None, STARTED + 9, 9.0)
        return material_of(RunRecord(**{**fields, **run}), verdict, dict(enumerate(records)), names, tmp_path)

    return make


@pytest.fixture
def callback() -> CallbackRecord:
    """Answer a callback that did not succeed."""
    return CallbackRecord("error_callback", Outcome.FAILED, ErrorRecord("KeyError", "oh"))
