"""The registry of codes: complete, and every example in it does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import workflow
from workflow.cli.main import _run
from workflow.diagnostics.codes import CODES, Code, Example
from workflow.diagnostics.mistake import InvalidPipeline
from workflow.harness.faults_file import load_faults
from workflow.plan.build import load_plan
from workflow.run.secrets import read_secrets

SOURCE = Path(workflow.__file__).parent
IN_SOURCE = re.compile(
    r'Mistake\(\s*"([a-z0-9.-]+)"'  # as the first argument
    r'|"code": "([a-z0-9.-]+)"'  # in a finding of pydantic's
    r'|\bcode(?:: str)? = "([a-z0-9.-]+)"'  # of an exception, or by name
    r'|_at_offset\(\s*"([a-z0-9.-]+)"'
    r'|_wrong\(\s*source,\s*"([a-z0-9.-]+)"'  # of an included file
    r'|Problem\(\s*"([a-z0-9.-]+)"'  # of an import
)
EXAMPLES = [
    pytest.param(each, example, right, id=f"{each.code}-{'good' if right else 'bad'}")
    for each in CODES.values()
    for example, right in ((each.bad, False), (each.good, True))
]


def test_every_code_in_the_source_is_in_the_registry_and_the_other_way_round() -> None:
    """Neither one that cannot be explained nor one that never comes."""
    used = {
        next(filter(None, found.groups()))
        for path in SOURCE.rglob("*.py")
        if path.name != "codes.py"
        for found in IN_SOURCE.finditer(path.read_text("utf-8"))
    }
    assert used == set(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda each: each.code)
def test_a_code_is_a_slug_and_its_texts_are_sentences(code: Code) -> None:
    """A title without a full stop, a meaning with one."""
    assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", code.code)
    assert code.title[0].isupper()
    assert not code.title.endswith(".")
    assert code.meaning.endswith(".")


@pytest.mark.parametrize(("code", "example", "right"), EXAMPLES)
def test_an_example_gives_its_code_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: Code,
    example: Example,
    right: bool,
) -> None:
    """Through ``workflow validate``; or what reads a faults file, or what a run begins with."""
    monkeypatch.chdir(tmp_path)
    for name, text in {**example.beside, example.file: example.text}.items():
        Path(name).write_bytes(text.encode("utf-8", "surrogateescape"))
    if example.command == "validate":
        exit_code = _run(["validate", *example.options, "--output-format", "json"], None)
        found = [each["code"] for each in json.loads(capsys.readouterr().out)]
        assert exit_code == (2 if found else 0)
    else:
        found = _codes(example)
    assert found == ([] if right else [code.code])


def _codes(example: Example) -> list[str]:
    """What the first step of a command finds that would go on to do something."""
    plan = load_plan(Path("pipeline.toml")) if Path("pipeline.toml").exists() else None
    try:
        if example.command == "chaos":
            load_faults(Path(example.file), plan)
        elif plan is not None:
            read_secrets(plan)
    except InvalidPipeline as error:
        return [each.code for each in error.mistakes]
    return []
