"""An engine with a mistake put into it breaks the promise that it breaks: what judges would see it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from workflow.harness.batch import Batch
from workflow.harness.experiment import perform
from workflow.harness.oracle import Finding, judge

PACKAGE = Path(__file__).parents[3] / "workflow"
BATCH = Batch(["callback.raise", "crash.sys_exit", "crash.base_exception", "crash.segv"], neighbours=6, timeout_s=5.0)
FIRST = "def _remembered(new, held=[]):\n    held.append(new)\n    return held[0]\n\n\n"


def broken_by(mistake: tuple[str, str] | None, folder: Path) -> dict[int, tuple[str, ...]]:
    """The promises that a run on a copy of the engine breaks, in whose callbacks a text stands for another."""
    environment = {}
    if mistake is not None:
        shutil.copytree(PACKAGE, folder / "engine" / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / "engine" / "workflow" / "engine" / "callbacks.py"
        text = path.read_text()
        assert mistake[0] in text
        changed = text.replace(*mistake).replace("class Callbacks:", f"{FIRST}class Callbacks:")
        path.write_text(changed)
        environment["PYTHONPATH"] = str(folder / "engine")
    place = folder / "run"
    place.mkdir()
    expected = BATCH.expected()
    evidence = perform(replace(BATCH.run(place), environment=environment), expected, place)
    verdicts = judge(evidence, expected)
    assert all(verdict.finding is not Finding.UNJUDGED for verdict in verdicts), verdicts
    return {verdict.promise: verdict.reasons for verdict in verdicts if verdict.finding is Finding.BROKEN}


def test_the_engine_as_it_is_breaks_none(tmp_path: Path) -> None:
    assert broken_by(None, tmp_path) == {}


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (("loads(frame[RETURNED.size :])", "_remembered(loads(frame[RETURNED.size :]))"), "result than good@"),
        (
            ("return exception_from(frame, _id_of(task))", "return _remembered(exception_from(frame, _id_of(task)))"),
            "another error than is told of ",
        ),
    ],
    ids=["a result", "an error"],
)
def test_a_callback_that_is_given_what_is_another_tasks_is_seen(
    tmp_path: Path, mistake: tuple[str, str], says: str
) -> None:
    """By the seventh promise alone, for the tasks' own outcomes are right."""
    broken = broken_by(mistake, tmp_path)
    assert set(broken) == {7}
    assert any(says in reason for reason in broken[7]), broken
