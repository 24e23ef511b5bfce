"""``workflow chaos``: what it refuses, what it prints, how it leaves, and that nothing stays behind however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PIPELINE = """
[pipeline]
pool = 2

[vars]
count = 8

[tasks.add]
call = "lib:add"
args = ["${matrix.n}", "${vars.count}"]
matrix = { n = { range = [0, 8] } }

[tasks.total]
call = "lib:total"
args = ["${tasks.add.results}"]

[tasks.report]
cmd = ["echo", "done"]
needs = [{ task = "total", status = "any" }]
"""
LIB = """
import time

def add(a, b):
    return a + b

def total(values):
    return sum(values)

def wait():
    time.sleep(100)
"""
LONG = '[tasks.wait]\ncall = "lib:wait"\n'

Workflow = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "lib.py").write_text(LIB)
    path = tmp_path / "pipeline.toml"
    path.write_text(PIPELINE)
    return path


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere.toml", "--inject", "crash.segv:*"], "there is no file 'nowhere.toml' here"),
        (["pipeline.toml"], "there is nothing to inject into 'pipeline.toml'; for example --inject 'crash.segv:*:0.1'"),
        (["pipeline.toml", "--inject", "crash.segv"], "'crash.segv' is not KIND:GLOB[:PROBABILITY]"),
        (["pipeline.toml", "--inject", "crash.sgev:*"], "did you mean 'crash.segv'?"),
        (["pipeline.toml", "--inject", "crash.segv:ad"], "no task matches 'ad', did you mean 'add'?"),
        (["pipeline.toml", "--inject", "crash.segv:*:2"], "a probability is above 0 and up to 1, not 2"),
        (["pipeline.toml", "--inject", "hang.init:add"], "is for tasks with module, and add@0 has call"),
        (["pipeline.toml", "--inject", "payload.huge:*"], "name the tasks it is for, in place of '*'"),
        (["pipeline.toml", "--sweep", "hang.init"], "hang.init is for tasks with module, and there is none"),
        (["pipeline.toml", "--sweep", "hang"], "'hang' is a group of kinds, not one"),
        (
            ["pipeline.toml", "--sweep", "hang.sleep", "--inject", "crash.segv:*"],
            "they go without --inject and --faults",
        ),
        (["pipeline.toml", "--faults", "nowhere.toml"], "there is no file 'nowhere.toml' here"),
        (
            ["pipeline.toml", "--faults", "faults.toml"],
            "faults.toml:3:8: fault[0].kind: there is no kind of fault 'oh'",
        ),
        (["pipeline.toml", "--inject", "crash.segv:*", "--var", "cuont=1"], "did you mean 'count'?"),
        (
            ["pipeline.toml", "--inject", "crash.segv:*", "--scenario", "*"],
            "are for the catalogue, which needs no FILE",
        ),
        (["pipeline.toml", "--inject", "crash.segv:*", "--preset", "smoke"], "are for the catalogue"),
        (["pipeline.toml", "--inject", "crash.segv:*", "-j", "2"], "are for the catalogue"),
        (["--inject", "crash.segv:*"], "are for a pipeline: workflow chaos FILE"),
        (["--faults", "faults.toml"], "are for a pipeline"),
        (["--var", "x=1"], "are for a pipeline"),
        (["--sweep", "dispatcher.raed"], "did you mean 'dispatcher.read'"),
        (["--sweep", "dispatcher.read", "--preset", "smoke"], "--sweep and --preset exclude each other"),
        (["--soak", "1s", "--replay", "pipeline.toml"], "--soak and --replay exclude each other"),
        (["--soak", "1 hour"], "'1 hour': "),
        (["--soak", "1s", "--repeat", "2"], "it goes without --repeat"),
        (["--replay", "nowhere.json"], "there is no file 'nowhere.json' here"),
        (["pipeline.toml", "--replay", "pipeline.toml"], "are for the catalogue"),
        (["--scenario", "hang.slep"], "no scenario matches 'hang.slep'; did you mean 'hang.sleep'"),
        (["--scenario", "hang"], "no scenario matches 'hang'; did you mean 'hang.*'?"),
        (["--scenario", "*both*x"], "'*both*x'; did you mean 'death.both' or 'death.guardian.both'?"),
        (["--scenario", "zzz"], "no scenario matches 'zzz'; workflow chaos --list shows them"),
        (["--preset", "big"], "'big' is not one of"),
        (["--preset", "smoke", "--junit", "nowhere/out.xml"], "there is no folder 'nowhere'"),
        (["--preset", "smoke", "--seed", "-1"], "-1 is not in the range x>=0"),
        (["--preset", "smoke", "--repeat", "0"], "0 is not in the range 1<=x<=10000"),
        (["--preset", "smoke", "-j", "0"], "0 is not in the range 1<=x<=64"),
    ],
)
def test_a_mistake_is_told_with_exit_code_2_and_nothing_is_run(
    workflow: Workflow, file: Path, tmp_path: Path, args: list[str], says: str
) -> None:
    """What is wrong, and what would be right; no traceback."""
    (tmp_path / "faults.toml").write_text('[[fault]]\ntask = "add"\nkind = "oh"\n')
    ran = workflow("chaos", *args)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    assert not (tmp_path / ".workflow").exists()


def test_mistakes_in_the_pipeline_are_told_as_everywhere(workflow: Workflow, file: Path) -> None:
    """With their lines."""
    file.write_text(PIPELINE.replace("needs =", "nedes ="))
    ran = workflow("chaos", "pipeline.toml", "--inject", "crash.segv:*")
    assert ran.returncode == 2
    assert "pipeline.toml:19:1: tasks.report.nedes: unknown key, did you mean 'needs'?" in ran.stderr


def test_the_list_names_every_scenario_and_every_kind(workflow: Workflow) -> None:
    """Each with what it does and what must come of it, in lines that fit a wide terminal."""
    from workflow.failpoints import POINTS
    from workflow.harness.catalogue import SCENARIOS
    from workflow.harness.kinds import KINDS

    ran = workflow("chaos", "--list")
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert max(map(len, ran.stdout.splitlines())) <= 100
    lines = re.sub(r"(?<=\S)\n {20,}(?=\S)", " ", ran.stdout).splitlines()
    for scenario in SCENARIOS:
        assert any(line[4:].split("  ")[0] == scenario.id and scenario.fault in line for line in lines)
    lines = lines[lines.index("kinds of faults, for --inject KIND:GLOB[:PROBABILITY], --sweep KIND and faults files") :]
    for kind in KINDS.values():
        (line,) = (line for line in lines if line.startswith(f"    {kind.id} ") and f"{kind.what}: " in line)
        assert kind.outcome in line
    assert "its callback raises: succeeded, its callback failed" in "\n".join(lines)
    points = lines[lines.index("points of the engine, for --sweep POINT[:kill|:stop]") + 1 :]
    assert [line.split()[0] for line in points] == list(POINTS)


def test_the_list_is_there_for_programs_too(workflow: Workflow) -> None:
    """As JSON, and in the other an id is the first word of its line."""
    import json

    from workflow.harness.catalogue import SCENARIOS
    from workflow.harness.kinds import KINDS

    listed = json.loads(workflow("chaos", "--list", "--json").stdout)
    assert [each["id"] for each in listed["scenarios"]] == [scenario.id for scenario in SCENARIOS]
    assert [each["id"] for each in listed["kinds"]] == list(KINDS)
    assert all(each["what"] for each in listed["points"])
    words = {line.split()[0] for line in workflow("chaos", "--list").stdout.splitlines() if line.startswith("    ")}
    assert {scenario.id for scenario in SCENARIOS} <= words


def test_what_is_done_to_the_engine_is_no_kind_of_fault(workflow: Workflow, tmp_path: Path) -> None:
    """And is told where it is to be had."""
    (tmp_path / "pipeline.toml").write_text('[tasks.a]\ncmd = ["true"]\n')
    ran = workflow("chaos", "pipeline.toml", "--inject", "hang.queue:a")
    assert ran.returncode == 2
    assert "workflow chaos --scenario hang.queue" in ran.stderr


def test_the_help_fits_a_terminal_of_80_columns(workflow: Workflow) -> None:
    """And ends with commands that can be typed."""
    ran = workflow("chaos", "--help", env={"COLUMNS": "80"})
    assert ran.returncode == 0
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "workflow chaos --preset smoke" in ran.stdout
    assert "Exit code: 0" in ran.stdout


def test_the_same_seed_injects_the_same_and_has_the_same_outcomes(workflow: Workflow, file: Path) -> None:
    """Twice, by the line that it prints itself; JSON alone is on standard output."""
    options = ("--inject", "crash.exit:add@*:0.3", "--inject", "hang.sleep:total", "--json")
    first = workflow("chaos", "pipeline.toml", *options, "--seed", "7")
    assert first.returncode == 0, first.stderr
    assert "held" in first.stderr
    one = json.loads(first.stdout)
    (result,) = one["results"]
    assert one["seed"] == result["seed"] == 7
    assert result["passed"]
    assert [each["finding"] for each in result["promises"]].count("held") >= 7
    assert "hang.sleep on total" in result["injected"]
    struck = {line.rpartition(" ")[2] for line in result["injected"]}
    assert 1 < len(struck) < 9
    assert set(result["outcomes"]) == {*(f"add@{n}" for n in range(8)), "total", "report"}
    assert {id_ for id_, outcome in result["outcomes"].items() if outcome == "crashed"} == struck - {"total"}
    words = result["reproduce"].split()
    assert words[:2] == ["workflow", "chaos"]
    again = workflow("chaos", "pipeline.toml", *options, "--seed", words[-1])
    two = json.loads(again.stdout)["results"][0]
    assert (two["injected"], two["outcomes"]) == (result["injected"], result["outcomes"])


FAULTS = """
seed = 3

[[fault]]
task = "add@3"
kind = "crash.segv"

[expect]
exit_code = 1
longest = "1m"

[expect.outcomes]
"add@3" = "crashed"
total = "skipped"
report = "succeeded"
"""


def test_a_faults_file_says_what_to_inject_and_what_to_expect(workflow: Workflow, file: Path, tmp_path: Path) -> None:
    """The seed stands in it, too."""
    (tmp_path / "faults.toml").write_text(FAULTS)
    ran = workflow("chaos", "pipeline.toml", "--faults", "faults.toml", "--junit", "out.xml")
    assert ran.returncode == 0, ran.stdout
    assert "faults into pipeline.toml, seed 3" in ran.stdout
    assert "a run without faults, to compare with" in ran.stderr
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()[0]
    assert [(case.get("name"), len(case)) for case in suite] == [("pipeline.toml, 1 fault", 0)]


def test_what_is_expected_and_does_not_come_is_exit_code_5(workflow: Workflow, file: Path, tmp_path: Path) -> None:
    """With the reason, and the line that does it again."""
    other = FAULTS.replace('report = "succeeded"', 'report = "failed"').replace("exit_code = 1", "exit_code = 0")
    (tmp_path / "faults.toml").write_text(other)
    ran = workflow("chaos", "pipeline.toml", "--faults", "faults.toml", "--junit", "out.xml")
    assert ran.returncode == 5
    assert "BROKEN" in ran.stdout
    assert "report is succeeded; [expect] says report is failed" in ran.stdout
    assert "exit code 1; [expect] says 0" in ran.stdout
    assert "  again: workflow chaos pipeline.toml --faults faults.toml --seed 3\n" in ran.stdout
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()[0]
    assert suite.get("failures") == "1"


def test_a_sweep_strikes_each_task_in_turn_and_then_none(workflow: Workflow, file: Path) -> None:
    """Only those that the kind can strike; each result names the run that does it again."""
    file.write_text(PIPELINE.replace("[0, 8]", "[0, 1]"))
    ran = workflow("chaos", "pipeline.toml", "--sweep", "payload.unpicklable", "--var", "count=2", "--json")
    assert ran.returncode == 0, ran.stderr
    results = json.loads(ran.stdout)["results"]
    assert [result["injected"] for result in results] == [
        ["payload.unpicklable on add@0"], ["payload.unpicklable on total"], [],
    ]  # fmt: skip
    assert results[0]["reproduce"] == "workflow chaos pipeline.toml --var count=2 --inject payload.unpicklable:add@0"
    assert results[2]["reproduce"] == "workflow chaos pipeline.toml --var count=2 --sweep payload.unpicklable"


def test_random_blows_at_a_pipeline_hit_it_and_break_no_promise(workflow: Workflow, file: Path) -> None:
    """A task that a blow has ended otherwise need not have a hook for that."""
    (file.parent / "lib.py").write_text(LIB + "\ndef told(result):\n    pass\n")
    file.write_text(PIPELINE + 'on.success = "lib:told"\n[tasks.slow]\nshell = "sleep 0.5"\non.success = "lib:told"\n')
    ran = workflow("chaos", "pipeline.toml", "--soak", "1s", "--seed", "5", "--json")
    assert ran.returncode == 0, ran.stderr
    results = json.loads(ran.stdout)["results"]
    assert [result["name"] for result in results][:1] == ["round of seed 5"]
    assert all(result["injected"] for result in results)


def test_when_nothing_struck_nothing_was_tested(workflow: Workflow, file: Path) -> None:
    """And that is no pass."""
    ran = workflow("chaos", "pipeline.toml", "--inject", "crash.segv:total:0.000001", "--seed", "1", "--repeat", "2")
    assert ran.returncode == 5
    assert "0 of 2 held" in ran.stdout
    assert "no fault struck any task, so nothing was tested" in ran.stdout


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[pipeline]\ntimeout = 0.5\n" + LONG, "it leaves with exit code 124, and says: "),
        ('[pipeline]\npreload = ["nothing_of_that_name"]\n' + LONG, "it leaves with exit code 4, and says: "),
        (
            '[secrets]\nx = { env = "NOT_SET" }\n[defaults.env]\nX = "${secrets.x}"\n' + LONG,
            "it leaves no report, and says: pipeline.toml:2:5: secrets.x: the variable NOT_SET of the environment is",
        ),
    ],
    ids=["timeout", "preload", "secret"],
)
def test_a_pipeline_that_does_not_run_by_itself_is_exit_code_4(
    workflow: Workflow, file: Path, toml: str, says: str
) -> None:
    """There is nothing to compare with then."""
    file.write_text(toml)
    ran = workflow("chaos", "pipeline.toml", "--inject", "crash.segv:*")
    assert ran.returncode == 4
    assert "workflow: the pipeline does not run by itself: without any fault " + says in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_harness_that_fails_is_exit_code_4_and_an_error_in_junit(
    workflow: Workflow, file: Path, tmp_path: Path
) -> None:
    """Told apart from a promise that was broken."""
    (tmp_path / "sitecustomize.py").write_text(
        "import workflow.harness.pipeline\n"
        "def judged(trial, evidence): raise ZeroDivisionError('oh')\n"
        "workflow.harness.pipeline.judged = judged\n"
    )
    ran = workflow(
        "chaos", "pipeline.toml", "--inject", "crash.segv:total", "--junit", "out.xml",
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert ran.returncode == 4
    assert "ERROR" in ran.stdout
    assert "| ZeroDivisionError: oh" in ran.stdout
    assert "0 of 1 held" in ran.stdout
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()[0]
    assert suite.get("errors") == "1"


def test_a_task_that_writes_into_the_journal_of_the_harness_is_told_of(workflow: Workflow, file: Path) -> None:
    """It is a check that did not hold, and not a harness that failed."""
    line = 'echo rubbish >> "$WORKFLOW_CHAOS_FOLDER/journal"'
    line += r'; printf "\033[31mred\007"'
    file.write_text(f"[tasks.vandal]\nshell = '{line}'\n[tasks.bad]\nshell = 'true'\nneeds = ['vandal']\n")
    ran = workflow("chaos", "pipeline.toml", "--inject", "crash.segv:bad")
    assert ran.returncode == 5, ran.stdout
    assert "UNJUDGED" in ran.stdout
    assert "spoilt: it has 7 bytes that nobody of ours wrote: b'rubbish'; vandal was running then; " in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    assert r"    |   red\x07" in ran.stdout


def test_a_reader_that_leaves_early_ends_the_checks(workflow: Workflow) -> None:
    """``workflow chaos | head -0`` does not go on for minutes, and is no pass."""
    read, write = os.pipe()
    os.close(read)
    try:
        ran = workflow("chaos", "--scenario", "hang.sleep", "--repeat", "50", stdout=write)
    finally:
        os.close(write)
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 4
    assert "standard output was closed before the checks were over" in ran.stderr


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command, and end it with the test if nothing else has; its temporary files are in a folder ``tmp``."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "tmp").mkdir()

    def run(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "workflow", "chaos", *args],
            cwd=tmp_path, env={**environ, "TMPDIR": str(tmp_path / "tmp")}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
        for pid in of_runs(process.pid):
            os.kill(pid, signal.SIGKILL)


def of_runs(harness: int) -> list[int]:
    """The processes of the runs that this harness has started: its pid is in their mark."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"\0WORKFLOW_CHAOS_MARK={harness}-".encode() in b"\0" + environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 25
    while not condition():
        assert time.monotonic() < end, "waited for 25 s"
        time.sleep(0.02)


@pytest.mark.parametrize("what", ["pipeline", "catalogue"])
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_everything_and_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], file: Path, tmp_path: Path, what: str, name: str, code: int
) -> None:
    """In the middle of a run: no process, no file, no traceback; the exit code is that of the signal."""
    file.write_text(LONG)
    process = start(
        *(["pipeline.toml", "--inject", "crash.segv:*"] if what == "pipeline" else ["--scenario", "hang.*"]),
        "--junit", "out.xml",
    )  # fmt: skip
    until(lambda: len(of_runs(process.pid)) >= 5)
    process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=25)
    assert process.returncode == code, said
    assert "nothing was checked" in said
    assert "Traceback" not in said
    assert of_runs(process.pid) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert len(ElementTree.parse(tmp_path / "out.xml").getroot()[0]) == 0


def test_a_harness_that_is_killed_leaves_no_run_behind(
    start: Callable[..., subprocess.Popen[str]], file: Path, tmp_path: Path
) -> None:
    """It can do nothing any more; the run ends itself, and the next harness removes its folder."""
    file.write_text(LONG)
    process = start("pipeline.toml", "--inject", "crash.segv:*")
    until(lambda: len(of_runs(process.pid)) >= 5)
    process.kill()
    process.wait()
    until(lambda: not of_runs(process.pid))
    (folder,) = (tmp_path / "tmp").iterdir()
    other = start("pipeline.toml", "--inject", "crash.segv:*")
    until(lambda: len(of_runs(other.pid)) >= 5)
    assert not folder.exists()
    other.terminate()
    assert other.wait(25) == 143
    assert list((tmp_path / "tmp").iterdir()) == []
