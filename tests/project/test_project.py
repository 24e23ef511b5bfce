from __future__ import annotations

import configparser
import re
import shlex
from importlib import metadata, resources
from pathlib import Path

import pytest

import workflow

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = [
    "lint", "types", "imports", "schemas", "unit", "simulation", "processes", "cli", "chaos", "chaos-full", "soak",
    "coverage", "bench",
]  # fmt: skip


def _commands_of_the_readme() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_ci_runs_what_the_readme_says() -> None:
    """The last line of .ci/run is the README's test command, word for word."""
    last = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert last == "pip install tox && tox"
    assert last in _commands_of_the_readme()


def test_the_readme_runs_the_real_example() -> None:
    """The first command installs this project and runs a file that is there."""
    first = _commands_of_the_readme()[0]
    install, run = first.split(" && ")
    assert install == "pip install ."
    words = shlex.split(run)
    assert words[:4] == ["python", "-m", "workflow", "run"]
    assert (ROOT / words[4]).is_file()


def test_every_question_has_a_described_environment() -> None:
    """`tox list` is a list of questions, and CONTRIBUTING names each."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for name in QUESTIONS:
        assert tox.get(f"testenv:{name}", "description").strip()
        assert f"`tox -e {name}`" in contributing


def test_the_package_says_that_it_is_typed() -> None:
    """Without py.typed in the wheel every annotation is invisible to its users."""
    assert resources.files("workflow").joinpath("py.typed").is_file()


def test_the_version_is_said_once() -> None:
    """The distribution has the version that the package has."""
    assert metadata.version("infotask") == workflow.__version__


@pytest.mark.parametrize("path", sorted((ROOT / "examples").iterdir()), ids=lambda path: path.name)
def test_every_example_explains_itself_and_is_run_by_a_test(path: Path) -> None:
    """An example that nothing runs is a promise that nobody keeps."""
    assert (path / "README.md").is_file()
    assert (ROOT / "tests" / "examples" / f"test_{path.name}.py").is_file()
