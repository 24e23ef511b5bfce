"""A task that does not end."""

from __future__ import annotations

from workflow.harness.batch import Batch
from workflow.harness.scenario import Scenario, of_batch

SCENARIOS = (
    Scenario(
        "hang.sleep",
        "a task sleeps for ever",
        "timed_out; the stack shows the sleeping line",
        of_batch(Batch(["hang.sleep"])),
        smoke=True,
    ),
    Scenario(
        "hang.gil",
        "a task holds the GIL in a C loop, another in a catastrophic regular expression",
        "timed_out, on time; the stack shows the line",
        of_batch(Batch(["hang.gil", "hang.regex"])),
        smoke=True,
    ),
)
