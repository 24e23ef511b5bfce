from __future__ import annotations

import pytest

import workflow.harness
from workflow.harness import kinds, oracle, pipeline, rules, scenario, under_faults


def test_what_tests_need_is_named_at_the_front() -> None:
    """Every public name is there, is the one of its module, and is listed; no other is."""
    homes = (kinds, oracle, pipeline, rules, scenario, under_faults)
    for name in workflow.harness.__all__:
        found = {id(vars(home)[name]) for home in homes if name in vars(home)}
        assert {id(getattr(workflow.harness, name))} == found
        assert name in dir(workflow.harness)
    assert workflow.harness.__all__ == list(workflow.harness._HOMES)
    with pytest.raises(AttributeError, match="has no attribute 'injekt'"):
        workflow.harness.injekt  # noqa: B018
