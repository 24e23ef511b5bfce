"""The published schemas are those of the models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from workflow.cli.schema import schema_texts

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize(
    "name", ["pipeline.schema.json", "report.schema.json", "event.schema.json", "manifest.schema.json"]
)
def test_the_schemas_in_the_repository_are_current(name: str) -> None:
    """``python -m workflow schema`` writes them."""
    text = (SCHEMAS / name).read_text(encoding="utf-8")
    assert text == schema_texts()[name], "run: python -m workflow schema --dir schemas"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_check_says_which_files_are_not_current(workflow: Callable[..., Any], tmp_path: Path) -> None:
    """Exit code 1, the command that mends it, and nothing written."""
    missing = workflow("schema", "--check")
    assert missing.returncode == 1
    assert missing.stderr.count("is not current; python -m workflow schema --dir schemas writes it") == 5
    assert list(tmp_path.iterdir()) == []
    assert workflow("schema").returncode == 0
    assert workflow("schema", "--check").returncode == 0
    (tmp_path / "schemas/report.schema.json").write_text("{}")
    assert workflow("schema", "--check").returncode == 1
