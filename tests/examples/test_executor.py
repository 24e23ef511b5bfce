"""The scripts of examples/executor, as a reader would run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "executor"
ROWS = re.findall(r"^\| `(\w+\.py)` \|.*\| `(.*)` \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
LIBRARIES = {"dask_graph.py": ["dask"], "grid_search.py": ["sklearn"], "progress.py": ["tqdm"], "chunks.py": ["pandas"]}


def test_every_script_has_a_row() -> None:
    """And every row a script."""
    assert sorted(name for name, _ in ROWS) == sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize(("script", "line"), ROWS)
def test_a_script_prints_what_its_row_says(script: str, line: str, tmp_path: Path) -> None:
    """Among what else it prints."""
    for library in LIBRARIES.get(script, []):
        pytest.importorskip(library)
    shutil.copy(FOLDER / script, tmp_path)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr
    assert line in done.stdout.splitlines()
