"""A planned task to its InfoTask."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.info_task import InfoTask
from workflow.plan.build import load_plan
from workflow.plan.compile import MissingResult, compile_task

Last = Callable[[str, object], InfoTask]


@pytest.fixture
def last(tmp_path: Path) -> Last:
    """Compiles the task [tasks.last] of a text, with the result of [tasks.x]."""

    def last(text: str, result: object) -> InfoTask:
        path = tmp_path / "pipeline.toml"
        path.write_text(f'[tasks.x]\ncmd = ["true"]\n[tasks.last]\n{text}\n', encoding="utf-8")
        return compile_task(load_plan(path).tasks[-1], {"x": result})

    return last


def test_a_module_runs_as_it_is(last: Last, tmp_path: Path) -> None:
    """With every limit and option of the task."""
    info = last(
        'module = "p.m.C"\nargs = [1, "a"]\nkwargs = {k = 2}\ntimeout = "9s"\ngrace = "1s"\ncallback_timeout = "none"\n'
        'env = {A = "b", X = false}\ncwd = "sub"\nisolate = true',
        None,
    )
    assert info == InfoTask(
        "p.m.C", 9.0, 1, "a", kwargs={"k": 2}, id="last", grace=1.0, callback_timeout=None,
        env={"A": "b", "X": None}, cwd=str(tmp_path / "sub"), isolate=True,
    )  # fmt: skip


def test_the_other_kinds_run_through_models_of_ours(last: Last) -> None:
    """Call, Command and Shell, each with what it needs."""
    call = last('call = "m:f"\nargs = [1]\nkwargs = {k = 2}\non = {success = "h:s", failure = "h:f"}', None)
    assert (call.module, call.args) == ("workflow.tasks.Call", ("m:f", [1], {"k": 2}))
    assert (call.on_success, call.on_failure) == ("h:s", "h:f")
    command = last('cmd = ["echo", "a b"]\ntimeout = "none"', None)
    assert (command.module, command.args, command.timeout) == ("workflow.tasks.Command", (["echo", "a b"],), None)
    shell = last('shell = "echo $${HOME}"', None)
    assert (shell.module, shell.args) == ("workflow.tasks.Shell", ("echo ${HOME}",))


def test_a_result_goes_in_with_its_type(last: Last) -> None:
    """Whole, in part, and as text."""
    text = 'call = "m:f"\nargs = ["${tasks.x.result}", "${tasks.x.result.rows.1.lr}", "lr=${tasks.x.result.rows.1.lr}"]'
    result = {"rows": [{"lr": 1}, {"lr": 0.5}]}
    assert last(text, result).args == ("m:f", [result, 0.5, "lr=0.5"], {})


def test_a_result_of_any_kind_may_be_an_argument(last: Last) -> None:
    """It need not be JSON: it is handed on as it is."""
    value = object()
    assert last('call = "m:f"\nargs = ["${tasks.x.result}"]', value).args[1] == [value]


def test_a_result_in_argv_environment_and_shell_is_text(last: Last) -> None:
    """Strings as they are, the rest as JSON, quoted for the shell."""
    assert last('cmd = ["echo", "${tasks.x.result}"]', [1, "a"]).args == (["echo", '[1, "a"]'],)
    assert last('cmd = ["true"]\nenv = {R = "${tasks.x.result}"}', 3).env == {"R": "3"}
    assert last('shell = "echo ${tasks.x.result}"', "a; rm -rf b").args == ("echo 'a; rm -rf b'",)


def test_a_result_that_looks_like_a_reference_is_not_read_again(last: Last) -> None:
    """Results are data."""
    assert last('cmd = ["echo", "${tasks.x.result}"]', "${tasks.x.result}").args == (["echo", "${tasks.x.result}"],)


@pytest.mark.parametrize(
    ("text", "result", "reason"),
    [
        ('cmd = ["${tasks.x.result.a}"]', {"b": 1}, "the result has no 'a'"),
        ('cmd = ["${tasks.x.result.sise}"]', {"size": 1}, "the result has no 'sise', did you mean 'size'?"),
        ('cmd = ["${tasks.x.result.3}"]', [1], "the result has no element 3: there are 1, counted from 0"),
        ('cmd = ["${tasks.x.result.a}"]', [1], "the result is a list: 'a' is not a position in it"),
        ('cmd = ["${tasks.x.result.a.b}"]', {"a": None}, "the result.a is nothing (None), there is nothing in it"),
        ('cmd = ["at ${tasks.x.result}"]', object(), "the result is an object of type object, which has no"),
        ('cmd = ["${tasks.x.result}"]', float("nan"), "the result is the number nan, which has no form as text"),
        ('cmd = ["${tasks.x.result}"]', "a\0b", "the result holds a NUL character"),
        ('cmd = ["true"]\nenv.A = "${tasks.x.result}"', "a\0b", "the result holds a NUL character"),
    ],
)  # fmt: skip
def test_a_result_that_does_not_fit_is_an_error_that_says_why(
    last: Last, text: str, result: object, reason: str
) -> None:
    """The task that wants it cannot start; the error travels."""
    with pytest.raises(MissingResult) as caught:
        last(text, result)
    assert caught.value.reason.startswith(reason)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_result_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Not a KeyError."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.x]\ncmd = ["true"]\n[tasks.last]\ncmd = ["${tasks.x.result}"]\n')
    with pytest.raises(MissingResult, match="the result of 'x' is not there"):
        compile_task(load_plan(path).tasks[-1], {})
