"""Which instances need which: ``match``, ``status``, and axes that are like another task's or the lines of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.diagnostics.render import headline
from workflow.plan.build import load_plan
from workflow.plan.compile import MissingResult, Surroundings, compile_task
from workflow.plan.plan import Ended, Need, Plan, PlannedTask
from workflow.plan.printing import plan_json
from workflow.plan.select import select

Write = Callable[[str], Path]
AROUND = Surroundings("/", "run", "/run", 0)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes(path: Path) -> list[str]:
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    return [headline("F", mistake) for mistake in caught.value.mistakes]


def needs(plan: Plan) -> dict[str, list[tuple[str, ...]]]:
    return {task.id: [tuple(need.ids) for need in task.needs] for task in plan.tasks}


def named(plan: Plan, id_: str) -> PlannedTask:
    return next(task for task in plan.tasks if task.id == id_)


FETCH = '[tasks.fetch]\ncall = "m:f"\nmatrix = {country = ["de", "fr"], year = [1, 2]}\n'
PARSE = '[tasks.parse]\ncall = "m:p"\nmatrix = {country = {like = "fetch"}, year = {like = "fetch"}}\n'


def test_an_axis_like_that_of_another_task_has_its_values_and_needs_nothing(write: Write) -> None:
    """In its order, each once; the other task is not waited for."""
    plan = load_plan(write(PARSE + FETCH))
    assert [task.id for task in plan.tasks if task.name == "parse"] == [
        "parse@de-1", "parse@de-2", "parse@fr-1", "parse@fr-2",
    ]  # fmt: skip
    assert all(task.needs == () for task in plan.tasks)


def test_like_follows_what_include_and_exclude_did(write: Write) -> None:
    """Its values are those of the instances there are; also through another like, and from a glob or lines."""
    plan = load_plan(
        write(
            '[tasks.a]\ncall = "m:f"\nmatrix = {x = [1, 2], exclude = [{x = 2}], include = [{x = 9}]}\n'
            '[tasks.b]\ncall = "m:f"\nmatrix.x = {like = "a"}\n'
            '[tasks.c]\ncall = "m:f"\nmatrix.x = {like = "b"}\n'
        )
    )
    assert [task.id for task in plan.tasks] == ["a@1", "a@9", "b@1", "b@9", "c@1", "c@9"]


def test_match_pairs_instances_by_all_axes(write: Write) -> None:
    """Each needs its own; the result is that one's."""
    plan = load_plan(
        write(FETCH + PARSE + 'args = ["${tasks.fetch.result}"]\nneeds = {task = "fetch", match = ["country", "year"]}')
    )
    paired = named(plan, "parse@fr-1")
    assert paired.needs == (Need("fetch", ("fetch@fr-1",), ("fetch@fr-1",), "success", matched=True),)
    assert paired.uses_results == {"fetch@fr-1"}
    made = compile_task(paired, {"fetch@fr-1": Ended(None, "succeeded", 5)}, AROUND)
    assert made.args == ("m:p", [5], {})


def test_match_by_one_axis_needs_all_that_have_its_value(write: Write) -> None:
    """Their results are a list; who has the same value shares the tuple of them."""
    plan = load_plan(
        write(
            FETCH
            + '[tasks.sum]\ncall = "m:s"\nargs = ["${tasks.fetch.results}"]\n'
            + 'matrix = {country = {like = "fetch"}, how = ["a", "b"]}\nneeds = {task = "fetch", match = "country"}\n'
        )
    )
    assert needs(plan)["sum@fr-a"] == [("fetch@fr-1", "fetch@fr-2")]
    assert named(plan, "sum@fr-a").needs is named(plan, "sum@fr-b").needs
    assert named(plan, "sum@de-a").uses_results == {"fetch@de-1", "fetch@de-2"}
    ended = {f"fetch@fr-{n}": Ended(None, "succeeded", n) for n in (1, 2)}
    assert compile_task(named(plan, "sum@fr-b"), ended, AROUND).args[1] == [[1, 2]]


def test_match_tells_true_from_one_and_one_from_text(write: Write) -> None:
    """Values are the same where TOML's are."""
    plan = load_plan(
        write(
            '[tasks.a]\ncall = "m:f"\nmatrix = {x = [1, true]}\n'
            '[tasks.b]\ncall = "m:f"\nmatrix = {x = [true, 1]}\nneeds = {task = "a", match = "x"}\n'
        )
    )
    assert needs(plan)["b@true"] == [("a@true",)]
    assert needs(plan)["b@1"] == [("a@1",)]


def test_match_has_a_status_and_leaves_out_what_if_removed(write: Write) -> None:
    """Unless that is all that matched; an instance that ``if`` removed itself needs no match."""
    plan = load_plan(
        write(
            '[vars]\nn = 1\n[tasks.a]\ncall = "m:f"\nmatrix = {x = [1, 2], y = [1, 2]}\n'
            'if = "matrix.x == 1 and matrix.y != vars.n"\n'
            '[tasks.b]\ncall = "m:f"\nmatrix = {x = [1, 2, 3]}\nif = "matrix.x != 3"\n'
            'needs = {task = "a", match = "x", status = "any"}\n'
        )
    )
    assert needs(plan)["b@1"] == [("a@1-2",)]
    assert needs(plan)["b@2"] == [("a@2-1", "a@2-2")]
    assert needs(plan)["b@3"] == []
    assert named(plan, "b@1").needs[0].status == "any"


def test_an_instance_without_a_partner_is_a_mistake(write: Write) -> None:
    """It names both sides and the values."""
    path = write(
        '[tasks.a]\ncall = "m:f"\nmatrix = {x = [1], y = ["u"]}\n'
        '[tasks.b]\ncall = "m:f"\nmatrix = {x = [1, 2], y = ["u"]}\nneeds = {task = "a", match = ["x", "y"]}\n'
    )
    assert mistakes(path) == [
        'F:7:9: tasks.b.needs: for b@2-u: a has no instance with x = the number 2, y = the text "u"'
    ]


def test_a_result_of_several_that_match_is_a_mistake(write: Write) -> None:
    """Its axes must all be matched: else there is no one result."""
    path = write(FETCH + '[tasks.b]\ncall = "m:f"\nmatrix.year = [1]\nargs = ["${tasks.fetch.result}"]\n'
                 'needs = {task = "fetch", match = "year"}\n')  # fmt: skip
    assert mistakes(path) == [
        "F:7:10: tasks.b.args[0]: ${tasks.fetch.result}: several instances of 'fetch' have the same year"
    ]


def test_a_task_is_needed_in_one_way(write: Write) -> None:
    """Not with match and without, nor with two."""
    path = write(FETCH + PARSE + 'needs = [{task = "fetch", match = "year"}, {task = "fetch", match = "country"}]\n')
    assert mistakes(path) == [
        "F:7:44: tasks.parse.needs[1]: 'fetch' is needed already, with match = [year] and not match = [country]"
    ]


def test_a_matched_result_that_is_not_there_names_the_instance(write: Write) -> None:
    """With status any, its partner may have failed."""
    plan = load_plan(
        write(
            '[tasks.a]\ncall = "m:f"\nmatrix.x = [1]\n[tasks.b]\ncall = "m:f"\nmatrix.x = [1]\n'
            'args = ["${tasks.a.result}"]\nneeds = {task = "a", match = "x", status = "any"}\n'
        )
    )
    with pytest.raises(MissingResult, match="a@1 has no result, it ended as failed"):
        compile_task(plan.tasks[1], {"a@1": Ended({"x": 1}, "failed", None)}, AROUND)


def test_lines_of_a_file_are_an_axis(write: Write, tmp_path: Path) -> None:
    """Without their ends and without empty ones, a byte order mark or not."""
    (tmp_path / "urls.txt").write_bytes("\ufeffhttp://a/\r\n\n  \nhttp://b/ü".encode())
    plan = load_plan(write('[tasks.a]\ncmd = ["curl", "${matrix.url}"]\nmatrix.url = {lines = "urls.txt"}\n'))
    assert [task.target for task in plan.tasks] == [("curl", "http://a/"), ("curl", "http://b/ü")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "there is no file 'urls.txt'"),
        (b"\n  \n", "'urls.txt' has no lines"),
        (b"\xff", "'urls.txt' is not UTF-8"),
        (b"a\0b", "'urls.txt' holds a NUL character, it is no text"),
        (b"a\na\n", "has the instance a@a twice"),
    ],
)
def test_a_file_without_lines_is_a_mistake(write: Write, tmp_path: Path, data: bytes | None, said: str) -> None:
    """A batch of nothing that reports success is the worst of answers."""
    if data is not None:
        (tmp_path / "urls.txt").write_bytes(data)
    (found,) = mistakes(write('[tasks.a]\ncmd = ["true"]\nmatrix.url = {lines = "urls.txt"}\n'))
    assert found.endswith(said)


PAIRED = FETCH + PARSE + 'needs = {task = "fetch", match = ["country", "year"]}\n'


def test_selecting_one_instance_selects_its_partner_alone(write: Write) -> None:
    """And two their two: an instance of the same task does not stand for the other."""
    plan = load_plan(write(PAIRED))
    assert [task.id for task in select(plan, globs=["parse@fr-2"], tags=()).tasks] == ["fetch@fr-2", "parse@fr-2"]
    assert len(select(plan, globs=["parse@fr-*"], tags=()).tasks) == 4


def test_selecting_keeps_what_if_removed_where_items_lists_it_and_nothing_that_it_would_have_needed(
    write: Write,
) -> None:
    """It costs nothing, and the list is whole."""
    plan = load_plan(
        write(
            '[tasks.z]\ncall = "m:f"\n[tasks.a]\ncall = "m:f"\nmatrix.n = [1, 2]\nif = "matrix.n == 1"\n'
            '[tasks.b]\ncall = "m:f"\nargs = ["${tasks.a.items}"]\n'
            '[tasks.c]\ncall = "m:f"\nneeds = ["z"]\nif = "env.X_Y_Z == \'1\'"\n'
        )
    )
    assert [task.id for task in select(plan, globs=["b"], tags=()).tasks] == ["a@1", "a@2", "b"]
    assert [task.id for task in select(plan, globs=["c"], tags=()).tasks] == ["c"]


def test_the_plan_as_json_says_which_instances_were_paired(write: Write) -> None:
    """And stays the same from one time to the next."""
    plan = load_plan(write(PAIRED))
    written = {task["id"]: task for task in json.loads(plan_json(plan))["tasks"]}
    assert written["parse@de-2"]["needs"] == [{"task": "fetch", "ids": ["fetch@de-2"]}]
    assert "skipped" not in written["fetch@de-2"]
    assert plan_json(plan) == plan_json(load_plan(plan.file))


def test_ten_thousand_pairs_are_planned_quickly(write: Write) -> None:
    """Each instance finds its partner by its values, not by looking at all."""
    import time

    path = write(
        '[tasks.a]\ncall = "m:f"\nmatrix.n = {range = [0, 10000]}\n'
        '[tasks.b]\ncall = "m:f"\nmatrix.n = {like = "a"}\nargs = ["${tasks.a.result}"]\n'
        'needs = {task = "a", match = "n"}\n'
    )
    begun = time.process_time()
    plan = load_plan(path)
    assert plan.tasks[-1].needs[0].ids == ("a@9999",)
    assert time.process_time() - begun < 10
