"""What is public is what the files of types use."""

from __future__ import annotations

import re
from pathlib import Path

import workflow

TYPING = Path(__file__).resolve().parents[1] / "typing"


def test_every_public_name_is_used_in_the_files_of_types() -> None:
    """Which mypy and pyright check; and each can be had from the front door."""
    used: set[str] = set()
    for path in TYPING.glob("*.py"):
        text = path.read_text()
        names = re.findall(r"\w+", text.split("from workflow import (\n")[1].split(")\n")[0])
        used |= {name for name in names if len(re.findall(rf"\b{name}\b", text)) > 1}
    assert sorted(used) == workflow.__all__
    assert all(getattr(workflow, name) is not None for name in used)
