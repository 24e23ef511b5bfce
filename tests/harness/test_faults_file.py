"""Each file of tests/corpus/faults: refused with exactly the error on its first line, or accepted; by the schema too.

To add a case, write the file with ``# error: LINE:COLUMN: …`` on line one and ``# schema: refuses`` on line two:
``accepts`` where a schema cannot tell, ``unreadable`` where the text is not TOML.  All are for ``pipeline.toml`` there.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import tomli

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.diagnostics.render import headline
from workflow.harness.faults_file import load_faults
from workflow.harness.pipeline import Hypothesis
from workflow.harness.rules import Rule
from workflow.plan.build import load_plan

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/corpus/faults"
INVALID = sorted((CORPUS / "invalid").glob("*.toml"))
VALID = sorted((CORPUS / "valid").glob("*.toml"))
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas/faults.schema.json").read_text("utf-8")))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_file_is_refused_with_the_error_it_names(path: Path) -> None:
    """The program finds this mistake, at this place, and nothing else."""
    expected = path.read_text("utf-8").splitlines()[0].removeprefix("# error: ")
    with pytest.raises(InvalidPipeline) as caught:
        load_faults(path, load_plan(CORPUS / "pipeline.toml"))
    assert [headline("F", mistake).removeprefix("F:") for mistake in caught.value.mistakes] == [expected]


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
    assert load_faults(path, load_plan(CORPUS / "pipeline.toml")).rules()
    SCHEMA.validate(tomli.loads(path.read_text("utf-8")))


def test_a_schema_lets_by_only_what_it_cannot_know() -> None:
    """What the pipeline has, what a duration is, and that a number is one."""
    accepted = {path.stem for path in INVALID if "# schema: accepts" in path.read_text("utf-8")}
    assert accepted == {
        "attempt_that_there_is_not",
        "expected_task_that_there_is_not",
        "kind_for_other_tasks",
        "longest_has_no_unit",
        "longest_is_none",
        "probability_is_not_a_number",
        "task_that_there_is_not",
    }


def test_there_are_enough_cases() -> None:
    """An empty folder would make the tests above pass."""
    assert len(INVALID) >= 40
    assert len(VALID) >= 3


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Each with its place, in the order of the file."""
    file = tmp_path / "faults.toml"
    file.write_text('seed = -1\n[[fault]]\nkind = "crash.sgev"\nprobabilty = 2\n[expect]\nexit_code = "x"\n')
    with pytest.raises(InvalidPipeline) as caught:
        load_faults(file)
    assert [(mistake.line, mistake.place) for mistake in caught.value.mistakes] == [
        (1, ("seed",)),
        (2, ("fault", 0)),
        (3, ("fault", 0, "kind")),
        (4, ("fault", 0, "probabilty")),
        (6, ("expect", "exit_code")),
    ]


def test_what_a_file_says_becomes_rules_and_a_hypothesis() -> None:
    """In its order, durations in seconds."""
    table = load_faults(CORPUS / "valid/every_key.toml")
    assert table.seed == 7
    assert table.rules() == [
        Rule("crash.segv", "fetch@*", 0.1),
        Rule("hang.init", "model", 1.0, 1),
        Rule("payload.huge", "fetch", 1.0),
    ]
    assert table.hypothesis() == Hypothesis(
        1,
        {
            "upload": frozenset({"succeeded"}),
            "merge": frozenset({"succeeded", "skipped"}),
            "fetch@*": frozenset({"succeeded", "crashed"}),
        },
        150.0,
    )
