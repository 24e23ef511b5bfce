"""The harness in tests of users: the function, and the fixture that pytest finds where this package is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workflow.diagnostics.mistake import InvalidPipeline
from workflow.harness import BadRule, Hypothesis, inject, pipeline, run_under_faults, under_faults
from workflow.harness.pipeline import Control, Subject

PIPELINE = """
[vars]
greeting = "hello"

[tasks.greet]
call = "greetings:greet"
args = ["${vars.greeting}", "${matrix.name}"]
matrix = { name = ["ann", "bob", "cleo"] }

[tasks.count]
call = "greetings:count"
args = ["${tasks.greet.results}"]
needs = [{ task = "greet", status = "any" }]
"""
GREETINGS = """
def greet(greeting, name):
    return f"{greeting} {name}"

def count(greetings):
    return len(greetings)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "greetings.py").write_text(GREETINGS)
    path = tmp_path / "pipeline.toml"
    path.write_text(PIPELINE)
    return path


def test_a_pipeline_is_judged_under_faults(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result says all there is to know, and how to do it again; nothing is printed."""
    result = run_under_faults(
        file, [inject("crash.segv", "greet@bob"), "callback.raise:count"], seed=5, variables={"greeting": "hi"},
        expect=Hypothesis(exit_code=1, outcomes={"count": "succeeded"}),
    )  # fmt: skip
    assert result.passed, result.explain()
    assert result.injected == ("crash.segv on greet@bob", "callback.raise on count")
    assert result.outcomes == {
        "greet@ann": "succeeded", "greet@bob": "crashed", "greet@cleo": "succeeded", "count": "succeeded",
    }  # fmt: skip
    assert [verdict.promise for verdict in result.verdicts] == list(range(1, 10))
    assert result.reproduce == (
        f"workflow chaos {file} --var greeting=hi --inject crash.segv:greet@bob --inject callback.raise:count --seed 5"
    )
    assert capsys.readouterr() == ("", "")


def test_what_is_expected_and_does_not_come_is_no_pass(file: Path) -> None:
    """The story says which, and what did."""
    result = run_under_faults(file, "crash.exit:greet@ann", expect=Hypothesis(0, {"count": "skipped"}, 0.001))
    assert not result.passed
    story = result.explain()
    assert "count is succeeded; [expect] says count is skipped" in story
    assert "exit code 1; [expect] says 0" in story
    assert "[expect] says at most 0.001 s" in story
    assert "again: workflow chaos" in story


def test_a_faults_file_brings_its_seed_and_what_it_expects(file: Path, tmp_path: Path) -> None:
    """Which the call overrides."""
    faults = tmp_path / "faults.toml"
    faults.write_text(
        'seed = 3\n[[fault]]\ntask = "greet@*"\nkind = "crash.exit"\nprobability = 0.5\n[expect]\nexit_code = 77\n'
    )
    result = run_under_faults(file, faults)
    assert result.seed == 3
    assert "[expect] says 77" in result.explain()
    assert result.reproduce == f"workflow chaos {file} --faults {faults} --seed 3"
    again = run_under_faults(file, faults, seed=3, expect=Hypothesis())
    assert again.passed, again.explain()
    assert again.injected == result.injected


def test_a_mistake_in_the_call_is_raised_before_anything_runs(file: Path, tmp_path: Path) -> None:
    """In the words of the command line."""
    with pytest.raises(BadRule, match="no task matches 'gret', did you mean 'greet'"):
        run_under_faults(file, "crash.segv:gret")
    with pytest.raises(BadRule, match="there is nothing to inject"):
        run_under_faults(file, [])
    with pytest.raises(BadRule, match="no task matches 'cuont', did you mean 'count'"):
        run_under_faults(file, "crash.segv:greet", expect=Hypothesis(outcomes={"cuont": "failed"}))
    with pytest.raises(InvalidPipeline, match=r"nowhere\.toml"):
        run_under_faults(tmp_path / "nowhere.toml", "crash.segv:*")
    file.write_text(PIPELINE.replace("args", "arsg", 1))
    with pytest.raises(InvalidPipeline, match=r"tasks\.greet\.arsg: unknown key"):
        run_under_faults(file, "crash.segv:*")


TESTS = """
def test_holds(workflow_chaos):
    result = workflow_chaos("pipeline.toml", "crash.segv:greet@bob", seed=5)
    assert result.outcomes["count"] == "succeeded"

def test_is_broken(workflow_chaos):
    from pathlib import Path
    workflow_chaos("pipeline.toml", Path("faults.toml"))

def test_tests_nothing(workflow_chaos):
    workflow_chaos("pipeline.toml", "crash.segv:count:0.000001")

def test_is_wrong(workflow_chaos):
    workflow_chaos("pipeline.toml", "crash.sgev:count")
"""
FAULTS = '[[fault]]\ntask = "greet@ann"\nkind = "crash.exit"\n[expect.outcomes]\ncount = "skipped"\n'


def test_the_fixture_fails_a_test_with_the_story(pytester: pytest.Pytester) -> None:
    """Broken promises, faults that struck nobody, and rules that mean nothing; files are beside the test."""
    folder = pytester.mkdir("under_test")
    for name, text in (
        ("greetings.py", GREETINGS), ("pipeline.toml", PIPELINE), ("faults.toml", FAULTS), ("test_faults.py", TESTS)
    ):  # fmt: skip
        (folder / name).write_text(text)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", timeout=55)
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "pipeline.toml, 1 fault: not every promise held",
            "*count is succeeded; [[]expect[]] says count is skipped",
            "*again: workflow chaos *under_test/pipeline.toml --faults *under_test/faults.toml --seed 1",
            "no fault struck any task, so nothing was tested; another seed may: workflow chaos *",
            "*BadRule: there is no kind of fault 'crash.sgev', did you mean 'crash.segv'?",
        ]
    )


def test_the_fixture_is_made_once_without_faults_in_a_test(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another call in the same test is one run, not two."""
    runs = []

    def run_control(subject: Subject) -> Control:
        runs.append(subject)
        return pipeline.run_control(subject)

    monkeypatch.setattr(under_faults, "run_control", run_control)
    controls = under_faults.Controls()
    for kind in ("crash.exit", "crash.segv"):
        assert controls.run_under_faults(file, f"{kind}:greet@bob").passed
    assert len(runs) == 1


def test_the_plugin_disturbs_nobody(pytester: pytest.Pytester) -> None:
    """It adds a fixture and nothing else: no option, no marker, no line of output, nothing heavy imported."""
    pytester.makepyfile(
        """
        import sys

        def test_what_is_imported():
            ours = sorted(name for name in sys.modules if name.partition(".")[0] == "workflow")
            assert ours == ["workflow", "workflow.harness", "workflow.harness.plugin"]
            assert "pydantic" not in sys.modules

        def test_what_is_there(pytestconfig, request):
            plugin = pytestconfig.pluginmanager.get_plugin("workflow_chaos")
            assert [name for name in vars(plugin) if name.startswith("pytest_")] == []
            assert not [name for name in request.fixturenames if "workflow" in name]
        """
    )
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config -W error")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=55)
    result.assert_outcomes(passed=2)
    without = pytester.runpytest_subprocess("-p", "no:workflow_chaos", "--fixtures", timeout=55)
    without.stdout.no_fnmatch_line("*workflow_chaos*")


def test_a_worker_under_faults_does_not_import_what_judges() -> None:
    """It needs the disguise and the journal; its start is part of what is measured."""
    code = (
        "import sys, workflow.harness, workflow.harness.faulty;"
        "print(*sorted(name for name in sys.modules if name.startswith('workflow.harness')), 'typing' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert ran.stdout.split()[:-1] == ["workflow.harness", "workflow.harness.faulty", "workflow.harness.journal"]
