"""The public test suite of TOML: what is not TOML 1.0 is told as that, with its line, and nothing else is.

CPython ships a part of it, where its tests are installed.  All of it is in https://github.com/toml-lang/toml-test, and
in the source distribution of tomlkit: ``TOML_TEST=…/toml-test/tests pytest tests/spec/test_toml_suite.py``.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.plan.build import load_plan

NOT_TOML = {"not-toml", "not-utf-8", "too-deep", "toml-1.1"}


def suite() -> list[Path]:
    """Files of the suite, good ones and bad ones."""
    if folder := os.environ.get("TOML_TEST"):
        names = (Path(folder) / "files-toml-1.0.0").read_text("utf-8").split()
        return [Path(folder) / name for name in names if name.endswith(".toml")]
    found = importlib.util.find_spec("test")
    folders = found.submodule_search_locations if found is not None else None
    return sorted(path for each in folders or () for path in Path(each).glob("test_tomllib/data/*valid/**/*.toml"))


def test_what_is_not_toml_is_told_as_that_and_nothing_else_is() -> None:
    """The good files are no pipelines either, but that is another mistake."""
    files = suite()
    if not files:
        pytest.skip("the tests of CPython are not installed here")
    for path in files:
        with pytest.raises(InvalidPipeline) as caught:
            load_plan(path)
        told = caught.value.mistakes
        bad = "invalid" in {parent.name for parent in path.parents}
        assert bool(NOT_TOML & {each.code for each in told}) == bad, path
        assert not bad or all(each.line is not None for each in told), path
