"""A planned task to its InfoTask."""

from __future__ import annotations

import json
import marshal
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.attempt_text import AttemptText
from workflow.engine.frames import pack_options
from workflow.info_task import InfoTask, RetryPolicy
from workflow.plan import compile as compiled
from workflow.plan.build import load_plan
from workflow.plan.compile import MissingResult, Surroundings, compile_task, derived_seed, filled
from workflow.plan.plan import Ended
from workflow.plan.printing import plan_json
from workflow.spec.reference import parse

AROUND = Surroundings("/root-of-plan", "20260101-000000-000-abcdef", "/state/runs/20260101-000000-000-abcdef", 5)
Last = Callable[[str, object], InfoTask]


@pytest.fixture
def last(tmp_path: Path) -> Last:
    """Compiles the task [tasks.last] of a text, with the result of [tasks.x]."""

    def last(text: str, result: object) -> InfoTask:
        path = tmp_path / "pipeline.toml"
        path.write_text(f'[tasks.x]\ncmd = ["true"]\n[tasks.last]\n{text}\n', encoding="utf-8")
        return compile_task(load_plan(path).tasks[-1], {"x": Ended(None, "succeeded", result)}, AROUND)

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
        env={"A": "b", "X": None}, cwd="/root-of-plan/sub", isolate=True, seed=derived_seed(5, "last"),
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
    assert (last('cmd = ["true"]\nenv = {R = "${tasks.x.result}"}', 3).env or {})["R"] == "3"
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
        compile_task(load_plan(path).tasks[-1], {}, AROUND)


Ends = dict[str, Ended]
ENDS: Ends = {
    "x@2-a": Ended({"n": 2, "s": "a"}, "succeeded", {"size": 20}),
    "x@1-a": Ended({"n": 1, "s": "a"}, "failed", None),
    "x@10-a": Ended({"n": 10, "s": "a"}, "cached", 3),
}
ITEMS = [
    {"id": "x@2-a", "matrix": {"n": 2, "s": "a"}, "outcome": "succeeded", "result": {"size": 20}},
    {"id": "x@1-a", "matrix": {"n": 1, "s": "a"}, "outcome": "failed", "result": None},
    {"id": "x@10-a", "matrix": {"n": 10, "s": "a"}, "outcome": "cached", "result": 3},
]


@pytest.fixture
def after(tmp_path: Path) -> Callable[[str, Ends], InfoTask]:
    """Compiles the task [tasks.last] of a text, which runs however the instances of the matrix [tasks.x] ended."""

    def after(text: str, ends: Ends) -> InfoTask:
        path = tmp_path / "pipeline.toml"
        path.write_text(
            '[tasks.x]\ncmd = ["true"]\nmatrix = {n = [2, 1, 10], s = ["a"]}\n'
            f'[tasks.last]\nneeds = [{{task = "x", status = "any"}}]\n{text}\n',
            encoding="utf-8",
        )
        return compile_task(load_plan(path).tasks[-1], ends, AROUND)

    return after


def test_results_are_those_that_succeeded_in_matrix_order(after: Callable[[str, Ends], InfoTask]) -> None:
    """Not in the order of ids, nor in that of their ends."""
    text = 'call = "m:f"\nargs = ["${tasks.x.results}", "${tasks.x.results.0.size}", "all: ${tasks.x.results}"]'
    expected = [[{"size": 20}, 3], 20, 'all: [{"size": 20}, 3]']
    assert after(text, dict(reversed(ENDS.items()))).args[1] == expected


def test_items_are_all_instances_and_how_they_ended(after: Callable[[str, Ends], InfoTask]) -> None:
    """With the values of their matrix; null where there is no result."""
    text = 'call = "m:f"\nkwargs = {all = "${tasks.x.items}", one = "${tasks.x.items.1.outcome}"}'
    assert after(text, ENDS).args[2] == {"all": ITEMS, "one": "failed"}
    assert json.loads(after('cmd = ["echo", "${tasks.x.items}"]', ENDS).args[0][1]) == ITEMS  # type: ignore[index]


def test_a_plain_task_has_items_and_results_too(last: Last) -> None:
    """A list of one, without matrix values."""
    text = 'call = "m:f"\nargs = ["${tasks.x.results}", "${tasks.x.items}"]'
    item = {"id": "x", "matrix": None, "outcome": "succeeded", "result": 5}
    assert last(text, 5).args[1] == [[5], [item]]


def test_results_of_any_kind_may_be_arguments(after: Callable[[str, Ends], InfoTask]) -> None:
    """They are handed on as they are; only text needs a form as text."""
    value = object()
    ends = {**ENDS, "x@10-a": Ended({"n": 10, "s": "a"}, "succeeded", value)}
    assert after('call = "m:f"\nargs = ["${tasks.x.results.1}"]', ends).args[1] == [value]
    with pytest.raises(MissingResult) as caught:
        after('cmd = ["echo", "${tasks.x.items}"]', ends)
    assert str(caught.value) == (
        "last cannot start: ${tasks.x.items}: the result of x@10-a is an object of type object, "
        "which has no form as text"
    )


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("results.2", "x.results has no element 2: there are 2, counted from 0"),
        ("results.0.sise", "x.results.0 has no 'sise', did you mean 'size'?"),
        ("items.1.result.size", "x.items.1.result is nothing (None), there is nothing in it to take 'size' from"),
        ("items.0.outcom", "x.items.0 has no 'outcom', did you mean 'outcome'?"),
    ],
)
def test_a_place_that_is_not_in_the_list_is_an_error_that_says_why(
    after: Callable[[str, Ends], InfoTask], part: str, reason: str
) -> None:
    """How many succeeded is known only when the task may start."""
    with pytest.raises(MissingResult) as caught:
        after(f'cmd = ["${{tasks.x.{part}}}"]', ENDS)
    assert caught.value.reason == reason


def test_the_result_of_a_task_that_did_not_succeed_is_an_error(tmp_path: Path) -> None:
    """``needs`` may let the task start; there is still nothing to put in."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.x]\ncmd = ["true"]\n[tasks.last]\ncmd = ["${tasks.x.result}"]\nneeds = {task = "x", status = "any"}\n'
    )
    with pytest.raises(MissingResult, match="x has no result, it ended as timed_out"):
        compile_task(load_plan(path).tasks[-1], {"x": Ended(None, "timed_out", None)}, AROUND)


def test_what_the_engine_is_to_do_is_handed_to_it(last: Last) -> None:
    """Limits, order, and files, the latter absolute and as patterns only where the file has one."""
    info = last(
        'call = "m:f"\ndeadline = "9s"\ntimeout = "2s"\npriority = 3\nmemory = "1MiB"\nseed = 8\n'
        'outputs = ["out/a.txt", "*.csv", "/abs"]\nretries = {max = 2, delay = "1s", on = ["failed"]}',
        None,
    )
    assert (info.deadline, info.timeout, info.priority, info.memory, info.seed) == (9.0, 2.0, 3, 1 << 20, 8)
    assert info.outputs == ("/root-of-plan/out/a.txt", "/root-of-plan/*.csv", "/abs")
    assert info.retries._replace(seed=None) == RetryPolicy(2, 1.0, on=("failed",))


def test_the_folder_of_the_file_is_no_pattern(tmp_path: Path) -> None:
    """Though its name may look like one."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.x]\ncmd = ["true"]\noutputs = ["*.csv", "a"]\n')
    info = compile_task(load_plan(path).tasks[0], {}, AROUND._replace(root="/r[1]"))
    assert info.outputs == ("/r[[]1]/*.csv", "/r[1]/a")


def test_who_gives_out_tokens_is_asked_before_each_retry_of_a_task_that_uses_some(tmp_path: Path) -> None:
    """Also where only faults, which are put in later, will have it tried again; it is nothing of the plan."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        "[limits]\ndb = 1\n[tasks.a]\ncmd = ['true']\nretries = 1\n"
        "[tasks.b]\ncmd = ['true']\nretries = 1\nuses = 'db'\n[tasks.c]\ncmd = ['true']\nuses = 'db'\n"
    )
    plan = load_plan(path)
    assert [compile_task(task, {}, AROUND).retries.held for task in plan.tasks] == [False, True, True]
    assert "held" not in plan_json(plan)


def test_jitter_is_drawn_from_the_run_s_seed_and_not_from_the_task_s(tmp_path: Path) -> None:
    """Else all instances of a matrix would return in step."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.x]\ncmd = ["true"]\nmatrix = {n = [1, 2]}\nseed = 1\nretries = 1\n')
    tasks = load_plan(path).tasks
    seeds = [compile_task(task, {}, AROUND._replace(seed=seed)).retries.seed for seed in (5, 6, 5) for task in tasks]
    assert seeds[:2] == seeds[4:]
    assert len(set(seeds)) == 4


def test_the_number_of_the_attempt_stays_open(last: Last) -> None:
    """Beside results, which are filled in."""
    info = last('call = "m:f"\nargs = ["${task.attempt}", "${task.attempt} ${tasks.x.result}"]', 3)
    assert info.args[1] == [AttemptText((None,)), AttemptText((None, " 3"))]
    assert last('cmd = ["${task.attempt}"]', 3).args == ([AttemptText(("", None))],)
    assert last('shell = "x ${task.attempt} ${tasks.x.result}"', "a b").args == (AttemptText(("x ", None, " 'a b'")),)
    assert (last('cmd = ["true"]\nenv.A = "${task.attempt}"', 3).env or {})["A"] == AttemptText(("", None))


def test_a_command_is_told_its_seed(last: Last) -> None:
    """Nothing else could reach its random numbers."""
    assert (last('cmd = ["true"]\nseed = 9', None).env or {})["WORKFLOW_SEED"] == "9"
    info = last('shell = "true"', None)
    assert (info.env or {})["WORKFLOW_SEED"] == str(derived_seed(5, "last"))
    assert info.seed is None


def test_cached_and_succeeded_are_the_same_in_a_key(tmp_path: Path) -> None:
    """The task itself is told which of the two it was."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[tasks.x]\ncmd = ["true"]\n[tasks.last]\ncall = "m:f"\nargs = ["${tasks.x.items}"]\n', encoding="utf-8"
    )
    task = load_plan(path).tasks[-1]
    keyed = [filled(task, {"x": Ended(None, outcome, 1)}, AROUND) for outcome in ("succeeded", "cached", "failed")]
    assert keyed[0] == keyed[1] != keyed[2]
    told = [{"id": "x", "matrix": None, "outcome": "cached", "result": 1}]
    assert compile_task(task, {"x": Ended(None, "cached", 1)}, AROUND).args == ("m:f", [told], {})


CHANGES: dict[str, Any] = {
    "timeout_s": 3.0,
    "grace_s": 1.0,
    "callback_timeout_s": None,
    "env": {"B": None, "C": "d"},
    "cwd": "other",
    "deadline_s": 500.0,
    "outputs": ("made",),
    "memory_bytes": 1 << 26,
    "priority": 3,
    "isolate": True,
    "on_success": "h:s",
    "on_failure": "h:f",
    "retries": RetryPolicy(max=2),
    "seed": 9,
    "uses": {"gpu": 1},
    "args": (2, [True, {"k": None}], "${"),
    "kwargs": {"k": 1},
}


@pytest.mark.parametrize("changed", [None, "id", "target", "results", "root", "keep", *CHANGES])
@pytest.mark.parametrize(
    "kind", ['call = "m:f"', 'module = "p.m.C"', 'cmd = ["a", "b"]', 'shell = "a"', 'call = "m:f"\nretries = 1']
)
def test_an_instance_that_is_made_like_another_is_what_it_would_be_by_itself(
    tmp_path: Path, kind: str, changed: str | None
) -> None:
    """The others of a matrix are not compiled from the beginning, unless they differ in more than what is their own."""
    path = tmp_path / "pipeline.toml"
    path.write_text(f'[tasks.x]\ncmd = ["true"]\n[tasks.a]\nneeds = ["x"]\nenv = {{ A = "b" }}\n{kind}\n')
    task = load_plan(path).tasks[-1]
    around, keep, ended = AROUND, True, {"x": Ended(None, "succeeded", [1])}
    compile_task(task, ended, around, keep_output=keep)
    if changed in CHANGES:
        task = task._replace(**{changed: CHANGES[changed]})
    elif changed == "id":
        task = task._replace(id="a@7", matrix={"n": 7})
    elif changed == "target":
        task = task._replace(target=(*task.target, "c") if isinstance(task.target, tuple) else f"{task.target}x")
    elif changed == "results":
        waits, _ = parse("${tasks.x.result.0}", "text")
        task = task._replace(
            target=("a", waits) if task.kind == "cmd" else waits if task.kind == "shell" else task.target,
            args=(1, [waits]) if task.kind in ("call", "module") else (),
        )
    elif changed == "root":
        around = around._replace(root="/elsewhere")
    keep = changed != "keep"
    made = [compile_task(task, ended, around, keep_output=keep) for _ in range(2)]
    compiled._patterns.clear()
    fresh = compile_task(task, ended, around, keep_output=keep)
    packed = [marshal.loads(pack_options(each)) for each in (*made, fresh)]
    assert made == [fresh, fresh]
    assert pickle.dumps(made[1].args) == pickle.dumps(fresh.args)
    assert packed == [packed[-1]] * 3
