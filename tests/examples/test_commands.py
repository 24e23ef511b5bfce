from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Copy = Callable[[str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Outcomes = Callable[[Path], dict[str, str]]


def test_the_build_renders_checks_and_packs(copy_of: Copy, python: Run, outcomes: Outcomes) -> None:
    """What one command prints names the file that another makes."""
    folder = copy_of("commands")
    run = python("-m", "workflow", "run", folder / "pipeline.toml")
    assert run.returncode == 0, run.stderr
    assert set(outcomes(folder).values()) == {"succeeded"}
    assert (folder / "out" / "index.html").read_text().endswith("<p>version 1.4</p>\n")
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "about.html",
        "index.html",
        "index.txt",
        "site-1.4.tar",
    ]


def test_a_failed_check_skips_what_needs_it(copy_of: Copy, python: Run, outcomes: Outcomes) -> None:
    """A non-zero exit is a failure, what needs it is skipped, what does not goes on."""
    folder = copy_of("commands")
    page = folder / "pipeline.toml"
    page.write_text(page.read_text().replace('"version ${', '"edition ${'))
    run = python("-m", "workflow", "run", page)
    assert run.returncode == 1, run.stderr
    ended = outcomes(folder)
    assert ended["check@index"] == ended["check@about"] == "failed"
    assert ended["pack"] == ended["sum"] == "skipped"
    assert ended["render@index-html"] == "succeeded"
