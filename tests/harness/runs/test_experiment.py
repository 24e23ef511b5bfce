"""A run that is watched: what is known of it when it has ended, hung, or was given up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from workflow.harness import experiment
from workflow.harness.blows import Blow, When
from workflow.harness.evidence import Evidence, Expected
from workflow.harness.experiment import Interrupted, Run, perform
from workflow.harness.faulty import Strike
from workflow.harness.folders import place
from workflow.harness.injection import Injected
from workflow.harness.oracle import Finding, judge
from workflow.harness.scenario import details_of

NOTHING = Expected({}, longest_s=30.0)
SLEEPER = '[tasks.a]\nmodule = "workflow.harness.neighbours.Neighbour"\nargs = [1]\n'


def program(code: str, folder: Path, expected: Expected = NOTHING, **more: object) -> Evidence:
    return perform(Run(("-c", code), program=True, **more), expected, folder)  # type: ignore[arg-type]


def promise(number: int, evidence: Evidence, expected: Expected = NOTHING) -> Finding:
    return judge(evidence, expected)[number - 1].finding


def test_a_run_that_hangs_is_ended_and_tells_where_it_was(tmp_path: Path) -> None:
    """The stacks of all that is alive, or what the kernel knows of it; nothing of it is left."""
    file = tmp_path / "pipeline.toml"
    file.write_text(SLEEPER + 'timeout = "none"\n')
    expected = Expected({}, longest_s=5.0)
    run = Run((str(file),), injected={"a": Injected((Strike("hang.sleep", None),))})
    evidence = perform(run, expected, tmp_path)
    assert evidence.exit_code is None
    assert promise(5, evidence, expected) is Finding.BROKEN
    for seen in evidence.sightings:  # on a slow machine these may be few
        if seen.last_s > evidence.ended_s:
            assert f"== {seen.role} {seen.pid}: " in evidence.stacks
    assert "conductor.py" in evidence.stacks
    assert "where it hung:\n" in details_of(evidence, [])


def test_what_outlives_a_run_is_evidence_and_is_ended(tmp_path: Path) -> None:
    """A process in a session of its own, and a temporary file."""
    code = """
import os, subprocess, tempfile
subprocess.Popen(["sleep", "1000"], start_new_session=True)
open(os.path.join(tempfile.gettempdir(), "left"), "w").close()
"""
    evidence = program(code, tmp_path, Expected({}, gone_s=0.2))
    assert evidence.exit_code == 0
    process, file = sorted(evidence.left, key=lambda each: "temporary" in each)
    assert process.startswith("task ") and process.endswith("(sleep 1000)")
    assert file == "temporary file left"
    assert promise(4, evidence) is Finding.BROKEN


def test_a_run_has_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of ours or of the user's steers it; its temporary files have a place; its input is empty."""
    monkeypatch.setenv("WORKFLOW_STATE_DIR", "/nowhere")
    monkeypatch.setenv("REMOVED", "x")
    code = """
import os, sys
print(*sorted(name for name in os.environ if name.startswith("WORKFLOW_")))
print(os.environ["TMPDIR"], os.environ.get("ADDED"), os.environ.get("REMOVED"))
print(repr(sys.stdin.read()), os.getcwd(), os.getsid(0) == os.getpid())
"""
    evidence = program(code, tmp_path, environment={"ADDED": "1", "REMOVED": None})
    assert evidence.stdout.splitlines() == [
        "WORKFLOW_CHAOS_FOLDER WORKFLOW_CHAOS_MARK",
        f"{tmp_path}/tmp 1 None",
        f"'' {tmp_path} True",
    ]


def test_a_run_that_says_anything_at_all_is_read(tmp_path: Path) -> None:
    """Bytes that are no text are replaced; both streams are kept."""
    evidence = program("import os; os.write(1, b'\\xff out'); os.write(2, b'\\xfe err'); os._exit(3)", tmp_path)
    assert (evidence.exit_code, evidence.stdout, evidence.stderr) == (3, "\ufffd out", "\ufffd err")


def test_a_launcher_is_given_the_command(tmp_path: Path) -> None:
    """A shell that sets a limit, say."""
    launcher = ("sh", "-c", 'ulimit -n 77; exec "$@"', "sh")
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    assert program(code, tmp_path, launcher=launcher).stdout == "77\n"


def test_what_could_not_be_done_to_a_run_is_told(tmp_path: Path) -> None:
    """A blow that found nobody was not made, and its promise is not judged."""
    evidence = program("pass", tmp_path, blows=[Blow("SIGKILL", "warden", When("engine"))])
    assert len(evidence.missed) == 1
    assert "SIGKILL to warden" in evidence.missed[0]
    assert promise(2, evidence) is Finding.UNJUDGED


def test_a_run_that_was_killed_tells_the_signal(tmp_path: Path) -> None:
    """What was done to it, too."""
    evidence = program("import time; time.sleep(1000)", tmp_path, blows=[Blow("SIGKILL", "parent", When("start"))])
    assert evidence.exit_code == -9
    assert [(blow.role, blow.signal) for blow in evidence.struck] == [("parent", "SIGKILL")]
    assert "SIGKILL to parent" in details_of(evidence, [])


def test_what_is_given_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another thread, or from a handler of signals."""
    monkeypatch.setattr(experiment, "interrupted", threading.Event())
    code = "import subprocess; subprocess.run(['sleep', '1000'], start_new_session=True)"
    threading.Timer(0.5, experiment.interrupted.set).start()
    began_s = time.monotonic()
    with place() as folder, pytest.raises(Interrupted):
        program(code, folder)
    assert time.monotonic() - began_s < 15
    assert not folder.exists()


def test_what_cannot_be_started_is_an_error_of_ours(tmp_path: Path) -> None:
    """And not a finding about the engine."""
    with pytest.raises(FileNotFoundError):
        program("pass", tmp_path, launcher=("no such program",))
