"""Every kind of fault, really made: each task comes to exactly what its kind says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from workflow.harness import KINDS, NoControl, pipeline
from workflow.harness.batch import Batch
from workflow.harness.faulty import Strike
from workflow.harness.kinds import Kind
from workflow.harness.pipeline import Subject, check_pipeline, run_control
from workflow.harness.rules import told
from workflow.harness.scenario import Scenario, check, of_batch
from workflow.plan.build import load_plan

WAITING = [kind.id for kind in KINDS.values() if kind.hangs]
"""Those that last until the limit of the task, which is short for them."""
CALLBACKS = [kind.id for kind in KINDS.values() if kind.callback == "timed_out"]
"""Those that last until the limit of the callback."""
OTHERS = [id_ for id_ in KINDS if id_ not in WAITING and id_ not in CALLBACKS]
"""Those that take what they take, on a slow machine too."""

LIB = """
def double(number):
    return 2 * number
"""
TARGETS = {"call": 'call = "lib:double"\nargs = [21]', "cmd": 'cmd = ["echo", "42"]', "shell": 'shell = "echo 42"'}


@pytest.mark.parametrize(
    "batch",
    [
        Batch(WAITING, timeout_s=0.8, neighbours=5, pool=4),
        Batch(CALLBACKS, callback_timeout_s=0.8, timeout_s=20.0, neighbours=5),
        Batch(OTHERS, timeout_s=20.0, callback_timeout_s=20.0, neighbours=5),
    ],
    ids=["waiting", "callbacks", "others"],
)
def test_a_model_comes_to_what_each_kind_says(batch: Batch) -> None:
    """Outcome, callback, signal, exit code, error, text, stack, traceback, and what is left."""
    result = check(Scenario("kinds", "each", "what it says", of_batch(batch)), random.Random(1).randrange(1000))
    assert result.passed, result.explain()


@pytest.mark.parametrize("target", TARGETS)
def test_a_task_of_another_kind_comes_to_what_each_kind_says(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that apply to it, a task for each, and a neighbour between them."""
    monkeypatch.setattr(pipeline, "SHORTEST_S", 0.8)
    monkeypatch.setattr(pipeline, "CALLBACK_S", 0.8)
    monkeypatch.setattr(pipeline, "GRACE_S", 0.3)
    kinds = [kind for kind in KINDS.values() if target in kind.tasks]
    (tmp_path / "lib.py").write_text(LIB)
    file = tmp_path / "pipeline.toml"
    tasks = "".join(f"[tasks.{_name(kind)}]\n{TARGETS[target]}\n[tasks.beside_{_name(kind)}]\n{TARGETS[target]}\n"
                    for kind in kinds)  # fmt: skip
    file.write_text("[pipeline]\npool = 4\n\n" + tasks)
    subject = Subject(file, load_plan(file))
    struck = {_name(kind): (Strike(kind.id, None),) for kind in kinds}
    result = check_pipeline(subject, run_control(subject), struck, "kinds", 1, "(this test)")
    assert result.passed, result.explain()
    assert result.injected == tuple(told(struck))
    assert len(result.outcomes) == 2 * len(kinds)


def test_a_pipeline_that_does_not_end_is_no_control(tmp_path: Path) -> None:
    """It is ended, and told."""
    file = tmp_path / "pipeline.toml"
    file.write_text('[tasks.a]\ncmd = ["sleep", "1000"]\n')
    with pytest.raises(NoControl, match="it had not ended after 1 s, without any fault"):
        run_control(Subject(file, load_plan(file), longest_s=1.0))


def _name(kind: Kind) -> str:
    return kind.id.replace(".", "_")
