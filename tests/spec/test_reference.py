"""References: what they are, what they become, and that nothing is read twice."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from workflow.spec.reference import Reference, Template, escape, parse, resolve, resolve_some


def read(text: str, mode: str = "value") -> Template | str:
    template, wrong = parse(text, mode)  # type: ignore[arg-type]
    assert not wrong, wrong
    return template


def test_text_without_references_is_itself() -> None:
    """A dollar alone means nothing."""
    assert read("cost: $5, $HOME, $(date), {x}") == "cost: $5, $HOME, $(date), {x}"


def test_two_dollars_escape() -> None:
    """$${ is the text ${."""
    assert read("$${HOME} and $$${x}") == "${HOME} and $${x}"


@given(st.text())
def test_escaping_and_reading_gives_the_same_text(text: str) -> None:
    """Whatever the text: escape is the inverse of reading."""
    assert read(escape(text)) == text


def test_a_string_that_is_one_reference_keeps_the_type() -> None:
    """A number stays a number; in longer text it becomes JSON."""
    lookup = {"n": 3, "t": [1, "x"], "f": True}
    get = lambda reference: lookup[reference.path[0]]  # noqa: E731
    whole, longer = read("${vars.t}"), read("n=${vars.n} t=${vars.t} f=${vars.f}")
    assert isinstance(whole, Template) and isinstance(longer, Template)
    assert resolve(whole, get) == [1, "x"]
    assert resolve(longer, get) == 'n=3 t=[1, "x"] f=true'


def test_in_argv_one_reference_is_text_too() -> None:
    """A program is given text and nothing else."""
    template = read("${vars.n}", "text")
    assert isinstance(template, Template)
    assert resolve(template, lambda _: 3) == "3"


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_value_in_a_shell_line_stays_one_word(value: str) -> None:
    """Nothing in a value is read by the shell."""
    template = read("echo ${vars.x} end", "shell")
    assert isinstance(template, Template)
    assert shlex.split(str(resolve(template, lambda _: value)), comments=False) == ["echo", value, "end"]


def test_a_value_that_looks_like_a_reference_is_not_read_again() -> None:
    """Values are data."""
    template = read("${vars.x}-${matrix.y}")
    assert isinstance(template, Template)
    filled = resolve_some(template, lambda each: each.namespace == "vars", lambda _: "${matrix.y}")
    assert filled == Template(("${matrix.y}-", Reference("matrix", ("y",))))
    assert isinstance(filled, Template)
    assert resolve(filled, lambda _: "v") == "${matrix.y}-v"


def test_a_template_prints_as_the_file_would_write_it() -> None:
    """Reading it again gives the same."""
    template = read("a $${b} ${tasks.x.result.lr}")
    assert str(template) == "a $${b} ${tasks.x.result.lr}"
    assert read(str(template)) == template


@given(st.text(alphabet="${}abc.vrsmtix \n\\'\"#", max_size=30), st.sampled_from(["value", "text", "shell"]))
def test_any_text_is_read_or_gets_a_sentence(text: str, mode: str) -> None:
    """Never an exception."""
    _, wrong = parse(text, mode)  # type: ignore[arg-type]
    assert all(error.headline for error in wrong)
