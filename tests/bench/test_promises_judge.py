"""What the judge of the comparison makes of evidence; no pool is started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from bench.promises.judge import Finding, judge
from bench.promises.notes import OUTCOME, PUSHED, REFUSED
from bench.promises.scenarios import GRACE_S, LATE_NAMES, LATE_S, LIMIT_S, SCENARIOS, Promise, Scenario, number_of
from workflow.harness import journal
from workflow.harness.census import Sighting
from workflow.harness.evidence import Evidence
from workflow.harness.faulty import digest_of
from workflow.harness.journal import Entry
from workflow.harness.neighbours import value_of

CRASH = SCENARIOS["crash.segv"]
HANG = SCENARIOS["hang.setsid"]
VICTIM, WORKER, GRANDCHILD = "victim-0", 10, 11
LATEST_S = LIMIT_S + GRACE_S + LATE_S


def of_task(name: str, outcome: str, *, pid: int = WORKER) -> list[Entry]:
    """What is noted of a task that went its way."""
    return [
        Entry(0.0, 1, PUSHED, name, 0),
        Entry(0.0, pid, journal.BEGAN, name, 1),
        Entry(1.0, 1, OUTCOME, name, 0, outcome),
        Entry(1.0, 1, journal.CALLBACK, name, 1),
    ]


def of_neighbours(scenario: Scenario, *, without: Iterable[str] = ()) -> list[Entry]:
    names = [name for name in (*scenario.neighbour_names, *LATE_NAMES) if name not in without]
    return [
        entry
        for name in names
        for entry in of_task(name, f"succeeded {digest_of(value_of(number_of(name)))}", pid=WORKER + 100)
    ]


def of_victim(scenario: Scenario, outcome: str) -> list[Entry]:
    return [*of_task(VICTIM, outcome), Entry(0.1, WORKER, journal.FIRED, VICTIM, 1, scenario.kind)]


def seen(pid: int, last_s: float, *, parent: int = 1) -> Sighting:
    return Sighting(pid, 0, "task", parent, 0, f"process {pid}", 0.0, last_s)


def finding(
    scenario: Scenario,
    entries: Sequence[Entry],
    *,
    sightings: Sequence[Sighting] = (),
    left: Sequence[str] = (),
    exit_code: int | None = 0,
    missed: Sequence[str] = (),
    callback_limit: bool = True,
) -> Finding:
    evidence = Evidence(exit_code, 0.0, 10.0, "", "", None, None, entries, sightings, left, missed=missed)
    return judge(evidence, scenario, scenario.asked_of(limit=True, callback_limit=callback_limit))


def test_a_pool_that_does_everything_keeps_everything() -> None:
    """The victim is reported as crashed, everybody else is as if nothing had been."""
    made = finding(CRASH, [*of_victim(CRASH, "crashed X"), *of_neighbours(CRASH)])
    assert made.held
    assert made.code == ""


def test_a_task_without_an_outcome_is_seen() -> None:
    """It loses the first promise, and the end where the program waits for it for ever."""
    entries = [entry for entry in of_victim(CRASH, "crashed X") if entry.what not in (OUTCOME, journal.CALLBACK)]
    made = finding(CRASH, [*entries, *of_neighbours(CRASH)], exit_code=None, left=["task 10"])
    assert made.code == "OE"


@pytest.mark.parametrize("calls", [0, 2])
def test_a_callback_is_called_once(calls: int) -> None:
    """Neither not at all nor twice."""
    entries = [entry for entry in of_victim(CRASH, "failed X") if entry.what != journal.CALLBACK]
    entries += [Entry(1.0, 1, journal.CALLBACK, VICTIM, 1)] * calls
    assert finding(CRASH, [*entries, *of_neighbours(CRASH)]).code == "O"


def test_a_push_that_raises_is_an_outcome_without_a_callback() -> None:
    """A pool that says no at once has answered; that its neighbours' work is lost is another promise."""
    refused = [Entry(1.0, 1, PUSHED, LATE_NAMES[0], 0), Entry(1.0, 1, REFUSED, LATE_NAMES[0], 0, "crashed Broken")]
    entries = [*of_victim(CRASH, "crashed X"), *of_neighbours(CRASH, without=LATE_NAMES), *refused]
    assert finding(CRASH, entries).code == "N"


@pytest.mark.parametrize("outcome", ["succeeded abc", "timed_out X"])
def test_a_crash_is_no_success_and_no_timeout(outcome: str) -> None:
    """Whether it is called a crash or a failure is not asked."""
    assert finding(CRASH, [*of_victim(CRASH, outcome), *of_neighbours(CRASH)]).code == "R"


def test_a_hang_is_reported_as_timed_out() -> None:
    """Not as any failure."""
    assert finding(HANG, [*of_victim(HANG, "failed X"), *of_neighbours(HANG)]).code == "R"


@pytest.mark.parametrize(
    ("sightings", "code"),
    [
        ([seen(WORKER, LATEST_S - 0.1)], ""),
        ([seen(WORKER, LATEST_S + 0.1)], "D"),
        ([seen(WORKER, 1.0), seen(GRANDCHILD, LATEST_S + 0.1, parent=WORKER)], "D"),
        ([seen(WORKER + 100, LATEST_S + 9)], ""),
    ],
)
def test_the_task_and_its_tree_are_dead_in_time(sightings: list[Sighting], code: str) -> None:
    """Its process, and what that started; another worker may live."""
    entries = [*of_victim(HANG, "timed_out X"), *of_neighbours(HANG)]
    assert finding(HANG, entries, sightings=sightings).code == code


def test_a_process_that_was_kept_when_its_task_had_been_ended_is_no_late_one() -> None:
    """A pool may end a task by an exception: the task itself notes that it is over."""
    entries = [*of_victim(HANG, "timed_out X"), Entry(1.1, WORKER, journal.ENDED, VICTIM, 1), *of_neighbours(HANG)]
    assert finding(HANG, entries, sightings=[seen(WORKER, 9.0)]).held


def test_what_outlives_the_program_was_not_dead_in_time() -> None:
    """Also when the program was over before the time was: nobody is there to end it any more."""
    evidence = Evidence(
        0, 0.0, 1.5, "", "", None, None, [*of_victim(HANG, "timed_out X"), *of_neighbours(HANG)],
        [seen(WORKER, 1.0), seen(GRANDCHILD, 3.5, parent=WORKER)], ["task 11"],
    )  # fmt: skip
    assert judge(evidence, HANG, HANG.asked_of(limit=True, callback_limit=True)).code == "DL"


def test_a_neighbour_with_another_result_or_run_twice_is_hurt() -> None:
    """To be as if nothing had been is more than to succeed."""
    others = of_neighbours(CRASH, without=["neighbour-1"])
    wrong = of_task("neighbour-1", "succeeded 0000")
    assert finding(CRASH, [*of_victim(CRASH, "crashed X"), *others, *wrong]).code == "N"
    twice = [*of_neighbours(CRASH), Entry(0.5, 12, journal.BEGAN, "neighbour-1", 1)]
    assert finding(CRASH, [*of_victim(CRASH, "crashed X"), *twice]).code == "N"


def test_a_fault_that_did_not_strike_shows_nothing() -> None:
    """Neither for the pool nor against it."""
    made = finding(CRASH, [*of_task(VICTIM, "succeeded x"), *of_neighbours(CRASH)])
    assert made.code == "?"
    assert not made.held
    assert finding(CRASH, of_victim(CRASH, "crashed X"), missed=["SIGKILL to parent"]).code == "?"


def test_of_a_callback_without_a_limit_only_the_others_are_asked() -> None:
    """A pool does not have to end what it never promised to; but the other tasks have nothing to do with it."""
    hang = SCENARIOS["callback.hang"]
    fired = [Entry(0.5, 1, journal.FIRED, VICTIM, 1, hang.kind)]
    stuck = [*fired, *of_neighbours(hang, without=LATE_NAMES)]
    assert finding(hang, stuck, exit_code=None, callback_limit=False).held
    lost = [*fired, *of_neighbours(hang, without=("neighbour-3", *LATE_NAMES))]
    assert finding(hang, lost, exit_code=None, callback_limit=False).code == "ON"
    assert finding(hang, stuck, exit_code=None).code == "OE"


def test_a_pool_without_a_time_limit_is_not_asked_about_hangs() -> None:
    """That is a feature it does not have, and no promise broken."""
    for scenario in SCENARIOS.values():
        asked = scenario.asked_of(limit=False, callback_limit=False)
        assert bool(asked) != scenario.id.startswith("hang."), scenario.id
        assert Promise.DEAD not in asked


def test_every_scenario_has_a_neighbour() -> None:
    """And the names of tasks are told apart by their prefix."""
    for scenario in SCENARIOS.values():
        assert scenario.neighbours
        assert scenario.asks
