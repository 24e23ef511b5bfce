"""The fault harness: it runs real batches, hurts them on purpose, and judges what came of it.

``kinds`` says what can be injected and what must come of it, ``victims`` does the harm, in the worker; ``scenarios``
holds the catalogue; ``experiment`` runs one batch and watches it from outside; ``oracle`` judges, by the same nine
promises each time.  It knows the engine by the package's front door and by what a run leaves, never by its insides:
what judges must not share the mistakes of what is judged.

In tests, a pipeline of one's own is put under faults by what is named here::

    from workflow.harness import inject, run_under_faults

    def test_a_crash_of_one_feed_costs_nothing_else():
        result = run_under_faults("pipeline.toml", inject("crash.segv", "fetch@*", probability=0.5), seed=7)
        assert result.passed, result.explain()
        assert result.outcomes["merge"] == "succeeded"

Whoever has pytest has the same as the fixture ``workflow_chaos``.  The names are loaded when they are first used: a
worker under faults imports this package too.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see workflow/__init__.py
if TYPE_CHECKING:
    from workflow.harness.kinds import KINDS, Kind
    from workflow.harness.oracle import PROMISES, Finding, Verdict
    from workflow.harness.pipeline import Hypothesis, NoControl
    from workflow.harness.rules import BadRule, Rule, inject
    from workflow.harness.scenario import Result
    from workflow.harness.under_faults import run_under_faults

_HOMES = {
    "KINDS": "kinds",
    "PROMISES": "oracle",
    "BadRule": "rules",
    "Finding": "oracle",
    "Hypothesis": "pipeline",
    "Kind": "kinds",
    "NoControl": "pipeline",
    "Result": "scenario",
    "Rule": "rules",
    "Verdict": "oracle",
    "inject": "rules",
    "run_under_faults": "under_faults",
}

__all__ = [
    "KINDS",
    "PROMISES",
    "BadRule",
    "Finding",
    "Hypothesis",
    "Kind",
    "NoControl",
    "Result",
    "Rule",
    "Verdict",
    "inject",
    "run_under_faults",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'workflow.harness' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    value: object = getattr(import_module(f"workflow.harness.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
