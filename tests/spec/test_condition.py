"""The language of ``if``: what it answers, and what it refuses."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan
from workflow.plan.plan import Plan
from workflow.spec.condition import Answers, Senseless, read_condition
from workflow.spec.values import Refused

VALUES = {
    ("who",): "world",
    ("n",): 3,
    ("ratio",): 1.0,
    ("on",): True,
    ("max-size",): 7,
    ("list",): [1, 2, [3]],
    ("table", "key"): "value",
    ("table",): {"key": "value"},
    ("SET",): "x",
    ("NOT_SET",): "",
}


def answer(text: str, **matrix: object) -> bool:
    return Answers(read_condition(text), lambda name: VALUES[name.path]).of(matrix)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vars.who == 'world'", True),
        ('vars.who != "world"', False),
        ("vars.n == 3.0", True),
        ("vars.n == -3", False),
        ("vars.on", True),
        ("not vars.on", False),
        ("vars.on == true", True),
        ("vars.on != false", True),
        ("vars.n in [1, 2, 3]", True),
        ("vars.n not in [1, 2, 3]", False),
        ("vars.n in vars.list", False),
        ("2 in vars.list", True),
        ("vars.n in []", False),
        ("vars.list == [1, 2, [3]]", True),
        ("'orl' in vars.who", True),
        ("vars['max-size'] == 7", True),
        ("vars.table.key == 'value'", True),
        ("env.SET == 'x'", True),
        ("env.NOT_SET == ''", True),
        ("true or vars.n == 4 and false", True),
        ("(true or vars.n == 4) and false", False),
        ("not vars.n == 4 and true", True),
        ("\n  vars.n == 3\n  and vars.who == 'world'\n", True),
        ("vars.who == 'a && b = c # ${x}' or true", True),
        ("matrix.os == 'mac' and matrix.size in [1, vars.n]", True),
        ("matrix.sizes[1] == 5", True),
    ],
)
def test_a_condition_has_an_answer(text: str, expected: bool) -> None:
    """Texts, numbers, true and false, lists; what binds how, as everybody reads it."""
    assert answer(text, os="mac", size=3, sizes=[4, 5]) is expected


def test_true_is_not_one() -> None:
    """They are equal in Python, and two things in TOML; also inside of lists."""
    assert not answer("[1] == [true]")
    assert answer("matrix.x in [true, 2]", x=True)
    assert not answer("matrix.x in [true, 2]", x=1)


REFUSED = [
    ("matrix.os = 'linux'", "matrix.os = 'linux' compares nothing", "equal is written '=='"),
    ("vars.a == 1 && vars.b == 2", "1 && vars.b has no meaning here", "it is written 'and'"),
    ("vars.a == 1 || vars.b == 2", "1 || vars.b has no meaning here", "it is written 'or'"),
    ("!vars.on", "!vars.on has no meaning here", "it is written 'not'"),
    ("vars.n === 3", "vars.n === 3 has no meaning here", "equal is written '=='"),
    ("${vars.n} == 3", "${vars.n} cannot stand in an 'if'", "a name stands there by itself, such as vars.size"),
    ("len(vars.who) == 5", "len(vars.who) calls a function, and there are none", "compare names"),
    ("vars.who.upper() == 'X'", "vars.who.upper() calls a function", "compare names"),
    ("vars.max-size == 7", "vars.max-size calculates", 'written vars["max-size"]'),
    ("vars.n + 1 == 4", "vars.n + 1 calculates, and an 'if' only compares", None),
    ("1 < vars.n", "1 < vars.n is no comparison there is", "there are ==, !=, in and not in"),
    ("vars.a is true", "vars.a is true is no comparison there is", "there are =="),
    ("vars.on == True", "True is Python's", "it is written true"),
    ("vars.on == None", "None is Python's", "there is no None"),
    ("os == 'linux'", "unknown name 'os'", "text stands in quotes: 'os'"),
    ("var.n == 3", "unknown name 'var.n', did you mean 'vars'?", None),
    ("tasks.a.result == 3", "tasks.a.result is not known when an 'if' is answered", "asks vars, env and matrix"),
    ("secrets.token == 'x'", "secrets.token is not known", "asks vars, env and matrix"),
    ("matrix", "matrix alone is no value", "matrix.os"),
    ("vars.n in (1, 2)", "(1, 2) is no list", "a list stands in [ ]"),
    ("vars.a == vars.b == vars.c", "compares more than two things", "join two comparisons with 'and'"),
    ("(vars.a == 1) == true", "vars.a == 1 is a comparison inside of another", None),
    ("vars.list.0 == 1", "vars.list.0 looks for a position", "written in [ ]"),
    ("vars.list[-1] == 1", "no key and no position", None),
    ("vars.list[vars.n] == 1", "no key and no position", None),
    ("[1]", "[1] is a list, not true or false", None),
    ("vars.n == 1 # one", "# one cannot stand in an 'if'", None),
    ("env.HOME.x == 'a'", "looks into a variable of the environment", None),
    ("lambda: 1", "is no value that can be compared", None),
    ("f'{vars.n}' == '3'", "is no value that can be compared", None),
    ("b'x' == vars.n", "is neither text nor a number", None),
    ("1e999 == vars.n", "is neither text nor a number", None),
    ("(n := 3)", "compares nothing", None),
    ("vars.n == 'x", "is not a comparison", "such as"),
    ("vars.n ==", "is not a comparison", None),
    (")(", "is not a comparison", None),
    ("vars.n == 1) or (true", "is not a comparison", None),
    ("   ", "must be a comparison", None),
    (True, "must be a comparison in quotes, not true", None),
    (["a"], "must be a comparison, not an array", None),
    ("not " * 1200 + "true", "longer than 4,000 characters", None),
    ("(" * 1500 + "true" + ")" * 1500, "is not", None),
    ("vars.n == 1\0", "NUL", None),
]


@pytest.mark.parametrize(("text", "headline", "help_"), REFUSED)
def test_what_is_no_condition_is_refused_with_what_to_write(text: object, headline: str, help_: str | None) -> None:
    """Also what is right in Python, in a shell, or in other languages of this kind."""
    with pytest.raises(Refused) as caught:
        read_condition(text)
    # Python says of brackets that are too deep what it likes.
    assert headline in caught.value.headline or "nested too deep" in caught.value.headline
    assert help_ is None or help_ in (caught.value.help or "")
    assert caught.value.needle is None or caught.value.needle in str(text)


def test_no_text_ever_runs_or_breaks_anything() -> None:
    """Two thousand of random pieces are read or refused, and what is read is answered or senseless."""
    pieces = [
        "vars.n", "vars.who", "env.SET", "matrix.os", "==", "!=", "in", "not", "and", "or", "(", ")", "[", "]", ",",
        "'x'", '"', "1", "true", ".", "=", "&&", "__import__('os')", "\n", "\\", "é", "-", "$", "{", "}", "not in",
    ]  # fmt: skip
    chance = random.Random(7)
    read = 0
    for _ in range(2000):
        text = " ".join(chance.choices(pieces, k=chance.randint(1, 9)))
        try:
            condition = read_condition(text)
        except Refused:
            continue
        read += 1
        with contextlib.suppress(Senseless, LookupError):
            assert isinstance(Answers(condition, lambda name: VALUES[name.path]).of({"os": "mac"}), bool)
    assert read > 20


def test_a_comparison_of_two_kinds_is_pointless_unless_an_instance_has_the_right_one() -> None:
    """One axis may hold texts and numbers; then the comparison separates them."""
    condition = read_condition("matrix.x == 1")
    mixed = Answers(condition, dict.__getitem__)  # type: ignore[arg-type]  # it is not asked
    assert [mixed.of({"x": value}) for value in (1, "a", 2)] == [True, False, False]
    assert mixed.pointless == ()
    texts = Answers(condition, dict.__getitem__)  # type: ignore[arg-type]
    assert not texts.of({"x": "1"})
    (error,) = texts.pointless
    assert (error.text, error.headline) == ("matrix.x == 1", "matrix.x, text, is never the number 1")
    assert error.help == "as text it is written '1'"


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def removed(plan: Plan) -> list[str]:
    return [task.id for task in plan.tasks if task.skipped]


def test_the_plan_says_which_instances_are_removed_and_what_of_the_environment_it_asked(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is not set is empty text, and recorded as not set."""
    monkeypatch.setenv("WORKFLOW_TEST_SET", "yes")
    monkeypatch.delenv("WORKFLOW_TEST_NOT_SET", raising=False)
    path = write(
        '[vars]\nn = 2\n[tasks.a]\ncmd = ["true"]\nmatrix.n = [1, 2, 3]\n'
        "if = \"matrix.n == vars.n or env.WORKFLOW_TEST_SET == 'no' or env.WORKFLOW_TEST_NOT_SET != ''\"\n"
    )
    plan = load_plan(path)
    assert removed(plan) == ["a@1", "a@3"]
    assert plan.environ == {"WORKFLOW_TEST_SET": "yes", "WORKFLOW_TEST_NOT_SET": None}
    assert removed(load_plan(path, {"n": "1"})) == ["a@2", "a@3"]


def test_who_needs_a_task_does_not_see_the_instances_that_were_removed_unless_all_were(write: Write) -> None:
    """For ``items`` all are there; what is removed itself needs nothing."""
    text = (
        '[vars]\nn = 2\n[tasks.a]\ncmd = ["true"]\nmatrix.n = [1, 2]\nif = "matrix.n == vars.n"\n'
        '[tasks.b]\ncmd = ["echo", "${tasks.a.items}"]\n[tasks.c]\ncmd = ["true"]\nneeds = ["a"]\nif = "vars.n != 2"\n'
    )
    *_, b, c = load_plan(write(text)).tasks
    assert (b.needs[0].ids, b.needs[0].every) == (("a@2",), ("a@1", "a@2"))
    assert b.uses_results == {"a@1", "a@2"}
    assert (c.skipped, c.needs) == (True, ())
    *_, b, c = load_plan(write(text), {"n": "9"}).tasks
    assert (b.needs[0].ids, c.needs[0].ids) == (("a@1", "a@2"), ("a@1", "a@2"))


def test_an_if_of_defaults_and_templates_is_laid_under_that_of_the_task(write: Write) -> None:
    """As every key is."""
    path = write(
        '[vars]\non = false\n[defaults]\nif = "vars.on"\n[templates.always]\nif = "true"\n'
        '[tasks.a]\ncmd = ["true"]\n[tasks.b]\ncmd = ["true"]\nextends = ["always"]\n'
        '[tasks.c]\ncmd = ["true"]\nif = "not vars.on"\n'
    )
    assert removed(load_plan(path)) == ["a"]
    assert removed(load_plan(path, sets=["defaults.if='not vars.on'"])) == []


def test_a_mistake_in_a_template_that_nobody_extends_is_told(write: Write) -> None:
    """With the place of the part that is wrong."""
    path = write('[templates.t]\nif = "vars.x = 1"\n[tasks.a]\ncmd = ["true"]\n')
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.column, mistake.end) == (2, 7, 17)


def test_a_hundred_thousand_instances_are_asked_once_for_each_answer(write: Write) -> None:
    """Only what the condition names makes a difference."""
    condition = read_condition("matrix.os == 'mac' and vars.on")
    asked = []

    def lookup(name: object) -> object:
        asked.append(name)
        return True

    answers = Answers(condition, lookup)
    assert sum(answers.of({"os": ("mac", "linux")[n % 2], "n": n}) for n in range(1000)) == 500
    assert len(asked) == 2
