"""The limits of a machine: too few descriptors, processes or threads end in a result or a reason, never in a wait."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from workflow import EngineError, InfoTask, MultiProcess
from workflow.engine import processes

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits are set as Linux has them"),
    pytest.mark.unmeasured,
]

Program = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Callable[[], bool]], None]

PIPELINE = """
[pipeline]
pool = 2
{settings}
[tasks.f]
call = "functions:small"
args = ["${{matrix.n}}"]
matrix = {{ n = {{ range = [0, 20] }} }}
[tasks.g]
call = "functions:large"
[tasks.h]
call = "functions:small"
args = ["${{tasks.g.result}}"]
"""
FUNCTIONS = """
def small(value): return len(str(value))
def large(): return b"x" * 300_000
"""
SCRIPT = """
import sys
from workflow import EngineError, InfoTask, MultiProcess
try:
    mp = MultiProcess(2)
    mp.start()
    try:
        handles = [mp.push(InfoTask("victims.Echo", 20, b"x" * size)) for size in [1] * 20 + [300_000] * 2]
    finally:
        mp.stop()
    for handle in handles: handle.result(0)
except EngineError as error:
    sys.exit(f"EngineError: {error}")
"""


@pytest.fixture(params=["run", "run with a template", "script"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command to start, in a folder of its own."""
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    settings = 'preload = ["functions"]' if "template" in request.param else ""
    (tmp_path / "pipeline.toml").write_text(PIPELINE.format(settings=settings))
    (tmp_path / "script.py").write_text(SCRIPT)
    if request.param == "script":
        return [sys.executable, "script.py"]
    return [sys.executable, "-m", "workflow", "run"]


@pytest.mark.parametrize("limit", [64, 32, 22, 20, 19, 18, 17, 16, 14, 12, 10])
def test_few_descriptors_end_in_a_result_or_an_error_that_names_the_limit(
    subject: list[str], tmp_path: Path, limit: int
) -> None:
    """In bounded time, with exit code 4, and nothing left."""
    run = start(tmp_path, limited("nofile", limit), subject)
    judge(run, subject, "ulimit -n", least=limit >= 32)


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6, 8, 10, 12, 30])
def test_few_processes_end_in_a_result_or_an_error_that_names_the_limit(
    subject: list[str], tmp_path: Path, somebody: Callable[[Path], list[str]], limit: int
) -> None:
    """Fork, and the start of a thread, fail with EAGAIN."""
    run = start(tmp_path, [*limited("nproc", limit), *somebody(tmp_path)], subject)
    judge(run, subject, "ulimit -u", least=limit >= 30)


def test_descriptors_on_their_way_are_not_lost(
    subject: list[str], tmp_path: Path, somebody: Callable[[Path], list[str]]
) -> None:
    """The kernel lets a user who is not root have only so many; what it refuses is sent again."""
    run = start(tmp_path, [*limited("nofile", 24), *somebody(tmp_path)], subject)
    judge(run, subject, "ulimit -n", least=False)


def test_a_limit_of_the_size_of_files_is_named(tmp_path: Path, python: Program) -> None:
    """It counts for memory without a name too, with which the engine begins."""
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    code += "from workflow import MultiProcess; MultiProcess(1).start()"
    _, err = python(tmp_path, "-c", code).communicate(timeout=30)
    assert "EngineError: the engine could not be started: File too large" in err
    assert "ulimit -f" in err


def start(folder: Path, prefix: Sequence[str], subject: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, *subject],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "victims"), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def limited(name: str, limit: int) -> Sequence[str]:
    """A prefix that sets a limit for a command."""
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("there is no prlimit command here")
    return [prlimit, f"--{name}={limit}:{limit}"]


def judge(run: subprocess.Popen[str], subject: list[str], limit: str, *, least: bool) -> None:
    try:
        _, err = run.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        processes.kill_tree(run.pid)
        run.communicate()
        pytest.fail("it hung")
    assert "Traceback" not in err, err
    failed = 1 if subject[-1] == "script.py" else 4
    assert run.returncode in ((0,) if least else (0, failed)), err
    if run.returncode:
        assert limit in err


def starve(pid: int) -> None:
    """Let a process open nothing more."""
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, free))


def test_a_dispatcher_without_descriptors_loses_no_task(pool: MultiProcess) -> None:
    """It cannot hand over a large task, so another one does."""
    pool.push(InfoTask("victims.Echo", 20)).result(20)
    starve(pool._client.dispatcher_pid)
    assert len(pool.push(InfoTask("victims.Echo", 20, b"x" * 300_000)).result(20)) == 300_000


def test_a_dispatcher_that_cannot_take_a_worker_over_is_replaced(pool: MultiProcess) -> None:
    """The channels of a new worker find no room in it."""
    pool.push(InfoTask("victims.Echo", 20)).result(20)
    starve(pool._client.dispatcher_pid)
    crashed = [pool.push(InfoTask("victims.Crash", 20, "kill")) for _ in range(2)]
    assert all(handle.exception(20) is not None for handle in crashed)
    assert [pool.push(InfoTask("victims.Echo", 20, n)).result(20) for n in range(3)] == [0, 1, 2]


def test_a_worker_without_descriptors_is_replaced_and_its_task_not_blamed(make_pool: Callable[..., Any]) -> None:
    """A large task does not reach it."""
    mp = make_pool(1)
    pid = mp.push(InfoTask("victims.Pid", 20)).result(20)
    starve(pid)
    handle = mp.push(InfoTask("victims.Echo", 20, b"x" * 300_000))
    assert len(handle.result(20)) == 300_000
    assert [attempt.number for attempt in handle.attempts] == [1]


def test_a_warden_without_descriptors_ends_the_engine_with_a_reason(make_pool: Callable[..., Any]) -> None:
    """It cannot replace the only worker."""
    mp = make_pool(1)
    mp.push(InfoTask("victims.Echo", 20)).result(20)
    (warden,) = processes.children(mp._client._tree.guardian.pid)
    starve(warden)
    mp.push(InfoTask("victims.Crash", 20, "kill"))
    after = mp.push(InfoTask("victims.Echo", 20))
    with pytest.raises(EngineError, match="ulimit -n"):
        after.result(20)
    with pytest.raises(EngineError, match="ulimit -n"):
        mp.stop()


STARVED = """
import os, resource, signal, sys
from workflow import EngineError, InfoTask, MultiProcess
mp = MultiProcess(2)
mp.start()
mp.push(InfoTask("victims.Echo", 20)).result(20)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    {then}
    mp.push(InfoTask("victims.Large", 20, 300_000)).result(20)
    mp.stop()
except EngineError as error:
    print(error)
"""


@pytest.mark.parametrize("then", ["pass", "os.kill(mp._client.dispatcher_pid, signal.SIGKILL)"])
def test_a_program_without_descriptors_gets_a_reason(tmp_path: Path, python: Program, then: str) -> None:
    """When a large result arrives, and when a new dispatcher would need a channel."""
    out, err = python(tmp_path, "-c", STARVED.format(then=then)).communicate(timeout=40)
    assert "the engine failed: its reader thread could not go on: Too many open files" in out, err


def test_many_large_results_may_wait_for_their_callbacks(make_pool: Callable[..., Any]) -> None:
    """A dispatcher keeps their files only as long as it has room for more."""
    mp = make_pool(1)
    mp.push(InfoTask("victims.Echo", 20)).result(20)
    resource.prlimit(mp._client.dispatcher_pid, resource.RLIMIT_NOFILE, (64, 64))
    slow = mp.push(InfoTask("victims.SlowCallback", 20, 1))
    handles = [mp.push(InfoTask("victims.LargeCallback", 20, 100_000)) for _ in range(100)]
    mp.stop()
    assert slow.callback is not None
    assert {handle.callback.outcome.value for handle in (slow, *handles) if handle.callback} == {"succeeded"}
