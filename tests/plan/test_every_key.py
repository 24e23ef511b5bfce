"""Every key of the grammar does something: without it there is another plan, and for the engine another task."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.info_task import InfoTask
from workflow.plan.build import load_plan
from workflow.plan.compile import Surroundings, compile_task
from workflow.plan.printing import plan_document
from workflow.spec.models import OnTable, PipelineTable, TaskTable, keys_of

AROUND = Surroundings("/root", "run-1", "/runs/run-1", 7, {})
FILE = """\
[pipeline]
{pipeline}
[limits]
db = 2
[templates.heavy]
priority = 7
[tasks.first]
cmd = ["true"]
[tasks.last]
{task}
"""
CALL = 'call = "m:f"'
TASKS = {
    "module": ('module = "m.M"', CALL),
    "call": (CALL, 'call = "m:g"'),
    "cmd": ('cmd = ["true"]', 'cmd = ["false"]'),
    "shell": ('shell = "true"', 'shell = "false"'),
    **{
        key: (f"{CALL}\n{line}", CALL)
        for key, line in {
            "args": "args = [1]",
            "kwargs": "kwargs = {a = 1}",
            "timeout": "timeout = 9",
            "grace": "grace = 2",
            "needs": 'needs = "first"',
            "matrix": "matrix = {x = [1, 2]}",
            "env": 'env = {X = "1"}',
            "cwd": 'cwd = "sub"',
            "on": 'on.success = "m:h"',
            "deadline": 'deadline = "9h"',
            "warn_after": "warn_after = 3",
            "retries": "retries = 2",
            "if": "if = \"env.NO_SUCH_VARIABLE == 'x'\"",
            "uses": 'uses = "db"',
            "priority": "priority = 3",
            "memory": 'memory = "1GiB"',
            "seed": "seed = 3",
            "inputs": 'inputs = "in.txt"',
            "outputs": 'outputs = "out.txt"',
            "extends": 'extends = "heavy"',
            "callback_timeout": "callback_timeout = 9",
            "isolate": "isolate = true",
            "allow_failure": "allow_failure = true",
            "tags": 'tags = ["x"]',
            "doc": 'doc = "what it is for"',
        }.items()
    },
}
"""Of each key of a task: a task with it, and one without it or with another value."""
DECIDED_BY_THE_PARENT = {"needs", "warn_after", "if", "uses", "inputs", "allow_failure", "tags", "doc", "matrix"}
"""What the engine does not hear of: who may start, what is told, what is counted."""
PIPELINE = {
    "format": None,
    "engine": None,  # there is one value of each of these two
    "name": 'name = "x"',
    "doc": 'doc = "x"',
    "pool": "pool = 3",
    "timeout": "timeout = 9",
    "halt": 'halt = "now"',
    "max_failures": "max_failures = 3",
    "path": 'path = ["src"]',
    "preload": 'preload = ["json"]',
    "include": 'include = ["more.toml"]',
    "max_log": "max_log = 9000",
    "max_result": "max_result = 9000",
    "max_tasks_per_child": "max_tasks_per_child = 9",
    "seed": "seed = 3",
}


def document(folder: Path, *, pipeline: str = "", task: str = CALL) -> dict[str, object]:
    path = folder / "pipeline.toml"
    path.write_text(FILE.format(pipeline=pipeline, task=task), encoding="utf-8")
    return plan_document(load_plan(path))


def compiled(folder: Path) -> InfoTask:
    return compile_task(load_plan(folder / "pipeline.toml").tasks[-1], {}, AROUND)


def test_the_tables_here_are_complete() -> None:
    """A new key needs a line in one of them."""
    assert set(TASKS) == set(keys_of(TaskTable))
    assert set(PIPELINE) == set(keys_of(PipelineTable))


@pytest.mark.parametrize("key", TASKS)
def test_a_key_of_a_task_is_in_the_plan_and_reaches_the_engine(tmp_path: Path, key: str) -> None:
    """Were it ignored anywhere between the file and the engine, the two would be the same."""
    with_it, without = TASKS[key]
    plan = document(tmp_path, task=with_it)
    info = compiled(tmp_path)
    assert document(tmp_path, task=without) != plan
    if key not in DECIDED_BY_THE_PARENT:
        assert compiled(tmp_path) != info


@pytest.mark.parametrize("key", keys_of(OnTable))
def test_each_hook_is_in_the_plan(tmp_path: Path, key: str) -> None:
    """Success and failure are two keys."""
    assert document(tmp_path, task=f'{CALL}\non.{key} = "m:h"') != document(tmp_path)


@pytest.mark.parametrize("key", [key for key, line in PIPELINE.items() if line])
def test_a_key_of_the_pipeline_is_in_the_plan(tmp_path: Path, key: str) -> None:
    """Where the run reads it."""
    (tmp_path / "more.toml").write_text('[tasks.more]\ncmd = ["true"]\n')
    assert document(tmp_path, pipeline=str(PIPELINE[key])) != document(tmp_path)
