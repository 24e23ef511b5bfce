from __future__ import annotations

from collections.abc import Callable

import pytest

from workflow.harness import BadRule, Rule, inject
from workflow.harness.faulty import Strike
from workflow.harness.kinds import ALL, CODE, KINDS
from workflow.harness.rules import check_rules, check_sweep, draw, new_seed, parse_rule, told
from workflow.harness.victims import ACTS
from workflow.plan.plan import Plan

MakePlan = Callable[[str], Plan]

MIXED = """
[tasks.fetch]
call = "lib:fetch"
matrix = { n = { range = [0, 200] } }
[tasks.merge]
cmd = ["true"]
"""


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("crash.segv:a", Rule("crash.segv", "a")),
        ("crash.segv:fetch@*:0.1", Rule("crash.segv", "fetch@*", 0.1)),
        ("hang.sleep:*:1", Rule("hang.sleep", "*")),
        ("hang.sleep:*:1e-3", Rule("hang.sleep", "*", 0.001)),
        ("hang.sleep:*:0.123456789", Rule("hang.sleep", "*", 0.123456789)),
    ],
)
def test_a_rule_is_read_from_text_and_told_as_text(text: str, rule: Rule) -> None:
    """What a rule says of itself is a rule again."""
    assert parse_rule(text) == parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crash.segv", "'crash.segv' is not KIND:GLOB[:PROBABILITY], such as crash.segv:fetch@*:0.1"),
        ("crash.segv:", "is not KIND:GLOB[:PROBABILITY]"),
        ("", "is not KIND:GLOB[:PROBABILITY]"),
        ("crash.segv::0.5", "names no task"),
        ("crash.sgev:a", "there is no kind of fault 'crash.sgev', did you mean 'crash.segv'?"),
        ("zzz:a", "there is no kind of fault 'zzz'; `workflow chaos --list` shows the kinds"),
        ("crash:a", "'crash' is a group of kinds, not one; `workflow chaos --list` shows the kinds"),
        ("crash.segv:a:b", "'b' is no probability, a number above 0 and up to 1"),
        ("crash.segv:a:", "'' is no probability"),
        ("crash.segv:a:0", "a probability is above 0 and up to 1, not 0"),
        ("crash.segv:a:-1", "not -1"),
        ("crash.segv:a:1.5", "not 1.5"),
        ("crash.segv:a:nan", "not nan"),
        ("crash.segv:a:inf", "not inf"),
    ],
)
def test_text_that_is_no_rule_is_refused_with_the_reason(text: str, says: str) -> None:
    """What is wrong, the value, and what would be right."""
    with pytest.raises(BadRule) as caught:
        parse_rule(text)
    assert says in str(caught.value)


def test_inject_makes_a_rule_or_says_why_not() -> None:
    """The same rules as for text."""
    assert inject("crash.segv") == Rule("crash.segv", "*", 1.0, None)
    assert inject("crash.segv", "a", probability=0.5, attempt=2) == Rule("crash.segv", "a", 0.5, 2)
    with pytest.raises(BadRule, match=r"did you mean 'crash\.segv'"):
        inject("crash.segf")
    for probability in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(BadRule, match="a probability is above 0 and up to 1"):
            inject("crash.segv", probability=probability)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule("crash.segv", "fetsh"), "crash.segv:fetsh: no task matches 'fetsh', did you mean 'fetch'?"),
        (Rule("crash.segv", "nothing@*"), "no task matches 'nothing@*'"),
        (Rule("hang.import", "fetch@1"), "is for tasks with module, and fetch@1 has call"),
        (Rule("payload.huge", "*"), "and merge has cmd; name the tasks it is for, in place of '*'"),
        (Rule("crash.segv", "merge", 1.0, 2), "there is none to strike: a task of a pipeline has one attempt"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_strike_what_it_means_is_refused(make_plan: MakePlan, rule: Rule, says: str) -> None:
    """Before anything runs."""
    with pytest.raises(BadRule) as caught:
        check_rules([Rule("crash.segv", "*"), rule], make_plan(MIXED))
    assert says in str(caught.value)


def test_a_sweep_needs_a_task_that_its_kind_can_strike(make_plan: MakePlan) -> None:
    """And only such a task is swept."""
    check_sweep("payload.huge", make_plan(MIXED))
    with pytest.raises(BadRule, match=r"hang\.init is for tasks with module, and there is none"):
        check_sweep("hang.init", make_plan(MIXED))
    with pytest.raises(BadRule, match="is a group of kinds"):
        check_sweep("hang", make_plan(MIXED))


def test_the_same_seed_strikes_the_same_tasks_and_another_others(make_plan: MakePlan) -> None:
    """About as many as the probability says."""
    plan, rules = make_plan(MIXED), [Rule("crash.segv", "fetch@*", 0.25), Rule("hang.sleep", "*", 0.25)]
    assert draw(rules, plan, 7) == draw(rules, plan, 7)
    assert draw(rules, plan, 7) != draw(rules, plan, 8)
    struck = draw(rules[:1], plan, 7)
    assert 25 < len(struck) < 75


def test_a_draw_does_not_depend_on_other_tasks_or_on_what_stands_behind_a_rule(make_plan: MakePlan) -> None:
    """A task that is added to the file changes nothing for those that are there; nor does a further rule."""
    rule = Rule("crash.segv", "fetch@*", 0.25)
    struck = draw([rule], make_plan(MIXED), 7)
    more = draw([rule], make_plan('[tasks.first]\ncmd = ["true"]\n' + MIXED.replace("200", "300")), 7)
    assert {id_: strikes for id_, strikes in more.items() if int(id_.partition("@")[2]) < 200} == struck
    both = draw([rule, Rule("hang.sleep", "*", 0.25)], make_plan(MIXED), 7)
    assert {id_ for id_, strikes in both.items() if Strike("crash.segv", None) in strikes} == set(struck)


def test_a_glob_means_ids_and_names(make_plan: MakePlan) -> None:
    """``fetch`` is all of its instances, as everywhere on the command line."""
    plan = make_plan(MIXED)
    assert len(draw([Rule("crash.segv", "fetch")], plan, 1)) == 200
    assert list(draw([Rule("crash.segv", "fetch@7", 1.0, 1)], plan, 1).items()) == [
        ("fetch@7", (Strike("crash.segv", 1),))
    ]


def test_strikes_are_told_with_their_attempt() -> None:
    """If they have one."""
    struck = {"a": (Strike("crash.segv", None), Strike("hang.sleep", 2))}
    assert told(struck) == ["crash.segv on a", "hang.sleep on a, attempt 2"]


def test_a_drawn_seed_can_be_typed() -> None:
    """It is on the line that does it again."""
    assert 1 <= new_seed() < 1_000_000


def test_every_kind_has_an_act_and_says_what_must_come_of_it() -> None:
    """And no act is without a kind."""
    assert set(KINDS) == set(ACTS)
    for id_, kind in KINDS.items():
        assert kind.id == id_
        assert kind.what
        assert kind.tasks <= ALL
        assert kind.stage != "result" or kind.tasks == CODE  # commands return their output, which pickles
        assert (kind.signal is None or kind.exit_code is None) or kind.outcome == "crashed"
