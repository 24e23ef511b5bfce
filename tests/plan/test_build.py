"""Planning: order, instances, what is filled in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import build_plan, load_plan
from workflow.plan.plan import Need, Plan
from workflow.spec.load import load_pipeline

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts text into a pipeline.toml."""

    def write(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def ids(plan: Plan) -> list[str]:
    return [task.id for task in plan.tasks]


def task(name: str, *lines: str) -> str:
    return "\n".join([f"[tasks.{name}]", 'cmd = ["true"]', *lines, ""])


def test_prerequisites_come_first_and_else_the_order_of_the_file(write: Write) -> None:
    """A reader finds the plan in the order of the file where nothing speaks against it."""
    path = write(task("d", 'needs = ["b"]') + task("a") + task("b") + task("c", 'needs = ["a"]'))
    assert ids(load_plan(path)) == ["a", "b", "d", "c"]


def test_a_reference_to_a_result_implies_needs(write: Write) -> None:
    """And says which results must be kept; a need that is written as well is no double."""
    path = write(
        '[tasks.last]\ncall = "m:f"\nargs = ["${tasks.first.result}"]\nneeds = ["first", "other"]\n'
        + task("first")
        + task("other")
    )
    last = load_plan(path).tasks[-1]
    assert [(need.name, need.status) for need in last.needs] == [("first", "success"), ("other", "success")]
    assert (last.id, last.uses_results) == ("last", frozenset({"first"}))


def test_needing_a_matrix_is_needing_all_its_instances(write: Write) -> None:
    """And the names are kept once for all that need them."""
    path = write(
        task("a", "matrix.x = [1, 2]") + task("b", 'needs = ["a"]', "matrix.y = [1, 2]")
        + task("c", 'needs = [{task = "a", status = "any"}]')
    )  # fmt: skip
    *_, b1, b2, c = load_plan(path).tasks
    assert b1.needs == (Need("a", ("a@1", "a@2"), ("a@1", "a@2"), "success"),)
    assert b1.needs is b2.needs
    assert c.needs[0].ids is b1.needs[0].ids


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ('["a"]', "success"),
        ('[{task = "a"}]', "success"),
        ('[{task = "a", status = "failure"}]', "failure"),
        ('{task = "a", status = "any"}', "any"),
        ('["a", {task = "a", status = "success"}]', "success"),
        ('["${vars.x}"]', "any"),
    ],
)
def test_a_need_says_how_the_task_has_to_end(write: Write, written: str, status: str) -> None:
    """A name alone is for success; one table may stand without brackets; a variable may hold the table."""
    path = write('[vars]\nx = {task = "a", status = "any"}\n' + task("a") + task("b", f"needs = {written}"))
    assert load_plan(path).tasks[-1].needs == (Need("a", ("a",), ("a",), status),)  # type: ignore[arg-type]


def test_the_status_of_needs_holds_for_references_too(write: Write) -> None:
    """Wherever in the task it is written; without needs a reference is for success."""
    text = '[tasks.b]\ncall = "m:f"\nargs = ["${tasks.a.items}", "${tasks.c.results}"]\n'
    path = write(task("a", "matrix.x = [1, 2]") + task("c") + text + 'needs = [{task = "a", status = "any"}]\n')
    last = load_plan(path).tasks[-1]
    assert last.needs == (Need("a", ("a@1", "a@2"), ("a@1", "a@2"), "any"), Need("c", ("c",), ("c",), "success"))
    assert last.uses_results == {"a@1", "a@2", "c"}


def test_results_of_an_instance_by_position_are_needed_like_any(write: Write) -> None:
    """All instances: which one is at a position is known when all ended."""
    path = write(task("a", "matrix.x = [1, 2]") + '[tasks.b]\ncmd = ["echo", "${tasks.a.items.0.outcome}"]\n')
    assert load_plan(path).tasks[-1].uses_results == {"a@1", "a@2"}


def test_the_last_axis_changes_fastest(write: Write) -> None:
    """Excluded ones are left out, included ones stand at the end."""
    path = write(
        task("a", 'matrix = {x = ["u", "v"], y = [1, 2], exclude = [{x = "u", y = 2}], include = [{y = 9, x = "w"}]}')
    )
    assert ids(load_plan(path)) == ["a@u-1", "a@v-1", "a@v-2", "a@w-9"]


def test_exclude_does_not_take_true_for_one(write: Write) -> None:
    """They are equal in Python, and two things in TOML."""
    assert ids(load_plan(write(task("a", "matrix = {x = [1, true, 0], exclude = [{x = true}]}")))) == ["a@1", "a@0"]


def test_globs_match_relative_to_the_file_sorted_by_bytes(write: Write, tmp_path: Path) -> None:
    """The same on every machine, whatever its locale."""
    for name in ("b.txt", "B.txt", "é.txt", "a.txt"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    path = write(task("t", 'matrix.file = {glob = "in/*.txt"}'))
    files = [t.matrix["file"] for t in load_plan(path).tasks if t.matrix]
    assert files == ["in/B.txt", "in/a.txt", "in/b.txt", "in/é.txt"]


def test_the_matrix_fills_every_kind_of_key(write: Write) -> None:
    """With its type where the string is the reference alone."""
    path = write(
        '[tasks.a]\ncall = "m:${matrix.f}"\nargs = ["${matrix.t}", "t=${matrix.t}"]\n'
        'kwargs = {deep = ["${matrix.t}"]}\n'
        'timeout = "${matrix.t}"\ngrace = "${matrix.t}s"\nisolate = "${matrix.b}"\ncwd = "in/${matrix.f}"\n'
        'env = {T = "${matrix.t}"}\ntags = ["${matrix.t}"]\ndoc = "${matrix.f}"\non.success = "h:${matrix.f}"\n'
        'matrix = {f = ["go"], t = [3], b = [true]}\n'
    )
    (made,) = load_plan(path).tasks
    assert (made.target, made.args, made.kwargs) == ("m:go", (3, "t=3"), {"deep": [3]})
    assert (made.timeout_s, made.grace_s, made.isolate, made.env) == (3, 3, True, {"T": "3"})
    assert (made.cwd, made.tags, made.doc) == ("in/go", ("3",), "go")
    assert made.on_success == "h:go"


def test_values_in_a_shell_line_are_quoted(write: Write) -> None:
    """Of variables and of the matrix; not twice."""
    path = write('[vars]\nx = "a b"\n[tasks.a]\nshell = "echo ${vars.x} ${matrix.y}"\nmatrix.y = ["$(rm)"]\n')
    assert load_plan(path).tasks[0].target == "echo 'a b' '$(rm)'"


def test_an_argument_is_never_split(write: Write) -> None:
    """A value with spaces stays one argument."""
    path = write('[vars]\nx = "a b"\n[tasks.a]\ncmd = ["echo", "${vars.x}"]\n')
    assert load_plan(path).tasks[0].target == ("echo", "a b")


def test_a_path_into_a_table_that_one_instance_lacks_is_a_mistake(write: Write) -> None:
    """It names the instance."""
    path = write('[tasks.a]\ncmd = ["echo", "${matrix.m.k}"]\nmatrix.m = [{k = 1}, {j = 2}]\n')
    with pytest.raises(InvalidPipeline, match=r"for a@%7B%22j%22%3A%202%7D: matrix\.m has no 'k'"):
        load_plan(path)


def test_build_plan_and_load_plan_agree(write: Write) -> None:
    """One in two steps, one in one."""
    path = write(task("a"))
    assert build_plan(load_pipeline(path)) == load_plan(path)


def test_a_cycle_of_ten_thousand_tasks_is_a_mistake_of_one_line(write: Write) -> None:
    """Nothing recurses, and nobody is shown ten thousand names."""
    count = 10_000
    path = write("".join(task(f"t{n}", f'needs = ["t{(n + 1) % count}"]') for n in range(count)))
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    (mistake,) = caught.value.mistakes
    assert mistake.headline.startswith("tasks need each other in a circle: t0 → t1 → ")
    assert len(mistake.headline) < 200


def test_two_separate_cycles_are_two_mistakes(write: Write) -> None:
    """And what only leads to one is in neither."""
    path = write(
        task("a", 'needs = ["b"]') + task("b", 'needs = ["a"]') + task("c", 'needs = ["d"]')
        + task("d", 'needs = ["c"]') + task("e", 'needs = ["a", "f"]') + task("f")
    )  # fmt: skip
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    assert [each.headline.rpartition(": ")[2] for each in caught.value.mistakes] == ["a → b → a", "c → d → c"]


@pytest.mark.parametrize(
    ("written", "halt", "count"),
    [
        ("", "never", None),
        ('halt = "soon"', "soon", 1),
        ('halt = "now"', "now", 1),
        ("max_failures = 3", "soon", 3),
        ('halt = "now"\nmax_failures = 3', "now", 3),
        ('max_failures = "10%"', "soon", 3),
        ('max_failures = "12.5%"', "soon", 3),
        ('max_failures = "0.001%"', "soon", 1),
        ('max_failures = "100%"', "soon", 21),
        ('halt = "now"\nmax_failures = "50%"', "now", 11),
    ],
)
def test_either_of_halt_and_max_failures_implies_the_other(
    write: Write, written: str, halt: str, count: int | None
) -> None:
    """A percentage is of all planned tasks, of those that ``if`` removed too, and rounded up."""
    condition = 'if = "matrix.n != 3"'
    path = write(f"[pipeline]\n{written}\n" + task("a", "matrix.n = {range = [0, 20]}", condition) + task("b"))
    settings = load_plan(path).settings
    assert (settings.halt, settings.max_failures) == (halt, count)


def test_combinations_are_the_same_however_many_ways_there_are_to_make_them(write: Write) -> None:
    """With several axes, with something excluded, with ids too long for a file system; each instance is its own."""
    long = "x" * 150
    plain = f'matrix = {{a = [1, "b-c", "{long}"], b = ["{long}y", true], c = [1.5]}}'
    removed = plain.replace("c = [1.5]", "c = [1.5, 9], exclude = [{c = 9}]")
    first, second = (load_plan(write(task("t", each))).tasks for each in (plain, removed))
    assert [(each.id, each.matrix) for each in first] == [(each.id, each.matrix) for each in second]
    assert len({each.id for each in first}) == 6
    assert first[0].matrix is not first[1].matrix
    for double in ('matrix = {a = [1, "1"], b = [1, 2]}', 'matrix.a = ["x", "y", "x"]'):
        with pytest.raises(InvalidPipeline, match="has the instance t@.* twice"):
            load_plan(write(task("t", double)))
