"""All scenarios, in the order in which they are run."""

from __future__ import annotations

from workflow.harness.scenario import Scenario
from workflow.harness.scenarios import callback, crash, death, hang, payload, place, stop

SCENARIOS: tuple[Scenario, ...] = (
    *hang.SCENARIOS,
    *crash.SCENARIOS,
    *payload.SCENARIOS,
    *callback.SCENARIOS,
    *death.SCENARIOS,
    *stop.SCENARIOS,
    *place.SCENARIOS,
)


def by_id() -> dict[str, Scenario]:
    """Each by its id."""
    return {scenario.id: scenario for scenario in SCENARIOS}
