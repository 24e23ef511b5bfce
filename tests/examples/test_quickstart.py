from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path


def test_the_quickstart_counts_each_text_and_adds_up(
    copy_of: Callable[[str], Path],
    python: Callable[..., subprocess.CompletedProcess[str]],
    outcomes: Callable[[Path], dict[str, str]],
) -> None:
    """The results of the matrix arrive in the task that takes them."""
    folder = copy_of("quickstart")
    run = python("-m", "workflow", "run", folder / "pipeline.toml")
    assert run.returncode == 0, run.stderr
    assert outcomes(folder) == dict.fromkeys(
        ["count@texts%2Fone.txt", "count@texts%2Fthree.txt", "count@texts%2Ftwo.txt", "total"], "succeeded"
    )
    log = Path(".workflow/latest/logs/total.log")
    assert "23 words in 3 files" in (folder / log).read_text()
    assert f"cat examples/quickstart/{log}" in (folder / "README.md").read_text()
