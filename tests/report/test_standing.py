"""How long a run will still take, from what it took so far."""

from __future__ import annotations

from workflow.outcome import Attempt, Outcome
from workflow.report.records import TaskRecord
from workflow.report.standing import Pace, RunningTask


def ended(name: str, took_s: float) -> TaskRecord:
    return TaskRecord(name, name, None, Outcome.SUCCEEDED, attempts=(Attempt(1, Outcome.SUCCEEDED, 100.0, took_s, 7),))


def skipped(name: str) -> TaskRecord:
    return TaskRecord(name, name, None, Outcome.SKIPPED)


def test_nothing_is_said_before_something_has_ended() -> None:
    """A guess needs something to go by; what was skipped took no time and says nothing."""
    pace = Pace({"a": 3}, 2)
    assert pace.left_s([RunningTask("a", 1, 100.0, "a")], 200.0) is None
    pace.ended([skipped("a")])
    assert pace.left_s([], 200.0) is None


def test_what_waits_is_shared_by_the_workers() -> None:
    """Each name by what its own tasks took, unknown ones by the mean of all."""
    pace = Pace({"quick": 11, "slow": 3, "new": 1}, 2)
    pace.ended([ended("quick", 1.0), ended("slow", 9.0)])
    assert pace.left_s([], 0.0) == (10 * 1.0 + 2 * 9.0 + 5.0) / 2


def test_what_runs_has_a_part_of_it_behind_it() -> None:
    """At most what such a task takes; and nobody is done before the longest that runs."""
    pace = Pace({"a": 3}, 4)
    pace.ended([ended("a", 10.0)])
    running = [RunningTask("a@1", 1, 100.0, "a"), RunningTask("a@2", 1, 60.0, "a")]
    assert pace.left_s(running, 104.0) == 6.0
    assert pace.left_s(running[1:], 104.0) == 10.0 / 4


def test_it_is_never_less_than_nothing() -> None:
    """Whatever order the facts come in."""
    pace = Pace({"a": 1}, 2)
    pace.ended([ended("a", 1.0)])
    assert pace.left_s([RunningTask("a", 1, 0.0, "a")], 100.0) == 0.0
