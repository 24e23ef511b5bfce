"""A few scenarios for real: each of another kind of evidence."""

from __future__ import annotations

import pytest

from workflow.harness.catalogue import by_id
from workflow.harness.scenario import check


@pytest.mark.parametrize("name", ["hang.daemon", "crash.sigkill", "crash.blame"])
def test_the_scenario_holds(name: str) -> None:
    """With blows, processes that outlive their parent, tasks behind others; ``workflow chaos`` runs all the rest."""
    result = check(by_id()[name], seed=1)
    assert result.passed, (result.error, [v for v in result.verdicts if not v.finding.passes], result.details)
