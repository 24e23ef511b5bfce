from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Copy = Callable[[str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_page_is_made_whatever_happens(copy_of: Copy, python: Run) -> None:
    """The README's command and its output, but for how long it takes."""
    folder = copy_of("chaos_in_ci")
    ran = python("-m", "workflow", "chaos", folder / "pipeline.toml", "--faults", folder / "faults.toml")
    assert ran.returncode == 0, ran.stdout
    readme = (folder / "README.md").read_text("utf-8")
    for line in ran.stdout.splitlines():
        text = line.replace(str(folder), "examples/chaos_in_ci").partition(" s of")[0].rstrip("0123456789. s")
        assert text in readme, line
    assert (folder / "out/page.txt").read_text().startswith("index ")


def test_a_pipeline_that_needs_every_market_is_found(copy_of: Copy, python: Run) -> None:
    """As the README says."""
    folder = copy_of("chaos_in_ci")
    file = folder / "pipeline.toml"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("needs = ")), "utf-8")
    ran = python("-m", "workflow", "chaos", file, "--faults", folder / "faults.toml")
    assert ran.returncode == 5, ran.stdout
    story = (folder / "README.md").read_text("utf-8").partition("\nBROKEN")[2].partition("```")[0]
    for line in story.splitlines()[1:]:
        assert line in ran.stdout


def test_its_tests_pass(copy_of: Copy, python: Run) -> None:
    """In the pytest of whoever has this package."""
    folder = copy_of("chaos_in_ci")
    ran = python("-m", "pytest", "-q", "-p", "no:cacheprovider", folder, cwd=folder)
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


def test_ci_runs_what_the_readme_shows(copy_of: Copy) -> None:
    """The same command, with more seeds."""
    ci = (copy_of("chaos_in_ci") / "ci.yml").read_text("utf-8")
    assert "workflow chaos pipeline.toml --faults faults.toml --repeat 3 --junit chaos.xml" in ci
    assert "path: chaos.xml" in ci
