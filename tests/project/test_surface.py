"""What is public is what the file of types uses."""

from __future__ import annotations

from pathlib import Path

import workflow

SURFACE = Path(__file__).resolve().parents[1] / "typing" / "surface.py"


def test_every_public_name_is_used_in_the_file_of_types() -> None:
    """Which mypy and pyright check; and each can be had from the front door."""
    text = SURFACE.read_text()
    names = text.split("from workflow import (\n")[1].split(")\n")[0].replace(",", "").split()
    assert names == workflow.__all__
    assert all(text.count(name) > 1 for name in names)
    assert all(getattr(workflow, name) is not None for name in names)
