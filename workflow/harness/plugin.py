"""A fixture for pytest, there wherever this package is installed: a pipeline under faults is a test.

    def test_a_crash_of_one_feed_costs_nothing_else(workflow_chaos):
        result = workflow_chaos("pipeline.toml", "crash.segv:fetch@*:0.5", seed=7)
        assert result.outcomes["merge"] == "succeeded"

It adds this fixture and nothing else: no option, no hook, nothing that acts by itself.  The harness is imported when
a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from workflow.harness.scenario import Result


@pytest.fixture
def workflow_chaos(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Run a pipeline under faults; the test fails, with the story, when a promise is broken or no fault struck.

    Called as ``workflow.harness.run_under_faults`` is, with the path of the pipeline and of faults files relative to
    the test's own folder; the run without faults is made once in a test.  Answers the Result.
    """
    from workflow.harness.rules import Rule
    from workflow.harness.under_faults import Controls, Fault

    controls, folder = Controls(), request.path.parent

    def here(fault: Fault) -> Fault:
        return folder / fault if isinstance(fault, os.PathLike) else fault

    def check(file: str | os.PathLike[str], faults: Fault | Sequence[Fault], **options: Any) -> Result:
        __tracebackhide__ = True
        several = [faults] if isinstance(faults, (Rule, str, os.PathLike)) else faults
        result = controls.run_under_faults(folder / file, [here(fault) for fault in several], **options)
        if not result.passed:
            pytest.fail(result.explain(), pytrace=False)
        if not result.injected:
            told = f"no fault struck any task, so nothing was tested; another seed may: {result.reproduce}"
            pytest.fail(told, pytrace=False)
        return result

    return check
