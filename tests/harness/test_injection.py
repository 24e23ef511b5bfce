"""The tasks that stand in for others."""

from __future__ import annotations

from workflow.harness.injection import Injected, disguised
from workflow.info_task import InfoTask, RetryPolicy


def test_a_retry_that_faults_need_is_held_where_others_would_be() -> None:
    """Whoever gives out tokens is asked for it too."""
    for held in (False, True):
        task = InfoTask("workflow.tasks.Call", 5, "os:getpid", id="a", retries=RetryPolicy(held=held))
        assert disguised(task, Injected((), retries=2)).retries == RetryPolicy(2, jitter=False, held=held)
