"""Each program of the guide is run as it stands; before and after come to the same, where the guide says so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "examples" / "coming_from" / "README.md"
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
PYTHON = [name for name, text in SECTIONS.items() if "```python" in text]
DIFFERENT = {
    "ProcessPoolExecutor": ("lost at least: [3, 4, 5]\n", "lost: [3]\n"),
}


def test_it_has_the_six_that_it_promises() -> None:
    """Each with a before and an after."""
    assert list(SECTIONS) == ["multiprocessing.Pool", "ProcessPoolExecutor", "pebble", "joblib", "GNU parallel", "make"]
    for name in SECTIONS:
        assert [when for _, when in _blocks(name)] == ["before", "after"]


@pytest.mark.parametrize("name", PYTHON)
def test_the_program_after_says_what_the_one_before_said(name: str, tmp_path: Path) -> None:
    """Or, where that is the point, something better."""
    if name in {"pebble", "joblib"}:
        pytest.importorskip(name)
    said = {}
    for (_, when), text in _blocks(name).items():
        folder = tmp_path / when
        folder.mkdir()
        (folder / "program.py").write_text(text, encoding="utf-8")
        said[when] = _run([sys.executable, "program.py"], folder)
    before, after = DIFFERENT.get(name, (said["after"], said["after"]))
    assert said["after"]
    assert (said["before"], said["after"]) == (before, after)


def test_files_are_counted_with_and_without_gnu_parallel(tmp_path: Path) -> None:
    """The same lines, in the logs of the tasks."""
    blocks = {when: text for (_, when), text in _blocks("GNU parallel").items()}
    for name, size in (("a.txt", 3), ("b.txt", 5)):
        (tmp_path / name).write_text("x" * size)
    (tmp_path / "pipeline.toml").write_text(blocks["after"])
    _run([sys.executable, "-m", "workflow", "run", "-q"], tmp_path)
    logs = sorted(path.read_text() for path in (tmp_path / ".workflow" / "latest" / "logs").glob("*.log"))
    assert logs == ["3 a.txt\n", "5 b.txt\n"]
    version = _run(["parallel", "--version"], tmp_path) if shutil.which("parallel") else ""
    if "GNU parallel" not in version:
        pytest.skip("GNU parallel is not installed: what it does before was not compared")
    assert sorted(_run(["sh", "-c", blocks["before"]], tmp_path).splitlines(keepends=True)) == logs


def test_what_make_makes_is_made_and_not_made_again(tmp_path: Path) -> None:
    """The same file; the second time nothing runs, and after a change only what depends on it."""
    from workflow import Pipeline

    blocks = {when: text for (_, when), text in _blocks("make").items()}
    (tmp_path / "one.txt").write_text("one\n")
    (tmp_path / "two.txt").write_text("two\n")
    (tmp_path / "pipeline.toml").write_text(blocks["after"])
    pipeline = Pipeline.load(tmp_path / "pipeline.toml")
    assert {task.outcome.value for task in pipeline.run()} == {"succeeded"}
    assert (tmp_path / "all.txt").read_text() == "ONE\nTWO\n"
    assert {task.outcome.value for task in pipeline.run()} == {"cached"}
    (tmp_path / "two.txt").write_text("new\n")
    again = {task.id: task.outcome.value for task in pipeline.run()}
    assert again == {"up@one": "cached", "up@two": "succeeded", "all": "succeeded"}
    if shutil.which("make") is None:
        pytest.skip("make is not installed: what it does before was not compared")
    for made in ("one.up", "two.up", "all.txt"):
        (tmp_path / made).unlink()
    (tmp_path / "Makefile").write_text(blocks["before"])
    _run(["make", "-j", "2"], tmp_path)
    assert (tmp_path / "all.txt").read_text() == "ONE\nNEW\n"


def _blocks(name: str) -> dict[tuple[str, str], str]:
    found = re.findall(r"^```(\w+) (before|after)\n(.*?)^```", SECTIONS[name], re.MULTILINE | re.DOTALL)
    return {(language, when): text for language, when, text in found}


def _run(command: list[str], folder: Path) -> str:
    # Unbuffered: where another pool forks a worker anew, that one would print what its parent had in the buffer, too.
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
