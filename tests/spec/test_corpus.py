"""Every file of tests/corpus: refused with exactly the error on its first line, or accepted, by program and schema.

To add a case, write the file with ``# error: LINE:COLUMN: … [code]`` on line one and ``# schema: refuses`` on line two:
``accepts`` where a schema cannot tell, ``unreadable`` where the text is not TOML 1.0.  A line three that begins with
``# help:`` holds the help of the mistake.  Files named ``slip_…`` are what people really write; the others are what the
grammar forbids.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import tomli

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.diagnostics.render import headline
from workflow.plan.build import load_plan

ROOT = Path(__file__).parents[2]
INVALID = sorted((ROOT / "tests/corpus/invalid").glob("*.toml"))
VALID = sorted((ROOT / "tests/corpus/valid").glob("*.toml"))
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas/pipeline.schema.json").read_text("utf-8")))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_file_is_refused_with_the_error_it_names(path: Path) -> None:
    """The program finds this mistake, at this place, and nothing else."""
    expected = path.read_text("utf-8").splitlines()[0].removeprefix("# error: ")
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    found = [f"{headline('F', each).removeprefix('F:')} [{each.code}]" for each in caught.value.mistakes]
    assert found == [expected]
    for line in path.read_text("utf-8").splitlines()[2:3]:
        if line.startswith("# help: "):
            assert caught.value.mistakes[0].help == line.removeprefix("# help: ")


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_the_schema_refuses_an_invalid_file_where_a_schema_can(path: Path) -> None:
    """Line two of the file says whether an editor would show the mistake."""
    said = path.read_text("utf-8").splitlines()[1].removeprefix("# schema: ")
    assert said in ("refuses", "accepts", "unreadable")
    if said != "unreadable":
        document = tomli.loads(path.read_text("utf-8"))
        assert SCHEMA.is_valid(document) == (said == "accepts")


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_file_is_accepted_by_program_and_schema(path: Path) -> None:
    """Nothing that works is refused by an editor."""
    assert load_plan(path).tasks
    SCHEMA.validate(tomli.loads(path.read_text("utf-8-sig")))


def test_there_are_enough_cases() -> None:
    """An empty folder would make the tests above pass."""
    assert len(INVALID) >= 150
    assert len(VALID) >= 80
