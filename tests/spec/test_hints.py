"""What is said of a slip: each kind has a file in the corpus, here is what holds for all of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan
from workflow.spec import slips
from workflow.spec.document import SECTIONS
from workflow.spec.hints import hint
from workflow.spec.models import PipelineTable, TaskTable, keys_of
from workflow.spec.shell import as_command

CORPUS = Path(__file__).parents[1] / "corpus"


def target(example: str) -> str:
    return example.partition(" =")[0]


def test_every_word_of_another_tool_leads_to_a_key_that_is_there() -> None:
    """And is none itself."""
    for words, model in ((slips.OF_TASK, TaskTable), (slips.OF_PIPELINE, PipelineTable)):
        assert {target(example) for example in words.values()} <= set(keys_of(model))
        assert not set(words) & set(keys_of(model))
        assert all(word == word.casefold() and "-" not in word for word in words)
    assert set(slips.OF_FILE.values()) <= set(SECTIONS)


def test_an_example_of_a_key_is_right(tmp_path: Path) -> None:
    """What a help tells to write can be written."""
    path = tmp_path / "pipeline.toml"
    (tmp_path / "more.toml").write_text("")
    for example in {*slips.OF_TASK.values(), *slips.OF_PIPELINE.values()}:
        key = target(example)
        others = '[vars]\nlevel = 3\n[tasks.fetch]\ncmd = ["true"]\n'
        kind = "" if key in ("module", "call", "cmd", "shell") else 'call = "m:f"\n'
        if example in slips.OF_PIPELINE.values():
            path.write_text(f"{others}[pipeline]\n{example}\n")
        else:
            path.write_text(f"{others}[tasks.a]\n{kind}{example}\n")
        assert load_plan(path).tasks, example


def test_a_key_that_fell_into_the_environment_is_told_once(tmp_path: Path) -> None:
    """However many mistakes it would have been: no kind, a wrong value, an unknown reference."""
    path = tmp_path / "pipeline.toml"
    path.write_text('[tasks.a]\n[tasks.a.env]\nX = "1"\ncmd = ["echo", "${vars.nowhere}"]\n')
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path)
    assert [each.code for each in caught.value.mistakes] == ["misplaced-key"]


def test_a_key_that_fell_is_told_in_the_file_where_it_stands(tmp_path: Path) -> None:
    """Of an included file, of a template, of a profile; what --set says is meant."""
    (tmp_path / "more.toml").write_text(
        '[tasks.b]\ncmd = ["true"]\n[tasks.b.env]\ntimeout = 3\n[templates.t.env]\ngrace = 1\n'
    )
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[pipeline]\ninclude = ["more.toml"]\n[tasks.a]\ncmd = ["true"]\n[profiles.p.tasks.a.env]\ntags = "x"\n'
    )
    with pytest.raises(InvalidPipeline) as caught:
        load_plan(path, profile="p", sets=["tasks.a.env.timeout=9"])
    told = {(each.code, each.file and Path(each.file).name, each.line) for each in caught.value.mistakes}
    assert told == {
        ("misplaced-key", "more.toml", 4),
        ("misplaced-key", "more.toml", 6),
        ("misplaced-key", None, 6),
    }


@pytest.mark.parametrize("text", ["a = " + "1 " * 400, "[a " * 300, "{" * 900, "'" * 999, "a: " * 333, ", x" * 333])
def test_a_hint_takes_no_time_worth_mention(text: str) -> None:
    """No pattern goes back and forth over a line."""
    began = time.monotonic()
    hint([text], 1, len(text), "Unclosed array")
    assert time.monotonic() - began < 1


def test_a_line_is_told_as_a_command_or_as_one_for_the_shell() -> None:
    """By what is in it."""
    assert as_command("ls -l 'a b'") == 'write cmd = ["ls", "-l", "a b"], or shell = "ls -l \'a b\'"'
    assert as_command("a | b") == '"|" is for the shell: write shell = "a | b"'
    assert as_command("it's").startswith('write cmd = ["program", "argument"]')
    assert as_command("").startswith('write cmd = ["program", "argument"]')
