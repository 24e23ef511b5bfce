"""All mistakes of a file are told at once, and none that only follows from another."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from pathlib import Path

import pytest
import tomli

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan

INVALID = Path(__file__).parents[1] / "corpus" / "invalid"


def _codes(folder: Path, text: str) -> list[str]:
    path = folder / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    return sorted(mistake.code for mistake in caught.value.mistakes)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("timeout = true", "bad-duration"),
        ('doc = "${vars.nowhere}"', "unknown-variable"),
        ('env = {X = "${matrix.x}"}', "unknown-axis"),
        ("nosuchkey = 1", "unknown-key"),
    ],
)
def test_a_wrong_key_hides_no_unknown_task(tmp_path: Path, line: str, code: str) -> None:
    """Names in needs and in references are checked in the task that was refused, and in every other."""
    wrong = f'[tasks.a]\n{line}\nneeds = ["nope"]\ncmd = ["echo", "${{tasks.neither.result}}"]\n'
    other = '[tasks.b]\nneeds = ["nor"]\ncmd = ["true"]\n'
    assert _codes(tmp_path, wrong + other) == sorted([code, *["unknown-task"] * 3])


def test_a_refused_task_still_exists(tmp_path: Path) -> None:
    """Who needs it, and whom it needs, are not mistakes because of it."""
    text = '[tasks.a]\ntimeout = true\nneeds = ["b"]\ncmd = ["true"]\n[tasks.b]\ncmd = ["true"]\n'
    text += '[tasks.c]\nneeds = ["a", "b${vars.x}"]\ncmd = ["echo", "${tasks.a.result}"]\n'
    assert _codes(tmp_path, text) == ["bad-duration", "unknown-variable"]
    circle = text.replace('cmd = ["true"]\n[tasks.c]', 'needs = "c"\ncmd = ["true"]\n[tasks.c]')
    assert _codes(tmp_path, circle) == ["bad-duration", "cycle", "unknown-variable"]


@pytest.mark.parametrize("line", ["timout = 1", "timeout = true", 'env = {X = "${vars.nowhere}"}', "matrix.x = []"])
def test_a_task_that_takes_the_axis_of_a_refused_one_is_not_blamed(tmp_path: Path, line: str) -> None:
    """It has no instances, for the other has none: that is no mistake in it."""
    wrong = f'[tasks.a]\n{line}\ncmd = ["true"]\n' + ("" if "matrix" in line else "matrix.x = [1]\n")
    other = '[tasks.b]\nmatrix.x = {like = "a"}\nneeds = {task = "a", match = ["x"]}\ncmd = ["true"]\n'
    assert len(_codes(tmp_path, wrong + other)) == 1


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        (
            'retries = {count = 3, backoff = "2", delay = true}',
            ["bad-duration", "bad-value", "bad-value", "unknown-key"],
        ),
        ('needs = [{tusk = "a", status = 3}]', ["bad-value", "bad-value", "unknown-key"]),
        ('needs = [{name = "a"}]', ["bad-value", "unknown-key"]),
        ("memory = 512\ntimeout = true", ["bad-duration", "bad-size"]),
    ],
)
def test_a_missing_key_hides_nothing_in_its_table(tmp_path: Path, line: str, codes: list[str]) -> None:
    """The key that should have been it is likely to be there, under another name."""
    assert _codes(tmp_path, f'[tasks.b]\n{line}\ncmd = ["true"]\n') == codes


def test_a_limit_without_tokens_hides_nothing(tmp_path: Path) -> None:
    """The same of [limits]."""
    text = '[limits]\nweb = {token = 3, per = true}\n[tasks.b]\ncmd = ["true"]\n'
    assert _codes(tmp_path, text) == ["bad-duration", "bad-value", "unknown-key"]


IN_ONE_TASK = {
    "timout = 1": "unknown-key",
    'env = {A = "${vars.nowhere}"}': "unknown-variable",
    'uses = "nothing"': "unknown-limit",
    'needs = [{task = "two", match = ["z"]}]': "unknown-axis",
    'kwargs = {a = "${tasks.two.result}"}': "result-of-matrix",
    "if = 'matrix.y == 1'": "unknown-axis",
    'doc = "${matrix.z}"': "unknown-axis",
    'cwd = "${tasks.one.result}"': "misplaced-reference",
    'deadline = "1s"\ntimeout = "2s"': "contradiction",
    'outputs = ["shared.txt"]': "output-twice",
    "isolate = 1": "bad-value",
    'memory = "many"': "bad-size",
    "callback_timeout = '${matrix.x}'": "bad-duration",
    "seed = '${matrix.x}'": "bad-value",
}
"""Lines of one task, each wrong by itself; most of what they are found by is looked at after other things."""
AROUND = """\
[pipeline]
path = ["."]
[tasks.one]
cmd = ["true"]
outputs = ["shared.txt"]
[tasks.two]
cmd = ["true"]
matrix.x = ["a", "b"]
[tasks.three]
call = "m:f"
matrix.x = ["a", "b"]
"""


@pytest.mark.parametrize("pair", list(itertools.combinations(IN_ONE_TASK, 2)), ids=" & ".join)
def test_two_mistakes_in_one_task_are_both_told(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Whatever each is found by: its own check, its neighbours, the limits, the graph, an instance, or files."""
    alone = sum((Counter(_codes(tmp_path, AROUND + line)) for line in pair), Counter())
    assert set(alone) == {IN_ONE_TASK[line] for line in pair}
    assert Counter(_codes(tmp_path, AROUND + "\n".join(pair))) == alone


def test_mistakes_of_one_task_hide_none_of_another(tmp_path: Path) -> None:
    """Two files of the corpus in one, their tasks under other names: what was told of each is told of both."""
    files = {path.stem: path.read_text("utf-8") for path in sorted(INVALID.glob("*.toml"))}
    known = {name: codes for name, text in files.items() if (codes := _mergeable(tmp_path, text))}
    renamed = {
        name: text
        for name in known
        if (text := _renamed(files[name])) is not None and _mergeable(tmp_path, text) == known[name]
    }
    assert len(renamed) > 200
    pairs = [(one, other) for one in known for other in renamed if one != other]
    tried = 0
    for one, other in random.Random(1).sample(pairs, 1000):
        try:
            tomli.loads(files[one] + renamed[other])
        except tomli.TOMLDecodeError:
            continue  # both have a table that can stand only once
        tried += 1
        assert Counter(_codes(tmp_path, files[one] + renamed[other])) == known[one] + known[other], (one, other)
    assert tried > 250


def _mergeable(folder: Path, text: str) -> Counter[str]:
    """The codes of a file; none where it says something about other tasks, or that there is nothing."""
    try:
        tables = tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        return Counter()
    codes = Counter(_codes(folder, text))
    reaches_far = {"defaults", "profiles"} & set(tables) or not all(isinstance(each, dict) for each in tables.values())
    if not re.match(r"(?:#.*\n|\s)*\[", text):
        return Counter()  # keys that would fall into the table before them
    asks_for_others = {"no-tasks", "unknown-task", "unknown-variable", "toml-1.1", "not-toml", "too-deep"} & set(codes)
    return Counter() if reaches_far or asks_for_others else codes


def _renamed(text: str) -> str | None:
    tasks = tomli.loads(text).get("tasks")
    names = [name for name in tasks if re.fullmatch(r"[A-Za-z_][\w-]*", name)] if isinstance(tasks, dict) else []
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])(?!\s*=\s*[^{{])", f"zz_{name}", text)
    return text if names else None
