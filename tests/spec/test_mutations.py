"""Each key of each example, deleted, misspelt or given a wrong value: the mistake is told on its line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from workflow.diagnostics.locate import _Entry, _tree
from workflow.diagnostics.mistake import InvalidPipeline, Mistake, Place
from workflow.plan.build import load_plan

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "examples").glob("*/pipeline.toml")),
    *(
        ROOT / "tests/corpus/valid" / f"{name}.toml"
        for name in ("every_key", "matrix_in_every_key", "needs", "toml_forms")
    ),
]


class Written(NamedTuple):
    """A key of the grammar, and where it stands in the bytes of the file."""

    place: Place
    key: tuple[int, int]
    value: tuple[int, int]


@pytest.fixture(params=FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, with what stands beside it: some of it is looked for by a glob."""
    shutil.copytree(request.param.parent, tmp_path / "copy", ignore=shutil.ignore_patterns(".workflow", "out", "*.pyc"))
    return tmp_path / "copy" / str(request.param.name)


def keys(data: bytes) -> list[Written]:
    """Those with a value on the way to them, not the names that somebody chose: of tasks, axes, variables."""
    found = [each for each in _walk(_tree(data), ()) if each.value != each.key and _of_the_grammar(each.place)]
    assert found
    return found


def _walk(entry: _Entry, place: Place) -> Iterator[Written]:
    for step, below in entry.below.items():
        yield Written((*place, step), below.key, below.value)
        yield from _walk(below, (*place, step))


def _of_the_grammar(place: Place) -> bool:
    section, *rest = place
    if section == "profiles":
        return len(rest) > 1 and _of_the_grammar(tuple(rest[1:]))
    depth = {"pipeline": 1, "defaults": 1, "tasks": 2, "templates": 2, "secrets": 2, "limits": 2}.get(str(section))
    of_a_task = section in ("tasks", "templates") and len(rest) == 3
    return len(rest) == depth or (of_a_task and rest[1] in ("on", "retries") and not isinstance(rest[2], int))


def mistakes(path: Path, data: bytes) -> tuple[Mistake, ...]:
    path.write_bytes(data)
    try:
        load_plan(path)
    except InvalidPipeline as error:
        return error.mistakes
    return ()


def line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def test_a_misspelt_key_is_told_where_it_stands(example: Path) -> None:
    """At its line and column, whatever else comes of it."""
    data = example.read_bytes()
    for place, (start, end), _ in keys(data):
        name = data[start:end].strip(b"\"'")
        changed = data[:start] + name[:1] + b"zq" + name[1:] + data[end:]
        column = len(data[data.rfind(b"\n", 0, start) + 1 : start].decode()) + 1
        told = [(each.code, each.line, each.column) for each in mistakes(example, changed)]
        assert ("unknown-key", line(data, start), column) in told, place


def test_a_value_of_a_wrong_type_is_told_where_it_stands(example: Path) -> None:
    """No key takes a date."""
    data = example.read_bytes()
    for place, _, (start, end) in keys(data):
        told = [each.line for each in mistakes(example, data[:start] + b"1979-05-27" + data[end:])]
        assert line(data, start) in told, place


def test_a_file_without_one_of_its_keys_is_a_plan_or_has_a_mistake_with_a_line(example: Path) -> None:
    """Without what it runs, a task is told at its name."""
    data = example.read_bytes()
    for place, (start, _), (_, end) in keys(data):
        if b"\n" in data[start:end] or data[data.rfind(b"\n", 0, start) + 1 : start].strip():
            continue  # written over several lines, in braces or with dots: not to be cut out so easily
        told = mistakes(example, data[:start] + b"#" + data[start:])
        assert all(each.line is not None for each in told), place
        if place[-1] in ("module", "call", "cmd", "shell") and place[0] == "tasks" and len(place) == 3:
            assert {"no-kind", "misplaced-key"} & {each.code for each in told}, place
