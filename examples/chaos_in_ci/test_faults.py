"""The same as tests: pytest finds the fixture wherever `workflow` is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workflow.harness import Result


def test_the_page_is_made_whatever_happens_in_the_night(workflow_chaos: Callable[..., Result]) -> None:
    """What the faults file expects, with its own seed."""
    workflow_chaos("pipeline.toml", Path("faults.toml"))


def test_a_market_that_cannot_be_had_costs_nothing_but_itself(workflow_chaos: Callable[..., Result]) -> None:
    """Whatever the reason is; the run without faults, to compare with, is made once for both."""
    for kind in ("crash.sigkill", "payload.unpicklable"):
        result = workflow_chaos("pipeline.toml", f"{kind}:fetch@tokyo")
        assert result.outcomes["index"] == "succeeded"
