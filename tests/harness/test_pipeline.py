"""What had to come of a pipeline under faults: told from its plan, its run without faults, and how the others ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from workflow.harness import pipeline
from workflow.harness.evidence import OUTCOMES, Evidence, ExpectedTask
from workflow.harness.faulty import Strike
from workflow.harness.injection import Injected
from workflow.harness.kinds import KINDS
from workflow.harness.pipeline import Control, Hypothesis, applicable, expected_of, injections
from workflow.harness.rules import BadRule
from workflow.plan.plan import Plan

MakePlan = Callable[[str], Plan]
MakeControl = Callable[..., Control]
Told = Callable[..., dict[str, Any]]

CHAIN = """
[tasks.a]
call = "lib:a"
[tasks.b]
call = "lib:b"
needs = ["a"]
[tasks.c]
call = "lib:c"
needs = ["b"]
[tasks.cleanup]
cmd = ["true"]
needs = [{ task = "a", status = "failure" }]
[tasks.report]
cmd = ["true"]
needs = [{ task = "a", status = "any" }, { task = "b", status = "any" }]
[tasks.alone]
call = "lib:alone"
"""
WELL = {"a": "succeeded", "b": "succeeded", "c": "succeeded", "report": "succeeded", "alone": "succeeded"}
ONE = '[tasks.a]\ncall = "lib:a"\n'
SKIPPED = ExpectedTask(frozenset({"skipped"}), frozenset({None}))


def strikes(*kinds: str) -> tuple[Strike, ...]:
    return tuple(Strike(kind, None) for kind in kinds)


def test_what_no_fault_reaches_comes_out_as_without(make_plan: MakePlan, make_control: MakeControl, told: Told) -> None:
    """Outcome, callback, attempts and result."""
    plan, control = make_plan(CHAIN), make_control(**WELL, cleanup="skipped")
    expected = expected_of(plan, control, {"b": strikes("crash.segv")}, told(**WELL, cleanup="skipped"))
    alone = ExpectedTask(frozenset({"succeeded"}), frozenset({None}), attempts=1, digest="of alone")
    assert expected["alone"] == alone
    assert expected["a"] == replace(alone, digest="of a")
    assert expected["cleanup"] == SKIPPED


def test_needs_decide_behind_a_struck_task(make_plan: MakePlan, make_control: MakeControl, told: Told) -> None:
    """What needs its success is skipped, what needs its failure runs, what needs any end runs as it likes."""
    plan, control = make_plan(CHAIN), make_control(**WELL, cleanup="skipped")
    ended = told(a="crashed", b="skipped", c="skipped", cleanup="succeeded", report="succeeded", alone="succeeded")
    expected = expected_of(plan, control, {"a": strikes("crash.segv")}, ended)
    assert expected["a"].outcomes == {"crashed"}
    assert expected["a"].signal == "SIGSEGV"
    assert expected["b"] == expected["c"] == SKIPPED
    assert expected["cleanup"] == expected["report"] == ExpectedTask(frozenset({"succeeded"}))
    ended["report"]["outcome"] = "failed"
    ended["cleanup"]["outcome"] = "skipped"
    expected = expected_of(plan, control, {"a": strikes("crash.segv")}, ended)
    assert expected["report"] == ExpectedTask(frozenset({"failed"}))
    assert expected["cleanup"] == ExpectedTask(OUTCOMES - {"skipped", "cached"})


def test_a_struck_task_behind_a_struck_one_is_skipped_like_any_other(
    make_plan: MakePlan, make_control: MakeControl, told: Told
) -> None:
    """Its fault need not fire then."""
    plan, control = make_plan(CHAIN), make_control(**WELL, cleanup="skipped")
    struck = {"a": strikes("crash.segv"), "b": strikes("hang.sleep")}
    ended = told(a="crashed", b="skipped", c="skipped", cleanup="succeeded", report="succeeded", alone="succeeded")
    assert expected_of(plan, control, struck, ended)["b"] == SKIPPED


def test_a_struck_task_that_could_not_be_given_a_result_need_not_have_been_struck(
    make_plan: MakePlan, make_control: MakeControl, told: Told
) -> None:
    """It failed before it began, for what a fault had made of what it takes."""
    plan, control = make_plan(CHAIN), make_control(**WELL, cleanup="skipped")
    struck = {"a": strikes("crash.unpickle_result.raise"), "b": strikes("crash.segv")}
    ended = told(**{**WELL, "b": "failed", "c": "skipped"}, cleanup="skipped")
    ended["b"]["attempts"] = []
    assert expected_of(plan, control, struck, ended)["b"].faults == ()
    ended["b"]["attempts"] = [{"number": 1}]
    assert expected_of(plan, control, struck, ended)["b"].faults == ("crash.segv",)


def test_allowed_failures_are_failures_for_needs_and_not_for_the_exit_code(
    make_plan: MakePlan, make_control: MakeControl, told: Told
) -> None:
    """As the file's own rules say."""
    plan = make_plan(ONE + 'allow_failure = true\n[tasks.b]\ncmd = ["true"]\nneeds = ["a"]\n')
    control = make_control(a="succeeded", b="succeeded")
    ended = told(a="crashed", b="skipped")
    assert expected_of(plan, control, {"a": strikes("crash.segv")}, ended)["b"] == SKIPPED
    assert pipeline._exit_codes(plan, ended) == {0}
    assert pipeline._exit_codes(make_plan(ONE), told(a="crashed")) == {1}
    assert pipeline._exit_codes(make_plan(ONE), told(a="cancelled")) == {1}
    assert pipeline._exit_codes(make_plan(ONE), told(a="skipped")) == {0}
    assert pipeline._exit_codes(make_plan("[pipeline]\ntimeout = 9\n" + ONE), told(a="cancelled")) == {1, 124}


@pytest.mark.parametrize(
    ("kind", "outcome", "faults", "outcomes", "callback"),
    [
        ("crash.segv", "crashed", ("crash.segv",), {"crashed"}, {None}),
        ("payload.flood", "failed", ("payload.flood",), {"failed"}, None),
        ("callback.raise", "failed", (), {"failed"}, None),
        ("callback.raise", "succeeded", ("callback.raise",), {"succeeded"}, {"failed"}),
    ],
)
def test_a_struck_task_that_others_have_changed_owes_what_its_fault_decides(
    make_plan: MakePlan, make_control: MakeControl, told: Told, kind: str, outcome: str, faults: tuple[str, ...],
    outcomes: set[str], callback: set[str | None] | None,
) -> None:  # fmt: skip
    """If it does its own work, it may fail for what it was given; a callback of its success is not called then."""
    plan, control = make_plan(CHAIN), make_control(**WELL, cleanup="skipped")
    struck = {"a": strikes("payload.flood"), "b": strikes(kind)}
    ended = told(**{**WELL, "b": outcome, "c": "succeeded" if outcome == "succeeded" else "skipped"}, cleanup="skipped")
    expected = expected_of(plan, control, struck, ended)["b"]
    assert expected.faults == faults
    assert expected.outcomes == outcomes
    assert expected.callback == callback


@pytest.mark.parametrize("setting", ['halt = "soon"', 'halt = "now"', "max_failures = 2", "timeout = 60"])
def test_a_run_that_can_be_ended_may_cancel_and_is_held_to_the_rest(
    make_plan: MakePlan, make_control: MakeControl, told: Told, setting: str
) -> None:
    """A task that was cancelled owes nothing; one that was not owes what it always does."""
    plan, control = make_plan(f"[pipeline]\n{setting}\n{CHAIN}"), make_control(**WELL, cleanup="cancelled")
    struck = {"a": strikes("crash.segv"), "alone": strikes("hang.sleep")}
    ended = told(a="crashed", b="skipped", c="cancelled", cleanup="succeeded", report="cancelled", alone="cancelled")
    expected = expected_of(plan, control, struck, ended)
    assert expected["a"].outcomes == {"crashed", "cancelled"}
    assert expected["a"].faults == ("crash.segv",)
    assert expected["alone"] == ExpectedTask(frozenset({"cancelled"}))
    assert expected["b"].outcomes == {"skipped", "cancelled"}
    assert expected["cleanup"].outcomes == {"succeeded", "cancelled"}
    fired = next(iter(pipeline._outcomes_check(plan, Hypothesis(), struck)(_evidence(ended))), "")
    assert fired == "no fault fired before the run was ended"


@pytest.mark.parametrize(
    ("kinds", "fires", "outcome", "callback"),
    [
        (("hang.sleep", "hang.import"), ("hang.import",), "timed_out", {"failed", None}),
        (("crash.segv", "hang.sleep"), ("crash.segv",), "crashed", None),
        (("payload.flood", "crash.exit"), ("payload.flood", "crash.exit"), "crashed", None),
        (("crash.exit", "payload.flood"), ("crash.exit",), "crashed", None),
        (("payload.flood",), ("payload.flood",), "succeeded", {"succeeded"}),
        (("payload.flood", "callback.raise"), ("payload.flood", "callback.raise"), "succeeded", {"failed"}),
        (("callback.exit", "callback.raise"), ("callback.exit",), "succeeded", {"crashed"}),
        (("callback.raise", "crash.segv"), ("crash.segv",), "crashed", None),
        (("crash.unpickle_result.exit", "callback.raise"), ("crash.unpickle_result.exit",), "succeeded",
         {"crashed", None}),
        (("error_callback.raise",), ("error_callback.raise",), "failed", {"failed"}),
        (("crash.unpickle_args.exit", "callback.missing"), ("callback.missing",), "failed", {"failed", None}),
        (("hang.init", "crash.unpickle_args.exit"), ("crash.unpickle_args.exit",), "crashed", None),
        (("crash.pickle_result.raise", "crash.segv"), ("crash.pickle_result.raise",), "failed", None),
    ],
)  # fmt: skip
def test_of_several_faults_the_first_that_decides_is_the_one(
    make_plan: MakePlan, make_control: MakeControl, told: Told, kinds: tuple[str, ...], fires: tuple[str, ...],
    outcome: str, callback: set[str | None] | None,
) -> None:  # fmt: skip
    """In the order of the task's way; what would strike behind it need not fire."""
    plan = make_plan('[tasks.a]\nmodule = "lib.A"\n')
    well = told(a="succeeded")
    well["a"]["callback"] = {"outcome": "succeeded"}
    control = make_control(well)
    (expected,) = expected_of(plan, control, {"a": strikes(*kinds)}, told(a=outcome)).values()
    assert expected.faults == fires
    assert expected.outcomes == {outcome}
    assert expected.callback == callback
    error = KINDS[fires[-1]].callback_error if callback in ({"failed"}, {"crashed"}) else None
    assert expected.callback_error == error


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.outcome == "succeeded"], ids=lambda k: k.id)
def test_a_task_that_fails_by_itself_fails_under_a_fault_that_lets_it_work(
    make_plan: MakePlan, make_control: MakeControl, told: Told, kind: Any
) -> None:
    """Only a fault that returns something of its own makes it succeed."""
    plan, control = make_plan('[tasks.a]\nmodule = "lib.A"\n'), make_control(a="failed")
    struck = {"a": strikes(kind.id)}
    (expected,) = expected_of(plan, control, struck, told(a="failed")).values()
    own = kind.id == "payload.huge" or kind.id.startswith("crash.unpickle_result")
    assert expected.outcomes == ({"succeeded"} if own else {"failed"})
    assert bool(applicable(control, struck)) is (kind.stage != "callback")


def test_strikes_that_cannot_fire_are_left_out(make_control: MakeControl) -> None:
    """On a task that never began; at a callback that is not called; at an attempt that there is not."""
    control = make_control(a="succeeded", b="skipped", c="failed")
    struck = {
        "a": (Strike("crash.segv", 2), Strike("callback.raise", None), Strike("crash.exit", 1)),
        "b": strikes("crash.segv"),
        "c": strikes("callback.raise"),
        "unknown": strikes("crash.segv"),
    }
    assert applicable(control, struck) == {"a": (Strike("callback.raise", None), Strike("crash.exit", 1))}


@pytest.mark.parametrize(
    ("kind", "timeout_s", "callback_timeout_s", "grace_s"),
    [
        ("hang.sleep", 2.0, None, 1.0),
        ("crash.memory", 10.0, None, 1.0),
        ("callback.hang", None, 2.0, None),
        ("crash.segv", None, None, None),
        ("payload.flood", None, None, None),
    ],
)
def test_limits_are_lowered_where_a_fault_would_only_wait_for_them(
    make_plan: MakePlan, make_control: MakeControl, kind: str, timeout_s: float, callback_timeout_s: float,
    grace_s: float,
) -> None:  # fmt: skip
    """Others stay: a fault must not change more than it has to."""
    plan, control = make_plan(ONE), make_control(a="succeeded")
    injected = injections(plan, control, {"a": strikes(kind), "b": strikes(kind)})
    assert injected == {"a": Injected(strikes(kind), timeout_s, callback_timeout_s, grace_s)}


def test_a_limit_is_never_lowered_to_what_the_task_may_need(make_plan: MakePlan, make_control: MakeControl) -> None:
    """Three times what it took without the fault."""
    control = make_control(a="succeeded")
    control.evidence.tasks["a"]["attempts"][0]["duration_s"] = 5.0
    injected = injections(make_plan(ONE), control, {"a": strikes("hang.sleep")})
    assert injected["a"].timeout_s == 15.0


@pytest.mark.parametrize(
    ("toml", "kind", "outcomes"),
    [
        ("timeout = 1\n", "crash.memory", {"memory_exceeded", "timed_out"}),
        ("timeout = 1\n", "payload.flood", {"succeeded", "timed_out"}),
        ("timeout = 1\n", "crash.segv", {"crashed"}),
        ("", "crash.memory", {"memory_exceeded"}),
        ("", "payload.huge", {"succeeded"}),
        ('[pipeline]\nmax_result = "1MiB"\n', "payload.huge", {"succeeded", "failed"}),
    ],
)
def test_the_files_own_limits_may_come_before_a_slow_or_large_fault(
    make_plan: MakePlan, make_control: MakeControl, told: Told, toml: str, kind: str, outcomes: set[str]
) -> None:
    """They are the user's, and right."""
    plan, control = make_plan(ONE + toml), make_control(a="succeeded")
    (expected,) = expected_of(plan, control, {"a": strikes(kind)}, told(a="succeeded")).values()
    assert expected.outcomes == outcomes


def test_the_limit_that_a_hang_is_held_to_is_the_lower_one(
    make_plan: MakePlan, make_control: MakeControl, told: Told
) -> None:
    """The file's, or the one it was lowered to; grace likewise."""
    control = make_control(a="succeeded")
    for toml, timeout_s, grace_s in (("", 2.0, 1.0), ("timeout = 0.5\ngrace = 0.2\n", 0.5, 0.2)):
        plan = make_plan(ONE + toml)
        expected = expected_of(plan, control, {"a": strikes("hang.sleep")}, told(a="timed_out"))["a"]
        assert (expected.timeout_s, expected.grace_s) == (timeout_s, grace_s)


def test_temporary_files_count_unless_the_pipeline_leaves_some_by_itself() -> None:
    """Processes always count."""
    left = ["temporary file x", "worker 7 (sleep)"]
    assert list(pipeline._not_its_own(left, [])) == left
    assert list(pipeline._not_its_own(left, ["temporary file y"])) == ["worker 7 (sleep)"]


def test_a_hypothesis_is_checked_where_it_is_made() -> None:
    """An outcome that there is not could never be met."""
    with pytest.raises(BadRule, match="there is no outcome 'suceeded', did you mean 'succeeded'"):
        Hypothesis(outcomes={"a": "suceeded"})


ENDS = {"b": "succeeded", "a@1": "failed", "a@2": "crashed"}


def test_a_task_that_begins_before_what_it_needs_has_ended_is_found(make_plan: MakePlan) -> None:
    """By the times of the report."""
    plan = make_plan('[tasks.a]\ncall = "lib:a"\n[tasks.b]\ncall = "lib:a"\nneeds = [{ task = "a", status = "any" }]\n')
    for began, early in (("12:00:03", []), ("12:00:01", ["b began before a, which it needs, had ended"])):
        attempts = {"a": ("12:00:00", 2.0), "b": (began, 1.0)}
        tasks = {
            id_: {"outcome": "succeeded", "attempts": [{"started_at": f"2026-01-01T{at}+00:00", "duration_s": took}]}
            for id_, (at, took) in attempts.items()
        }
        assert list(pipeline._outcomes_check(plan, Hypothesis(), {})(_evidence(tasks))) == early


def test_what_is_expected_beyond_the_promises_is_compared(make_plan: MakePlan) -> None:
    """Outcomes by glob over ids and names, one or several; exit code; how long it may take."""
    plan = make_plan('[tasks.a]\ncall = "lib:a"\nmatrix = { n = [1, 2] }\n[tasks.b]\ncall = "lib:a"\n')
    evidence = _evidence({id_: {"outcome": outcome, "attempts": []} for id_, outcome in ENDS.items()})
    hypothesis = Hypothesis(1, {"a": ["failed"], "a@*": {"failed", "crashed"}, "b": "succeeded"}, 0.5)
    assert list(pipeline._outcomes_check(plan, hypothesis, {})(evidence)) == [
        "a@2 is crashed; [expect] says a is failed"
    ]
    assert list(pipeline._ending_check(hypothesis)(evidence)) == [
        "exit code 0; [expect] says 1",
        "it took 1.0 s; [expect] says at most 0.5 s",
    ]


def _evidence(tasks: dict[str, Any]) -> Evidence:
    report = {"tasks": [{"id": id_, **task} for id_, task in tasks.items()]}
    return Evidence(
        exit_code=0, began_s=0.0, ended_s=1.0, stdout="", stderr="", report=report, events=[], journal=(),
        sightings=(), left=(),
    )  # fmt: skip
